"""d2l.py: the book's names, arguments and results; and whole programs in the book's style, with one line changed."""

import collections
import inspect
import logging
import math
import random
import re
import socket
import subprocess
import sys
import time
from itertools import pairwise

import matplotlib
import nbformat
import numpy as np
import pooch
import pytest
import torch
from nbclient import NotebookClient
from torch import nn
from torch.nn import functional as F

import d2lmini
from d2lmini import book, d2l

matplotlib.use("Agg")
CPU = torch.device("cpu")
CHAPTER = book.data_path(book.CHAPTER_FILE).read_text(encoding="ascii")


@pytest.fixture(autouse=True)
def without_a_network(monkeypatch):
    """Every test but one sees at once that the book cannot be had."""

    def no_book(folder=None):
        raise ConnectionError("no network")

    monkeypatch.setattr(book, "download_book", no_book)
    d2l.book_or_chapter.cache_clear()
    yield
    d2l.book_or_chapter.cache_clear()


# The names and their arguments

FIGURE = "xlabel ylabel legend xlim ylim xscale yscale fmts"
SIGNATURES = {
    "read_time_machine": "",
    "tokenize": "lines token",
    "Vocab": "tokens min_freq reserved_tokens",
    "count_corpus": "tokens",
    "load_corpus_time_machine": "max_tokens",
    "seq_data_iter_random": "corpus batch_size num_steps",
    "seq_data_iter_sequential": "corpus batch_size num_steps",
    "SeqDataLoader": "batch_size num_steps use_random_iter max_tokens",
    "load_data_time_machine": "batch_size num_steps use_random_iter max_tokens",
    "RNNModel": "rnn_layer vocab_size",
    "RNNModel.begin_state": "self device batch_size",
    "RNNModelScratch": "vocab_size num_hiddens device get_params init_state forward_fn init",
    "RNNModelScratch.begin_state": "self batch_size device",
    "predict_ch8": "prefix num_preds net vocab device",
    "grad_clipping": "net theta",
    "train_epoch_ch8": "net train_iter loss updater device use_random_iter",
    "train_ch8": "net train_iter vocab lr num_epochs device use_random_iter",
    "sgd": "params lr batch_size",
    "try_gpu": "i",
    "try_all_gpus": "",
    "download": "name cache_dir",
    "Timer": "",
    "Accumulator": "n",
    "Accumulator.add": "self args",
    "Animator": f"{FIGURE} nrows ncols figsize",
    "Animator.add": "self x y",
    "plot": f"X Y {FIGURE} figsize axes",
    "set_figsize": "figsize",
    "set_axes": "axes xlabel ylabel xlim ylim xscale yscale legend",
    "use_svg_display": "",
}
DEFAULTS = {
    "tokenize": {"token": "word"},
    "Vocab": {"tokens": None, "min_freq": 0, "reserved_tokens": None},
    "load_corpus_time_machine": {"max_tokens": -1},
    "load_data_time_machine": {"use_random_iter": False, "max_tokens": 10000},
    "RNNModel.begin_state": {"batch_size": 1},
    "train_ch8": {"use_random_iter": False},
    "try_gpu": {"i": 0},
    "set_figsize": {"figsize": (3.5, 2.5)},
    "Animator": {"xscale": "linear", "fmts": ("-", "m--", "g-.", "r:"), "nrows": 1, "figsize": (3.5, 2.5)},
    "plot": {"Y": None, "xscale": "linear", "fmts": ("-", "m--", "g-.", "r:"), "figsize": (3.5, 2.5), "axes": None},
}


def parameters_of(name):
    thing = d2l
    for part in name.split("."):
        thing = getattr(thing, part)
    return inspect.signature(thing).parameters


@pytest.mark.parametrize("name", SIGNATURES)
def test_arguments_have_the_books_names_order_and_defaults(name):
    parameters = parameters_of(name)
    assert list(parameters) == SIGNATURES[name].split()
    for argument, default in DEFAULTS.get(name, {}).items():
        assert parameters[argument].default == default


def test_importing_does_not_load_matplotlib_and_plt_and_np_are_there():
    program = (
        "import sys; from d2lmini import d2l; assert 'matplotlib' not in sys.modules, 'loaded'; "
        "assert d2l.plt is sys.modules['matplotlib.pyplot'] and d2l.np.pi and d2l.torch.tensor and d2l.nn.Linear"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_says_what_is_covered():
    with pytest.raises(AttributeError, match=r"no 'resnet18'.*recurrent networks"):
        d2l.resnet18  # noqa: B018


A = torch.tensor([[1.0, -2.0, 3.0], [0.5, 4.0, -0.25]])
N = A.numpy()


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        (lambda: d2l.ones((2, 3)), np.ones((2, 3))),
        (lambda: d2l.zeros(4), np.zeros(4)),
        (lambda: d2l.eye(3), np.eye(3)),
        (lambda: d2l.arange(5), np.arange(5)),
        (lambda: d2l.linspace(0, 1, 5), np.linspace(0, 1, 5)),
        (lambda: d2l.tensor([1, 2], dtype=d2l.float32), np.array([1, 2])),
        (lambda: d2l.sin(A), np.sin(N)),
        (lambda: d2l.cos(A), np.cos(N)),
        (lambda: d2l.sinh(A), np.sinh(N)),
        (lambda: d2l.cosh(A), np.cosh(N)),
        (lambda: d2l.tanh(A), np.tanh(N)),
        (lambda: d2l.exp(A), np.exp(N)),
        (lambda: d2l.log(d2l.abs(A)), np.log(np.abs(N))),
        (lambda: d2l.matmul(A, d2l.transpose(A)), N @ N.T),
        (lambda: d2l.concat((A, A), 1), np.concatenate((N, N), 1)),
        (lambda: d2l.stack([A, A]), np.stack([N, N])),
        (lambda: d2l.reshape(A, (3, 2)), N.reshape(3, 2)),
        (lambda: d2l.meshgrid(A[0], A[1])[0], np.meshgrid(N[0], N[1], indexing="ij")[0]),
        (lambda: d2l.reduce_sum(A, 0), N.sum(0)),
        (lambda: d2l.reduce_mean(A, 1), N.mean(1)),
        (lambda: d2l.argmax(A, axis=1), N.argmax(1)),
        (lambda: d2l.astype(A, d2l.int32), N.astype("int32")),
        (lambda: d2l.to(A, "cpu"), N),
        (lambda: torch.tensor(d2l.size(A)), np.array(6)),
        (lambda: torch.from_numpy(d2l.numpy(A.clone().requires_grad_() * 2)), N * 2),
    ],
)
def test_tensor_names_compute_what_numpy_computes(ours, expected, recwarn):
    np.testing.assert_allclose(ours().numpy(), expected, rtol=1e-6)
    assert not recwarn.list


