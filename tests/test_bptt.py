"""Gradients by hand against autograd and finite differences; the fast model against the readable one."""

import copy
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from d2lmini import (
    RandomBatches,
    RNNModelByHand,
    RNNModelScratch,
    SequentialBatches,
    Vocab,
    bptt,
    evaluate,
    load_corpus,
    predict,
    rnn,
    sample,
    samples,
    train,
)  # fmt: skip
from d2lmini.bptt import MAX_ONE_HOT, MAX_ROWS, softmax_gradient

# Every way through the code: states in rows and in columns, the input by lookup and by a product.
WAYS = [(7, 4, 1, 6), (5, 6, MAX_ROWS, 2), (9, 5, MAX_ROWS + 1, 4), (MAX_ONE_HOT + 1, 3, MAX_ROWS + 1, 3)]
every_way = pytest.mark.parametrize("sizes", WAYS, ids=str)


def double_params(vocab_size, num_hiddens, seed=0):
    """Five float64 parameters large enough that every term of every gradient matters."""
    rng = torch.Generator().manual_seed(seed)
    shapes = [(vocab_size, num_hiddens), (num_hiddens, num_hiddens), (num_hiddens,),
              (num_hiddens, vocab_size), (vocab_size,)]  # fmt: skip
    scale = 1 / np.sqrt(num_hiddens)
    return [(torch.randn(*shape, generator=rng).double() * scale).requires_grad_() for shape in shapes]


def minibatch(vocab_size, num_hiddens, batch_size, num_steps, seed=0):
    """Random X, Y and a state H that wants a gradient, too."""
    rng = torch.Generator().manual_seed(seed + 1)
    X, Y = torch.randint(vocab_size, (2, batch_size, num_steps), generator=rng)
    H = torch.rand(batch_size, num_hiddens, generator=rng).double() - 0.5
    return X, Y, H.requires_grad_()


def loss_of(logits, H, Y):
    """A loss that depends on the last state as well, as it does when minibatches are not cut off from each other."""
    return F.cross_entropy(logits, Y.T.reshape(-1)) + (H**2).sum() / 7 + H[0, 0]


def by_autograd(params, X, Y, H):
    """Loss, logits and gradients (of the parameters and the state) from the readable formula."""
    inputs = F.one_hot(X.T, params[0].shape[0]).double()
    logits, (H_last,) = rnn(inputs, (H,), params)
    loss = loss_of(logits, H_last, Y)
    return loss, logits, torch.autograd.grad(loss, [*params, H])


def model_with(params):
    model = RNNModelByHand(*params[0].shape)
    model.params = params
    return model


def by_hand(params, X, Y, H):
    logits, (H_last,) = model_with(params)(X, (H,))
    loss = loss_of(logits, H_last, Y)
    return loss, logits, torch.autograd.grad(loss, [*params, H])


def assert_equal(ours, theirs, rtol):
    """Relative to the largest entry of each tensor."""
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert (a - b).abs().max() <= rtol * b.abs().max()


sizes = {
    "vocab_size": st.integers(2, 2 * MAX_ONE_HOT), "num_hiddens": st.integers(1, 20),
    "batch_size": st.integers(1, 2 * MAX_ROWS), "num_steps": st.integers(1, 12), "seed": st.integers(0, 1000),
}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(**sizes)
@example(vocab_size=2, num_hiddens=1, batch_size=1, num_steps=1, seed=0)
@example(vocab_size=2, num_hiddens=8, batch_size=3, num_steps=1, seed=1)
@example(vocab_size=5, num_hiddens=1, batch_size=1, num_steps=9, seed=2)
@example(vocab_size=5000, num_hiddens=7, batch_size=2, num_steps=5, seed=3)
@example(vocab_size=28, num_hiddens=32, batch_size=32, num_steps=35, seed=4)
def test_gradients_equal_autograd_in_float64(vocab_size, num_hiddens, batch_size, num_steps, seed):
    params = double_params(vocab_size, num_hiddens, seed)
    batch = minibatch(vocab_size, num_hiddens, batch_size, num_steps, seed)
    loss, logits, grads = by_hand(params, *batch)
    right_loss, right_logits, right_grads = by_autograd(params, *batch)
    assert_equal([loss, logits, *grads], [right_loss, right_logits, *right_grads], 1e-10)


