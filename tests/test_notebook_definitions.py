"""What a notebook defines computes the same as what the package exports under that name.

A notebook cell with the id `define-NAME` defines NAME; it needs only the notebook's `imports` cell and the
`define-` cells before it. For each NAME there is a function `compare_NAME(mine)` below: it takes the notebook's
function or class and compares it with the package's on random inputs. A defining cell without a comparison is an
error, and so is a comparison without a defining cell.
"""

import json
import math
import random
import string
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

import d2lmini
from d2lmini import bptt
from d2lmini.batches import Batches

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def cells(path):
    """{cell id: source} of the code cells, in order."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"}


def defined_names(path):
    return [cell_id.removeprefix("define-") for cell_id in cells(path) if cell_id.startswith("define-")]


def run_definition(path, name):
    """Execute the imports cell and the define- cells up to that of `name`; return what it defines."""
    sources, namespace = cells(path), {"__name__": path.stem}
    for cell_id, source in sources.items():
        if cell_id == "imports" or cell_id.startswith("define-"):
            exec(compile(source, f"{path.name}, cell {cell_id}", "exec"), namespace)
        if cell_id == f"define-{name}":
            break
    assert name in namespace, f"the cell define-{name} of {path.name} does not define {name}"
    return namespace[name]


DEFINITIONS = [pytest.param(path, name, id=f"{path.stem}-{name}") for path in NOTEBOOKS for name in defined_names(path)]


@pytest.mark.parametrize("path, name", DEFINITIONS)
def test_notebook_and_package_compute_the_same(path, name):
    compare = globals().get(f"compare_{name}")
    assert compare is not None, f"write compare_{name}(mine): {path.name} defines {name}, and nothing proves it right"
    mine = run_definition(path, name)
    assert mine.__module__ == path.stem, f"{path.name} imports {name} from {mine.__module__}: nothing is compared"
    compare(mine)


def test_every_comparison_is_used():
    """A renamed cell must not leave its comparison asleep."""
    compared = {name.removeprefix("compare_") for name in globals() if name.startswith("compare_")}
    assert compared == {name for path in NOTEBOOKS for name in defined_names(path)}


def random_text(rng, length=300):
    """Letters, digits, punctuation, accents and all kinds of line breaks."""
    return "A" + "".join(rng.choices(string.ascii_letters + " \n\r\t.,-'()[1898]éÄß—", k=length)) + rng.choice("z\n ")


# --- 00_the_book


def compare_normalise(mine):
    rng = random.Random(0)
    for raw in [d2lmini.read_text(), "of him)\nwas", "a\r\nb\rc\n\nd", *(random_text(rng) for _ in range(50))]:
        assert mine(raw) == mine(raw, "letters") == d2lmini.normalise(raw)
        assert mine(raw, "characters") == d2lmini.normalise(raw, "characters")


def compare_tokenize(mine):
    rng = random.Random(1)
    for _ in range(20):
        line = d2lmini.normalise(random_text(rng), rng.choice(["letters", "characters"]))
        assert mine(line) == mine(line, "char") == d2lmini.tokenize(line)
        assert mine(line, "word") == d2lmini.tokenize(line, "word")


def compare_Vocab(mine):
    rng = random.Random(2)
    for _ in range(20):
        tokens = rng.choices("abcdefg hij", k=rng.randint(1, 60))
        for options in [{}, {"min_freq": 4}, {"reserved_tokens": ["<pad>", "<bos>"]}]:
            a, b = mine(tokens, **options), d2lmini.Vocab(tokens, **options)
            assert a.idx_to_token == b.idx_to_token and a.token_to_idx == b.token_to_idx and len(a) == len(b)
            assert dict(a.token_freqs) == dict(b.token_freqs) == Counter(tokens)
            asked = rng.choices("abcxyz", k=9)
            assert a[asked] == b[asked] and a[asked[0]] == b[asked[0]]
            ids = rng.choices(range(len(b)), k=9)
            assert a.to_tokens(ids) == a.to_tokens(torch.tensor(ids)) == b.to_tokens(ids)
            assert all((token in a) == (token in b) for token in asked)


def compare_load_corpus(mine):
    texts = [None, random_text(random.Random(3), 900)]
    for args in [(), (texts[0], "characters"), (texts[1], "letters", 100), (texts[1], "characters", 64)]:
        (train, held_out, vocab), (train_, held_out_, vocab_) = mine(*args), d2lmini.load_corpus(*args)
        assert torch.equal(train, train_) and torch.equal(held_out, held_out_)
        assert vocab.idx_to_token == vocab_.idx_to_token


def random_sizes():
    """(number of tokens, batch_size, num_steps) with room for at least one minibatch, the tightest fit included."""
    rng = random.Random(4)
    for _ in range(40):
        batch_size, num_steps = rng.randint(1, 5), rng.randint(1, 7)
        yield batch_size * num_steps * rng.randint(1, 4) + rng.randint(1, 20), batch_size, num_steps
    yield from [(2, 1, 1), (16, 3, 5), (10_000, 32, 35)]


def compare_Batches(mine):
    for length, *sizes in random_sizes():
        a, b = mine(torch.arange(length), *sizes, seed=length), Batches(torch.arange(length), *sizes, seed=length)
        assert (len(a), a.tokens_used, a.tokens_dropped) == (len(b), b.tokens_used, b.tokens_dropped)


def same_batches(mine, theirs):
    assert mine.carries_state is theirs.carries_state
    for length, *sizes in random_sizes():
        a, b = mine(torch.arange(length), *sizes, seed=length), theirs(torch.arange(length), *sizes, seed=length)
        for epoch in (1, 2, 3):  # each has another offset
            a.epoch = b.epoch = epoch
            pairs, pairs_ = list(a), list(b)
            assert len(pairs) == len(pairs_) == len(a) == len(b)
            for (X, Y), (X_, Y_) in zip(pairs, pairs_):
                assert torch.equal(X, X_) and torch.equal(Y, Y_) and list(X.shape) == sizes
        assert (a.tokens_used, a.tokens_dropped) == (b.tokens_used, b.tokens_dropped)


def compare_SequentialBatches(mine):
    same_batches(mine, d2lmini.SequentialBatches)


def compare_RandomBatches(mine):
    same_batches(mine, d2lmini.RandomBatches)


# --- 01_one_hot_encoding


def compare_one_hot(mine):
    rng = torch.Generator().manual_seed(0)
    for shape in [(), (1,), (7,), (2, 5), (3, 1, 4), (0,)]:
        for vocab_size in (1, 2, 28):
            ids = torch.randint(vocab_size, shape, generator=rng)
            a, b = mine(ids, vocab_size), d2lmini.one_hot(ids, vocab_size)
            assert a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)


# --- 02_parameters


def compare_get_params(mine):
    for sizes in [(28, 16), (2, 1), (5, 40)]:
        for options in [{}, {"seed": 3}, {"orthogonal": True}, {"seed": 4, "input_std": 1.0, "orthogonal": True}]:
            params, params_ = mine(*sizes, **options), d2lmini.get_params(*sizes, **options)
            assert len(params) == len(params_) == 5
            for param, param_ in zip(params, params_):
                assert torch.equal(param, param_) and param.requires_grad and param.is_leaf


# --- 06_training


def small_run(batches_class, seed, vocab_size=6, **sizes):
    """A small model and minibatches of random text; equal seeds give equal ones."""
    rng = torch.Generator().manual_seed(seed)
    tokens = torch.randint(vocab_size, (157,), generator=rng)
    model = d2lmini.RNNModelScratch(vocab_size, 7, seed=seed, input_std=0.3, orthogonal=True)
    return model, batches_class(tokens, 3, 5, seed=seed), torch.randint(vocab_size, (61,), generator=rng)


def compare_perplexity(mine):
    for total_nll, num_tokens in [(0.0, 3), (3.3, 1), (1234.5, 678), (1e6, 10), (699.9, 1), (math.inf, 4)]:
        assert mine(total_nll, num_tokens) == d2lmini.perplexity(total_nll, num_tokens)


def compare_detach(mine):
    H, C = torch.ones(2, 3, requires_grad=True) * 2, torch.ones(2, 3, requires_grad=True) * 3
    for state in [(H,), (H, C)]:
        result, result_ = mine(state), d2lmini.training.detach(state)
        assert type(result) is type(result_)
        for a, b in zip(result, result_):
            assert torch.equal(a, b) and not a.requires_grad


def compare_train_epoch(mine):
    for batches_class in (d2lmini.SequentialBatches, d2lmini.RandomBatches):
        for seed, lr, theta in [(0, 1, 1), (1, 0.5, 0.05), (2, 0.1, 100)]:
            (a, batches, _), (b, batches_, _) = small_run(batches_class, seed), small_run(batches_class, seed)
            for _ in range(2):
                assert mine(a, batches, lr, theta)[0] == d2lmini.train_epoch(b, batches_, lr, theta)[0]
            assert all(torch.equal(p, q) for p, q in zip(a.params, b.params))


def compare_evaluate(mine):
    model, _, tokens = small_run(d2lmini.SequentialBatches, 3)
    for options in [{}, {"batch_size": 4}, {"num_steps": 7}, {"batch_size": 2, "num_steps": 30}, {"num_steps": 60}]:
        assert mine(model, tokens, **options) == d2lmini.evaluate(model, tokens, **options)
    rnn_model = d2lmini.RNNModel(torch.nn.LSTM(6, 4), 6)
    assert mine(rnn_model, tokens) == d2lmini.evaluate(rnn_model, tokens)


def compare_train(mine):
    for batches_class, epochs, every in [(d2lmini.SequentialBatches, 7, 3), (d2lmini.RandomBatches, 4, 2)]:
        (a, batches, held_out), (b, batches_, _) = small_run(batches_class, 4), small_run(batches_class, 4)
        watch = d2lmini.Watch(held_out, every=every)
        history = mine(a, batches, epochs, 0.5, watch=watch)
        history_ = d2lmini.train(b, batches_, epochs, 0.5, watch=watch)
        assert history.train_ppl == history_.train_ppl and history.held_out_ppl == history_.held_out_ppl
        assert history.baselines == history_.baselines and len(history.speeds) == epochs


# --- 07_concise


def compare_RNNModel(mine):
    nn = torch.nn
    for make_layer in [lambda: nn.RNN(6, 5), lambda: nn.GRU(6, 5), lambda: nn.LSTM(6, 5), lambda: nn.LSTM(6, 5, 2)]:
        layer = make_layer()
        a, b = mine(layer, 6), d2lmini.RNNModel(layer, 6)
        a.load_state_dict(b.state_dict())
        X = torch.randint(6, (3, 4), generator=torch.Generator().manual_seed(0))
        state, state_ = a.begin_state(3), b.begin_state(batch_size=3)
        for _ in range(2):  # from the first state, then from the one that came out
            (logits, state), (logits_, state_) = a(X, state), b(X, state_)
            assert torch.equal(logits, logits_) and type(state) is type(state_)
            assert all(torch.equal(s, s_) for s, s_ in zip(state, state_))
        assert (a.device, a.vocab_size, a.num_hiddens) == (b.device, b.vocab_size, b.num_hiddens)


# --- 03_forward_pass


def compare_init_rnn_state(mine):
    for batch_size, num_hiddens in [(1, 1), (1, 5), (3, 1), (32, 16)]:
        state, state_ = mine(batch_size, num_hiddens), d2lmini.init_rnn_state(batch_size, num_hiddens)
        assert type(state) is type(state_) is tuple and len(state) == len(state_) == 1
        assert torch.equal(state[0], state_[0]) and state[0].dtype == state_[0].dtype


def random_network(rng, vocab_size, num_hiddens):
    """Parameters of ordinary size, biases included: with those of `get_params` a forgotten bias would not show."""
    params = d2lmini.get_params(vocab_size, num_hiddens)
    return [torch.randn(param.shape, generator=rng).mul(0.5).requires_grad_() for param in params]


def compare_rnn(mine):
    rng = torch.Generator().manual_seed(0)
    for vocab_size, num_hiddens, batch_size, num_steps in [(28, 16, 3, 7), (2, 1, 1, 1), (5, 4, 1, 3), (5, 4, 3, 1)]:
        params = random_network(rng, vocab_size, num_hiddens)
        inputs = d2lmini.one_hot(torch.randint(vocab_size, (num_steps, batch_size), generator=rng), vocab_size)
        state = (torch.randn(batch_size, num_hiddens, generator=rng),)
        gradients = []
        for function in (mine, d2lmini.rnn):
            logits, new_state = function(inputs, state, params)
            assert logits.shape == (num_steps * batch_size, vocab_size) and isinstance(new_state, tuple)
            gradients.append([logits, *new_state, *torch.autograd.grad(logits.square().sum(), params)])
        for a, b in zip(*gradients):
            assert torch.allclose(a, b, rtol=1e-5, atol=1e-6)


def compare_RNNModelScratch(mine):
    rng = torch.Generator().manual_seed(1)
    X = torch.randint(9, (4, 6), generator=rng)
    for options in [{}, {"seed": 5}, {"orthogonal": True}]:
        a, b = mine(9, 8, **options), d2lmini.RNNModelScratch(9, 8, **options)
        assert (a.vocab_size, a.num_hiddens) == (b.vocab_size, b.num_hiddens) == (9, 8)
        assert all(torch.equal(p, p_) for p, p_ in zip(a.params, b.params, strict=True))
        assert torch.equal(a.begin_state(4)[0], b.begin_state(4)[0])
        state = (torch.randn(4, 8, generator=rng),)
        (logits, (H,)), (logits_, (H_,)) = a(X, state), b(X, state)
        assert torch.equal(logits, logits_) and torch.equal(H, H_)


def compare_time_major(mine):
    ids = torch.arange(6).reshape(2, 3)
    assert torch.equal(mine(ids), d2lmini.time_major(ids)) and mine(ids).tolist() == [0, 3, 1, 4, 2, 5]


# --- 04_prediction


def small_writer():
    """A model with opinions (its weights are large, "<unk>" the likeliest symbol of all) and its vocabulary."""
    vocab = d2lmini.Vocab(list("abcd e"))
    model = d2lmini.RNNModelScratch(len(vocab), 6, input_std=0.3, orthogonal=True)
    rng = torch.Generator().manual_seed(2)
    model.params = [2 * param.detach() for param in random_network(rng, len(vocab), 6)]
    model.params[4][0] = 50
    return model, vocab


def compare_generate(mine):
    model, vocab = small_writer()
    for choose in (lambda scores: scores.argmax(dim=1), lambda scores: scores.topk(2, dim=1).indices[:, 1]):
        for prefix in ("a", "bad cab "):
            expected = d2lmini.generate.generate(model, vocab, prefix, 40, choose)[0]
            assert mine(model, vocab, prefix, 40, choose) == expected and "<unk>" not in expected


def compare_predict(mine):
    model, vocab = small_writer()
    for prefix, num_preds in [("a", 1), ("bad cab ", 50)]:
        assert mine(model, vocab, prefix, num_preds) == d2lmini.predict(model, vocab, prefix, num_preds)


def compare_sample(mine):
    model, vocab = small_writer()
    texts = [
        d2lmini.sample(model, vocab, "abc", 50, temperature, seed) for temperature, seed in [(1, 0), (1, 7), (4, 0)]
    ]
    assert len(set(texts)) == 3
    assert texts == [mine(model, vocab, "abc", 50, temperature, seed) for temperature, seed in [(1, 0), (1, 7), (4, 0)]]
    assert mine(model, vocab, "abc", 50) == texts[0]


# --- 05_gradient_clipping


def with_gradients(size):
    """Two equal lists of parameters with equal random gradients."""
    lists = []
    for _ in range(2):
        rng = torch.Generator().manual_seed(3)
        params = random_network(rng, 5, 4)
        for param, factor in zip(params, (0.1, 3, 1, 0.5, 0.01)):
            param.grad = size * factor * torch.randn(param.shape, generator=rng)
        lists.append(params)
    return lists


def compare_sgd(mine):
    ours, theirs = with_gradients(1.0)
    before = [param.detach().clone() for param in ours]
    mine(ours, 0.7)
    d2lmini.sgd(theirs, 0.7)
    for a, b, old in zip(ours, theirs, before):
        assert torch.equal(a, b) and not torch.equal(a, old) and a.requires_grad


def compare_clip_gradients(mine):
    for size in (0.01, 1.0, 100.0):
        for theta in (0.5, 1, 40):
            ours, theirs = with_gradients(size)
            assert mine(ours, theta) == pytest.approx(float(d2lmini.clip_gradients(theirs, theta)), rel=1e-5)
            for a, b in zip(ours, theirs):
                assert torch.allclose(a.grad, b.grad, rtol=1e-5, atol=0)


def random_minibatches():
    """Sizes down to one, each with time-major ids, a state and float64 parameters, as NumPy arrays."""
    for seed, (vocab_size, num_hiddens, batch_size, num_steps) in enumerate(
        [(7, 5, 3, 6), (2, 1, 1, 1), (9, 4, 12, 8)]
    ):
        rng = np.random.default_rng(seed)
        shapes = [
            (vocab_size, num_hiddens),
            (num_hiddens, num_hiddens),
            (num_hiddens,),
            (num_hiddens, vocab_size),
            (vocab_size,),
        ]
        yield (
            rng,
            rng.integers(vocab_size, size=num_steps * batch_size),
            rng.normal(size=(batch_size, num_hiddens)),
            [rng.normal(size=s) for s in shapes],
        )


def compare_softmax_gradient(mine):
    for rng, ids, _H, params in random_minibatches():
        logits = 10 * rng.normal(size=(len(ids), params[4].size))
        np.testing.assert_allclose(mine(logits, ids), bptt.softmax_gradient(logits, ids), rtol=1e-12, atol=1e-15)


def tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


def compare_numpy_forward(mine):
    for _, ids, H, params in random_minibatches():
        theirs = bptt.forward(*tensors(ids, H), tensors(*params))
        for a, b in zip(mine(ids, H, params), theirs, strict=True):
            np.testing.assert_allclose(a, b.numpy(), rtol=1e-12, atol=1e-14)


def compare_numpy_backward(mine):
    for rng, ids, H, params in random_minibatches():
        logits, states = bptt.forward(*tensors(ids, H), tensors(*params))
        d_logits, d_H = rng.normal(size=logits.shape), rng.normal(size=H.shape)
        grads, d_H_before = mine(d_logits, d_H, ids, states.numpy(), params)
        theirs, dZ = bptt.backward(*tensors(d_logits, d_H, ids), states, tensors(*params))
        theirs_before = dZ[0].numpy() @ params[1].T
        for a, b in zip([*grads, d_H_before], [*theirs, theirs_before], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)
