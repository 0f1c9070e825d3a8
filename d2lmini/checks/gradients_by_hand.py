"""Checks of notebook 08: the gradients of softmax, of tanh, and through time."""

from functools import partial

import numpy as np
import torch
from torch.nn import functional as F

from .engine import Check, hot, ids, normal
from .forward_pass import W_HH_TRANSPOSED
from .prediction import OVERFLOW, SOFTMAX_AXIS


def cross_entropy_gradient(logits, targets):
    logits = logits.clone().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(logits, targets), logits)[0]


softmax_gradient = Check(
    "softmax_gradient",
    cross_entropy_gradient,
    lambda rng: [
        ("logits (4, 6)", (normal(rng, 4, 6), ids(rng, 6, 4))),
        ("as many rows as symbols", (normal(rng, 3, 3), ids(rng, 3, 3))),
        ("a single row, vocabulary 2", (normal(rng, 1, 2), torch.tensor([1]))),
        (
            "large logits, up to 1,000",
            (torch.tensor([[1000.0, 0.0, -1000.0], [0.0, 999.0, 1000.0]]), torch.tensor([1, 2])),
        ),
    ],
    {
        "Is the division by the number of rows missing? The loss is a mean.": (
            lambda logits, targets: len(logits) * cross_entropy_gradient(logits, targets)
        ),
        "Is the one at the target not subtracted?": [
            lambda logits, targets: logits.softmax(-1) / len(logits),
            lambda logits, targets: logits.softmax(-1),
        ],
        "Is the sign the wrong way round?": lambda logits, targets: -cross_entropy_gradient(logits, targets),
        "Is 1 subtracted after the division by the number of rows, or the other way round? Divide both.": [
            lambda logits, targets: logits.softmax(-1) / len(logits) - hot(targets, logits.shape[1]),
            lambda logits, targets: logits.softmax(-1) - hot(targets, logits.shape[1]) / len(logits),
        ],
        "Is it divided by all entries? Only the number of rows counts.": [
            lambda logits, targets: cross_entropy_gradient(logits, targets) / logits.shape[1],
        ],
        SOFTMAX_AXIS: lambda logits, targets: (logits.softmax(0) - hot(targets, logits.shape[1])) / len(logits),
        "Are these logits instead of probabilities? The softmax is missing.": (
            lambda logits, targets: (logits - hot(targets, logits.shape[1])) / len(logits)
        ),
        OVERFLOW: lambda logits, targets: (
            (logits.exp() / logits.exp().sum(-1, keepdim=True) - hot(targets, logits.shape[1])) / len(logits)
        ),
        "Is only the target's column changed in all rows? Pair each row with its own target.": (
            lambda logits, targets: (logits.softmax(-1) - hot(targets, logits.shape[1]).amax(0)) / len(logits)
        ),
    },
)


def reference_tanh_backward(dH, H):
    Z = torch.atanh(H.double()).requires_grad_()
    return torch.autograd.grad((torch.tanh(Z) * dH).sum(), Z)[0].float()


tanh_backward = Check(
    "tanh_backward",
    reference_tanh_backward,
    lambda rng: [
        ("shape (3, 4)", (normal(rng, 3, 4), torch.tanh(normal(rng, 3, 4)))),
        ("a state of zeros", (normal(rng, 2, 3), torch.zeros(2, 3))),
        ("a state of 0.99", (torch.ones(1, 2), torch.full((1, 2), 0.99))),
        ("a batch of 1 with one hidden unit", (normal(rng, 1, 1), torch.tanh(normal(rng, 1, 1)))),
    ],
    {
        "Is tanh taken a second time? H is tanh(Z) already.": lambda dH, H: dH * (1 - torch.tanh(H) ** 2),
        "Is H not squared?": lambda dH, H: dH * (1 - H),
        "Is it the derivative of sigmoid?": lambda dH, H: dH * H * (1 - H),
        "Is dH forgotten?": lambda dH, H: 1 - H**2,
        "Is the sign of the square wrong?": [lambda dH, H: dH * (1 + H**2), lambda dH, H: dH * (H**2 - 1)],
        "Are dH and H swapped?": lambda dH, H: H * (1 - dH**2),
        "Is the derivative divided by instead of multiplied with?": lambda dH, H: dH / (1 - H**2),
        "Is tanh undone forwards, instead of its derivative taken?": lambda dH, H: dH * torch.tanh(H),
        "Is dH passed on unchanged?": lambda dH, H: dH,
        "Is the square taken of the whole bracket, or of dH too?": [
            lambda dH, H: dH * (1 - H) ** 2,
            lambda dH, H: dH - H**2,
        ],
    },
)