def test_random_tensors_have_their_shapes_and_moments():
    torch.manual_seed(0)
    assert d2l.normal(0, 1, (3, 4)).shape == d2l.rand(3, 4).shape == d2l.randn(3, 4).shape == (3, 4)
    assert d2l.normal(5, 0.1, (10_000,)).mean().item() == pytest.approx(5, abs=0.01)
    values = d2l.rand(100)
    assert values.min() >= 0 and values.max() < 1


# Text preprocessing


def test_the_chapter_that_ships_is_read_line_by_line():
    lines = d2l.read_time_machine()
    expected = ["".join(c if c.isalpha() else " " for c in line.lower()).split() for line in CHAPTER.splitlines()]
    assert lines == [" ".join(words) for words in expected]
    assert len(lines) == 374 and lines[0] == "the time machine by h g wells"


def test_without_a_network_the_chapter_is_served_and_said_so_once(monkeypatch, tmp_path, capsys):
    monkeypatch.undo()  # the real download_book, but no sockets and no waiting between the attempts

    def blocked(*args, **kwargs):
        raise OSError("the network is blocked")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, blocked)
    monkeypatch.setattr(socket, "getaddrinfo", blocked)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    chatter = logging.StreamHandler(sys.stdout)
    pooch.get_logger().addHandler(chatter)
    paths = [d2l.download("time_machine", tmp_path) for _ in range(3)]
    pooch.get_logger().removeHandler(chatter)
    with open(paths[0]) as file:
        assert file.read() == CHAPTER
    assert paths[0] == paths[1] == paths[2] and list(tmp_path.iterdir()) == []
    (line,) = capsys.readouterr().out.splitlines()  # and no report of each attempt from pooch
    assert "first chapter, which ships with the course" in line


