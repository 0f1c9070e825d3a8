"""training.py against torch's cross-entropy, clipping and SGD; and what happens when training goes wrong."""

import copy
import math
import re
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_runs import MODELS, copies
from small_runs import data as book_data
from small_runs import run as book_run
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from d2lmini import (
    RandomBatches,
    RNNModel,
    RNNModelByHand,
    RNNModelScratch,
    SequentialBatches,
    TrainingDiverged,
    Vocab,
    Watch,
    clip_gradients,
    evaluate,
    predict,
    sgd,
    train,
    train_epoch,
    training,
)
from d2lmini.training import detach

TOKENS = torch.tensor([1, 2, 3, 4, 2, 3, 1, 4, 4, 2] * 40)
LETTERS = Vocab(list("abcd"))


def small_model(seed=0, layer=None):
    if layer is not None:
        torch.manual_seed(seed)
        return RNNModel(layer(5, 8), 5)
    return RNNModelScratch(5, 8, seed=seed, input_std=0.3, orthogonal=True)


def data():
    return SequentialBatches(TOKENS, 4, 6)


def equal(params, others):
    return all(map(torch.equal, params, others))


# clip_gradients, sgd


def with_gradients(values, dtype=torch.float32):
    """Parameters of three numbers each, with gradients (value, -value, 0.5)."""
    params = [torch.zeros(3, dtype=dtype, requires_grad=True) for _ in values]
    for param, value in zip(params, values):
        param.grad = torch.tensor([value, -value, 0.5], dtype=dtype)
    return params


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=6), st.floats(0.01, 1000))
def test_clip_gradients_is_torchs(values, theta):
    ours, theirs = with_gradients(values), with_gradients(values)
    norm = clip_gradients(ours, theta)
    assert norm == pytest.approx(nn.utils.clip_grad_norm_(theirs, theta).item(), rel=1e-5)
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)


def test_clipping_keeps_the_direction_and_small_gradients():
    param = torch.zeros(2, requires_grad=True)
    param.grad = torch.tensor([3.0, 4.0])
    assert clip_gradients([param], 1) == 5
    torch.testing.assert_close(param.grad, torch.tensor([0.6, 0.8]))
    before = param.grad.clone()
    assert clip_gradients([param], 2) == pytest.approx(1)
    assert torch.equal(param.grad, before)


def test_the_norm_of_half_precision_does_not_overflow():
    params = with_gradients([60_000.0, 300.0], torch.float16)  # 60,000^2 is infinite in float16
    assert clip_gradients(params, 2).item() == pytest.approx(60_000 * 2**0.5, rel=1e-4)
    assert params[0].grad.dtype == torch.float16
    torch.testing.assert_close(params[0].grad[:2].float(), torch.tensor([2**0.5, -(2**0.5)]), rtol=1e-2, atol=0)


def test_the_norm_keeps_double_precision():
    params = with_gradients([1 / 3], torch.float64)
    assert clip_gradients(params, 10).item() == pytest.approx((2 / 9 + 1 / 4) ** 0.5, rel=1e-15)


@pytest.mark.parametrize("theta", [0.1, 1, math.inf, 2**63 - 1])
def test_zero_gradients_stay_zero(theta):
    params = [torch.zeros(3, requires_grad=True)]
    params[0].grad = torch.zeros(3)
    assert clip_gradients(params, theta) == 0 and not params[0].grad.any()
    assert clip_gradients([torch.zeros(3, requires_grad=True)], theta) == 0  # one without a gradient


def test_gradients_that_are_no_numbers_are_left_to_the_next_loss():
    params = with_gradients([math.nan, 3.0])
    assert clip_gradients(params, 1).isnan()
    assert torch.equal(params[1].grad, torch.tensor([3.0, -3.0, 0.5]))
    params = with_gradients([5.0])
    clip_gradients(params, math.inf)
    assert torch.equal(params[0].grad, torch.tensor([5.0, -5.0, 0.5]))


