"""Measure the causal sentences of notebooks 02, 04, 05, 06, 07 and 09 again, with the seeds 10, 11 and 12.

    python tests/tools/claims.py              every claim (about 35 minutes on one core) -> claims.json
    python tests/tools/claims.py NAME ...     some of them

Each function below stands for one sentence. It trains with and without the one thing that the sentence is about
and returns the size of the effect for one seed. The sentence holds if every seed's effect is within the stated
bounds. Epochs and learning rates are chosen on the validation half of the held-out text; what counts is the test
half. The effects are saved in data/runs/claims.json, in the order of the seeds. Exits with 1 if a sentence doesn't
hold.
"""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import gates
import torch
from torch import nn
from torch.nn import functional as F

from d2lmini import (
    KneserNey,
    RandomBatches,
    RNNModelByHand,
    RNNModelScratch,
    SequentialBatches,
    TrainingDiverged,
    baselines,
    clip_gradients,
    evaluate,
    get_params,
    load_corpus,
    one_hot,
    perplexity,
    predict,
    rnn,
    sgd,
    time_major,
    train_epoch,
)
from d2lmini.generate import generate

SEEDS = (10, 11, 12)  # the results that the claims repeat have 0, 1, 2 and 3
RESULTS = Path(__file__).parents[2] / "data" / "runs" / "claims.json"
TRAIN, HELD_OUT, VOCAB = load_corpus()
VALIDATION, TEST = HELD_OUT.tensor_split(2)
CLAIMS = {}


def claim(sentence, at_least, at_most=math.inf):
    """Register a function seed -> effect, under its name, as the measurement behind `sentence`."""

    def register(measure):
        CLAIMS[measure.__name__] = sentence, at_least, at_most, measure
        return measure

    return register


# Training, with the best epoch chosen on the validation half


@dataclass
class Result:
    """One epoch: perplexities, and on the test half the accuracy, alone and after one temperature."""

    epoch: int
    train_ppl: float
    validation_ppl: float
    test_ppl: float
    accuracy: float
    tempered_ppl: float  # on the test half, at the temperature that is best on the validation half