def test_with_a_network_it_is_the_whole_book(monkeypatch, tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("The end\n\n of  TIME.\n", encoding="utf-8")
    monkeypatch.setattr(book, "download_book", lambda folder=None: path)
    assert d2l.download("time_machine") == str(path)
    assert d2l.read_time_machine() == ["the end", "", "of time"]


def test_download_serves_the_book_only(monkeypatch):
    with pytest.raises(ValueError, match=r"only 'time_machine'.*not 'fra-eng' from nowhere.*read_text"):
        d2l.download("fra-eng")
    monkeypatch.setitem(d2l.DATA_HUB, "time_machine", ("https://example.org/other.txt", "0" * 40))
    with pytest.raises(ValueError, match=r"from https://example.org/other.txt"):
        d2l.download("time_machine")


def test_registering_the_book_as_its_chapter_does_changes_nothing(monkeypatch):
    entry = (d2l.DATA_URL + "timemachine.txt", "090b5e7e70c295757f55df93cb0a180b9691891a")
    assert d2l.DATA_HUB["time_machine"] == entry
    monkeypatch.setitem(d2l.DATA_HUB, "time_machine", entry)
    assert d2l.download("time_machine").endswith(".txt")


def test_tokenize_gives_words_or_characters_of_each_line():
    assert d2l.tokenize(["the time", "", "go"]) == [["the", "time"], [], ["go"]]
    assert d2l.tokenize(["ab c"], "char") == [["a", "b", " ", "c"]]
    with pytest.raises(ValueError, match="unknown token"):
        d2l.tokenize(["a"], "letter")
    with pytest.raises(TypeError, match="list of lines"):
        d2l.tokenize("a line")


def test_count_corpus_counts_tokens_lines_and_pairs():
    assert d2l.count_corpus(["a", "b", "a"]) == collections.Counter(a=2, b=1)
    assert d2l.count_corpus([["a", "b"], [], ["a"]]) == collections.Counter(a=2, b=1)
    assert d2l.count_corpus([("a", "b"), ("a", "b")]) == {("a", "b"): 2}
    assert d2l.count_corpus([]) == {}


def test_vocab_as_the_chapter_uses_it():
    tokens = d2l.tokenize(d2l.read_time_machine())
    vocab = d2l.Vocab(tokens)
    counts = collections.Counter(word for line in tokens for word in line)
    assert vocab.unk == 0 and vocab.idx_to_token[0] == "<unk>" and len(vocab) == len(counts) + 1
    assert dict(vocab.token_freqs) == counts and vocab.token_freqs[0] == counts.most_common(1)[0]
    assert next(iter(vocab.token_to_idx.items())) == ("<unk>", 0)
    assert vocab.to_tokens(vocab[tokens[0]]) == tokens[0] and vocab["the"] == 1
    assert vocab["no such word"] == 0 and vocab.to_tokens(1) == "the"
    frequent = d2l.Vocab(tokens, min_freq=10, reserved_tokens=["<pad>"])
    assert frequent.idx_to_token[:2] == ["<unk>", "<pad>"]
    assert set(frequent.idx_to_token[2:]) == {word for word, count in counts.items() if count >= 10}
    assert len(d2l.Vocab()) == 1
    with pytest.raises(TypeError, match="not a str"):
        d2l.Vocab("the time machine")


def test_a_vocab_of_word_pairs_keeps_the_pairs():
    corpus = [token for line in d2l.tokenize(d2l.read_time_machine()) for token in line]
    vocab = d2l.Vocab(list(zip(corpus[:-1], corpus[1:])))  # noqa: RUF007 (as the chapter does)
    pairs = collections.Counter(pairwise(corpus))
    assert vocab.token_freqs[0] == pairs.most_common(1)[0] and len(vocab) == len(pairs) + 1
    triples = d2l.Vocab(list(zip(corpus, corpus[1:], corpus[2:])))
    assert all(len(token) == 3 for token, _ in triples.token_freqs[:10])


def test_the_corpus_has_28_symbols_and_no_glued_words():
    corpus, vocab = d2l.load_corpus_time_machine()
    whole = "".join(vocab.to_tokens(corpus))
    assert len(vocab) == 28 and whole.split() == re.findall("[a-z]+", CHAPTER.lower())
    short, same_vocab = d2l.load_corpus_time_machine(max_tokens=50)
    assert short == corpus[:50] and same_vocab.idx_to_token == vocab.idx_to_token


# Language-model data


@pytest.mark.parametrize("data_iter", [d2l.seq_data_iter_random, d2l.seq_data_iter_sequential])
def test_the_chapters_35_numbers_give_three_minibatches(data_iter):
    random.seed(1)
    epochs = [list(data_iter(list(range(35)), batch_size=2, num_steps=5)) for _ in range(20)]
    for epoch in epochs:
        assert len(epoch) == 3
        for X, Y in epoch:
            assert X.shape == Y.shape == (2, 5) and torch.equal(Y, X + 1) and int(Y.max()) < 35
            assert torch.equal(X - X[:, :1], torch.arange(5).expand(2, 5))
        seen = torch.cat([X.flatten() for X, _ in epoch]).tolist()
        assert len(set(seen)) == len(seen) == 30
    assert len({int(epoch[0][0][0, 0]) for epoch in epochs}) > 1  # the start moves
    random.seed(1)
    assert torch.equal(next(data_iter(list(range(35)), 2, 5))[0], epochs[0][0][0])
    with pytest.raises(ValueError, match="needs 11 tokens"):
        data_iter(list(range(10)), 2, 5)


def test_sequential_rows_go_on_and_random_rows_do_not():
    corpus = list(range(400))
    sequential = [X for X, _ in d2l.seq_data_iter_sequential(corpus, 4, 6)]
    assert all(torch.equal(after[:, 0], before[:, -1] + 1) for before, after in pairwise(sequential))
    shuffled = [X for X, _ in d2l.seq_data_iter_random(corpus, 4, 6)]
    assert not all(torch.equal(after[:, 0], before[:, -1] + 1) for before, after in pairwise(shuffled))


@pytest.mark.parametrize("use_random_iter", [False, True])
def test_load_data_time_machine(use_random_iter):
    train_iter, vocab = d2l.load_data_time_machine(32, 35, use_random_iter=use_random_iter)
    assert isinstance(train_iter, d2l.SeqDataLoader) and train_iter.vocab is vocab and len(vocab) == 28
    assert (train_iter.batch_size, train_iter.num_steps) == (32, 35)
    assert len(train_iter.corpus) == 10_000 and train_iter.carries_state is not use_random_iter
    text_of = "".join(vocab.to_tokens(train_iter.corpus + train_iter.held_out))
    assert text_of == d2lmini.normalise(CHAPTER)
    first, second = list(train_iter), list(train_iter)
    assert len(first) == len(second) == len(train_iter) == 9999 // (32 * 35)
    assert not torch.equal(first[0][0], second[0][0])
    X, Y = first[0]
    assert X.shape == Y.shape == (32, 35) and torch.equal(X[:, 1:], Y[:, :-1])
    again, _ = d2l.load_data_time_machine(32, 35, use_random_iter)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again))
    everything = d2l.SeqDataLoader(4, 10, use_random_iter, -1)
    assert len(everything.corpus) == 16_555 and everything.held_out == []


# Models


def tiny_data(use_random_iter=False, max_tokens=1500):
    return d2l.load_data_time_machine(8, 10, use_random_iter, max_tokens)


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize(("num_layers", "bidirectional"), [(1, False), (2, False), (2, True)])
def test_rnn_model_is_its_layer_and_a_linear_one(layer, num_layers, bidirectional):
    torch.manual_seed(0)
    rnn_layer = layer(9, 6, num_layers, bidirectional=bidirectional)
    net = d2l.RNNModel(rnn_layer, vocab_size=9)
    X = torch.randint(9, (3, 4))
    state = net.begin_state(batch_size=3, device=CPU)
    for same in (net.begin_state(CPU, 3), net.begin_state(device=CPU, batch_size=3)):
        assert torch.equal(torch.stack(list(same)), torch.stack(list(state)))
    shape = (num_layers * (2 if bidirectional else 1), 3, 6)
    assert all(s.shape == shape for s in (state if layer is nn.LSTM else [state]))
    assert (net.begin_state(CPU)[0] if layer is nn.LSTM else net.begin_state(CPU)).shape[1] == 1
    logits, _ = net(X, state)
    outputs, _ = rnn_layer(F.one_hot(X.T, 9).float())
    expected = outputs.reshape(12, -1) @ net.linear.weight.T + net.linear.bias
    torch.testing.assert_close(logits, expected)