@pytest.mark.parametrize("theta", [0, -1, float("nan")])
def test_theta_must_be_positive(theta):
    with pytest.raises(ValueError, match="above 0"):
        clip_gradients([], theta)


def test_sgd_is_torchs():
    ours, theirs = small_model().parameters(), small_model().parameters()
    for a, b in zip(ours[:4], theirs):  # the last one has no gradient
        a.grad = torch.randn_like(a)
        b.grad = a.grad.clone()
    sgd(ours, 0.3)
    torch.optim.SGD(theirs, 0.3).step()
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b)


# train_epoch


def reference_epoch(model, batches, lr, theta):
    """The same epoch with torch's own parts, the state handed on by hand."""
    params, optimizer = list(model.parameters()), torch.optim.SGD(model.parameters(), lr)
    losses, state = [], None
    for X, Y in batches:
        if state is None or isinstance(batches, RandomBatches):
            state = model.begin_state(len(X))
        state = tuple(part.detach() for part in state)
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
    for epoch in (1, 2, 3):
        ours_batches.epoch = their_batches.epoch = epoch
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


def test_detach_cuts_every_part_of_a_state():
    H = torch.ones(2, requires_grad=True) * 2
    detached = detach((H, H))
    assert isinstance(detached, tuple) and not any(part.requires_grad for part in detached)
    assert equal(detached, (H, H))


def test_clipping_off_and_on_differ():
    clipped, free = small_model(), small_model()
    train_epoch(clipped, data(), lr=1.0, theta=0.01)
    train_epoch(free, data(), lr=1.0, theta=None)
    start = small_model().parameters()
    with torch.no_grad():
        moved = [sum(float((a - b).norm()) for a, b in zip(m.parameters(), start)) for m in (clipped, free)]
    assert moved[0] < moved[1] / 5


def test_by_default_gradients_are_clipped_at_1():
    models = [small_model() for _ in range(4)]
    for model, options in zip(models, [{}, {"theta": 1.0}, {"theta": 1.1}, {}]):
        with torch.no_grad():
            model.params[4][0] = 20.0  # a token that never comes: the gradient has a norm above 1
        run_one = train_epoch if model is not models[3] else lambda *args: train(args[0], args[1], 1, args[2])
        run_one(model, data(), 0.1, **options)
    assert equal(models[0].params, models[1].params) and equal(models[3].params, models[1].params)
    assert not equal(models[0].params, models[2].params)


def test_sequences_of_a_single_token_can_be_trained_on():
    history = train(small_model(), SequentialBatches(TOKENS[:5], 4, 1), 2, 0.1, watch=Watch(every=1))
    assert len(history.train_ppl) == 2


def test_every_tenth_epoch_is_looked_at_by_default():
    history = train(small_model(), data(), 12, 0.1, watch=Watch(held_out=TOKENS[:10]))
    assert list(history.held_out_ppl) == [10, 12]


def test_updater_replaces_sgd():
    ours, theirs = small_model(), small_model()
    train_epoch(ours, data(), lr=0.5)
    optimizer = torch.optim.SGD(theirs.parameters(), 0.5)
    train_epoch(theirs, data(), lr=None, updater=optimizer.step)
    for a, b in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(a, b)


class Minibatches:
    """A sampler of given pairs."""

    carries_state, batch_size, epoch, tokens = False, 4, 1, TOKENS

    def __init__(self, *pairs):
        self.pairs = pairs

    def __iter__(self):
        return iter(self.pairs)


def test_every_token_of_unequal_minibatches_weighs_the_same():
    pairs = [(TOKENS[:n][None], TOKENS[1 : n + 1][None]) for n in (2, 50, 7)]
    model = small_model()
    nll = sum(math.log(evaluate(model, TOKENS[: X.shape[1] + 1])) * X.shape[1] for X, Y in pairs)
    ppl, _ = train_epoch(model, Minibatches(*pairs), lr=0.0)
    assert ppl == pytest.approx(math.exp(nll / 59), rel=1e-5)


def test_speed_is_tokens_per_second(monkeypatch):
    clock = iter([100.0, 104.0])
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(clock))
    _, speed = train_epoch(small_model(), data(), 0.1)
    assert speed == 16 * 4 * 6 / 4