def scores(model, tokens):
    """Logits and targets of a text read as four sequences."""
    rows = tokens[: len(tokens) // 4 * 4].reshape(4, -1)
    with torch.no_grad():
        logits, _ = model(rows[:, :-1], model.begin_state(4))
    return logits, rows[:, 1:].T.reshape(-1)


def ppl(logits, targets, temperature=1.0):
    return perplexity(float(F.cross_entropy(logits / temperature, targets)), 1)


def results(model, seed, epochs, lr=1.0):
    """Train, and measure after every second epoch."""
    batches, found = SequentialBatches(TRAIN, 32, 35, seed), []
    for batches.epoch in range(1, epochs + 1):  # each epoch cuts the text at an offset of its own
        train_ppl, _ = train_epoch(model, batches, lr)
        if batches.epoch % 2 == 0:
            validation, (logits, targets) = scores(model, VALIDATION), scores(model, TEST)
            temperature = min((0.5 + step / 10 for step in range(40)), key=lambda T: ppl(*validation, T))
            accuracy = float((logits.argmax(dim=1) == targets).float().mean())
            tempered = ppl(logits, targets, temperature)
            found.append(Result(batches.epoch, train_ppl, ppl(*validation), ppl(logits, targets), accuracy, tempered))
    return found


def loud(seed):
    """The network with a normal W_hh and a loud input, which the other claims are about."""
    return plain(seed, 1.0, False)


def best(found):
    return min(found, key=lambda result: result.validation_ppl)


@cache
def plain(seed, input_std, orthogonal):
    """Every second epoch of a plain network, trained until it's past its best one."""
    model = RNNModelByHand(len(VOCAB), 256, seed=seed, input_std=input_std, orthogonal=orthogonal)
    return results(model, seed, 100 if input_std == 1 else 160)


# Notebook 02: initialization


@claim("A loud input (W_xh with std 1, not 0.01) lowers the test perplexity; W_hh is normal in both.", at_least=1)
def loud_input(seed):
    return best(plain(seed, 0.01, False)).test_ppl - best(loud(seed)).test_ppl


@claim("A loud input lowers the test perplexity; W_hh is orthogonal in both.", at_least=1)
def loud_input_orthogonal(seed):
    return best(plain(seed, 0.01, True)).test_ppl - best(plain(seed, 1.0, True)).test_ppl


@claim("An orthogonal W_hh lowers the training perplexity of epoch 40; W_xh has std 1 in both.", at_least=0.5)
def orthogonal_memorises(seed):
    return loud(seed)[19].train_ppl - plain(seed, 1.0, True)[19].train_ppl


@claim("An orthogonal W_hh raises the lowest test perplexity; W_xh has std 1 in both.", at_least=0.05)
def orthogonal_predicts_worse(seed):
    return best(plain(seed, 1.0, True)).test_ppl - best(loud(seed)).test_ppl


# Notebook 05: two accidents, and what clipping is for


def forward(params, X, H, through_time=True):
    """Logits and last state. Without `through_time` the numbers are the same, but no gradient goes a step back."""
    W_xh, W_hh, b_h, W_hq, b_q = params
    hiddens = []
    for x in W_xh[X.T] + b_h:  # x: (batch_size, num_hiddens)
        H = torch.tanh(x + (H if through_time else H.detach()) @ W_hh)
        hiddens.append(H)
    return torch.cat(hiddens) @ W_hq + b_q, H.detach()


def gradient(params, X, Y, H, through_time=True):
    """Put the gradients into `params`; returns the loss, the joint norm and the last state."""
    logits, H = forward(params, X, H, through_time)
    loss = F.cross_entropy(logits, Y.T.reshape(-1))
    grads = torch.autograd.grad(loss, params)
    for param, grad in zip(params, grads):
        param.grad = grad
    norm = math.sqrt(sum(float((grad.double() ** 2).sum()) for grad in grads))
    return loss.item(), norm, H


def largest_loss(seed, lr, theta=None, through_time=True, hidden_std=0.01, num_epochs=10):
    """The largest loss (nats) in the first epochs of a network whose W_hh has the standard deviation `hidden_std`."""
    params = get_params(len(VOCAB), 256, seed=seed, input_std=0.01)
    with torch.no_grad():
        params[1] *= hidden_std / 0.01
    batches, losses = SequentialBatches(TRAIN, 32, 35, seed), []
    for batches.epoch in range(1, num_epochs + 1):
        H = torch.zeros(32, 256)
        for X, Y in batches:
            loss, _, H = gradient(params, X, Y, H, through_time)
            losses.append(loss)
            if theta is not None:
                clip_gradients(params, theta)
            sgd(params, lr)
    return max(losses)


@claim("At lr 8 a step is too long: the loss explodes even if no gradient goes back in time.", at_least=10)
def long_step_without_time(seed):
    return largest_loss(seed, lr=8, through_time=False)


@claim("The accident of lr 8 disappears at lr 1 (the effect: nats of difference).", at_least=10)
def long_step_needs_the_rate(seed):
    return largest_loss(seed, lr=8) - largest_loss(seed, lr=1)


@claim("At lr 8, clipping at 1 doesn't save the run, clipping at 0.125 does (nats of difference).", at_least=10)
def rate_times_theta(seed):
    return largest_loss(seed, lr=8, theta=1.0) - largest_loss(seed, lr=8, theta=0.125)


@claim("With W_hh of std 1, the first gradient explodes through time (log10 of full norm / norm one step back).", 6)
def explodes_through_time(seed):
    params = get_params(len(VOCAB), 256, seed=seed, input_std=0.01)
    with torch.no_grad():
        params[1] *= 100
    X, Y = next(iter(SequentialBatches(TRAIN, 32, 35, seed)))
    full, cut = (gradient(params, X, Y, torch.zeros(32, 256), through_time)[1] for through_time in (True, False))
    return math.log10(full / cut)


@claim("That accident disappears when no gradient goes back in time (nats of difference).", at_least=10)
def explosion_needs_time(seed):
    return largest_loss(seed, 1, hidden_std=1) - largest_loss(seed, 1, hidden_std=1, through_time=False)


@claim("One foreign minibatch (only z) ruins a run without clipping, and not with theta 1 (nats on the test half).", 2)
def rare_minibatch(seed):
    losses = []
    for theta in (None, 1.0):
        model = RNNModelByHand(len(VOCAB), 256, seed=seed, input_std=0.01)
        batches = SequentialBatches(TRAIN, 32, 35, seed)
        try:
            for batches.epoch in range(1, 41):
                train_epoch(model, batches, 1.0, theta=None)
            train_epoch(model, Foreign(batches), 1.0, theta=theta)
            for batches.epoch in range(41, 45):
                train_epoch(model, batches, 1.0, theta=theta)
        except TrainingDiverged:
            pass  # the parameters are as they were before the last step
        losses.append(math.log(ppl(*scores(model, TEST))))
    return losses[0] - losses[1]


@claim("At lr 8 the units end within 0.01 of -1 or 1, with theta 0.125 they don't (difference of shares).", 0.6)
def accident_saturates(seed):
    shares = []
    for theta in (math.inf, 0.125):
        params = get_params(len(VOCAB), 256, seed=seed, input_std=0.01)
        batches = SequentialBatches(TRAIN, 32, 35, seed)
        for batches.epoch in range(1, 11):
            H = torch.zeros(32, 256)
            for X, Y in batches:
                *_, H = gradient(params, X, Y, H)
                clip_gradients(params, theta)
                sgd(params, 8)
        shares.append(float((H.abs() > 0.99).float().mean()))
    return shares[0] - shares[1]


def loss_after_10_epochs(seed, hidden_std):
    """Nats of the last minibatch, at learning rate 1 and theta 1, and the largest of all."""
    params = get_params(len(VOCAB), 256, seed=seed, input_std=0.01)
    with torch.no_grad():
        params[1] *= hidden_std / 0.01
    batches, losses = SequentialBatches(TRAIN, 32, 35, seed), []
    for batches.epoch in range(1, 11):
        H = torch.zeros(32, 256)
        for X, Y in batches:
            loss, _, H = gradient(params, X, Y, H)
            losses.append(loss)
            clip_gradients(params, 1.0)
            sgd(params, 1.0)
    return losses[-1], max(losses)


@claim("Clipping doesn't cure gradients that explode, W_hh of std 1: the loss after 80 clipped steps (nats).", 3)
def clipping_is_no_cure(seed):
    return loss_after_10_epochs(seed, 1.0)[0]


@claim("... but no accident happens, either (5 less the largest loss).", at_least=0)
def clipping_prevents_the_accident(seed):
    return 5 - loss_after_10_epochs(seed, 1.0)[1]


@claim("The cure is the initialization: std 0.01 instead of 1 lowers that loss (nats).", at_least=0.5)
def initialization_is_the_cure(seed):
    return loss_after_10_epochs(seed, 1.0)[0] - loss_after_10_epochs(seed, 0.01)[0]


class Foreign:
    """A single minibatch of the letter z, 32 x 35."""

    carries_state = True

    def __init__(self, batches):
        self.batch_size = batches.batch_size

    def __iter__(self):
        X = torch.full((32, 35), VOCAB["z"])
        yield X, X.clone()


# Notebook 06: overconfidence and ignorance


@claim("From the best epoch to epoch 100 the network gets worse by so many bits per character.", at_least=1)
def overfits(seed):
    return math.log2(loud(seed)[-1].test_ppl / best(loud(seed)).test_ppl)


@claim("One temperature, chosen on the validation half, takes back so large a part of those bits.", at_least=0.6)
def temperature_repairs(seed):
    last = loud(seed)[-1]
    return math.log2(last.test_ppl / last.tempered_ppl) / overfits(seed)


@claim("Meanwhile it stays right far more often than always guessing the space (accuracy above that).", at_least=0.2)
def accuracy_stays(seed):
    return loud(seed)[-1].accuracy - float(TEST.eq(VOCAB[" "]).float().mean())


@claim("Counting (5-gram, Kneser-Ney) has a lower test perplexity than the best epoch.", at_least=0.5)
def counting_wins(seed):
    return best(loud(seed)).test_ppl - KneserNey(TRAIN, len(VOCAB)).perplexity(TEST)


@claim("The best epoch predicts better than the last with a fitted temperature (test perplexity).", at_least=0.5)
def stopping_beats_temperature(seed):
    return loud(seed)[-1].tempered_ppl - best(loud(seed)).test_ppl


class Shuffled(SequentialBatches):
    """Minibatches whose targets have the wrong order, Y.reshape(-1), for a loss that calls time_major(Y)."""

    def __iter__(self):
        for X, Y in super().__iter__():
            yield X, Y.reshape(-1).reshape(Y.T.shape).T


@claim("With targets in the wrong order a network stays near the unigram line (2 less the distance, epoch 40).", 0)
def wrong_order_learns_frequencies(seed):
    model, batches = RNNModelByHand(len(VOCAB), 256, seed=seed), Shuffled(TRAIN, 32, 35, seed)
    for batches.epoch in range(1, 41):
        train_ppl, _ = train_epoch(model, batches, 1.0)
    return 2 - abs(train_ppl - baselines(TRAIN, TRAIN, len(VOCAB))["unigram"])


@cache
def shuffled(seed):
    """The network of `loud` after 100 epochs of random minibatches, its minibatches, its training perplexity."""
    model, batches = RNNModelByHand(len(VOCAB), 256, seed=seed), RandomBatches(TRAIN, 32, 35, seed)
    for batches.epoch in range(1, 101):
        train_ppl, _ = train_epoch(model, batches, 1.0)
    return model, batches, train_ppl


@claim("Random minibatches raise the training perplexity of epoch 100.", at_least=0.1)
def random_costs(seed):
    return shuffled(seed)[2] - loud(seed)[-1].train_ppl


@claim("Most of that network's training loss comes from the first 8 of 35 places (its share).", at_least=0.5)
def cold_starts(seed):
    model, batches, _ = shuffled(seed)
    X, Y = (torch.cat(parts) for parts in zip(*batches))
    with torch.no_grad():
        logits, _ = model(X, model.begin_state(len(X)))
    nll = F.cross_entropy(logits, time_major(Y), reduction="none").reshape(35, -1)
    return float(nll[:8].sum() / nll.sum())


# Notebook 07: gates, at equal parameters


# (layer, is the input loud): the learning rate that notebook 07 chooses
RATES = {
    ("RNN", True): 0.125, ("GRU", True): 0.5, ("LSTM", True): 2,
    ("RNN", False): 0.125, ("GRU", False): 2, ("LSTM", False): 16,
}  # fmt: skip


@cache
def from_library(kind, seed, is_loud):
    """The best test perplexity of a library layer, `weight_ih` with std 1 or as PyTorch initializes it."""
    return best(results(gates.make(kind, is_loud, seed), seed, 260, RATES[kind, is_loud])).test_ppl


@claim("With PyTorch's quiet input, a GRU has a lower test perplexity than a plain network.", at_least=1)
def gates_help_a_quiet_input(seed):
    return from_library("RNN", seed, False) - from_library("GRU", seed, False)


@claim("With a loud input they're within 0.3 of each other (RNN minus GRU).", at_least=-0.3, at_most=0.3)
def gates_do_nothing_for_a_loud_input(seed):
    return from_library("RNN", seed, True) - from_library("GRU", seed, True)


@claim("With a loud input, the LSTM isn't better than the plain network.", at_least=0)
def lstm_is_not_better(seed):
    return from_library("LSTM", seed, True) - from_library("RNN", seed, True)


@claim("A loud input lowers the test perplexity of a GRU.", at_least=0.3)
def loud_input_helps_gru(seed):
    return from_library("GRU", seed, False) - from_library("GRU", seed, True)


@claim("A loud input lowers the test perplexity of an LSTM.", at_least=0)
def loud_input_helps_lstm(seed):
    return from_library("LSTM", seed, False) - from_library("LSTM", seed, True)


@claim("A new LSTM's gradient fades because its forget gates begin near 1/2 (log10: biases 4, not 0).", 1)
def forget_gate_fades(seed):
    arrives = []
    for bias in (0.0, 4.0):
        torch.manual_seed(seed)
        layer = nn.LSTM(len(VOCAB), 124)
        with torch.no_grad():
            layer.bias_ih_l0[124:248] += bias  # the second block belongs to the forget gate
        X, _ = next(iter(SequentialBatches(VALIDATION, 32, 35)))
        inputs = one_hot(X.T, len(VOCAB))
        _, before = layer(inputs[:-10])
        before = [part.detach().requires_grad_() for part in before]
        _, after = layer(inputs[-10:-1], tuple(before))
        after = [part.detach().requires_grad_() for part in after]
        last, _ = layer(inputs[-1:], tuple(after))
        direct = torch.autograd.grad(last.sum(), after)
        ends, _ = layer(inputs[-10:], tuple(before))
        through = torch.autograd.grad(ends[-1].sum(), before)
        arrives.append(math.log10(torch.cat(through).norm() / torch.cat(direct).norm()))
    return arrives[1] - arrives[0]


# Notebooks 04 and 09: one change at a time


def fresh(seed, num_hiddens=256):
    """A network of notebook 09's common setting."""
    return RNNModelByHand(len(VOCAB), num_hiddens, seed=seed)


def test_ppl(model, seed, num_epochs=36, lr=1.0, theta=1.0, shape=(32, 35)):
    """The test perplexity of the epoch (every fourth) that is best on the validation half."""
    batches, found = SequentialBatches(TRAIN, *shape, seed), []
    for batches.epoch in range(1, num_epochs + 1):
        train_epoch(model, batches, lr, theta)
        if batches.epoch % 4 == 0:
            found.append((evaluate(model, VALIDATION, 8), evaluate(model, TEST, 8)))
    return min(found)[1]


@cache
def common(seed, num_hiddens=256):
    return test_ppl(fresh(seed, num_hiddens), seed, {64: 60, 256: 36, 512: 32}[num_hiddens])


@claim("256 hidden units have a lower test perplexity than 64.", at_least=0.2)
def units_help(seed):
    return common(seed, 64) - common(seed)


@claim("512 hidden units don't have a lower one than 256, or hardly.", at_least=-0.15)
def more_units_dont(seed):
    return common(seed, 512) - common(seed)


@claim("Half the learning rate lowers the test perplexity.", at_least=0.05)
def half_the_rate(seed):
    return common(seed) - test_ppl(fresh(seed), seed, 52, lr=0.5)


@claim("Minibatches of 32 x 10 instead of 112 x 10 raise the test perplexity; gradients reach 10 steps in both.", 0.3)
def few_tokens_an_update(seed):
    few = test_ppl(fresh(seed), seed, 16, shape=(32, 10))
    return few - test_ppl(fresh(seed), seed, shape=(112, 10))


def narrow_params(vocab_size, num_hiddens, device=None, seed=0):
    """A table of 8 numbers for each token before the five parameters; the input's scale is 1, as without it."""
    table = torch.randn(vocab_size, 8, generator=torch.Generator().manual_seed(seed + 1000))
    W_xh, *_ = get_params(8, num_hiddens, seed=seed, input_std=8**-0.5)
    return [table.requires_grad_(), W_xh, *get_params(vocab_size, num_hiddens, seed=seed)[1:]]


def narrow_rnn(inputs, state, params):
    return rnn(inputs @ params[0], state, params[1:])


@claim("An embedding of 8 numbers is about as good as one-hot inputs (its perplexity minus theirs).", -0.5, 0.5)
def narrow_embedding(seed):
    model = RNNModelScratch(len(VOCAB), 256, get_params=narrow_params, forward_fn=narrow_rnn, seed=seed)
    return test_ppl(model, seed) - common(seed)


@claim("At lr 1, no clipping instead of theta 1 changes nothing (difference of perplexities).", -0.1, 0.1)
def clipping_changes_nothing(seed):
    return test_ppl(fresh(seed), seed, theta=None) - common(seed)


def diverges(make_model, seed, lr, theta):
    """Does training diverge in the first four epochs?"""
    try:
        test_ppl(make_model(seed), seed, 4, lr, theta)
    except TrainingDiverged:
        return True
    return False


@claim("At lr 10 a run diverges without clipping, and doesn't with theta 0.1 (1 if so).", at_least=1)
def lr_10_needs_clipping(seed):
    return diverges(fresh, seed, 10.0, None) - diverges(fresh, seed, 10.0, 0.1)


def relu_rnn(inputs, state, params):
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,), hiddens = state, []
    for X in inputs:
        H = (X @ W_xh + H @ W_hh + b_h).clamp(min=0)
        hiddens.append(H)
    return torch.cat(hiddens) @ W_hq + b_q, (H,)


