"""Checks of notebook 06: perplexity of tokens and of an epoch, and one step of training."""

import math
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .engine import Check, Problem, hot, ids, normal
from .forward_pass import OLD_STATE, STATE_IGNORED, logits_of, unroll
from .gradient_clipping import EACH_ITS_OWN, SCALED_UP, norm
from .parameters import NAMES, shapes

MEAN_OF_EXPONENTIALS = "Is it the mean of exponentials, instead of the exponential of the mean?"
SUMMED = "Is the loss summed instead of averaged?"
NO_EXPONENTIAL = "Is the exponential missing?"


def nll(probs):
    return -probs.double().log()


perplexity = Check(
    "perplexity",
    lambda probs: float(np.exp(-np.mean(np.log(probs.double().numpy())))),
    lambda rng: [
        ("five probabilities", (torch.tensor([0.9, 0.5, 0.1, 0.25, 0.6]),)),
        ("28 equally likely symbols", (torch.full((40,), 1 / 28),)),
        ("tokens that are all certain", (torch.ones(6),)),
        ("a single token", (torch.tensor([0.125]),)),
        ("5,000 tokens", (torch.rand(5000, generator=rng) * 0.9 + 0.05,)),
    ],
    {
        MEAN_OF_EXPONENTIALS: (lambda probs: float(nll(probs).exp().mean())),
        "Is it the inverse of the arithmetic mean of the probabilities?": lambda probs: float(1 / probs.mean()),
        SUMMED: [
            lambda probs: float(nll(probs).sum().exp()),
            lambda probs: float(nll(probs).float().sum().exp()),
            lambda probs: math.exp(nll(probs).sum()),
            lambda probs: math.exp(float(nll(probs).sum())),
        ],
        "Is the minus sign missing?": lambda probs: float((-nll(probs)).mean().exp()),
        NO_EXPONENTIAL: lambda probs: float(nll(probs).mean()),
        "Do logarithm and exponential have different bases?": [
            lambda probs: float(2 ** nll(probs).mean()),
            lambda probs: float((nll(probs).mean() / math.log(2)).exp()),
        ],
        "Does the product of many probabilities become zero? Add their logarithms.": [
            lambda probs: float(probs.prod() ** (-1 / len(probs))),
            lambda probs: float(1 / probs.prod() ** (1 / len(probs))),
            lambda probs: float(probs.double().prod() ** (-1 / len(probs))),
            lambda probs: probs.prod().item() ** (-1 / len(probs)),
            lambda probs: math.prod(probs.tolist()) ** (-1 / len(probs)),
            lambda probs: (1 / math.prod(probs.tolist())) ** (1 / len(probs)),
        ],
    },
)

epoch_perplexity = Check(
    "epoch_perplexity",
    lambda mean_losses, num_tokens: math.exp(float(np.average(mean_losses, weights=num_tokens))),
    lambda rng: [
        ("three minibatches of different sizes", ([2.0, 1.0, 3.0], [10, 70, 20])),
        ("minibatches of one size", ([2.5, 1.5, 0.5, 1.0], [32, 32, 32, 32])),
        ("a single minibatch", ([math.log(28)], [1])),
        ("a loss of zero", ([0.0, 0.0], [5, 3])),
    ],
    {
        MEAN_OF_EXPONENTIALS: [
            lambda losses, tokens: sum(map(math.exp, losses)) / len(losses),
            lambda losses, tokens: float(np.average(np.exp(losses), weights=tokens)),
        ],
        "Does every minibatch count the same? Weigh each loss by its tokens.": (
            lambda losses, tokens: math.exp(sum(losses) / len(losses))
        ),
        NO_EXPONENTIAL: lambda losses, tokens: float(np.average(losses, weights=tokens)),
        SUMMED: [
            lambda losses, tokens: math.exp(sum(losses)),
            lambda losses, tokens: math.exp(np.dot(losses, tokens)),
            lambda losses, tokens: float(np.exp(np.dot(losses, tokens))),
        ],
        "Are the losses divided by the tokens without being multiplied first? They are means already.": (
            lambda losses, tokens: math.exp(sum(losses) / sum(tokens))
        ),
        "Is the sum divided by the number of minibatches, instead of tokens?": (
            lambda losses, tokens: math.exp(np.dot(losses, tokens) / len(losses))
        ),
        "Is it base 2? The losses are in nats.": lambda losses, tokens: 2 ** float(np.average(losses, weights=tokens)),
        "Is there a minus sign too many?": lambda losses, tokens: math.exp(-float(np.average(losses, weights=tokens))),
    },
)


