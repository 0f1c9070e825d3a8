"""Checks of notebook 03: one step, all steps, the last step's logits."""

import torch
from torch import nn
from torch.nn import functional as F

from .judge import Check, hot, ids, normal
from .one_hot_encoding import AXES
from .parameters import shapes
from .watching import with_gradients

STATE_IGNORED = "Did you ignore the incoming state?"
NOT_CARRIED = "Did you forget to carry the state from step to step?"
OLD_STATE = "Did you return the old state? The new state is the H of the last step."
CUT_OFF = "Did you detach the state inside the loop? The gradient must reach back through all steps."
OVERWRITTEN = "Did you overwrite one H in each step (H[:] = ...) after keeping it? Make a new tensor in each step."


def network(rng, vocab_size, num_hiddens):
    """Parameters large enough for every term of the formulas to show. Id 0, "<unk>", is never the likeliest."""
    params = [normal(rng, *shape, std=0.8) for shape in shapes(vocab_size, num_hiddens)]
    params[-1][0] -= 100
    return params


def cell(X, H, params):
    W_xh, W_hh, b_h, *_ = params
    return torch.rnn_tanh_cell(X, H, W_xh.T, W_hh.T, b_h, torch.zeros_like(b_h))


def step(X, H, params, *, activation=torch.tanh, transpose=False, bias=1, old=1, new=1, W=None, early=None):
    """One step, with places to go wrong."""
    W_xh, W_hh, b_h, *_ = params
    from_input, from_state = new * (X @ W_xh), old * (H if W == "none" else H @ (W_hh.T if transpose else W_hh))
    if early == "bias":
        return activation(from_input + from_state) + bias * b_h
    if early == "state":
        return activation(from_input) + from_state + bias * b_h
    if early == "each":
        return activation(from_input) + activation(from_state) + bias * b_h
    return activation(from_input + from_state + bias * b_h)


def as_in_a_model(function, *args):
    """A `run` for functions that only read: their parameters, the last argument, require gradients all the same."""
    *others, params = args
    return function(*others, [param.clone().requires_grad_() for param in params])


# The mistakes in one step that every network of this kind can have.
WRONG_STEPS = {
    "Did you forget tanh?": {"activation": lambda Z: Z},
    "Did you use sigmoid or ReLU, instead of tanh?": [{"activation": torch.sigmoid}, {"activation": torch.relu}],
    "Did you apply tanh twice?": {"activation": lambda Z: torch.tanh(torch.tanh(Z))},
    "Did you forget the bias b_h?": {"bias": 0},
    "Did you transpose W_hh?": {"transpose": True},
    "Did you forget the term of the old state, H @ W_hh?": {"old": 0},
    "Did you forget the term of the input, X @ W_xh?": {"new": 0},
    "Did you add H without multiplying it by W_hh?": {"W": "none"},
    "Did you apply tanh before everything is added?": [{"early": "bias"}, {"early": "state"}, {"early": "each"}],
}

rnn_step = Check(
    "rnn_step",
    cell,
    lambda rng: [
        (
            f"{what}X ({batch_size}, {vocab_size}), H ({batch_size}, {num_hiddens})",
            (hot(ids(rng, vocab_size, batch_size), vocab_size), scale * normal(rng, batch_size, num_hiddens),
             network(rng, vocab_size, num_hiddens)),
        )
        for what, batch_size, vocab_size, num_hiddens, scale in [
            ("", 1, 2, 3, 1.0), ("a single hidden unit, ", 2, 4, 1, 1.0), ("a state of zeros, ", 2, 5, 4, 0.0),
            ("", 3, 5, 4, 1.0), ("", 70, 19, 33, 0.3),
        ]
    ],
    step,
    {
        **WRONG_STEPS,
        "Did you return the logits, H @ W_hq + b_q, instead of the new state?": (
            lambda X, H, params: step(X, H, params) @ params[3] + params[4]
        ),
        "Did you detach the result? Training needs the gradient.": lambda X, H, params: step(X, H.detach(), params),
    },
    run=with_gradients,
)  # fmt: skip


def unrolled(inputs, state, params, *, carry=True, start=1, detach=0, cut_start=False, overwrite=False,
             steps=lambda inputs: inputs, read="all", order="time", b_q=1, returned="new",
             after=lambda logits: logits, **mistake):  # fmt: skip
    """A network over time, with places to go wrong, in its steps as well."""
    H = start_H = start * (state[0].detach() if cut_start else state[0])
    states = []
    for t, X in enumerate(steps(inputs)):
        H = step(X, H if carry else start_H, params, **mistake)
        states.append(H)
        if detach and (t + 1) % detach == 0:
            H = H.detach()
    last = states[-1]
    states = torch.stack([last] * len(states) if overwrite else states)
    logits = states if order == "states" else after(states @ params[3] + b_q * params[4])
    logits = {"all": logits, "last": logits[-1:], "first": logits[:1], "mean": logits.mean(0, keepdim=True),
              "last row": logits[-1:, -1:]}[read]  # fmt: skip
    if order == "batch":
        logits = logits.transpose(0, 1)
    if order != "stacked":
        logits = logits.flatten(0, 1)
    return logits, (last if returned == "new" else state[0],)


