"""Checks of notebook 03: one step, all steps, the last step's logits."""

from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from .engine import Check, hot, ids, normal
from .one_hot_encoding import AXES
from .parameters import shapes

TANH = "Is tanh missing?"
BIAS = "Is the bias b_h forgotten?"
W_HH_TRANSPOSED = "Is W_hh transposed?"
STATE_IGNORED = "Is the incoming state ignored?"
NOT_CARRIED = "Is the state carried from step to step?"
OLD_STATE = "Is the old state returned? The new one is the H of the last step."


def network(rng, vocab_size, num_hiddens):
    """Parameters large enough for every term of the formulas to show. Id 0, "<unk>", is never the likeliest."""
    params = [normal(rng, *shape, std=0.8) for shape in shapes(vocab_size, num_hiddens)]
    params[-1][0] -= 100
    return params


def cell(X, H, params):
    W_xh, W_hh, b_h, *_ = params
    return torch.rnn_tanh_cell(X, H, W_xh.T, W_hh.T, b_h, torch.zeros_like(b_h))


def formula(X, H, params, activation=torch.tanh, transpose=False, bias=True):
    W_xh, W_hh, b_h, *_ = params
    return activation(X @ W_xh + H @ (W_hh.T if transpose else W_hh) + (b_h if bias else 0))


# The mistakes in one step that every network of this kind can have.
WRONG_STEPS = {
    TANH: partial(formula, activation=lambda Z: Z),
    "Is it sigmoid or ReLU, instead of tanh?": [
        partial(formula, activation=torch.sigmoid),
        partial(formula, activation=torch.relu),
    ],
    BIAS: partial(formula, bias=False),
    W_HH_TRANSPOSED: partial(formula, transpose=True),
}

rnn_step = Check(
    "rnn_step",
    cell,
    lambda rng: [
        ("X (3, 5), H (3, 4)", (hot(ids(rng, 5, 3), 5), normal(rng, 3, 4), network(rng, 5, 4))),
        ("a state of zeros", (hot(ids(rng, 5, 2), 5), torch.zeros(2, 4), network(rng, 5, 4))),
        ("a batch of 1, vocabulary 2", (hot(ids(rng, 2, 1), 2), normal(rng, 1, 3), network(rng, 2, 3))),
        ("a single hidden unit", (hot(ids(rng, 4, 2), 4), normal(rng, 2, 1), network(rng, 4, 1))),
    ],
    {
        **WRONG_STEPS,
        "Is the term of the old state, H @ W_hh, forgotten?": lambda X, H, params: formula(X, 0 * H, params),
        "Is the term of the input, X @ W_xh, forgotten?": lambda X, H, params: formula(0 * X, H, params),
        "Is H added without being multiplied by W_hh?": lambda X, H, params: torch.tanh(X @ params[0] + H + params[2]),
        "Is tanh taken before everything is added?": [
            lambda X, H, params: torch.tanh(X @ params[0] + H @ params[1]) + params[2],
            lambda X, H, params: torch.tanh(X @ params[0]) + torch.tanh(H @ params[1]) + params[2],
            lambda X, H, params: torch.tanh(X @ params[0]) + H @ params[1] + params[2],
        ],
        "Are these the logits, H @ W_hq + b_q, instead of the new state?": (
            lambda X, H, params: cell(X, H, params) @ params[3] + params[4]
        ),
    },
)


def unroll(inputs, H, params, step=cell, carry=True):
    """The states after every step, (num_steps, batch_size, num_hiddens)."""
    states, first = [], H
    for X in inputs:
        H = step(X, H if carry else first, params)
        states.append(H)
    return torch.stack(states)


def library_rnn(params, inputs, H):
    """All states by torch's own recurrent layer."""
    W_xh, W_hh, b_h, *_ = params
    layer = nn.RNN(*W_xh.shape)
    zeros = torch.zeros_like(b_h)
    weights = {"weight_ih_l0": W_xh.T, "weight_hh_l0": W_hh.T, "bias_ih_l0": b_h, "bias_hh_l0": zeros}
    return torch.func.functional_call(layer, weights, (inputs, H[None]))[0]


def reference_rnn(inputs, state, params):
    states = library_rnn(params, inputs, state[0])
    return F.linear(states.flatten(0, 1), params[3].T, params[4]), (states[-1],)


def logits_of(states, params):
    return states @ params[3] + params[4]


def wrong_rnn(change=lambda states, params: logits_of(states, params).flatten(0, 1), **mistake):
    """A network over time with a mistake in its steps, or with other logits."""

    def network(inputs, state, params):
        states = unroll(inputs, state[0], params, **mistake)
        return change(states, params), (states[-1],)

    return network