def test_rnn_model_is_for_the_books_functions_and_its_weights_fit_the_courses_own():
    train_iter, vocab = tiny_data()
    net = d2l.RNNModel(nn.LSTM(len(vocab), 8), len(vocab))
    batches = d2lmini.SequentialBatches(train_iter.corpus, 8, 10)
    with pytest.raises(TypeError, match=r"d2lmini\.RNNModel"):
        d2lmini.train(net, batches, 2, 1.0)
    twin = d2lmini.RNNModel(nn.LSTM(len(vocab), 8), len(vocab))
    twin.load_state_dict(net.state_dict())
    assert d2lmini.predict(twin, vocab, "time", 9) == d2l.predict_ch8("time", 9, net, vocab, CPU)


def test_rnn_model_scratch_is_the_courses():
    assert d2l.RNNModelScratch is d2lmini.RNNModelScratch and d2l.try_gpu is d2lmini.try_gpu


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert d2l.try_all_gpus() == [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert d2l.try_gpu(1) == torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert d2l.try_all_gpus() == [CPU] and d2l.try_gpu(10) == CPU


def parameters(net):
    return list(net.parameters() if isinstance(net, nn.Module) else net.params)


class OwnModel:
    """A learner's model as the chapter writes it: no `device`, no `vocab_size`, gradients in `params`."""

    def __init__(self, vocab_size, num_hiddens, device, get_params, init_state, forward_fn):
        self.size, self.num_hiddens = vocab_size, num_hiddens
        self.params = get_params(vocab_size, num_hiddens, device)
        self.init_state, self.forward_fn = init_state, forward_fn

    def __call__(self, X, state):
        return self.forward_fn(F.one_hot(X.T, self.size).type(torch.float32), state, self.params)

    def begin_state(self, batch_size, device):
        return self.init_state(batch_size, self.num_hiddens, device)


class OwnModule(nn.Module):
    """A learner's module: `begin_state` in the other order, a state that is a tensor (GRU) or a tuple (LSTM)."""

    def __init__(self, rnn_layer, vocab_size, **kwargs):
        super().__init__(**kwargs)
        self.rnn, self.size = rnn_layer, vocab_size
        self.linear = nn.Linear(rnn_layer.hidden_size, vocab_size)

    def forward(self, inputs, state):
        Y, state = self.rnn(F.one_hot(inputs.T.long(), self.size).to(torch.float32), state)
        return self.linear(Y.reshape((-1, Y.shape[-1]))), state

    def begin_state(self, device, batch_size=1):
        zeros = torch.zeros((self.rnn.num_layers, batch_size, self.rnn.hidden_size), device=device)
        return (zeros, zeros.clone()) if isinstance(self.rnn, nn.LSTM) else zeros


class OwnVocab:
    """A learner's vocabulary as the chapter writes it: no `in`, and ids looked up by token."""

    def __init__(self, tokens):
        self.idx_to_token = ["<unk>", *(token for token, _ in collections.Counter(tokens).most_common())]
        self.token_to_idx = {token: idx for idx, token in enumerate(self.idx_to_token)}

    def __len__(self):
        return len(self.idx_to_token)

    def __getitem__(self, tokens):
        if not isinstance(tokens, (list, tuple)):
            return self.token_to_idx.get(tokens, 0)
        return [self.__getitem__(token) for token in tokens]


def rnn_params(vocab_size, num_hiddens, device):
    def normal(shape):
        return d2l.normal(0, 1, shape) * 0.01

    params = [
        normal((vocab_size, num_hiddens)), normal((num_hiddens, num_hiddens)), d2l.zeros(num_hiddens, device=device),
        normal((num_hiddens, vocab_size)), d2l.zeros(vocab_size, device=device),
    ]  # fmt: skip
    for param in params:
        param.requires_grad_(True)
    return params


def rnn_state(batch_size, num_hiddens, device):
    return (d2l.zeros((batch_size, num_hiddens), device=device),)


def rnn_forward(inputs, state, params):
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:
        H = d2l.tanh(d2l.matmul(X, W_xh) + d2l.matmul(H, W_hh) + b_h)
        outputs.append(d2l.matmul(H, W_hq) + b_q)
    return d2l.concat(outputs, 0), (H,)


def own_rnn(vocab_size, num_hiddens=16, seed=0):
    torch.manual_seed(seed)
    return OwnModel(vocab_size, num_hiddens, CPU, rnn_params, rnn_state, rnn_forward)


def greedy(prefix, num_preds, net, vocab):
    """The continuation, one character a call: the independent reference of predict_ch8."""
    state, ids = net.begin_state(batch_size=1, device=CPU), [vocab[char] for char in prefix]
    for id in ids[:-1]:
        _, state = net(torch.tensor([[id]]), state)
    for _ in range(num_preds):
        logits, state = net(torch.tensor([[ids[-1]]]), state)
        logits = logits.detach().clone()
        logits[:, 0] = -math.inf  # "<unk>" is never written
        ids.append(int(logits.argmax()))
    return "".join(vocab.idx_to_token[id] for id in ids)


def test_predict_ch8_is_greedy_for_any_model_and_any_vocab():
    _, vocab = tiny_data()
    own_vocab = OwnVocab(d2lmini.normalise(CHAPTER))
    assert own_vocab.idx_to_token == vocab.idx_to_token
    torch.manual_seed(0)
    nets = [
        own_rnn(28),
        OwnModule(nn.GRU(28, 8), 28),
        OwnModule(nn.LSTM(28, 8, 2), 28),
        d2l.RNNModel(nn.RNN(28, 8), 28),
    ]
    varied = 0
    for net in nets:
        params = net.parameters() if isinstance(net, nn.Module) else net.params
        with torch.no_grad():
            for param in params:
                param += torch.randn(param.shape)  # an untrained net would write one letter only
        expected = greedy("time traveller ", 12, net, vocab)
        varied += len(set(expected[15:])) > 1
        assert d2l.predict_ch8("time traveller ", 12, net, vocab, CPU) == expected
        assert d2l.predict_ch8("time traveller ", 12, net, own_vocab, d2l.try_gpu()) == expected
    assert varied >= 3


def test_predict_ch8_refuses_what_the_model_cannot_read():
    net, vocab = own_rnn(28), tiny_data()[1]
    with pytest.raises(ValueError, match="at least one character"):
        d2l.predict_ch8("", 5, net, vocab, CPU)
    with pytest.raises(ValueError, match=r"never seen: \['T', 'é'\]"):
        d2l.predict_ch8("Té", 5, net, OwnVocab("abc"), CPU)
    odd = OwnVocab("abc")
    odd.idx_to_token = odd.idx_to_token[1:]
    with pytest.raises(ValueError, match=r"first entry of vocab\.idx_to_token"):
        d2l.predict_ch8("a", 5, net, odd, CPU)


# Training


def test_grad_clipping_and_sgd_are_torchs():
    for make in (lambda: own_rnn(28), lambda: d2l.RNNModel(nn.GRU(28, 5), 28)):
        for theta in (1e-3, 1e6):
            net, twin = make(), make()
            if isinstance(net, nn.Module):
                twin.load_state_dict(net.state_dict())
            ours, theirs = (list(n.parameters() if isinstance(n, nn.Module) else n.params) for n in (net, twin))
            for p, q in zip(ours, theirs):
                p.grad = torch.randn(p.shape)
                q.grad = p.grad.clone()
            d2l.grad_clipping(net, theta)
            nn.utils.clip_grad_norm_(theirs, theta)
            for p, q in zip(ours, theirs):
                torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-9)
            torch.optim.SGD(theirs, lr=0.5 / 4).step()
            d2l.sgd(ours, 0.5, batch_size=4)
            for p, q in zip(ours, theirs):
                torch.testing.assert_close(p, q)
                assert not p.grad.any()


