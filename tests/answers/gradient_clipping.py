"""Answers to the exercises of notebook 05."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import d2lmini

from . import changes, right, wrong

ZERO = "Did you divide by zero? Gradients of zero have the norm 0: scale only if the norm is above theta."


def joint(grads):
    return math.sqrt(sum(float((grad**2).sum()) for grad in grads))


def product(a, b):
    return sum(float((x * y).sum()) for x, y in zip(a, b))


# --- grad_norm ---


right("grad_norm")(lambda grads: math.sqrt(sum(float((grad**2).sum()) for grad in grads)))


right("grad_norm")(lambda grads: torch.cat([grad.flatten() for grad in grads]).norm().item())


right("grad_norm")(lambda grads: float(np.linalg.norm([np.linalg.norm(grad.numpy()) for grad in grads])))


right("grad_norm")(lambda grads: torch.sqrt(sum((grad * grad).sum() for grad in grads)))


wrong("grad_norm", "Did you add the norms of the parts? Add the squares, and take one root.")(
    lambda grads: sum((grad**2).sum().sqrt().item() for grad in grads)
)


wrong("grad_norm", "Did you forget the square root?")(lambda grads: sum((grad**2).sum().item() for grad in grads))


wrong("grad_norm", "Did you take the norm of the largest part only?")(
    lambda grads: max(grad.norm().item() for grad in grads)
)


wrong("grad_norm", "Did you take the norm of the first part only?")(lambda grads: torch.linalg.norm(grads[0]).item())


wrong("grad_norm", "Did you add absolute values, instead of squares?")(
    lambda grads: sum(grad.abs().sum().item() for grad in grads)
)


wrong("grad_norm", "Did you average the squares? The norm takes their sum.")(
    lambda grads: math.sqrt(sum((grad**2).mean().item() for grad in grads))
)


# --- clip ---


wrong("clip", ZERO)(lambda grads, theta: [grad * min(1, theta / joint(grads)) for grad in grads])


wrong("clip", "Did you compare the square of the norm with theta?")(
    lambda grads, theta: [grad * (theta / joint(grads) if joint(grads) ** 2 > theta else 1) for grad in grads]
)


@right("clip")
def _(grads, theta):
    norm, grads = joint(grads), [grad.clone() for grad in grads]
    if norm > theta:
        for grad in grads:
            grad[:] *= theta / norm
    return grads


@right("clip")
def _(grads, theta):
    params = [nn.Parameter(torch.zeros_like(grad)) for grad in grads]
    for param, grad in zip(params, grads):
        param.grad = grad.clone()
    d2lmini.clip_gradients(params, theta)
    return tuple(param.grad for param in params)


@right("clip")
def _(grads, theta):
    whole = torch.cat([grad.reshape(-1) for grad in grads])
    whole = whole / max(1.0, whole.norm().item() / theta)
    return [part.reshape(grad.shape) for part, grad in zip(whole.split([grad.numel() for grad in grads]), grads)]


@wrong(
    "clip",
    "Did you clip each gradient by its own norm? They share one norm.",
    changes("grads"),
)
def _(grads, theta):
    for grad in grads:
        if grad.norm() > theta:
            grad *= theta / grad.norm()
    return grads


wrong(
    "clip",
    "Did you scale small gradients up? Without min(1, ...) the norm always becomes theta.",
    ZERO,
)(lambda grads, theta: [theta / joint(grads) * grad for grad in grads])


wrong("clip", "Did you cut each number to the range from -theta to theta? That changes the direction.")(
    lambda grads, theta: [torch.clamp(grad, min=-theta, max=theta) for grad in grads]
)


wrong("clip", "Is the fraction upside down? The factor is theta / norm.")(
    lambda grads, theta: [grad * (joint(grads) / theta if joint(grads) > theta else 1) for grad in grads]
)


wrong("clip", "Did you forget theta in the factor? It is theta / norm.")(
    lambda grads, theta: [grad / joint(grads) if joint(grads) > theta else grad for grad in grads]
)


wrong(
    "clip",
    "Did you forget the square root?",
    ZERO,
)(lambda grads, theta: [grad * min(1, theta / joint(grads) ** 2) for grad in grads])


@wrong(
    "clip",
    changes("grads"),
    ZERO,
)
def _(grads, theta):
    norm = joint(grads)
    for grad in grads:
        grad *= min(1, theta / norm)
    return grads


wrong("clip", "Did you return the gradients unclipped?")(lambda grads, theta: [grad.clone() for grad in grads])


wrong("clip", "Did you forget the return?", changes("grads"))(
    lambda grads, theta: [grad.mul_(theta / joint(grads)) for grad in grads] and None
)


# --- cosine ---


right("cosine")(lambda a, b: sum(float((x * y).sum()) for x, y in zip(a, b)) / (joint(a) * joint(b)))


right("cosine")(
    lambda a, b: F.cosine_similarity(
        torch.cat([x.flatten() for x in a]), torch.cat([y.flatten() for y in b]), dim=0
    ).item()
)


@right("cosine")
def _(a, b):
    a, b = (np.concatenate([grad.numpy().ravel() for grad in grads]) for grads in (a, b))
    return a @ b / np.sqrt((a @ a) * (b @ b))


wrong("cosine", "Did you average the cosines of the parts? All parts are one long vector.")(
    lambda a, b: np.mean([product([x], [y]) / (joint([x]) * joint([y]) + 1e-12) for x, y in zip(a, b)]).item()
)


wrong("cosine", "Did you forget to divide by the two norms?")(product)


wrong("cosine", "Did you divide by one of the two norms only?")(lambda a, b: product(a, b) / joint(a))


wrong("cosine", "Did you forget the square root?")(lambda a, b: product(a, b) / product(a, a) / product(b, b))


wrong("cosine", "Did you lose the sign? Opposite directions have the cosine -1.")(
    lambda a, b: abs(product(a, b)) / joint(a) / joint(b)
)


wrong("cosine", "Did you return the distance, 1 minus the cosine?")(
    lambda a, b: 1 - product(a, b) / joint(a) / joint(b)
)


# --- grad_norm, more ---

right("grad_norm")(lambda grads: math.hypot(*(float(grad.norm()) for grad in grads)))
wrong("grad_norm", changes("grads"))(lambda grads: math.sqrt(sum(float(grad.pow_(2).sum()) for grad in grads)))
wrong("grad_norm", "Did you take the norm of the last part only?")(lambda grads: grads[-1].norm().item())
wrong("grad_norm", "Did you leave out the last part?")(lambda grads: joint(grads[:-1]))
wrong("grad_norm", "Did you average the norms")(lambda grads: sum(joint([grad]) for grad in grads) / len(grads))
wrong("grad_norm", "Did you take the largest entry?")(lambda grads: max(float(grad.abs().max()) for grad in grads))
wrong("grad_norm", "Did you add the numbers without squaring")(lambda grads: sum(float(grad.sum()) for grad in grads))
wrong("grad_norm")(lambda grads: joint(grads[:5]))  # a limit
wrong("grad_norm", "Did you forget the square root?", "Did you take the norm of the first part only?")(
    lambda grads: float((grads[0] ** 2).sum())
)
wrong("grad_norm", "Did you forget the square root?", "Did you leave out the last part?")(
    lambda grads: joint(grads[:-1]) ** 2
)
wrong("grad_norm", "Did you forget the square root?", "Did you average the squares?")(
    lambda grads: float((torch.cat([grad.flatten() for grad in grads]) ** 2).mean())
)
wrong("grad_norm", "Did you forget the square root?", changes("grads"))(
    lambda grads: sum(float(grad.mul_(grad).sum()) for grad in grads)
)

# --- clip, more ---

right("clip")(lambda grads, theta: [grad * (theta / max(theta, joint(grads))) for grad in grads])
right("clip")(lambda grads, theta: (grad.mul(min(1.0, theta / (joint(grads) + 1e-9))) for grad in grads))
wrong("clip", "Is the comparison the wrong way round")(
    lambda grads, theta: [grad * theta / joint(grads) if 0 < joint(grads) < theta else grad.clone() for grad in grads]
)
wrong("clip", "Did you divide by zero?")(
    lambda grads, theta: [
        grad * (torch.tensor(theta) / torch.tensor(joint(grads))).clamp(max=1) + 0 / torch.tensor(joint(grads))
        for grad in grads
    ]
)
wrong("clip", "Did you add the norms of the parts?")(
    lambda grads, theta: [grad * min(1, theta / max(1e-9, sum(float(g.norm()) for g in grads))) for grad in grads]
)
wrong("clip", "Return a copy")(
    lambda grads, theta: grads if joint(grads) <= theta else [grad * (theta / joint(grads)) for grad in grads]
)
wrong("clip")(lambda grads, theta: [grad * min(1, theta / (joint(grads[:5]) or 1)) for grad in grads])
wrong("clip", "Did you scale small gradients up?", "Did you forget the square root?")(
    lambda grads, theta: [grad * theta / (joint(grads) ** 2 or 1) for grad in grads]
)
wrong("clip", "Did you clip each gradient by its own norm?", "Did you scale small gradients up?")(
    lambda grads, theta: [grad * theta / (joint([grad]) or 1) for grad in grads]
)
wrong("clip", "Did you clip each gradient by its own norm?", "Did you forget theta")(
    lambda grads, theta: [grad / joint([grad]) if joint([grad]) > theta else grad.clone() for grad in grads]
)
wrong("clip", "Did you scale small gradients up?", "Did you forget theta")(
    lambda grads, theta: [grad / (joint(grads) or 1) for grad in grads]
)

# --- cosine, more ---


def dot(a, b):
    return product(a, b)


right("cosine")(
    lambda a, b: (joint([x + y for x, y in zip(a, b)]) ** 2 - joint(a) ** 2 - joint(b) ** 2) / (2 * joint(a) * joint(b))
)
right("cosine")(lambda a, b: sum((x * y).sum() for x, y in zip(a, b)) / joint(a) / joint(b))
wrong("cosine", "Did you flip the sign?")(lambda a, b: -dot(a, b) / joint(a) / joint(b))
wrong("cosine", "Did you return the angle?")(lambda a, b: math.acos(max(-1, min(1, dot(a, b) / joint(a) / joint(b)))))
wrong("cosine", "Did you divide by one of the norms twice?")(lambda a, b: dot(a, b) / joint(a) ** 2)
wrong("cosine", "Did you use the first part only?")(lambda a, b: dot(a[:1], b[:1]) / (joint(a[:1]) * joint(b[:1])))
wrong("cosine")(lambda a, b: dot(a[:5], b[:5]) / (joint(a[:5]) * joint(b[:5])))
wrong("cosine", "Did you lose the sign?", "Did you divide by one of the two norms only?")(
    lambda a, b: abs(dot(a, b)) / joint(a)
)
wrong("cosine", "Did you lose the sign?", "Did you forget to divide by the two norms?")(lambda a, b: abs(dot(a, b)))
wrong("cosine", "Did you lose the sign?", "Did you forget the square root?")(
    lambda a, b: abs(dot(a, b)) / (dot(a, a) * dot(b, b))
)
wrong("cosine", "Did you return the distance", "Did you forget to divide by the two norms?")(lambda a, b: 1 - dot(a, b))
