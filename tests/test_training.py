"""training.py against torch's cross-entropy, clipping and SGD; and what happens when training goes wrong."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from d2lmini import (
    History,
    RandomBatches,
    RNNModel,
    RNNModelScratch,
    SequentialBatches,
    TrainingDiverged,
    Vocab,
    clip_gradients,
    evaluate,
    perplexity,
    sgd,
    train,
    train_epoch,
)
from d2lmini.training import detach

TOKENS = torch.tensor([1, 2, 3, 4, 2, 3, 1, 4, 4, 2] * 40)


def small_model(seed=0, layer=None):
    if layer is not None:
        torch.manual_seed(seed)
        return RNNModel(layer(5, 8), 5)
    return RNNModelScratch(5, 8, seed=seed, input_std=0.3, orthogonal=True)


def text_nll(model, tokens):
    """Total loss of a text read from a zero state in one call."""
    logits, _ = model(tokens[None, :-1], model.begin_state(1))
    return F.cross_entropy(logits, tokens[1:], reduction="sum")


# perplexity, evaluate


@pytest.mark.parametrize("vocab_size", [2, 28, 5000])
def test_a_blind_guess_has_the_perplexity_of_the_vocabulary_size(vocab_size):
    assert perplexity(10 * math.log(vocab_size), 10) == pytest.approx(vocab_size)
    assert perplexity(0, 10) == 1
    assert perplexity(1e9, 10) == math.inf


def test_evaluate_is_exp_of_cross_entropy():
    model = small_model()
    expected = math.exp(text_nll(model, TOKENS).item() / (len(TOKENS) - 1))
    for num_steps in (1, 7, 256, 399, 1000):
        assert evaluate(model, TOKENS, num_steps=num_steps) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 200])
def test_evaluate_in_rows(batch_size):
    model = small_model()
    rows = TOKENS[: len(TOKENS) // batch_size * batch_size].reshape(batch_size, -1)
    nll = sum(text_nll(model, row).item() for row in rows)
    expected = math.exp(nll / (rows.numel() - batch_size))
    assert evaluate(model, TOKENS, batch_size=batch_size, num_steps=10) == pytest.approx(expected, rel=1e-5)


def test_evaluate_needs_something_to_predict():
    for tokens, batch_size in [(TOKENS[:1], 1), (TOKENS[:0], 1), (TOKENS[:7], 4)]:
        with pytest.raises(ValueError, match=f"{len(tokens)} tokens in {batch_size} rows"):
            evaluate(small_model(), tokens, batch_size)


# clip_gradients, sgd


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=6), st.floats(0.01, 1000))
def test_clip_gradients_is_torchs(values, theta):
    ours, theirs = ([torch.zeros(3, requires_grad=True) for _ in values] for _ in range(2))
    for params in (ours, theirs):
        for param, value in zip(params, values):
            param.grad = torch.tensor([value, -value, 0.5])
    norm = clip_gradients(ours, theta)
    assert norm == pytest.approx(nn.utils.clip_grad_norm_(theirs, theta).item(), rel=1e-5)
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)


def test_clipping_keeps_the_direction_and_small_gradients():
    param = torch.zeros(2, requires_grad=True)
    param.grad = torch.tensor([3.0, 4.0])
    assert clip_gradients([param], 1) == 5
    torch.testing.assert_close(param.grad, torch.tensor([0.6, 0.8]))
    assert clip_gradients([param], 2) == pytest.approx(1)
    torch.testing.assert_close(param.grad, torch.tensor([0.6, 0.8]))


@pytest.mark.parametrize("theta", [0, -1, float("nan")])
def test_theta_must_be_positive(theta):
    with pytest.raises(ValueError, match="above 0"):
        clip_gradients([], theta)


def test_sgd_is_torchs():
    ours, theirs = small_model().parameters(), small_model().parameters()
    for a, b in zip(ours, theirs):
        a.grad = torch.randn_like(a)
        b.grad = a.grad.clone()
    sgd(ours, 0.3)
    torch.optim.SGD(theirs, 0.3).step()
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b)


# train_epoch and train


def reference_epoch(model, batches, lr, theta):
    """The same epoch with torch's own parts, the state handed on by hand."""
    params, optimizer = list(model.parameters()), torch.optim.SGD(model.parameters(), lr)
    losses, state = [], None
    for X, Y in batches:
        if state is None or isinstance(batches, RandomBatches):
            state = model.begin_state(len(X))
        state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
        logits, state = model(X, state)
        loss = F.cross_entropy(logits.reshape(X.shape[1], X.shape[0], -1).permute(1, 2, 0), Y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(params, theta)
        optimizer.step()
        losses.append(loss.item())
    return math.exp(sum(losses) / len(losses))


@pytest.mark.parametrize("layer", [None, nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("Batches", [SequentialBatches, RandomBatches])
def test_train_epoch_equals_torchs_parts(Batches, layer):
    ours, theirs = small_model(layer=layer), small_model(layer=layer)
    ours_batches, their_batches = Batches(TOKENS, 4, 6), Batches(TOKENS, 4, 6)
    for _ in range(3):
        ppl, speed = train_epoch(ours, ours_batches, lr=1.0, theta=0.5)
        assert ppl == pytest.approx(reference_epoch(theirs, their_batches, 1.0, 0.5), rel=1e-4)
        assert speed > 0
    for a, b in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("Batches", "zeros"), [(SequentialBatches, 1), (RandomBatches, 16)])
def test_state_carries_over_detached_only_where_the_sampler_says_so(Batches, zeros):
    states = []

    class Spy(RNNModelScratch):
        def __call__(self, X, state):
            states.append(state[0])
            return super().__call__(X, state)

    train_epoch(Spy(5, 8), Batches(TOKENS, 4, 6), lr=0.1)
    assert len(states) == 16
    assert sum(not state.any() for state in states) == zeros
    assert not any(state.requires_grad for state in states)


def test_clipping_off_and_on_differ():
    clipped, free = small_model(), small_model()
    train_epoch(clipped, SequentialBatches(TOKENS, 4, 6), lr=1.0, theta=0.01)
    train_epoch(free, SequentialBatches(TOKENS, 4, 6), lr=1.0, theta=None)
    start = small_model().parameters()
    with torch.no_grad():
        moved = [sum(float((a - b).norm()) for a, b in zip(m.parameters(), start)) for m in (clipped, free)]
    assert moved[0] < moved[1] / 5


def test_updater_replaces_sgd():
    ours, theirs = small_model(), small_model()
    train_epoch(ours, SequentialBatches(TOKENS, 4, 6), lr=0.5)
    optimizer = torch.optim.SGD(theirs.parameters(), 0.5)
    train_epoch(theirs, SequentialBatches(TOKENS, 4, 6), lr=None, updater=optimizer.step)
    for a, b in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(a, b)


def run(seed=0, **options):
    vocab = Vocab(list("abcd"))
    return train(small_model(seed), SequentialBatches(TOKENS, 4, 6), 12, 1.0, held_out=TOKENS[:100], vocab=vocab,
                 prefixes=["ab"], every=5, **options)  # fmt: skip


def test_train_keeps_a_history():
    history = run()
    assert len(history.train_ppl) == len(history.speeds) == 12
    assert list(history.held_out_ppl) == list(history.samples) == [5, 10, 12]
    assert len(history.samples[12]["ab"]) == 52
    assert set(history.baselines) == {"uniform", "unigram", "bigram", "5-gram"}
    assert history.train_ppl[-1] < history.train_ppl[0] / 1.5
    assert history.first_epoch_below(history.train_ppl[4]) <= 5 and history.first_epoch_below(0.5) is None
    assert history.stopped is None and min(history.speeds) <= history.tokens_per_second <= max(history.speeds)


def test_two_runs_are_identical_and_seeds_differ():
    first, second, other = run(), run(), run(seed=1)
    assert first.train_ppl == second.train_ppl and first.held_out_ppl == second.held_out_ppl
    assert first.samples == second.samples
    assert first.train_ppl != other.train_ppl


def test_measuring_does_not_change_the_training():
    plain = train(small_model(), SequentialBatches(TOKENS, 4, 6), 12, 1.0)
    assert plain.train_ppl == run().train_ppl


class Poisoned:
    """Minibatches that raise, or a model that breaks, in a given minibatch."""

    carries_state, batch_size, tokens = True, 4, TOKENS

    def __init__(self, at, action):
        self.batches, self.at, self.action, self.count = SequentialBatches(TOKENS, 4, 6), at, action, 0

    def __iter__(self):
        for pair in self.batches:
            self.count += 1
            if self.count == self.at:
                self.action()
            yield pair


def test_stop_button_keeps_history_and_model():
    def stop():
        raise KeyboardInterrupt

    model = small_model()
    history = train(model, Poisoned(16 * 3 + 5, stop), 12, 1.0)
    assert len(history.train_ppl) == 3
    assert history.stopped == "interrupted after 3 of 12 epochs"
    assert evaluate(model, TOKENS) < 5


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_loss_that_is_no_number(poison):
    model = small_model()

    def spoil():
        with torch.no_grad():
            model.params[4][0] = poison

    with pytest.raises(
        TrainingDiverged, match=r"the loss is (nan|inf).*learning rate 1.0.*radius 1.0.*smaller"
    ) as info:
        train(model, Poisoned(16 * 2 + 1, spoil), 12, 1.0)
    assert len(info.value.history.train_ppl) == 2
    assert info.value.history.stopped == "diverged in epoch 3"


@pytest.mark.parametrize("lr", [1e4, 1e38])
def test_without_clipping_a_large_step_is_caught(lr):
    # tanh keeps states within 1, so with the smaller of the two the loss stays finite; its perplexity does not.
    with pytest.raises(TrainingDiverged, match="radius None"):
        train(small_model(), SequentialBatches(TOKENS, 4, 6), 12, lr, theta=None)


@pytest.mark.parametrize(("options", "message"), [
    ({"prefixes": ["ab"]}, "needs the vocab"), ({"every": 0}, "every must be at least 1"),
    ({"held_out": TOKENS[:1]}, "at least 2 tokens"),
])  # fmt: skip
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        train(small_model(), SequentialBatches(TOKENS, 4, 6), 2, 1.0, **options)


@pytest.mark.parametrize(("bad", "error"), [(0, ValueError), (1.5, TypeError), (None, TypeError)])
def test_bad_number_of_epochs(bad, error):
    with pytest.raises(error, match="num_epochs"):
        train(small_model(), SequentialBatches(TOKENS, 4, 6), bad, 1.0)


def test_detach_takes_tensors_and_tuples():
    H = torch.ones(2, requires_grad=True) * 2
    assert not detach(H).requires_grad
    assert isinstance(detach((H, H)), tuple) and not any(s.requires_grad for s in detach((H, H)))


def test_an_empty_history_is_a_history():
    assert History().first_epoch_below(2) is None