def reference_epoch(net, minibatches, optimizer, reset):
    """One epoch written out with torch's own tools."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    state, losses, tokens = None, 0.0, 0
    for X, Y in minibatches:
        if state is None or reset:
            state = net.begin_state(batch_size=len(X), device=CPU)
        state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
        logits, state = net(X, state)
        loss = nn.CrossEntropyLoss()(logits, Y.T.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(params, 1)
        optimizer.step()
        losses, tokens = losses + loss.item() * Y.numel(), tokens + Y.numel()
    return math.exp(losses / tokens)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("kind", ["function", "SGD", "Adam"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_train_epoch_ch8_is_the_loop_written_out(kind, reset, wrapped):
    """`wrapped`: the loader, which knows about the state; else a plain list, for which use_random_iter decides."""
    train_iter, _ = tiny_data(use_random_iter=reset)
    minibatches = list(train_iter)
    if kind == "function":
        net, twin = own_rnn(28), own_rnn(28)
        updater, optimizer = lambda batch_size: d2l.sgd(net.params, 1, batch_size), torch.optim.SGD(twin.params, 1)
    else:
        torch.manual_seed(0)
        net, twin = OwnModule(nn.LSTM(28, 8), 28), OwnModule(nn.LSTM(28, 8), 28)
        twin.load_state_dict(net.state_dict())
        make = {"SGD": lambda n: torch.optim.SGD(n.parameters(), 1), "Adam": lambda n: torch.optim.Adam(n.parameters())}
        updater, optimizer = make[kind](net), make[kind](twin)
    given = d2l.SeqDataLoader(8, 10, reset, 1500) if wrapped else minibatches
    loss = nn.CrossEntropyLoss(reduction="none" if wrapped else "mean")
    ppl, speed = d2l.train_epoch_ch8(net, given, loss, updater, CPU, reset)
    assert ppl == pytest.approx(reference_epoch(twin, minibatches, optimizer, reset), rel=1e-5) and speed > 0
    for p, q in zip(parameters(net), parameters(twin)):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


def test_the_samplers_word_on_the_state_wins_with_a_warning():
    loss, given = nn.CrossEntropyLoss(), {}
    for sampler_is_random in (False, True):
        for use_random_iter in (False, True):
            net = own_rnn(28)
            train_iter, _ = tiny_data(use_random_iter=sampler_is_random)
            step = torch.optim.SGD(net.params, 1)
            if sampler_is_random == use_random_iter:
                ppl, _ = d2l.train_epoch_ch8(net, train_iter, loss, step, CPU, use_random_iter)
            else:
                kind = "random: the state starts anew" if sampler_is_random else "sequential: the state carries over"
                with pytest.warns(UserWarning, match=f"minibatches are {kind}") as caught:
                    ppl, _ = d2l.train_epoch_ch8(net, train_iter, loss, step, CPU, use_random_iter)
                assert caught[0].filename == __file__
            given[sampler_is_random, use_random_iter] = ppl
    assert given[False, False] == given[False, True] != given[True, True] == given[True, False]


def test_another_loss_function_is_used():
    net, (train_iter, _) = own_rnn(28), tiny_data()
    smooth = nn.CrossEntropyLoss(label_smoothing=0.5)
    ppl, _ = d2l.train_epoch_ch8(net, train_iter, smooth, torch.optim.SGD(net.params, 1e-9), CPU, False)
    assert ppl == pytest.approx(28, rel=1e-3)
    half, _ = d2l.train_epoch_ch8(
        net, train_iter, lambda y_hat, y: F.cross_entropy(y_hat, y) / 2, torch.optim.SGD(net.params, 1e-9), CPU, False
    )
    assert half == pytest.approx(math.sqrt(28), rel=1e-3)


def test_a_generator_serves_one_epoch_and_an_empty_one_is_named():
    net, (train_iter, _) = own_rnn(28), tiny_data()
    step = torch.optim.SGD(net.params, 1)
    generator = (pair for pair in d2l.seq_data_iter_sequential(train_iter.corpus, 8, 10))
    ppl, _ = d2l.train_epoch_ch8(net, generator, nn.CrossEntropyLoss(), step, CPU, False)
    assert 1 < ppl < 28
    with pytest.raises(ValueError, match=r"gave no minibatch.*generator"):
        d2l.train_epoch_ch8(net, generator, nn.CrossEntropyLoss(), step, CPU, False)


def test_a_loss_that_is_not_a_number_is_named():
    net, (train_iter, vocab) = own_rnn(28), tiny_data()
    with torch.no_grad():
        net.params[0][3] = math.nan
    with pytest.raises(d2lmini.TrainingDiverged, match="loss is nan"):
        d2l.train_ch8(net, train_iter, vocab, 1, 1, CPU)
    with pytest.raises(d2lmini.TrainingDiverged, match="learning rate of the updater"):
        d2l.train_epoch_ch8(net, train_iter, nn.CrossEntropyLoss(), torch.optim.SGD(net.params, 1), CPU, False)
    with pytest.raises(ValueError, match="num_epochs"):
        d2l.train_ch8(net, train_iter, vocab, 1, 0, CPU)


def test_train_ch8_prints_training_and_held_out_perplexity_and_two_texts(capsys):
    net, twin, (train_iter, vocab) = own_rnn(28), own_rnn(28), tiny_data()
    d2l.train_ch8(net, train_iter, vocab, 1, 20, CPU)
    lines = capsys.readouterr().out.splitlines()[-6:]
    optimizer = torch.optim.SGD(twin.params, 1)
    again, _ = tiny_data()
    for _ in range(20):
        ppl = reference_epoch(twin, list(again), optimizer, False)
    held_out = torch.tensor(train_iter.held_out)
    rows = held_out[: 32 * (len(held_out) // 32)].reshape(32, -1)
    logits, _ = twin(rows[:, :-1], twin.begin_state(32, CPU))
    unseen = F.cross_entropy(logits, rows[:, 1:].T.flatten()).exp().item()
    assert lines[2].startswith(f"perplexity {ppl:.1f}, ") and lines[2].endswith(" tokens/sec on cpu")
    assert lines[3].startswith(f"perplexity {unseen:.1f} on the text that follows")
    assert lines[1] == lines[4] == greedy("time traveller", 50, net, vocab)
    assert lines[5] == greedy("traveller", 50, net, vocab) and lines[0].startswith("time traveller")


def test_train_ch8_on_another_text_leaves_out_the_prefixes_it_cannot_read(capsys):
    tokens = list("el camino de vuelta a casa ") * 20
    vocab = OwnVocab(tokens)
    minibatches = list(d2l.seq_data_iter_sequential(vocab[tokens], 4, 10))
    d2l.train_ch8(own_rnn(len(vocab)), minibatches, vocab, 1, 10, CPU)
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 1 and out[0].startswith("perplexity ")


# Whole programs in the book's style, with one line changed


def perplexities(net, train_iter, num_epochs, lr=1):
    """First and last perplexity of a run through train_epoch_ch8."""
    loss, updater = nn.CrossEntropyLoss(), None
    if isinstance(net, nn.Module):
        updater = torch.optim.SGD(net.parameters(), lr)
    else:

        def updater(batch_size):
            d2l.sgd(net.params, lr, batch_size)

    runs = [d2l.train_epoch_ch8(net, train_iter, loss, updater, CPU, False)[0] for _ in range(num_epochs)]
    return runs[0], runs[-1]


def gates(vocab_size, num_hiddens, device, count):
    """`count` triples (W_x, W_h, b), then W_hq and b_q, as the GRU and LSTM chapters make them."""

    def normal(shape):
        return torch.randn(size=shape, device=device) * 0.01

    params = []
    for _ in range(count):
        params += [normal((vocab_size, num_hiddens)), normal((num_hiddens, num_hiddens)), d2l.zeros(num_hiddens)]
    params += [normal((num_hiddens, vocab_size)), d2l.zeros(vocab_size, device=device)]
    for param in params:
        param.requires_grad_(True)
    return params


def gru_forward(inputs, state, params):
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:
        Z = torch.sigmoid((X @ W_xz) + (H @ W_hz) + b_z)
        R = torch.sigmoid((X @ W_xr) + (H @ W_hr) + b_r)
        candidate = d2l.tanh((X @ W_xh) + ((R * H) @ W_hh) + b_h)
        H = Z * H + (1 - Z) * candidate
        outputs.append(H @ W_hq + b_q)
    return d2l.concat(outputs, 0), (H,)


def lstm_forward(inputs, state, params):
    W_xi, W_hi, b_i, W_xf, W_hf, b_f, W_xo, W_ho, b_o, W_xc, W_hc, b_c, W_hq, b_q = params
    (H, C) = state
    outputs = []
    for X in inputs:
        gate_i = torch.sigmoid((X @ W_xi) + (H @ W_hi) + b_i)
        gate_f = torch.sigmoid((X @ W_xf) + (H @ W_hf) + b_f)
        gate_o = torch.sigmoid((X @ W_xo) + (H @ W_ho) + b_o)
        C = gate_f * C + gate_i * d2l.tanh((X @ W_xc) + (H @ W_hc) + b_c)
        H = gate_o * d2l.tanh(C)
        outputs.append((H @ W_hq) + b_q)
    return d2l.concat(outputs, 0), (H, C)


def lstm_state(batch_size, num_hiddens, device):
    zeros = d2l.zeros((batch_size, num_hiddens), device=device)
    return (zeros, zeros.clone())


SCRATCH = {
    "rnn": (rnn_params, rnn_state, rnn_forward),
    "gru": (lambda v, h, d: gates(v, h, d, 3), rnn_state, gru_forward),
    "lstm": (lambda v, h, d: gates(v, h, d, 4), lstm_state, lstm_forward),
    "lstm, its state a list": (
        lambda v, h, d: gates(v, h, d, 4),
        lambda *sizes: list(lstm_state(*sizes)),
        lambda inputs, state, params: (lambda out, new: (out, list(new)))(*lstm_forward(inputs, state, params)),
    ),
}


@pytest.mark.parametrize("name", SCRATCH)
@pytest.mark.parametrize("model_class", [d2l.RNNModelScratch, OwnModel])
def test_programs_from_scratch(name, model_class):
    if name.endswith("list") and model_class is d2l.RNNModelScratch:
        pytest.skip("the course's class says that the state must be a tuple; a learner's own may take a list")
    torch.manual_seed(0)
    train_iter, vocab = d2l.load_data_time_machine(8, 10, max_tokens=1500)
    vocab_size, num_hiddens, device = len(vocab), 24, CPU
    net = model_class(vocab_size, num_hiddens, device, *SCRATCH[name])
    state = net.begin_state(2, device)
    Y, new_state = net(torch.arange(10).reshape((2, 5)), state)
    assert Y.shape == (10, 28) and len(new_state) == len(state) and new_state[0].shape == (2, 24)
    first, last = perplexities(net, train_iter, 8)
    assert first < 28 and last < 0.85 * first
    assert len(d2l.predict_ch8("time traveller ", 10, net, vocab, device)) == 25


LAYERS = {
    "rnn": lambda v, h: nn.RNN(v, h),
    "gru": lambda v, h: nn.GRU(v, h),
    "lstm": lambda v, h: nn.LSTM(v, h),
    "deep lstm": lambda v, h: nn.LSTM(v, h, 2),
    "bidirectional lstm": lambda v, h: nn.LSTM(v, h, 2, bidirectional=True),
}


@pytest.mark.parametrize("name", LAYERS)
def test_concise_programs(name, capsys):
    torch.manual_seed(0)
    batch_size, num_steps, device = 8, 10, CPU
    train_iter, vocab = d2l.load_data_time_machine(batch_size, num_steps, max_tokens=1500)
    model = d2l.RNNModel(LAYERS[name](len(vocab), 24), len(vocab))
    model = model.to(device)
    num_epochs, lr = 10, 2
    before, _ = perplexities(model, train_iter, 1, lr)
    d2l.train_ch8(model, train_iter, vocab, lr * 1.0, num_epochs, device)
    after = float(re.search(r"^perplexity ([\d.]+), ", capsys.readouterr().out, re.MULTILINE)[1])
    assert after < 0.9 * before


def test_a_learners_own_loader_and_loop():
    """The loader and the training loop written out, with the book's helpers only."""

    class OwnLoader:
        def __init__(self, batch_size, num_steps, max_tokens):
            self.corpus, self.vocab = d2l.load_corpus_time_machine(max_tokens)
            self.batch_size, self.num_steps = batch_size, num_steps

        def __iter__(self):
            return d2l.seq_data_iter_sequential(self.corpus, self.batch_size, self.num_steps)

    random.seed(0)
    train_iter = OwnLoader(8, 10, 1500)
    net, loss = own_rnn(len(train_iter.vocab)), nn.CrossEntropyLoss()
    animator = d2l.Animator(xlabel="epoch", ylabel="perplexity", legend=["train"], xlim=[1, 8])
    for epoch in range(8):
        state, timer, metric = None, d2l.Timer(), d2l.Accumulator(2)
        for X, Y in train_iter:
            if state is None:
                state = net.begin_state(batch_size=X.shape[0], device=CPU)
            for s in state:
                s.detach_()
            y = Y.T.reshape(-1)
            y_hat, state = net(X, state)
            value = loss(y_hat, y.long()).mean()
            value.backward()
            d2l.grad_clipping(net, 1)
            d2l.sgd(net.params, 1, batch_size=1)
            metric.add(value * d2l.size(y), d2l.size(y))
        assert metric[1] / timer.stop() > 0
        animator.add(epoch + 1, [math.exp(metric[0] / metric[1])])
    (line,) = animator.axes[0].lines
    assert list(line.get_xdata()) == list(range(1, 9)) and line.get_ydata()[-1] < 0.75 * line.get_ydata()[0]
    first, last = perplexities(net, train_iter, 2)  # and their loader serves our epoch function
    assert last <= first * 1.1


