"""Measure the causal sentences of notebooks 02, 05, 06, 07 and 09 again, with seeds that no notebook uses.

    python tests/tools/claims.py              every claim (about 15 minutes on one core)
    python tests/tools/claims.py NAME ...     some of them

Each function below stands for one sentence. It trains with and without the one thing that the sentence is about
and returns the size of the effect for one seed. The sentence holds if every seed's effect is at least as large as
stated. Epochs and learning rates are chosen on the validation half of the held-out text; what counts is the test
half. Exits with 1 if a sentence doesn't hold.
"""

import math
import sys
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn
from torch.nn import functional as F

from d2lmini import (
    KneserNey,
    RNNModel,
    RNNModelByHand,
    SequentialBatches,
    TrainingDiverged,
    clip_gradients,
    get_params,
    load_corpus,
    perplexity,
    sgd,
    train_epoch,
)

SEEDS = (10, 11, 12)  # the notebooks use 0, 1 and 2
TRAIN, HELD_OUT, VOCAB = load_corpus()
VALIDATION, TEST = HELD_OUT.tensor_split(2)
CLAIMS = {}


def claim(sentence, at_least):
    """Register a function seed -> effect, under its name, as the measurement behind `sentence`."""

    def register(measure):
        CLAIMS[measure.__name__] = sentence, at_least, measure
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


# Notebook 07: gates, at equal parameters


LAYERS = {  # about 80,000 parameters each; learning rates chosen on the validation half, with seed 0
    nn.RNN: (256, {True: 0.25, False: 0.5}),
    nn.GRU: (145, {True: 1.0, False: 2.0}),
    nn.LSTM: (124, {True: 8.0, False: 8.0}),
}


@cache
def from_library(layer, seed, is_loud):
    """The best test perplexity of a library layer, `weight_ih` with std 1 or as PyTorch initializes it."""
    num_hiddens, lrs = LAYERS[layer]
    torch.manual_seed(seed)
    model = RNNModel(layer(len(VOCAB), num_hiddens), len(VOCAB))
    if is_loud:
        nn.init.normal_(model.rnn.weight_ih_l0)
    return best(results(model, seed, 76, lrs[is_loud])).test_ppl


@claim("With PyTorch's quiet input, a GRU has a lower test perplexity than a plain network.", at_least=1)
def gates_help_a_quiet_input(seed):
    return from_library(nn.RNN, seed, False) - from_library(nn.GRU, seed, False)


@claim("With a loud input they're within 0.3 of each other (the effect: minus the difference).", at_least=-0.3)
def gates_do_nothing_for_a_loud_input(seed):
    return -abs(from_library(nn.RNN, seed, True) - from_library(nn.GRU, seed, True))


@claim("With a loud input, the LSTM isn't better than the plain network.", at_least=0)
def lstm_is_not_better(seed):
    return from_library(nn.LSTM, seed, True) - from_library(nn.RNN, seed, True)


def main(names):
    unknown = set(names) - set(CLAIMS)
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}. There are: {', '.join(CLAIMS)}.")
    failed = 0
    for name in names or CLAIMS:
        sentence, at_least, measure = CLAIMS[name]
        effects = [measure(seed) for seed in SEEDS]
        holds = min(effects) >= at_least
        failed += not holds
        values = " / ".join(f"{effect:.2f}" for effect in effects)
        verdict = "holds" if holds else "DOES NOT HOLD"
        print(f"{name}: {sentence}\n    effect {values}, needed {at_least} or more: {verdict}", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main(sys.argv[1:])