def relu(seed):
    return RNNModelScratch(len(VOCAB), 256, forward_fn=relu_rnn, seed=seed)


@claim("At lr 1, ReLU instead of tanh lowers the test perplexity.", at_least=0.05)
def relu_is_better(seed):
    return common(seed) - test_ppl(relu(seed), seed)


@claim("At lr 2 without clipping a ReLU run diverges and a tanh run doesn't (1 if so).", at_least=1)
def relu_needs_clipping(seed):
    return diverges(relu, seed, 2.0, None) - diverges(fresh, seed, 2.0, None)


def no_detach(seed, cut):
    """Training perplexity of the last of 30 epochs with one update each, and how many numbers autograd kept."""
    model, kept, ppl = RNNModelScratch(len(VOCAB), 64, seed=seed), [], []
    batches = SequentialBatches(TRAIN, 32, 35, seed)

    def keep(tensor):
        kept[-1] += tensor.numel()
        return tensor

    for batches.epoch in range(1, 31):
        state, losses, grads, kept = model.begin_state(32), [], [0] * 5, [0]
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            for X, Y in batches:
                logits, state = model(X, tuple(part.detach() for part in state) if cut else state)
                losses.append(F.cross_entropy(logits, time_major(Y)) / len(batches))
                if cut:  # this minibatch's graph ends here
                    grads = [a + b for a, b in zip(grads, torch.autograd.grad(losses[-1], model.params))]
                    kept.append(0)
        if not cut:
            grads = torch.autograd.grad(sum(losses), model.params)
        for param, grad in zip(model.params, grads):
            param.grad = grad
        clip_gradients(model.params, 1.0)
        sgd(model.params, 1.0)
        ppl.append(math.exp(sum(float(loss.detach()) for loss in losses)))
    return ppl[-1], max(kept)


