"""Checks of notebook 05: the joint norm of several gradients, the clip, and their direction."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .judge import Check, normal

PARTS_ADDED = "Did you add the norms of the parts? Add the squares, and take one root."
NO_ROOT = "Did you forget the square root?"
EACH_ITS_OWN = "Did you clip each gradient by its own norm? They share one norm."
SCALED_UP = "Did you scale small gradients up? Without min(1, ...) the norm always becomes theta."


def flat(grads):
    return torch.cat([grad.flatten() for grad in grads]).double()


def vectors(*rows):
    return [torch.tensor(row) for row in rows]


def gradients(rng, std=1.0):
    """Five gradients; one of them is a transposed tensor, as gradients can be."""
    grads = [normal(rng, *shape, std=std) for shape in [(5, 3), (3, 3), (3,), (5, 3), (5,)]]
    return [*grads[:3], grads[3].T, grads[4]]


NORMS = {  # what of the parts becomes the joint norm
    "joint": lambda parts, norm: norm(torch.cat(parts)),
    "means": lambda parts, norm: math.sqrt(sum(float((part**2).mean()) for part in parts)),
    "added": lambda parts, norm: sum(norm(part) for part in parts),
    "mean": lambda parts, norm: sum(norm(part) for part in parts) / len(parts),
    "largest": lambda parts, norm: max(norm(part) for part in parts),
    "first": lambda parts, norm: norm(parts[0]),
    "last": lambda parts, norm: norm(parts[-1]),
    "but the last": lambda parts, norm: norm(torch.cat(parts[:-1])) if len(parts) > 1 else 0.0,
}


def joint(grads, *, over="joint", of=torch.square, total=torch.sum, root=math.sqrt):
    """The joint norm, with places to go wrong."""
    return NORMS[over]([grad.flatten().double() for grad in grads], lambda part: root(float(total(of(part)))))


WRONG_NORMS = {
    PARTS_ADDED: {"over": "added"},
    NO_ROOT: {"root": lambda total: total},
    "Did you average the norms of the parts?": {"over": "mean"},
    "Did you take the norm of the largest part only?": {"over": "largest"},
    "Did you take the norm of the first part only?": {"over": "first"},
    "Did you take the norm of the last part only?": {"over": "last"},
    "Did you leave out the last part?": {"over": "but the last"},
    "Did you average the squares? The norm takes their sum.": [{"total": torch.mean}, {"over": "means"}],
    "Did you add absolute values, instead of squares?": {"of": torch.abs, "root": lambda total: total},
    "Did you add the numbers without squaring them?": [
        {"of": lambda part: part, "root": lambda total: math.sqrt(total) if total >= 0 else math.nan},
        {"of": lambda part: part, "root": lambda total: total},
        {"of": lambda part: part, "root": abs},
    ],
    "Did you take the largest entry?": {"of": torch.abs, "total": torch.max, "root": lambda total: total},
}

grad_norm = Check(
    "grad_norm",
    lambda grads: float(torch.linalg.vector_norm(flat(grads))),
    lambda rng: [
        ("a single number", (vectors(-2.5),)),
        ("two gradients of one number", (vectors([-3.0], [4.0]),)),
        ("two gradients, the second larger", (vectors([1.0, -2.0], [[3.0], [-6.0]]),)),
        ("gradients that are all zero", ([torch.zeros(2, 3), torch.zeros(2)],)),
        ("a single gradient", ([normal(rng, 2, 3)],)),
        ("five gradients", (gradients(rng),)),
        ("five large gradients", (gradients(rng, 1e4),)),
        (
            "twelve gradients, one of shape (2, 3, 1, 4)",
            ([*gradients(rng), *gradients(rng), torch.tensor(1.5), normal(rng, 2, 3, 1, 4)],),
        ),
    ],
    joint,
    WRONG_NORMS,
)  # fmt: skip


def clipped(grads, theta, *, each=False, cap=True, upside_down=False, clamp=False, reverse=False, numerator="theta",
            always_one=False, zero="kept", compared=lambda norm: norm, **mistake):  # fmt: skip
    """Clipped gradients, with places to go wrong."""
    if clamp:
        return [grad.clamp(-theta, theta) for grad in grads]
    if each:
        options = {"cap": cap, "upside_down": upside_down, "reverse": reverse, "numerator": numerator, "zero": zero}
        return [clipped([grad], theta, **options, **mistake)[0] for grad in grads]
    norm = joint(grads, **mistake)
    if norm == 0 and zero != "kept":
        return [grad * (math.nan if zero == "nan" else 1 / norm) for grad in grads]
    factor = (theta if numerator == "theta" else 1.0) / norm if norm else 1.0
    if upside_down:
        factor = 1 / factor
    if always_one or (cap and (norm > theta if reverse else compared(norm) <= theta)):
        factor = 1.0
    return [grad * factor for grad in grads]


def reference_clip(grads, theta):
    params = [torch.zeros_like(grad).requires_grad_() for grad in grads]
    for param, grad in zip(params, grads):
        param.grad = grad.clone()
    nn.utils.clip_grad_norm_(params, theta)
    return [param.grad for param in params]


clip = Check(
    "clip",
    reference_clip,
    lambda rng: [
        ("a norm below theta", (vectors([0.6, -0.8], [[1.2]]), 2.0)),  # and its square above theta
        ("gradients that are all zero", ([torch.zeros(2), torch.zeros(1, 3)], 0.7)),
        ("a norm of 13, theta 2.6", (vectors([-3.0, 4.0], [12.0]), 2.6)),
        ("a large and a small gradient", (vectors([30.0, -40.0], [0.3]), 5.0)),
        ("a single gradient, theta 0.5", ([normal(rng, 4, 2)], 0.5)),
        ("five gradients with a norm above theta", (gradients(rng), 1.5)),
        ("five gradients with a norm below theta", (gradients(rng, 0.01), 1.5)),
        ("five large gradients", (gradients(rng, 1e4), 3.0)),
        ("twelve gradients", ([*gradients(rng), *gradients(rng), normal(rng, 2, 3), normal(rng, 1, 2, 4, 2)], 2.5)),
    ],
    clipped,
    {
        EACH_ITS_OWN: {"each": True},
        SCALED_UP: {"cap": False},
        "Did you cut each number to the range from -theta to theta? That changes the direction.": {"clamp": True},
        "Is the comparison the wrong way round, or max in place of min? Scale only if the norm is above theta.": {
            "reverse": True
        },
        "Is the fraction upside down? The factor is theta / norm.": [
            {"upside_down": True},
            lambda grads, theta: [grad * max(1.0, joint(grads) / theta) for grad in grads],
            lambda grads, theta: [grad * min(1.0, joint(grads) / theta) for grad in grads],
        ],
        "Did you forget theta in the factor? It is theta / norm.": {"numerator": "one"},
        "Did you compare the square of the norm with theta? Take the root first.": {"compared": lambda norm: norm**2},
        "Did you divide by zero? Gradients of zero have the norm 0: scale only if the norm is above theta.": [
            {"zero": "raises"},
            {"zero": "nan"},
        ],
        "Did you return the gradients unclipped?": {"always_one": True},
        **WRONG_NORMS,
    },
)


def angle(grads_a, grads_b, *, dot="joint", by=("a", "b"), final=lambda value: value, **mistake):
    """The cosine, with places to go wrong."""
    if dot == "each":
        cosines = [angle([a], [b], by=by, **mistake) if a.any() and b.any() else 0.0 for a, b in zip(grads_a, grads_b)]
        return final(sum(cosines) / len(cosines))
    first = 1 if dot == "first" else None
    product = float(flat(grads_a[:first]) @ flat(grads_b[:first]))
    for name in by:
        product /= joint(grads_a if name == "a" else grads_b, **mistake)
    return final(product)


cosine = Check(
    "cosine",
    lambda grads_a, grads_b: float(F.cosine_similarity(flat(grads_a), flat(grads_b), dim=0)),
    lambda rng: [
        ("a list and its opposite", (vectors([1.0, 2.0]), vectors([-1.5, -3.0]))),
        ("two lists at a right angle", (vectors([1.5], [0.0]), vectors([0.0], [5.0]))),
        ("a list and its double", (vectors([1.0, 2.0], [[3.0]]), vectors([2.0, 4.0], [[6.0]]))),
        ("two lists of two gradients", (vectors([1.0, -2.0], [[0.5]]), vectors([0.3, 2.0], [[4.0]]))),
        ("two random lists", (gradients(rng), gradients(rng))),
        ("parts of very different sizes", (gradients(rng, 5.0)[:2] + gradients(rng, 0.1)[2:], gradients(rng))),
        ("large gradients", (gradients(rng, 1e4), gradients(rng, 1e3))),
        ("lists of ten gradients", (gradients(rng) + gradients(rng), gradients(rng, 0.2) + gradients(rng, 3.0))),
    ],
    angle,
    {
        "Did you average the cosines of the parts? All parts are one long vector.": {"dot": "each"},
        "Did you forget to divide by the two norms?": {"by": ()},
        "Did you divide by one of the two norms only?": [{"by": ("a",)}, {"by": ("b",)}],
        "Did you divide by one of the norms twice? Each list has its own.": [{"by": ("a", "a")}, {"by": ("b", "b")}],
        "Did you lose the sign? Opposite directions have the cosine -1.": {"final": abs},
        "Did you return the distance, 1 minus the cosine?": {"final": lambda value: 1 - value},
        "Did you flip the sign?": {"final": lambda value: -value},
        "Did you return the angle? Return its cosine.": {"final": lambda value: math.acos(max(-1.0, min(1.0, value)))},
        "Did you use the first part only?": lambda grads_a, grads_b: angle(grads_a[:1], grads_b[:1]),
        "Did you multiply the first parts only?": {"dot": "first"},
        **WRONG_NORMS,
    },
)