@every_way
def test_gradients_equal_finite_differences(sizes):
    params = double_params(*sizes[:2])
    X, Y, H = minibatch(*sizes)
    grads = by_hand(params, X, Y, H)[2]
    model, step = model_with(params), 1e-5
    with torch.no_grad():
        for tensor, grad in zip([*params, H], grads):
            flat, numeric = tensor.view(-1), torch.empty(tensor.numel()).double()
            for i in range(len(flat)):
                value, losses = flat[i].item(), []
                for shifted in (value + step, value - step):
                    flat[i] = shifted
                    logits, (H_last,) = model(X, (H,))
                    losses.append(loss_of(logits, H_last, Y))
                flat[i] = value
                numeric[i] = (losses[0] - losses[1]) / (2 * step)
            assert (numeric.view_as(grad) - grad).abs().max() < 1e-6


@given(n=st.integers(1, 20), vocab_size=st.integers(2, 30), seed=st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_softmax_gradient_equals_autograd(n, vocab_size, seed):
    rng = torch.Generator().manual_seed(seed)
    logits = (torch.randn(n, vocab_size, generator=rng).double() * 5).requires_grad_()
    targets = torch.randint(vocab_size, (n,), generator=rng)
    (right,) = torch.autograd.grad(F.cross_entropy(logits, targets), logits)
    ours = softmax_gradient(logits.detach().numpy(), targets.numpy())
    np.testing.assert_allclose(ours, right.numpy(), rtol=1e-10, atol=1e-15)


def test_softmax_gradient_of_huge_logits():
    ours = softmax_gradient(np.array([[1e4, 0.0], [-1e4, 0.0]]), np.array([1, 1]))
    np.testing.assert_allclose(ours, [[0.5, -0.5], [0, 0]], atol=1e-12)


def test_one_graph_over_two_minibatches():
    """Without detach, the gradient flows back through the carried state into the minibatch before."""
    params = double_params(6, 5)
    X, Y, H = minibatch(6, 5, 3, 8)
    model = model_with(params)
    first, state = model(X[:, :5], (H,))
    second, (H_last,) = model(X[:, 5:], state)
    loss = loss_of(torch.cat([first, second]), H_last, Y)
    right = by_autograd(params, X, Y, H)
    assert_equal([loss, *torch.autograd.grad(loss, [*params, H])], [right[0], *right[2]], 1e-10)


def test_forward_passes_between_a_forward_and_its_backward():
    """Neither another minibatch nor an evaluation changes the gradients."""
    params = double_params(6, 5)
    one, two = minibatch(6, 5, 3, 8, seed=1), minibatch(6, 5, 3, 8, seed=2)
    model = model_with(params)
    losses = []
    for X, Y, H in (one, two):
        logits, (H_last,) = model(X, (H,))
        losses.append(loss_of(logits, H_last, Y))
    with torch.no_grad():
        model(one[0].flip(1), (one[2],))
    for loss, (X, Y, H) in zip(losses, (one, two)):
        assert_equal(torch.autograd.grad(loss, [*params, H]), by_autograd(params, X, Y, H)[2], 1e-10)
    X, Y, H = one  # and once more
    assert_equal(by_hand(params, X, Y, H)[2], by_autograd(params, X, Y, H)[2], 1e-10)


def test_results_stay_as_they_were_when_the_model_runs_again():
    model = RNNModelByHand(6, 5)
    X, Y, _ = minibatch(6, 5, 3, 8)
    H_first = torch.full((3, 5), 0.5, requires_grad=True)
    logits, (H,) = model(X, (H_first,))
    F.cross_entropy(logits, Y.T.reshape(-1)).backward()
    results = [logits, H, *(tensor.grad for tensor in [H_first, *model.params])]
    before = [tensor.detach().clone() for tensor in results]
    for param in model.params:
        param.grad = None
    again, _ = model(X.flip(0), (H.detach(),))
    F.cross_entropy(again, Y.T.reshape(-1)).backward()
    assert all(torch.equal(now, then) for now, then in zip(results, before))


def test_gradients_add_up():
    model = RNNModelByHand(6, 5)
    X, _, _ = minibatch(6, 5, 3, 8)
    model(X, model.begin_state(3))[0].square().sum().backward()
    once = [param.grad.clone() for param in model.params]
    model(X, model.begin_state(3))[0].square().sum().backward()
    for param, grad in zip(model.params, once):
        torch.testing.assert_close(param.grad, 2 * grad)


@every_way
def test_twice_in_a_row_from_the_same_graph(sizes):
    params, (X, Y, H) = double_params(*sizes[:2]), minibatch(*sizes)
    logits, (H_last,) = model_with(params)(X, (H,))
    loss = loss_of(logits, H_last, Y)
    for _ in range(2):
        grads = torch.autograd.grad(loss, [*params, H], retain_graph=True)
        assert_equal(grads, by_autograd(params, X, Y, H)[2], 1e-10)


@every_way
def test_in_two_threads_at_a_time(sizes):
    """Both use the same model, as a server does."""
    params = double_params(*sizes[:2])
    batches = [minibatch(*sizes, seed=seed) for seed in range(20)]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda batch: by_hand(params, *batch)[2], batches))
    for grads, batch in zip(results, batches):
        assert_equal(grads, by_autograd(params, *batch)[2], 1e-10)