@claim("No detach, 280 steps back instead of 35, changes nothing in 30 updates (difference).", -0.02, 0.02)
def no_detach_changes_nothing(seed):
    return no_detach(seed, False)[0] - no_detach(seed, True)[0]


@claim("Without detach autograd keeps this many times as many numbers.", at_least=7)
def no_detach_needs_memory(seed):
    return no_detach(seed, False)[1] / no_detach(seed, True)[1]


# How to choose the next token


WORDS = set("".join(VOCAB.to_tokens(torch.cat([TRAIN, HELD_OUT]))).split())


@cache
def reader(seed):
    """A network of the common setting after 28 epochs."""
    model, batches = fresh(seed), SequentialBatches(TRAIN, 32, 35, seed)
    for batches.epoch in range(1, 29):
        train_epoch(model, batches, 1.0)
    return model


def text_of(seed, keep: Callable = lambda probs: probs, temperature=1.0):
    """2,000 characters, drawn from the probabilities that `keep` leaves."""
    rng = torch.Generator().manual_seed(seed)

    def choose(scores):
        probs = torch.softmax(torch.as_tensor(scores) / temperature, dim=1)
        return torch.multinomial(keep(probs), 1, generator=rng)[:, 0]

    return generate(reader(seed), VOCAB, "time traveller", 2000, choose)[0]