# Stopwatch, sums, figures


def test_timer(monkeypatch):
    clock = iter([10.0, 12.0, 20.0, 23.0, 30.0, 37.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    timer = d2l.Timer()
    assert timer.stop() == 2
    for seconds in (3, 7):
        timer.start()
        assert timer.stop() == seconds
    assert timer.times == [2, 3, 7] and timer.sum() == 12 and timer.avg() == 4 and timer.cumsum() == [2, 5, 12]


def test_accumulator(recwarn):
    metric = d2l.Accumulator(2)
    metric.add(1, torch.tensor(2.5))
    metric.add(torch.tensor(3.0, requires_grad=True), 4)
    assert metric.data == [4, 6.5] and metric[1] == 6.5 and isinstance(metric[0], float)
    metric.reset()
    assert metric.data == [0, 0] and not recwarn.list


def curves(axes):
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]


@pytest.mark.parametrize(
    ("X", "Y", "expected"),
    [
        ([3, 1, 2], None, [([0, 1, 2], [3, 1, 2])]),
        ([[3, 1], [5, 6, 7]], None, [([0, 1], [3, 1]), ([0, 1, 2], [5, 6, 7])]),
        ([1, 2], [3, 4], [([1, 2], [3, 4])]),
        ([1, 2], [[3, 4], [5, 6]], [([1, 2], [3, 4]), ([1, 2], [5, 6])]),
        ([[1, 2], [7, 8]], [[3, 4], [5, 6]], [([1, 2], [3, 4]), ([7, 8], [5, 6])]),
        (torch.arange(2), [torch.ones(2), np.zeros(2)], [([0, 1], [1, 1]), ([0, 1], [0, 0])]),
    ],
)
def test_plot_draws_the_curves_it_is_given(X, Y, expected):
    axes = d2l.plt.figure().gca()
    d2l.plot(X, Y, xlabel="token: x", ylabel="frequency: n(x)", xscale="log", yscale="log", legend=["a"], axes=axes)
    assert curves(axes) == expected
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_xscale()) == ("token: x", "frequency: n(x)", "log")
    d2l.plt.close("all")
    d2l.plot(X, Y, xlim=[1, 4], figsize=(6, 3))
    figure = d2l.plt.gcf()
    assert curves(figure.gca()) == expected and figure.gca().get_xlim() == (1, 4)
    assert tuple(figure.get_size_inches()) == (6, 3)
    d2l.plt.close("all")