WRONG_NETWORKS = {
    **WRONG_STEPS,
    NOT_CARRIED: {"carry": False},
    OVERWRITTEN: {"overwrite": True},
    "Did you skip the last step?": {"steps": lambda inputs: inputs[:-1]},
    "Did you skip the first step?": {"steps": lambda inputs: inputs[1:]},
    "Did you read the text backwards?": {"steps": lambda inputs: inputs.flip(0)},
    "Did you forget the bias b_q?": {"b_q": 0},
    "Did you return the hidden states instead of the logits?": {"order": "states"},
    "Did you apply softmax? Logits are the scores before it.": [
        {"after": lambda logits: logits.softmax(-1)},
        {"after": lambda logits: logits.log_softmax(-1)},
    ],
    "Did you apply tanh to the logits, too?": {"after": torch.tanh},
}


def library_rnn(params, inputs, H):
    """All states by PyTorch's own recurrent layer."""
    W_xh, W_hh, b_h, *_ = params
    layer = nn.RNN(*W_xh.shape)
    zeros = torch.zeros_like(b_h)
    weights = {"weight_ih_l0": W_xh.T, "weight_hh_l0": W_hh.T, "bias_ih_l0": b_h, "bias_hh_l0": zeros}
    return torch.func.functional_call(layer, weights, (inputs, H[None]))[0]


def reference_rnn(inputs, state, params):
    states = library_rnn(params, inputs, state[0])
    return F.linear(states.flatten(0, 1), params[3].T, params[4]), (states[-1],)


rnn = Check(
    "rnn",
    reference_rnn,
    lambda rng: [
        (
            f"num_steps {num_steps}, batch_size {batch_size}, vocab_size {vocab_size}, num_hiddens {num_hiddens}",
            (hot(ids(rng, vocab_size, num_steps, batch_size), vocab_size),
             (scale * normal(rng, batch_size, num_hiddens),), network(rng, vocab_size, num_hiddens)),
        )
        for num_steps, batch_size, vocab_size, num_hiddens, scale in [
            (1, 2, 4, 3, 1.0), (2, 1, 2, 3, 1.0), (3, 2, 5, 4, 1.0), (4, 2, 5, 3, 0.0), (14, 3, 5, 6, 1.0),
            (3, 50, 7, 4, 0.3), (70, 1, 3, 2, 1.0),
        ]
    ],
    unrolled,
    {
        **WRONG_NETWORKS,
        STATE_IGNORED: {"start": 0},
        "Are the rows in the wrong order? All rows of the first step come first.": {"order": "batch"},
        "Did you stack the steps? Join them to (num_steps * batch_size, vocab_size), as torch.cat does.": {
            "order": "stacked"
        },
        "Did you return only the last step's logits?": {"read": "last"},
        OLD_STATE: {"returned": "old"},
        CUT_OFF: [{"detach": n, "cut_start": cut} for n in (1, 2, 3, 4, 5, 8, 10, 16, 32, 64) for cut in (False, True)],
    },
    run=with_gradients,
    parts=("logits", "state"),
    about={"state": "Is the state a tuple with one tensor, (H,)? The comma makes the tuple."},
    rtol=1e-3,
    atol=1e-4,
)  # fmt: skip


def final(X, params, *, turn=lambda X: X.T, read="last", **mistake):
    """The last logits, with places to go wrong."""
    turned = turn(X)
    H = torch.zeros(turned.shape[1], len(params[1]))
    return unrolled(hot(turned, len(params[0])), (H,), params, read=read, **mistake)[0]


def batch_first(X, params, read):
    """Sequences in place of steps, and a state for len(X) sequences: it fits only if there is 1 sequence or 1 step."""
    return unrolled(hot(X, len(params[0])), (torch.zeros(len(X), len(params[1])),), params, read=read)[0]


def reference_final_logits(X, params):
    inputs = hot(X.T, len(params[0]))
    return reference_rnn(inputs, (torch.zeros(len(X), len(params[1])),), params)[0][-len(X) :]


final_logits = Check(
    "final_logits",
    reference_final_logits,
    lambda rng: [
        (
            f"X of shape ({batch_size}, {num_steps}), vocabulary of {vocab_size}, {num_hiddens} hidden units",
            (ids(rng, vocab_size, batch_size, num_steps), network(rng, vocab_size, num_hiddens)),
        )
        for batch_size, num_steps, vocab_size, num_hiddens in [
            (1, 2, 2, 3), (3, 1, 6, 5), (2, 3, 5, 4), (3, 5, 6, 7), (2, 40, 5, 6), (50, 3, 300, 4)
        ]
    ],
    final,
    {
        AXES: [
            {"turn": lambda X: X},
            lambda X, params: final(X, params, turn=lambda X: X, read="all")[-len(X) :],
            lambda X, params: batch_first(X, params, "last"),
            lambda X, params: batch_first(X, params, "all")[-len(X) :],
        ],
        "Did you return the logits of all steps? Return only the last step's.": [
            {"read": "all"},
            {"read": "all", "order": "stacked"},
            {"read": "all", "order": "batch"},
        ],
        "Did you take the last row only? The last step has batch_size rows.": [
            {"read": "last row"},
            lambda X, params: final(X, params)[-1],
        ],
        "Did you take the last rows of batch-major logits? In those, the steps of a sequence are together.": (
            lambda X, params: final(X, params, read="all", order="batch")[-len(X) :]
        ),
        "Did you return the logits of the first step?": {"read": "first"},
        "Did you average over the steps, instead of taking the last one?": {"read": "mean"},
        # Without the old state it is NOT_CARRIED, and what is overwritten isn't asked for.
        **{hint: made for hint, made in WRONG_NETWORKS.items() if made not in ({"old": 0}, {"overwrite": True})},
    },
    run=as_in_a_model,
    rtol=1e-3,
    atol=1e-4,
)  # fmt: skip