def pickled(model):
    return pickle.loads(pickle.dumps(model))


@every_way
@pytest.mark.parametrize("again", [copy.deepcopy, pickled])
def test_a_copy_computes_the_same_and_goes_its_own_way(sizes, again):
    model, (X, Y, _) = RNNModelByHand(*sizes[:2], orthogonal=True), minibatch(*sizes)
    state = model.begin_state(sizes[2])
    model(X, state)[0].sum().backward()  # a model in use
    logits = model(X, state)[0].detach()
    copied = again(model)
    F.cross_entropy(copied(X, state)[0], Y.T.reshape(-1)).backward()
    assert torch.equal(copied(X, state)[0], logits)
    with torch.no_grad():
        copied.params[4] += 1
    assert torch.equal(model(X, state)[0], logits)


def test_nothing_is_kept_between_minibatches():
    """Memory that grew with every length of a minibatch would not fit a machine for long."""
    model = RNNModelByHand(6, 5)
    before = len(pickle.dumps(model))
    for num_steps in (1, 100, 1000):
        X = torch.zeros(20, num_steps, dtype=torch.long)
        torch.autograd.grad(model(X, model.begin_state(20))[0].sum(), model.params)
    assert len(pickle.dumps(model)) == before


def test_parameters_that_change_before_the_backward_pass_are_an_error():
    model = RNNModelByHand(6, 5)
    loss = model(torch.zeros(2, 3, dtype=torch.long), model.begin_state(2))[0].sum()
    with torch.no_grad():
        model.params[1] += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("sampler", [SequentialBatches, RandomBatches])
def test_training_agrees_with_the_readable_model(sampler):
    """The same epochs, and nearly the same parameters after each: only float32 rounding differs."""
    tokens, held_out, vocab = load_corpus()
    readable, fast = (cls(len(vocab), 24, seed=3, orthogonal=True) for cls in (RNNModelScratch, RNNModelByHand))
    batches = [sampler(tokens[:3000], 8, 20) for _ in range(2)]
    for _ in range(3):
        ours, theirs = (train(m, b, 1, lr=1.0) for m, b in zip((fast, readable), batches))
        assert ours.train_ppl[0] == pytest.approx(theirs.train_ppl[0], rel=1e-5)
        for a, b in zip(fast.params, readable.params):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert evaluate(fast, held_out[:500]) == pytest.approx(evaluate(readable, held_out[:500]), rel=1e-4)


def test_two_runs_are_identical():
    tokens, _, vocab = load_corpus()
    runs = []
    for _ in range(2):
        model = RNNModelByHand(len(vocab), 16)
        history = train(model, SequentialBatches(tokens[:2000], 8, 20), 2, lr=1.0)
        runs.append((history.train_ppl, [param.tolist() for param in model.params]))
    assert runs[0] == runs[1]


def test_parameters_go_both_ways():
    """The five tensors are the same: a model trained by hand goes on as a readable one, and back."""
    tokens, _, vocab = load_corpus()
    batches = SequentialBatches(tokens[:2000], 8, 20)
    fast, readable = RNNModelByHand(len(vocab), 16, orthogonal=True), RNNModelScratch(len(vocab), 16)
    train(fast, batches, 2, lr=1.0)
    readable.params = fast.params
    assert predict(readable, vocab, "time", 30) == predict(fast, vocab, "time", 30)
    train(readable, batches, 1, lr=1.0)
    assert predict(readable, vocab, "time", 30) == predict(fast, vocab, "time", 30)


