"""d2l: the book's names and arguments, text preprocessing and language-model data."""

import collections
import inspect
import logging
import random
import re
import socket
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pooch
import pytest
import torch
from book_programs import CHAPTER, without_a_network  # noqa: F401 (a fixture)

import d2lmini
from d2lmini import book, d2l

pytestmark = pytest.mark.usefixtures("without_a_network")

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


def test_a_tensor_of_another_device_is_fetched_before_it_is_an_array(monkeypatch):
    on_a_gpu = A.clone().to("meta")  # a device whose tensors can't become arrays, as a GPU's can't
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: A)
    np.testing.assert_array_equal(d2l.numpy(on_a_gpu), N)


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
    pair = vocab.token_freqs[0][0]
    assert pair in vocab and vocab[pair] == 1 and vocab[[pair, ("no", "pair")]] == [1, 0]
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
    expected = (d2lmini.RandomBatches if use_random_iter else d2lmini.SequentialBatches)(train_iter.corpus, 32, 35)
    for epoch, pairs in enumerate([first, second], start=1):
        expected.epoch = epoch
        assert all(torch.equal(X, other) for (X, _), (other, _) in zip(pairs, expected))
    X, Y = first[0]
    assert X.shape == Y.shape == (32, 35) and torch.equal(X[:, 1:], Y[:, :-1])
    again, _ = d2l.load_data_time_machine(32, 35, use_random_iter)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again))
    everything = d2l.SeqDataLoader(4, 10, use_random_iter, -1)
    assert len(everything.corpus) == 16_555 and everything.held_out == []