def test_set_figsize_and_set_axes():
    d2l.set_figsize((5, 4))
    figure = d2l.plt.figure()
    axes = figure.gca()
    assert tuple(figure.get_size_inches()) == (5, 4)
    axes.plot([1, 2], [3, 4])
    d2l.set_axes(axes, "epoch", "loss", [0, 5], [1, 9], "linear", "log", ["train"])
    assert axes.get_xlim() == (0, 5) and axes.get_ylim() == (1, 9) and axes.get_yscale() == "log"
    assert axes.get_legend().get_texts()[0].get_text() == "train"
    d2l.set_figsize()
    assert list(d2l.plt.rcParams["figure.figsize"]) == [3.5, 2.5]
    d2l.plt.close("all")


def test_animator_keeps_every_point_of_every_curve(tmp_path, recwarn):
    animator = d2l.Animator(xlabel="epoch", legend=["train", "test"], xlim=[1, 3], yscale="log")
    animator.add(1, [5.0, None])
    animator.add(2, (torch.tensor(4.0), 8))
    animator.add(3, [3, 7])
    assert curves(animator.axes[0]) == [([1, 2, 3], [5, 4, 3]), ([2, 3], [8, 7])]
    assert animator.axes[0].get_xlim() == (1, 3) and animator.axes[0].get_ylim()[1] >= 8
    assert not d2l.plt.get_fignums() and not recwarn.list  # nothing stays open, nothing is shown
    animator.fig.savefig(tmp_path / "curve.png")
    many = d2l.Animator(nrows=1, ncols=2)
    start = time.perf_counter()
    for i in range(1000):
        many.add(i, i)
    assert len(many.axes) == 2 and time.perf_counter() - start < 5  # a point costs about a millisecond