def test_generation_equals_the_readable_models():
    tokens, _, vocab = load_corpus()
    readable, fast = RNNModelScratch(len(vocab), 32, orthogonal=True), RNNModelByHand(len(vocab), 32)
    train(readable, SequentialBatches(tokens, 32, 35), 4, lr=1.0)
    fast.params = readable.params
    assert predict(fast, vocab, "time traveller", 60) == predict(readable, vocab, "time traveller", 60)
    assert sample(fast, vocab, "the", 40, seed=5) == sample(readable, vocab, "the", 40, seed=5)
    assert samples(fast, vocab, "the", 20, 7) == samples(readable, vocab, "the", 20, 7)


def test_errors_are_those_of_the_readable_model():
    model = RNNModelByHand(6, 5)
    X, state = torch.zeros(2, 3, dtype=torch.long), model.begin_state(2)
    with pytest.raises(ValueError, match="batch_size, num_steps"):
        model(X[0], state)
    with pytest.raises(ValueError, match="ids run from 6 to 6"):
        model(X + 6, state)
    with pytest.raises(ValueError, match="ids run from -1 to -1"):
        model(X - 1, state)
    with pytest.raises(TypeError, match="integers"):
        model(X.float(), state)
    with pytest.raises(TypeError, match="tuple"):
        model(X, state[0])
    with pytest.raises(ValueError, match="the state has shape"):
        model(X, model.begin_state(3))


@every_way
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_ids_of_any_integer_type(sizes, dtype):
    readable, fast = RNNModelScratch(*sizes[:2]), RNNModelByHand(*sizes[:2])
    X, state = minibatch(*sizes)[0], readable.begin_state(sizes[2])
    logits, _ = fast(X.to(dtype), state)
    torch.testing.assert_close(logits, readable(X, state)[0])
    logits.sum().backward()  # the backward pass looks up the same ids


@every_way
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_training_and_generating_in_another_precision(sizes, dtype):
    """As far as the number type goes, the numbers are those of float64."""
    model, (X, Y, _) = RNNModelByHand(*sizes[:2], orthogonal=True), minibatch(*sizes)
    exact = [param.detach().double().requires_grad_() for param in model.params]
    model.params = [param.detach().to(dtype).requires_grad_() for param in model.params]
    logits, (H,) = model(X, model.begin_state(sizes[2]))
    assert logits.dtype == H.dtype == dtype
    grads = torch.autograd.grad(F.cross_entropy(logits.double(), Y.T.reshape(-1)), model.params)
    right_logits, _ = rnn(F.one_hot(X.T, sizes[0]).double(), (torch.zeros_like(H).double(),), exact)
    right_grads = torch.autograd.grad(F.cross_entropy(right_logits, Y.T.reshape(-1)), exact)
    for ours, right in zip([logits, *grads], [right_logits, *right_grads], strict=True):
        assert (ours.double() - right).abs().max() <= 50 * torch.finfo(dtype).eps * right.abs().max()
    generated = model.decode(logits[-sizes[2] :].detach(), (H.detach(),), 3, lambda scores: scores.argmax(1), 1)
    assert generated.shape == (sizes[2], 3) and generated.min() > 0


@every_way
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_on_a_cpu_its_own_loop_generates(sizes, dtype, monkeypatch):
    model = RNNModelByHand(*sizes[:2])
    model.params = [param.detach().to(dtype).requires_grad_() for param in model.params]
    vocab = Vocab(["a"], reserved_tokens=[str(i) for i in range(sizes[0] - 2)])
    monkeypatch.setattr(bptt, "decode_with", None)
    assert predict(model, vocab, "a", 3) == "aaaa"  # all other tokens are reserved


def test_a_second_derivative_is_refused():
    model = RNNModelByHand(6, 5)
    logits, _ = model(torch.tensor([[1, 2]]), model.begin_state(1))
    grads = torch.autograd.grad(logits.square().sum(), model.params, create_graph=True)
    with pytest.raises(RuntimeError, match="twice"):
        grads[0].sum().backward()


def test_the_models_functions_cannot_be_replaced():
    """They are built in, so an option that had no effect would only mislead."""
    for name in ("forward_fn", "get_params", "init_state"):
        with pytest.raises(TypeError, match=name):
            RNNModelByHand(6, 5, **{name: None})


def test_importing_the_package_loads_no_figures_and_no_notebook():
    program = "import sys, d2lmini; print(*(m for m in ('matplotlib', 'IPython', 'jupyterlab', 'pooch') "
    program += "if m in sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