def backward(dH, H, W_hh, transpose=True, derivative="all", truncate=False, forwards=False):
    """Back-propagation through time, with places to go wrong."""
    dZ, later = np.zeros_like(dH), np.zeros_like(dH[0])
    steps = range(len(dH)) if forwards else reversed(range(len(dH)))
    for t in steps:
        slope = 1 - H[t] ** 2
        if derivative == "all":
            dZ[t] = (dH[t] + later) * slope
        elif derivative == "own":
            dZ[t] = dH[t] * slope + later
        elif derivative == "no":
            dZ[t] = dH[t] + later
        elif derivative == "next":
            dZ[t] = (dH[t] + later) * (1 - H[min(t + 1, len(H) - 1)] ** 2)
        later = (dH[t] * slope if truncate else dZ[t]) @ (W_hh.T if transpose else W_hh)
    return dZ


def reference_backward(dH, H, W_hh):
    """Autograd through a network whose inputs are chosen so that its states are H."""
    dH, H, W_hh = (torch.tensor(a, dtype=torch.float64) for a in (dH, H, W_hh))
    before = torch.cat([torch.zeros_like(H[:1]), H[:-1]])
    U = (torch.atanh(H) - before @ W_hh).requires_grad_()
    state, total = torch.zeros_like(H[0]), 0
    for t in range(len(H)):
        state = torch.tanh(U[t] + state @ W_hh)
        total = total + (dH[t] * state).sum()
    return torch.autograd.grad(total, U)[0].numpy()


def arrays(rng, num_steps, batch_size, num_hiddens, last_only=False):
    dH, Z = (normal(rng, num_steps, batch_size, num_hiddens).double().numpy() for _ in range(2))
    if last_only:
        dH[:-1] = 0
    return dH, np.tanh(Z), normal(rng, num_hiddens, num_hiddens, std=0.7).double().numpy()


backward_through_time = Check(
    "backward_through_time",
    reference_backward,
    lambda rng: [
        ("5 steps, batch of 3, 4 hidden units", arrays(rng, 5, 3, 4)),
        ("one step", arrays(rng, 1, 3, 4)),
        ("two steps, a batch of 1", arrays(rng, 2, 1, 3)),
        ("a gradient at the last step only", arrays(rng, 4, 2, 3, last_only=True)),
    ],
    {
        W_HH_TRANSPOSED + " Backwards, the gradient is multiplied by W_hh.T.": partial(backward, transpose=False),
        "Are the paths through later steps forgotten? Each step also changes the next state.": (
            lambda dH, H, W_hh: dH * (1 - H**2)
        ),
        "Does the gradient reach back one step only? Pass on the dZ of the step after, not its dH.": (
            partial(backward, truncate=True)
        ),
        "Is the derivative of tanh missing on the way from the later steps?": partial(backward, derivative="own"),
        "Is the derivative of tanh missing?": partial(backward, derivative="no"),
        "Does the loop run forwards? Gradients flow from the last step to the first.": partial(backward, forwards=True),
        "Is the H of the next step used for the derivative?": partial(backward, derivative="next"),
        "Is the order of time reversed in the result?": lambda dH, H, W_hh: backward(dH, H, W_hh)[::-1],
        "Is this dH, before the derivative of tanh at its own step?": lambda dH, H, W_hh: (
            backward(dH, H, W_hh) / (1 - H**2)
        ),
        "Is the gradient of the step itself, dH[t], left out before the last step?": lambda dH, H, W_hh: backward(
            np.where((np.arange(len(dH)) == len(dH) - 1)[:, None, None], dH, 0), H, W_hh
        ),
    },
)
