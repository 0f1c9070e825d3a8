"""Checks of notebook 05: the joint norm of several gradients, the clip, and their direction."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .engine import Check, Problem, normal

PARTS_ADDED = "Are the norms of the parts added? Add the squares, and take one root."
EACH_ITS_OWN = "Is each gradient clipped by its own norm? They share one norm."
SCALED_UP = "Are small gradients scaled up? Without min(1, ...) the norm always becomes theta."


def flat(grads):
    return torch.cat([grad.flatten() for grad in grads]).double()


def sum_of_squares(grads):
    return float((flat(grads) ** 2).sum())


def vectors(*rows):
    return [torch.tensor(row) for row in rows]


def gradients(rng, std=1.0):
    return [normal(rng, *shape, std=std) for shape in [(3, 4), (4, 4), (4,), (4, 3), (3,)]]


grad_norm = Check(
    "grad_norm",
    lambda grads: float(torch.linalg.vector_norm(flat(grads))),
    lambda rng: [
        ("five gradients", (gradients(rng),)),
        ("[3.0] and [4.0]", (vectors([3.0], [4.0]),)),
        ("a single gradient", ([normal(rng, 2, 3)],)),
        ("gradients that are all zero", ([torch.zeros(2, 2), torch.zeros(2)],)),
    ],
    {
        PARTS_ADDED: (lambda grads: float(sum(grad.norm() for grad in grads))),
        "Is the square root missing?": sum_of_squares,
        "Is it the norm of the largest part only?": lambda grads: float(max(grad.norm() for grad in grads)),
        "Is it the norm of the first part only?": lambda grads: float(grads[0].norm()),
        "Are absolute values added, instead of squares?": lambda grads: float(flat(grads).abs().sum()),
        "Is it the mean of the squares? The norm takes their sum.": [
            lambda grads: math.sqrt(sum_of_squares(grads) / flat(grads).numel()),
            lambda grads: math.sqrt(sum(float((grad**2).mean()) for grad in grads)),
        ],
        "Is it the mean of the norms?": lambda grads: float(sum(grad.norm() for grad in grads) / len(grads)),
        "Is it the largest single entry?": lambda grads: float(flat(grads).abs().max()),
    },
)


def scaled(grads, factor):
    return [grad * factor for grad in grads]


def norm(grads):
    return math.sqrt(sum_of_squares(grads))


def reference_clip(grads, theta):
    params = [torch.zeros_like(grad).requires_grad_() for grad in grads]
    for param, grad in zip(params, grads):
        param.grad = grad.clone()
    nn.utils.clip_grad_norm_(params, theta)
    return [param.grad for param in params]


def observe_clip(function, grads, theta, side_effect=False):
    """The clipped gradients; or, as a case of its own, whether those that were given are still the same."""
    before = flat(grads)
    result = function(grads, theta)
    if side_effect and not torch.equal(flat(grads), before):
        text = "expected the gradients given to stay as they are, but they have changed"
        return Problem("", "side effect", text, "Are the gradients changed in place? Return new tensors.")
    return result


clip = Check(
    "clip",
    reference_clip,
    lambda rng: [
        ("five gradients with a norm above theta 1", (gradients(rng), 1.0)),
        ("gradients with a norm below theta", (gradients(rng, 0.01), 1.0)),
        ("a single gradient, theta 0.5", ([normal(rng, 4, 2)], 0.5)),
        ("a large and a small gradient", (vectors([30.0, 40.0], [0.3]), 5.0)),
        ("five other gradients", (gradients(rng), 0.5, True)),
    ],
    {
        EACH_ITS_OWN: (lambda grads, theta: [grad * min(1.0, theta / float(grad.norm())) for grad in grads]),
        SCALED_UP: [
            lambda grads, theta: scaled(grads, theta / norm(grads)),
            lambda grads, theta: [grad * theta / grad.norm() for grad in grads],
        ],
        "Is each number cut to -theta .. theta? That changes the direction.": (
            lambda grads, theta: [grad.clamp(-theta, theta) for grad in grads]
        ),
        "Is the fraction upside down? The factor is theta / norm.": [
            lambda grads, theta: scaled(grads, max(1.0, norm(grads) / theta)),
            lambda grads, theta: scaled(grads, min(1.0, norm(grads) / theta)),
            lambda grads, theta: scaled(grads, norm(grads) / theta if norm(grads) > theta else 1.0),
        ],
        "Is theta forgotten in the factor? It is theta / norm.": (
            lambda grads, theta: scaled(grads, 1 / norm(grads) if norm(grads) > theta else 1.0)
        ),
        "Is the square root missing in the norm?": (
            lambda grads, theta: scaled(grads, min(1.0, theta / sum_of_squares(grads)))
        ),
        PARTS_ADDED: (lambda grads, theta: scaled(grads, min(1.0, theta / sum(float(grad.norm()) for grad in grads)))),
        "Is nothing clipped?": lambda grads, theta: grads,
    },
    run=observe_clip,
)


def dot(a, b):
    return float(flat(a) @ flat(b))


cosine = Check(
    "cosine",
    lambda a, b: float(F.cosine_similarity(flat(a), flat(b), dim=0)),
    lambda rng: [
        ("two random lists", (gradients(rng), gradients(rng))),
        (
            "a list and its double",
            ([torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])], [torch.tensor([2.0, 4.0]), torch.tensor([[6.0]])]),
        ),
        ("a list and its opposite", (vectors([1.0, 2.0]), vectors([-1.0, -2.0]))),
        (
            "two lists at a right angle",
            ([torch.tensor([1.0]), torch.tensor([0.0])], [torch.tensor([0.0]), torch.tensor([5.0])]),
        ),
        ("parts of very different sizes", (gradients(rng, 5.0)[:2] + gradients(rng, 0.1)[2:], gradients(rng))),
    ],
    {
        "Is it a mean of the parts' cosines? All parts are one long vector.": lambda a, b: float(
            sum(F.cosine_similarity(x.flatten(), y.flatten(), dim=0) for x, y in zip(a, b)) / len(a)
        ),
        "Is the division by the two norms missing?": dot,
        "Is only one of the two norms divided by?": [
            lambda a, b: dot(a, b) / norm(a),
            lambda a, b: dot(a, b) / norm(b),
        ],
        "Are the square roots missing in the norms?": lambda a, b: dot(a, b) / (sum_of_squares(a) * sum_of_squares(b)),
        "Is the sign lost? Opposite directions have the cosine -1.": lambda a, b: abs(dot(a, b)) / (norm(a) * norm(b)),
        "Is it the distance, 1 minus the cosine?": lambda a, b: 1 - dot(a, b) / (norm(a) * norm(b)),
        "Is it the angle? Its cosine is wanted.": lambda a, b: math.acos(
            max(-1.0, min(1.0, dot(a, b) / (norm(a) * norm(b))))
        ),
        PARTS_ADDED: lambda a, b: dot(a, b) / float(sum(x.norm() for x in a) * sum(y.norm() for y in b)),
    },
)