rnn = Check(
    "rnn",
    reference_rnn,
    lambda rng: [
        ("4 steps, batch of 3", (hot(ids(rng, 5, 4, 3), 5), (normal(rng, 3, 6),), network(rng, 5, 6))),
        ("a state of zeros", (hot(ids(rng, 5, 3, 2), 5), (torch.zeros(2, 4),), network(rng, 5, 4))),
        ("one step", (hot(ids(rng, 5, 1, 3), 5), (normal(rng, 3, 4),), network(rng, 5, 4))),
        ("a batch of 1, vocabulary 2", (hot(ids(rng, 2, 5, 1), 2), (normal(rng, 1, 3),), network(rng, 2, 3))),
    ],
    {
        NOT_CARRIED: wrong_rnn(carry=False),
        STATE_IGNORED: lambda inputs, state, params: reference_rnn(inputs, (0 * state[0],), params),
        **{
            hint: [wrong_rnn(step=step) for step in (steps if isinstance(steps, list) else [steps])]
            for hint, steps in WRONG_STEPS.items()
        },
        "Are the rows in the wrong order? All rows of the first step come first.": wrong_rnn(
            lambda states, params: logits_of(states, params).transpose(0, 1).flatten(0, 1)
        ),
        "Are the steps stacked? Join them to (num_steps * batch_size, vocab_size), as torch.cat does.": wrong_rnn(
            lambda states, params: logits_of(states, params)
        ),
        "Are only the last step's logits returned?": wrong_rnn(lambda states, params: logits_of(states[-1], params)),
        "Is the bias b_q forgotten?": wrong_rnn(lambda states, params: (states @ params[3]).flatten(0, 1)),
        "Are these the hidden states instead of the logits?": wrong_rnn(lambda states, params: states.flatten(0, 1)),
        OLD_STATE: (lambda inputs, state, params: (reference_rnn(inputs, state, params)[0], state)),
    },
    parts=("logits", "state"),
    about={"state": "Is the state a tuple with one tensor, (H,)?"},
)


def read(X, params, step=cell, carry=True):
    """The states while reading ids X (batch_size, num_steps) from a zero state."""
    H = torch.zeros(len(X), len(params[1]))
    return unroll(hot(X.T, len(params[0])), H, params, step, carry)


def reference_final_logits(X, params):
    inputs = hot(X.T, len(params[0]))
    return reference_rnn(inputs, (torch.zeros(len(X), len(params[1])),), params)[0][-len(X) :]


final_logits = Check(
    "final_logits",
    reference_final_logits,
    lambda rng: [
        ("X of shape (3, 5)", (ids(rng, 6, 3, 5), network(rng, 6, 7))),
        ("as many steps as rows", (ids(rng, 6, 4, 4), network(rng, 6, 5))),
        ("one step", (ids(rng, 6, 3, 1), network(rng, 6, 5))),
        ("a batch of 1, vocabulary 2", (ids(rng, 2, 1, 4), network(rng, 2, 3))),
    ],
    {
        AXES: [
            lambda X, params: logits_of(read(X.T, params)[-1], params),
            lambda X, params: logits_of(read(X.T, params), params).flatten(0, 1)[-len(X) :],
        ],
        "Are these the logits of all steps? Only the last step's are wanted.": [
            lambda X, params: logits_of(read(X, params), params),
            lambda X, params: logits_of(read(X, params), params).flatten(0, 1),
        ],
        "Is it the last row only? The last step has batch_size rows.": [
            lambda X, params: logits_of(read(X, params), params).flatten(0, 1)[-1],
            lambda X, params: logits_of(read(X, params), params).flatten(0, 1)[-1:],
        ],
        "Are these the logits of the first step?": lambda X, params: logits_of(read(X, params)[0], params),
        "Is the mean over the steps taken, instead of the last one?": (
            lambda X, params: logits_of(read(X, params), params).mean(dim=0)
        ),
        NOT_CARRIED: lambda X, params: logits_of(read(X, params, carry=False)[-1], params),
        "Is the text read backwards?": lambda X, params: logits_of(read(X.flip(1), params)[-1], params),
        "Are these probabilities? Logits have no softmax.": (
            lambda X, params: logits_of(read(X, params)[-1], params).softmax(-1)
        ),
        "Are these the hidden states instead of the logits?": lambda X, params: read(X, params)[-1],
        "Is the bias b_q forgotten?": lambda X, params: read(X, params)[-1] @ params[3],
        TANH: lambda X, params: logits_of(read(X, params, WRONG_STEPS[TANH])[-1], params),
        BIAS: lambda X, params: logits_of(read(X, params, WRONG_STEPS[BIAS])[-1], params),
        W_HH_TRANSPOSED: lambda X, params: logits_of(read(X, params, WRONG_STEPS[W_HH_TRANSPOSED])[-1], params),
    },
    rtol=1e-3,
)