def known_words(text):
    """Share of a text's words that occur in the chapter, without the prefix and a last word that is cut."""
    words = text.split()[2:-1]
    return sum(word in WORDS for word in words) / len(words)


def top_k(probs, k):
    return torch.zeros_like(probs).scatter(1, *reversed(probs.topk(k)))


def top_p(probs, p):
    values, ids = probs.sort(dim=1, descending=True)
    return torch.zeros_like(probs).scatter(1, ids, values * (values.cumsum(1) - values < p))


@claim("alpha 2 (temperature 0.5) instead of 1 raises the share of words that occur in the chapter.", at_least=0.1)
def low_temperature_spells(seed):
    return known_words(text_of(seed, temperature=0.5)) - known_words(text_of(seed))


@claim("alpha 1/2 (temperature 2) instead of 1 lowers it.", at_least=0.2)
def high_temperature_misspells(seed):
    return known_words(text_of(seed)) - known_words(text_of(seed, temperature=2))


@claim("Top-k with k = 5 raises it.", at_least=0.03)
def top_k_spells(seed):
    return known_words(text_of(seed, partial(top_k, k=5))) - known_words(text_of(seed))


@claim("At temperature 2 top-k with k = 3 raises it (notebook 04).", at_least=0.2)
def top_k_spells_at_2(seed):
    return known_words(text_of(seed, partial(top_k, k=3), 2.0)) - known_words(text_of(seed, temperature=2.0))