def training_step(X, Y, state, params, lr, theta, *, targets=lambda X, Y: Y.T, reduction="mean", detach=True,
                  zero=False, carry=True, clear=True, clip=nn.utils.clip_grad_norm_, sign=1, update=True):  # fmt: skip
    """One step of training from torch's own parts, with places to go wrong."""
    (H,) = state
    H = H.detach() if detach else H
    states = unroll(hot(X.T, len(params[0])), 0 * H if zero else H, params)
    loss = F.cross_entropy(logits_of(states, params).flatten(0, 1), targets(X, Y).flatten(), reduction=reduction)
    if clear:
        for param in params:
            param.grad = None
    loss.backward()
    clip(params, theta)
    with torch.no_grad():
        for param in params if update else []:
            param -= sign * lr * param.grad
    return float(loss.detach()), (states[-1] if carry else H,)


def clip_each(params, theta):
    for param in params:
        nn.utils.clip_grad_norm_([param], theta)


def clip_always(params, theta):
    factor = theta / norm([param.grad for param in params])
    for param in params:
        param.grad *= factor


def observe_training(function, batches, H, params, lr, theta):
    """Run the steps one after the other, from a state that, as in training, is the result of a computation."""
    params = [param.clone().requires_grad_() for param in params]
    state = (torch.tanh(H @ params[1]),)
    for X, Y in batches:
        result = function(X, Y, state, params, lr, theta)
        if not (isinstance(result, tuple) and len(result) == 2):
            return None if result is None else Problem("", "type", "expected (loss, new state)")
        loss, state = result
        if not (isinstance(state, tuple) and len(state) == 1):
            return Problem("", "new state", "expected a tuple with one tensor", "Is the new state a tuple, (H,)?")
    return {"loss": as_float(loss), "new state": state[0]} | {
        f"{name} after the step": p for name, p in zip(NAMES, params)
    }


def as_float(loss):
    return float(loss.detach()) if isinstance(loss, torch.Tensor) and loss.numel() == 1 else loss


def batch(rng, vocab_size, *shape):
    return ids(rng, vocab_size, *shape), ids(rng, vocab_size, *shape)


def start(rng, vocab_size, num_hiddens):
    return [normal(rng, *shape, std=0.5) for shape in shapes(vocab_size, num_hiddens)]


train_step = Check(
    "train_step",
    training_step,
    lambda rng: [
        ("X of shape (2, 3)", ([batch(rng, 5, 2, 3)], normal(rng, 2, 4), start(rng, 5, 4), 0.5, 0.3)),
        ("gradients with a norm below theta", ([batch(rng, 5, 2, 3)], normal(rng, 2, 4), start(rng, 5, 4), 0.5, 50.0)),
        (
            "two steps, one after the other",
            ([batch(rng, 5, 3, 3), batch(rng, 5, 3, 3)], normal(rng, 3, 4), start(rng, 5, 4), 0.5, 0.8),
        ),
        (
            "a batch of 1 with 1 step, vocabulary 2",
            ([batch(rng, 2, 1, 1)], normal(rng, 1, 3), start(rng, 2, 3), 0.5, 0.1),
        ),
    ],
    {
        "Is the incoming state not detached? Its history belongs to the minibatch before.": (
            partial(training_step, detach=False)
        ),
        "Are the targets in the wrong order? The logits are time-major, so Y must be Y.T.": (
            partial(training_step, targets=lambda X, Y: Y)
        ),
        "Are the inputs X used as targets? The targets are Y.": partial(training_step, targets=lambda X, Y: X.T),
        SUMMED: partial(training_step, reduction="sum"),
        "Is the clipping missing?": partial(training_step, clip=lambda params, theta: None),
        EACH_ITS_OWN: partial(training_step, clip=clip_each),
        SCALED_UP: (partial(training_step, clip=clip_always)),
        "Are the gradients of the step before still there? Set every grad to None first.": (
            partial(training_step, clear=False)
        ),
        "Are the parameters unchanged? The step must change them in place.": partial(training_step, update=False),
        "Does the step go uphill? The sign of the update is minus.": partial(training_step, sign=-1),
        STATE_IGNORED: partial(training_step, zero=True),
        OLD_STATE: partial(training_step, carry=False),
    },
    run=observe_training,
)