def test_another_loss_function_is_used():
    asked = []

    def loss_fn(logits, targets):
        asked.append(targets)
        return F.cross_entropy(logits, targets, reduction="none")  # the mean is taken of it

    ours, theirs = small_model(), small_model()
    assert train_epoch(ours, data(), 1.0, loss_fn=loss_fn)[0] == pytest.approx(train_epoch(theirs, data(), 1.0)[0])
    assert len(asked) == 16
    with torch.no_grad():
        for a, b in zip(ours.params, theirs.params):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_ids_of_any_integer_type_train_alike(dtype):
    ours, theirs = small_model(), small_model()
    pairs = list(data())
    expected = train_epoch(theirs, Minibatches(*pairs), 1.0)[0]
    assert train_epoch(ours, Minibatches(*((X.to(dtype), Y.to(dtype)) for X, Y in pairs)), 1.0)[0] == expected
    assert equal(ours.params, theirs.params)


@pytest.mark.parametrize("bad", [5, -1, -100])
def test_a_target_that_the_model_does_not_know_is_refused(bad):  # torch takes -100 for "don't look here"
    X, Y = next(iter(data()))
    Y[0, 0] = bad
    model = small_model()
    before = copies(model.params)
    with pytest.raises(ValueError, match="ids run from"):
        train_epoch(model, Minibatches((X, Y)), 1.0)
    assert equal(model.params, before)