@claim("Top-p with p = 0.8 raises it.", at_least=0.05)
def top_p_spells(seed):
    return known_words(text_of(seed, partial(top_p, p=0.8))) - known_words(text_of(seed))


@claim(
    "Greedy decoding loops: more of its pieces of 10 characters are repeated than a sample's (difference).",
    0.5,
)
def greedy_loops(seed):
    def repeated(text):
        pieces = [text[i : i + 10] for i in range(len(text) - 9)]
        return 1 - len(set(pieces)) / len(pieces)

    return repeated(predict(reader(seed), VOCAB, "time traveller", 2000)) - repeated(text_of(seed))


def main(names):
    unknown = set(names) - set(CLAIMS)
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}. There are: {', '.join(CLAIMS)}.")
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    failed = 0
    for name in names or CLAIMS:
        sentence, at_least, at_most, measure = CLAIMS[name]
        effects = found[name] = [round(measure(seed), 3) for seed in SEEDS]
        RESULTS.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n", encoding="utf-8")
        holds = at_least <= min(effects) and max(effects) <= at_most
        failed += not holds
        values = " / ".join(f"{effect:.2f}" for effect in effects)
        bounds = f"{at_least} or more" if at_most == math.inf else f"{at_least} to {at_most}"
        verdict = "holds" if holds else "DOES NOT HOLD"
        print(f"{name}: {sentence}\n    effect {values}, needed {bounds}: {verdict}", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main(sys.argv[1:])
