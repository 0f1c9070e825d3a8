"""Hand-written gradients against autograd and finite differences; the engines against the readable model."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from d2lmini import (
    RandomBatches,
    RNNModelNumPy,
    RNNModelScratch,
    RNNModelTorch,
    SequentialBatches,
    evaluate,
    load_corpus,
    predict,
    rnn,
    sample,
    samples,
    train,
)  # fmt: skip
from d2lmini.bptt import blocks, one_torch_thread, softmax_gradient

ENGINES = [RNNModelTorch, RNNModelNumPy]
engines = pytest.mark.parametrize("engine", ENGINES, ids=["torch", "numpy"])


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


def engine_with(engine, params):
    model = engine(*params[0].shape)
    model.params = params
    return model


def by_hand(engine, params, X, Y, H):
    logits, (H_last,) = engine_with(engine, params)(X, (H,))
    loss = loss_of(logits, H_last, Y)
    return loss, logits, torch.autograd.grad(loss, [*params, H])


def assert_equal(ours, theirs, rtol):
    """Relative to the largest entry of each tensor."""
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert (a - b).abs().max() <= rtol * b.abs().max()


sizes = {
    "vocab_size": st.integers(2, 40), "num_hiddens": st.integers(1, 20), "batch_size": st.integers(1, 6),
    "num_steps": st.integers(1, 12), "seed": st.integers(0, 1000),
}  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=60, deadline=None)
@given(**sizes)
@example(vocab_size=2, num_hiddens=1, batch_size=1, num_steps=1, seed=0)
@example(vocab_size=2, num_hiddens=8, batch_size=3, num_steps=1, seed=1)
@example(vocab_size=5, num_hiddens=1, batch_size=1, num_steps=9, seed=2)
@example(vocab_size=5000, num_hiddens=7, batch_size=2, num_steps=5, seed=3)
@example(vocab_size=28, num_hiddens=32, batch_size=4, num_steps=35, seed=4)
def test_gradients_equal_autograd_in_float64(engine, vocab_size, num_hiddens, batch_size, num_steps, seed):
    params = double_params(vocab_size, num_hiddens, seed)
    batch = minibatch(vocab_size, num_hiddens, batch_size, num_steps, seed)
    loss, logits, grads = by_hand(engine, params, *batch)
    right_loss, right_logits, right_grads = by_autograd(params, *batch)
    assert_equal([loss, logits, *grads], [right_loss, right_logits, *right_grads], 1e-10)


@engines
@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (7, 4, 1, 6), (5, 6, 3, 1), (9, 5, 2, 4)])
def test_gradients_equal_finite_differences(engine, shape):
    params = double_params(*shape[:2])
    X, Y, H = minibatch(*shape)
    grads = by_hand(engine, params, X, Y, H)[2]
    model, step = engine_with(engine, params), 1e-5
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


@engines
def test_one_graph_over_two_minibatches(engine):
    """Without detach, the gradient flows back through the carried state into the minibatch before."""
    params = double_params(6, 5)
    X, Y, H = minibatch(6, 5, 3, 8)
    model = engine_with(engine, params)
    first, state = model(X[:, :5], (H,))
    second, (H_last,) = model(X[:, 5:], state)
    loss = loss_of(torch.cat([first, second]), H_last, Y)
    right = by_autograd(params, X, Y, H)
    assert_equal([loss, *torch.autograd.grad(loss, [*params, H])], [right[0], *right[2]], 1e-10)


@engines
def test_forward_passes_between_a_forward_and_its_backward(engine):
    """Buffers are lent, not shared: neither another minibatch nor an evaluation changes the gradients."""
    params = double_params(6, 5)
    one, two = minibatch(6, 5, 3, 8, seed=1), minibatch(6, 5, 3, 8, seed=2)
    model = engine_with(engine, params)
    losses = []
    for X, Y, H in (one, two):
        logits, (H_last,) = model(X, (H,))
        losses.append(loss_of(logits, H_last, Y))
    with torch.no_grad():
        model(one[0].flip(1), (one[2],))
    for loss, (X, Y, H) in zip(losses, (one, two)):
        assert_equal(torch.autograd.grad(loss, [*params, H]), by_autograd(params, X, Y, H)[2], 1e-10)
    X, Y, H = one  # and once more, now that the buffers were used
    assert_equal(by_hand(engine, params, X, Y, H)[2], by_autograd(params, X, Y, H)[2], 1e-10)


@engines
def test_results_stay_as_they_were_when_the_model_runs_again(engine):
    model = engine(6, 5)
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


@engines
def test_gradients_add_up(engine):
    model = engine(6, 5)
    X, _, _ = minibatch(6, 5, 3, 8)
    model(X, model.begin_state(3))[0].square().sum().backward()
    once = [param.grad.clone() for param in model.params]
    model(X, model.begin_state(3))[0].square().sum().backward()
    for param, grad in zip(model.params, once):
        torch.testing.assert_close(param.grad, 2 * grad)


@engines
def test_a_second_backward_pass_is_an_error(engine):
    model = engine(6, 5)
    loss = model(torch.zeros(2, 3, dtype=torch.long), model.begin_state(2))[0].sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="run the model again"):
        loss.backward()


@engines
def test_parameters_that_change_before_the_backward_pass_are_an_error(engine):
    model = engine(6, 5)
    loss = model(torch.zeros(2, 3, dtype=torch.long), model.begin_state(2))[0].sum()
    with torch.no_grad():
        model.params[1] += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@engines
def test_buffers_are_allocated_once(engine):
    model = engine(6, 5)
    X, Y, _ = minibatch(6, 5, 3, 8)

    def step():
        F.cross_entropy(model(X, model.begin_state(3))[0], Y.T.reshape(-1)).backward()

    step()
    made, empty = [], model.buffers.empty
    model.buffers.empty = lambda *args, **kwargs: made.append(args) or empty(*args, **kwargs)
    for _ in range(3):
        step()
    assert not made


def test_numpy_works_on_the_parameters_own_memory():
    model = RNNModelNumPy(6, 5)
    X = torch.tensor([[1, 2]])
    before = model(X, model.begin_state(1))[0].detach().clone()
    addresses = [param.data_ptr() for param in model.params]
    with torch.no_grad():
        model.params[4].add_(1)
    torch.testing.assert_close(model(X, model.begin_state(1))[0].detach(), before + 1)
    assert addresses == [param.data_ptr() for param in model.params]


@engines
@pytest.mark.parametrize("sampler", [SequentialBatches, RandomBatches])
def test_training_agrees_with_the_readable_model(engine, sampler):
    """The same epochs, and nearly the same parameters after each: only float32 rounding differs."""
    tokens, held_out, vocab = load_corpus()
    readable, fast = (cls(len(vocab), 24, seed=3, orthogonal=True) for cls in (RNNModelScratch, engine))
    batches = [sampler(tokens[:3000], 8, 20) for _ in range(2)]
    for _ in range(3):
        ours, theirs = (train(m, b, 1, lr=1.0) for m, b in zip((fast, readable), batches))
        assert ours.train_ppl[0] == pytest.approx(theirs.train_ppl[0], rel=1e-5)
        for a, b in zip(fast.params, readable.params):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert evaluate(fast, held_out[:500]) == pytest.approx(evaluate(readable, held_out[:500]), rel=1e-4)


@engines
def test_two_runs_are_identical(engine):
    tokens, _, vocab = load_corpus()
    runs = []
    for _ in range(2):
        model = engine(len(vocab), 16)
        history = train(model, SequentialBatches(tokens[:2000], 8, 20), 2, lr=1.0)
        runs.append((history.train_ppl, [param.tolist() for param in model.params]))
    assert runs[0] == runs[1]


@engines
def test_parameters_go_both_ways(engine):
    """The five tensors are the same: a model trained by hand goes on as a readable one, and back."""
    tokens, _, vocab = load_corpus()
    batches = SequentialBatches(tokens[:2000], 8, 20)
    fast, readable = engine(len(vocab), 16, orthogonal=True), RNNModelScratch(len(vocab), 16)
    train(fast, batches, 2, lr=1.0)
    readable.params = fast.params
    assert predict("time", 30, readable, vocab) == predict("time", 30, fast, vocab)
    train(readable, batches, 1, lr=1.0)
    assert predict("time", 30, readable, vocab) == predict("time", 30, fast, vocab)


@engines
def test_generation_equals_the_readable_models(engine):
    tokens, _, vocab = load_corpus()
    readable, fast = RNNModelScratch(len(vocab), 32, orthogonal=True), engine(len(vocab), 32)
    train(readable, SequentialBatches(tokens, 32, 35), 4, lr=1.0)
    fast.params = readable.params
    assert predict("time traveller", 60, fast, vocab) == predict("time traveller", 60, readable, vocab)
    assert sample("the", 40, fast, vocab, seed=5) == sample("the", 40, readable, vocab, seed=5)
    assert samples("the", 7, 20, fast, vocab) == samples("the", 7, 20, readable, vocab)


@engines
def test_errors_are_those_of_the_readable_model(engine):
    model = engine(6, 5)
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
    with pytest.raises(ValueError, match="the state has 3 rows, but X has 2"):
        model(X, model.begin_state(3))


@pytest.fixture
def threads():
    """Sets the number of torch's threads, whatever it was, and back again."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("batch_size", "num_threads", "num_blocks"), [(1, 2, 1), (4, 1, 1), (4, 2, 2), (6, 4, 2), (9, 3, 3)]
)
def test_a_block_of_rows_for_each_core(threads, batch_size, num_threads, num_blocks):
    threads(num_threads)
    steps = blocks(torch.zeros(3, batch_size, 5))
    assert [step.shape for step in steps] == [(num_blocks, batch_size // num_blocks, 5)] * 3
    params, batch = double_params(7, 5), minibatch(7, 5, batch_size, 4)
    loss, logits, grads = by_hand(RNNModelTorch, params, *batch)
    right_loss, right_logits, right_grads = by_autograd(params, *batch)
    assert_equal([loss, logits, *grads], [right_loss, right_logits, *right_grads], 1e-10)


def test_torch_leaves_the_cores_to_numpy_while_it_writes(threads):
    threads(2)
    seen, model = [], RNNModelNumPy(6, 5)

    def choose(scores):
        seen.append(torch.get_num_threads())
        return scores.argmax(1)

    model.write(torch.zeros(1, 6), model.begin_state(1), 3, choose, 1)
    assert seen == [1, 1, 1] and torch.get_num_threads() == 2
    with pytest.raises(ZeroDivisionError), one_torch_thread():
        1 / 0  # noqa: B018
    assert torch.get_num_threads() == 2


@engines
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_ids_of_any_integer_type(engine, dtype):
    readable, fast = RNNModelScratch(6, 5), engine(6, 5)
    X, state = torch.randint(6, (2, 3)), readable.begin_state(2)
    logits, _ = fast(X.to(dtype), state)
    torch.testing.assert_close(logits, readable(X, state)[0])
    logits.sum().backward()  # the backward pass looks up the same ids


def test_numpy_is_for_the_cpu():
    with pytest.raises(ValueError, match="NumPy works on the CPU only"):
        RNNModelNumPy(6, 5, device="meta")


def test_importing_the_package_loads_no_figures_and_no_notebook():
    program = "import sys, d2lmini; print(*(m for m in ('matplotlib', 'IPython', 'jupyterlab', 'pooch') "
    program += "if m in sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