def test_use_svg_display_does_nothing_outside_a_notebook():
    d2l.use_svg_display()


def test_in_a_notebook_the_animator_leaves_one_picture():
    cell = (
        "from d2lmini import d2l\n"
        "animator = d2l.Animator(xlabel='epoch', legend=['train'], xlim=[1, 500])\n"
        "for epoch in range(500):\n"
        "    animator.add(epoch + 1, [500 / (epoch + 1)])\n"
        "print(len(animator.axes[0].lines[0].get_xdata()))"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    notebook.cells.append(nbformat.v4.new_code_cell("print(animator.last == 500)"))
    notebook.cells.append(nbformat.v4.new_code_cell("d2l.use_svg_display()\nd2l.plot([3, 1, 2])"))
    # The picture must show the last point, although drawing is seldom: note what is drawn.
    notebook.cells[0].source = cell.replace(
        "for epoch", "draw = animator.live.draw\n"
        "def noting():\n"
        "    animator.last = len(animator.axes[0].lines[0].get_xdata())\n"
        "    return draw()\n"
        "animator.live.draw = noting\n"
        "for epoch", 1,
    )  # fmt: skip
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = notebook.cells[0].outputs
    assert [output.output_type for output in outputs if output.output_type != "stream"] == ["display_data"]
    assert "image/png" in next(o for o in outputs if o.output_type == "display_data").data
    assert [o.text for o in outputs if o.output_type == "stream"] == ["500\n"]
    assert notebook.cells[1].outputs[0].text == "True\n" and len(notebook.cells[1].outputs) == 1
    (figure,) = notebook.cells[2].outputs
    assert "image/svg+xml" in figure.data


# The whole run of the book


@pytest.mark.slow
@pytest.mark.parametrize(("use_random_iter", "largest"), [(False, 1.1), (True, 1.7)])
def test_the_books_run_ends_no_worse_than_the_book(use_random_iter, largest, capsys):
    torch.manual_seed(0)
    train_iter, vocab = d2l.load_data_time_machine(32, 35, use_random_iter)
    net = d2l.RNNModelScratch(len(vocab), 512, d2l.try_gpu(), rnn_params, rnn_state, rnn_forward)
    d2l.train_ch8(net, train_iter, vocab, 1, 500, d2l.try_gpu(), use_random_iter=use_random_iter)
    out = capsys.readouterr().out
    assert float(re.search(r"^perplexity ([\d.]+), ", out, re.MULTILINE)[1]) <= largest
    assert len(out.splitlines()[-1]) == len("traveller") + 50