class Reads(TorchDispatchMode):
    """Counts how often Python asks a tensor for its number, which on a GPU waits for all work so far."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("theta", [None, 1e-3, 1e3])
@pytest.mark.parametrize("cls", [RNNModelScratch, RNNModelByHand])
def test_a_minibatch_costs_at_most_two_reads_from_the_device(cls, theta, monkeypatch):
    def counted(method):
        def call(self, *args):
            reads.count += 1
            return method(self, *args)

        return call

    for name in ("tolist", "cpu"):  # the dispatcher doesn't see these; numpy() refuses tensors of a GPU by itself
        monkeypatch.setattr(torch.Tensor, name, counted(getattr(torch.Tensor, name)))
    monkeypatch.setattr(training, "check_ids", lambda ids, vocab_size: None)  # it looks at Y before Y is moved
    pairs = list(data())
    with Reads() as reads:
        train_epoch(cls(5, 8), Minibatches(*pairs), lr=0.1, theta=theta)
    assert len(pairs) == 16 and 16 <= reads.count <= 32


def test_targets_are_checked_before_they_are_moved(monkeypatch):
    pairs, checked = list(data()), []
    monkeypatch.setattr(training, "check_ids", lambda ids, vocab_size: checked.append((ids, vocab_size)))
    train_epoch(small_model(), Minibatches(*pairs), 0.1)
    assert all(ids is Y and size == 5 for (ids, size), (_, Y) in zip(checked, pairs, strict=True))


# train


def run(seed=0, **options):
    watch = Watch(held_out=TOKENS[:100], vocab=LETTERS, prefixes=["ab"], every=5)
    return train(small_model(seed), data(), 12, 1.0, **{"watch": watch, **options})


def test_train_keeps_a_history():
    history = run()
    assert len(history.train_ppl) == len(history.speeds) == 12
    assert list(history.held_out_ppl) == list(history.samples) == [5, 10, 12]
    assert len(history.samples[12]["ab"]) == 52
    assert set(history.baselines) >= {"uniform", "unigram", "bigram"}
    assert history.train_ppl[-1] < history.train_ppl[0] / 1.5
    assert history.first_epoch_below(history.train_ppl[4]) <= 5 and history.first_epoch_below(0.5) is None
    assert history.stopped is None and min(history.speeds) <= history.tokens_per_second <= max(history.speeds)


def test_what_is_measured_is_what_the_model_does():
    model = small_model()
    watch = Watch(held_out=TOKENS[:100], vocab=LETTERS, prefixes=["ab", "c"])
    history = train(model, data(), 3, 1.0, watch=watch)
    assert history.held_out_ppl == {3: evaluate(model, TOKENS[:100], 4)}
    assert history.samples == {3: {prefix: predict(model, LETTERS, prefix, 50) for prefix in ("ab", "c")}}


@pytest.mark.parametrize(("length", "batch_size"), [(2, 1), (3, 1), (7, 3), (8, 4), (50, 4)])
def test_held_out_text_may_be_shorter_than_two_tokens_a_sequence(length, batch_size):
    model = small_model()
    history = train(model, data(), 1, 1.0, watch=Watch(held_out=TOKENS[:length]))
    assert history.held_out_ppl == {1: evaluate(model, TOKENS[:length], batch_size)}


def test_the_shortest_training_text_has_two_tokens():
    history = train(small_model(), SequentialBatches(TOKENS[:2], 1, 1), 2, 1.0, watch=Watch(held_out=TOKENS[:2]))
    assert len(history.train_ppl) == 2


def test_two_runs_are_identical_and_seeds_differ():
    first, second, other = run(), run(), run(seed=1)
    assert first.train_ppl == second.train_ppl and first.held_out_ppl == second.held_out_ppl
    assert first.samples == second.samples
    assert first.train_ppl != other.train_ppl


def test_train_numbers_the_epochs_itself():
    model, batches, numbers = small_model(), data(), []

    class Numbered(SequentialBatches):
        def __iter__(self):
            numbers.append(self.epoch)
            return super().__iter__()

    batches = Numbered(TOKENS, 4, 6)
    batches.epoch = 7
    list(batches)
    numbers.clear()
    history = train(model, batches, 3, 1.0, watch=Watch(every=1))
    assert numbers == [1, 2, 3]  # nothing else iterates
    assert history.train_ppl == train(small_model(), data(), 3, 1.0).train_ppl


@pytest.mark.parametrize("name", MODELS)
def test_looking_does_not_change_the_training(name):
    """Dropout is off meanwhile, no random number is used, and the sampler doesn't notice."""
    torch.manual_seed(5)
    blind = MODELS[name]()
    plain = book_run(blind, book_data(), 4, watch=None)
    random_state = torch.get_rng_state()
    torch.manual_seed(5)
    looked_at = MODELS[name]()
    watched = book_run(looked_at, book_data(), 4)
    assert plain.train_ppl == watched.train_ppl
    assert equal(blind.parameters(), looked_at.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_dropout_is_on_while_training():
    torch.manual_seed(5)
    model = MODELS["dropout"]()
    book_run(model, book_data(), 1)
    assert model.training and model.rnn.training
    other = copy.deepcopy(model)
    torch.manual_seed(0)
    first = train_epoch(model, book_data(), 0.1)[0]
    torch.manual_seed(1)
    assert train_epoch(other, book_data(), 0.1)[0] != first


# Arguments that are refused before the first epoch


class Untouched(RNNModelScratch):
    """A model that must not be called."""

    def __call__(self, X, state):
        raise AssertionError("training began")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_epochs": 0}, ValueError, "num_epochs must be at least 1"),
        ({"num_epochs": 1.5}, TypeError, "num_epochs must be an integer"),
        ({"num_epochs": None}, TypeError, "num_epochs"),
        ({"lr": 0}, ValueError, "lr must be above 0, not 0"),
        ({"lr": -1.0}, ValueError, "lr must be above 0"),
        ({"lr": math.nan}, ValueError, "lr must be above 0, not nan"),
        ({"lr": math.inf}, ValueError, "lr must be finite"),
        ({"lr": "1"}, TypeError, "lr must be a number, not '1'"),
        ({"lr": True}, TypeError, "lr must be a number"),
        ({"lr": None}, TypeError, "lr must be a number, not None"),
        ({"theta": 0}, ValueError, "theta must be above 0"),
        ({"theta": math.nan}, ValueError, "theta must be above 0"),
        ({"theta": "1"}, TypeError, "theta must be a number"),
        ({"theta": Fraction(1, 2)}, TypeError, "theta must be a number"),
        ({"theta": 10**400}, ValueError, r"theta must be below 2\*\*63"),
        ({"theta": 2**63}, ValueError, r"theta must be below 2\*\*63 if it's an integer.* use a float"),
        ({"lr": Fraction(1, 2)}, TypeError, "lr must be a number"),
        ({"lr": np.uint64(2**63)}, ValueError, "lr must be below"),
        ({"updater": 3}, TypeError, r"updater must be a function.*not 3"),
        ({"show": "bars"}, ValueError, 'show must be None, "figure" or "bar", not \'bars\''),
        ({"updater": print, "checkpoint": "unused"}, ValueError, "no optimizer state"),
        ({"watch": TOKENS}, TypeError, "watch must be a Watch, not"),
        ({"watch": Watch(every=0)}, ValueError, "every must be at least 1"),
        ({"watch": Watch(every=2.5)}, TypeError, "every must be an integer"),
        ({"watch": Watch(prefixes=["ab"])}, ValueError, "needs the vocab"),
        ({"watch": Watch(vocab=LETTERS, prefixes=["Ab"])}, ValueError, "has characters that the model has never seen"),
        ({"watch": Watch(vocab=LETTERS, prefixes=["ab", ""])}, ValueError, "at least one character"),
        ({"watch": Watch(vocab=LETTERS, prefixes=[1])}, TypeError, "must be a str"),
        ({"watch": Watch(vocab=Vocab(list("abc")))}, ValueError, "the vocabulary has 4 tokens, but the model has 5"),
        ({"watch": Watch(vocab=list("<abcd"), prefixes=["ab"])}, TypeError, "vocab must be a Vocab, not list"),
        ({"watch": Watch(vocab=Vocab([], 0, list("abcd")), prefixes=["ab"])}, ValueError, "but reserved tokens"),
        ({"watch": Watch(vocab=Vocab(["a", ("a", "b"), 1, 2]), prefixes=["a"])}, TypeError, "tokens that aren't str"),
        ({"watch": Watch(held_out="abc")}, TypeError, "ids must be a tensor or a list of integers, not str"),
        ({"watch": Watch(held_out=TOKENS[:1])}, ValueError, "held_out needs at least 2 tokens, not 1"),
        ({"watch": Watch(held_out=TOKENS + 1)}, ValueError, "ids run from 2 to 5"),
        ({"watch": Watch(held_out=TOKENS / 2)}, TypeError, "ids must be integers"),
        ({"watch": Watch(held_out=TOKENS[None])}, ValueError, r"held_out must be 1-D.*\(1, 400\)"),
        ({"batches": SequentialBatches(TOKENS + 1, 4, 6)}, ValueError, "ids run from 2 to 5"),
        ({"batches": [(TOKENS[None], TOKENS[None])]}, TypeError, "batches must be SequentialBatches or RandomBatches"),
        ({"batches": None}, TypeError, "batches must be"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_epoch(options, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = {"batches": data(), "num_epochs": 2, "lr": 1.0, **options}
    with pytest.raises(error, match=message) as info:
        train(Untouched(5, 8), **arguments)
    assert not hasattr(info.value, "history")


@pytest.mark.parametrize("model", [None, nn.Linear(2, 2), RNNModelScratch, SequentialBatches(TOKENS, 4, 6)])
def test_what_is_no_model_is_refused(model):
    with pytest.raises(TypeError, match=r"model must be an RNNModelScratch, .*RNNModel; .* has no"):
        train(model, data(), 2, 1.0)


def test_prefixes_are_a_list():
    with pytest.raises(TypeError, match=r"must be a list of str, not a str: prefixes=\['ab'\]"):
        Watch(vocab=LETTERS, prefixes="ab")
    history = run(watch=Watch(vocab=LETTERS, prefixes=(prefix for prefix in ("ab", "c")), every=6))
    assert [list(samples) for samples in history.samples.values()] == [["ab", "c"]] * 2


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_model_that_was_ruined_before_is_refused(bad):
    model = Untouched(5, 8)
    with torch.no_grad():
        model.params[1][2, 3] = bad
    with pytest.raises(ValueError, match=r"aren't all finite numbers.*Make a new model"):
        train(model, data(), 1, 1.0)


def test_a_model_without_trainable_parameters_is_refused():
    model = Untouched(5, 8)
    for param in model.params[1:]:
        param.requires_grad = False
    model.params[0].requires_grad = False
    with pytest.raises(ValueError, match="nothing to train"):
        train(model, data(), 1, 1.0)


def test_some_parameters_may_be_frozen():
    model = small_model()
    model.params[0].requires_grad = False
    before = copies(model.params)
    train(model, data(), 1, 1.0)
    changed = [not torch.equal(a, b) for a, b in zip(model.params, before)]
    assert changed == [False, True, True, True, True]


# Training that goes wrong


class Poisoned:
    """Minibatches that raise, or a model that breaks, in a given minibatch."""

    carries_state, batch_size, tokens, epoch = True, 4, TOKENS, 1

    def __init__(self, at, action):
        self.batches, self.at, self.action, self.count = data(), at, action, 0

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

    message = r"the loss is (nan|inf).*learning rate 1.0, clipping threshold 1.0.*smaller"
    with pytest.raises(TrainingDiverged, match=message) as info:
        train(model, Poisoned(16 * 2 + 1, spoil), 12, 1.0)
    assert len(info.value.history.train_ppl) == 2
    assert info.value.history.stopped == "diverged in epoch 3"


def test_divergence_is_noticed_before_the_update():
    model = small_model()
    with torch.no_grad():
        model.params[4][0] = 1e4  # a loss that is finite and too large
    before = copies(model.params)
    with pytest.raises(TrainingDiverged, match=r"the loss is [0-9]"):
        train_epoch(model, data(), 1.0)
    assert equal(model.params, before) and all(param.grad is None for param in model.params)


def test_the_line_is_drawn_where_a_probability_is_zero_in_single_precision():
    assert training.check_loss(104.0, 1, 1) == 104.0 and math.exp(-104) < 2**-149 / 2 < math.exp(-103.9)
    for loss in (104.01, 1e9, math.inf, math.nan):
        with pytest.raises(TrainingDiverged, match=f"the loss is {re.escape(str(loss))}: .*rate 3, .*threshold 4"):
            training.check_loss(loss, 3, 4)


def test_a_large_loss_is_no_divergence_yet():
    model = small_model()
    with torch.no_grad():
        model.params[4][0] = 100.0
    assert 90 < math.log(train_epoch(model, data(), 1e-6)[0]) < 104


@pytest.mark.parametrize("lr", [1e4, 1e38])
def test_without_clipping_a_large_step_is_caught(lr):
    # tanh keeps states within 1, so with the smaller of the two the loss stays finite; it's too large all the same.
    with pytest.raises(TrainingDiverged, match="threshold None"):
        train(small_model(), data(), 12, lr, theta=None)


@pytest.mark.parametrize("bad", [math.nan, 1e6])
@pytest.mark.parametrize(("at", "epochs"), [(1, 0), (16, 0), (32, 1), (36, 2), (48, 2)])
def test_a_model_ruined_by_its_last_update_is_neither_measured_nor_counted(bad, at, epochs):
    """Update number `at` of 48 ruins it; 16 are an epoch, and the last one is noticed, too."""
    model, count = small_model(), iter(range(1, 1000))

    def updater():
        with torch.no_grad():
            model.params[4][0] = bad if next(count) == at else 0.0

    with pytest.raises(TrainingDiverged, match="learning rate None") as info:
        train(model, data(), 3, None, updater=updater, watch=Watch(held_out=TOKENS[:50], every=1))
    history = info.value.history
    assert history.stopped == f"diverged in epoch {epochs + 1}" and len(history.train_ppl) == epochs
    assert list(history.held_out_ppl) == list(range(1, epochs + 1))
    assert all(ppl < 1e9 for ppl in history.held_out_ppl.values())


class Refuses(RuntimeError):
    """An exception that takes no attribute."""

    def __setattr__(self, name, value):
        raise TypeError(name)


@pytest.mark.parametrize("error", [RuntimeError, OSError, ValueError, AssertionError, MemoryError, SystemExit, Refuses])
def test_any_exception_carries_the_history(error):
    def fail():
        raise error("broken")

    with pytest.raises(error, match="broken") as info:  # a broken sampler
        train(small_model(), Poisoned(16 * 3 + 5, fail), 12, 1.0)
    if error is Refuses:
        assert not hasattr(info.value, "history")
    else:
        assert len(info.value.history.train_ppl) == 3
        assert info.value.history.stopped == f"{error.__name__} after 3 of 12 epochs"

    calls = iter(range(100))
    with pytest.raises(error, match="broken") as info:  # a broken optimizer
        train(small_model(), data(), 12, 1.0, updater=lambda: fail() if next(calls) == 40 else None)
    assert error is Refuses or len(info.value.history.train_ppl) == 2


class Figure:
    """Stands in for the live figure, and may break."""

    log = []  # noqa: RUF012
    breaks_in = None

    def __init__(self, history, num_epochs):
        self.history = history
        self.note(f"draw {num_epochs}")

    def update(self):
        self.note(f"update {len(self.history.train_ppl)}")

    def close(self):
        self.note("close")

    def note(self, event):
        self.log.append(event)
        if event == self.breaks_in:
            raise RuntimeError("no ink")


@pytest.fixture
def figure(monkeypatch):
    monkeypatch.setattr(Figure, "log", [])
    monkeypatch.setattr(training, "LiveFigure", Figure)
    return Figure


def test_the_figure_is_drawn_updated_and_closed(figure):
    run(show="figure")
    assert figure.log == ["draw 12", *(f"update {epoch}" for epoch in range(1, 13)), "close"]
    figure.log.clear()
    run(), run(show="bar")
    assert figure.log == []


@pytest.mark.parametrize(("event", "epochs"), [("draw 12", 0), ("update 10", 10), ("close", 12)])
def test_a_figure_that_breaks_loses_nothing(figure, monkeypatch, event, epochs):
    monkeypatch.setattr(Figure, "breaks_in", event)
    with pytest.raises(RuntimeError, match="no ink") as info:
        run(show="figure")
    assert len(info.value.history.train_ppl) == epochs
    assert event == "draw 12" or figure.log[-1] == "close"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_figure_is_closed_whatever_happens(figure, error):
    def fail():
        raise error

    if error is KeyboardInterrupt:
        train(small_model(), Poisoned(20, fail), 3, 1.0, show="figure")
    else:
        with pytest.raises(error):
            train(small_model(), Poisoned(20, fail), 3, 1.0, show="figure")
    assert figure.log == ["draw 3", "update 1", "close"]


def test_a_progress_bar_counts_the_epochs(capfd):
    run(show="bar")
    assert "12/12" in capfd.readouterr().err
    run()
    assert capfd.readouterr().err == ""


def test_a_progress_bar_is_seen_at_once():
    calls = []

    class Stream:
        def write(self, text):
            calls.append(text)

        def flush(self):
            calls.append("flush")

    stream = training.Unheard(Stream())
    stream.write("1/2")
    stream.flush()
    assert calls == ["1/2", "flush"]


class Broken:
    """A stderr whose reader has gone, or that was closed."""

    encoding = "utf-8"

    def __init__(self, error):
        self.error = error

    def write(self, text):
        raise self.error

    def flush(self):
        raise self.error


@pytest.mark.parametrize("stream", [
    Broken(BrokenPipeError(32, "Broken pipe")), Broken(OSError(28, "No space left on device")),
    Broken(ValueError("I/O operation on closed file.")), None,
])  # fmt: skip
def test_a_stderr_that_nobody_reads_does_not_end_the_training(stream, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream)
    history = run(show="bar")
    monkeypatch.undo()
    assert len(history.train_ppl) == 12 and history.stopped is None
