"""Checks of notebook 02: the five parameters, how many numbers they have, and the spectral radius."""

import math

import numpy as np
import torch

from .judge import Check, normal
from .reading import Flaw, Parts, Unread, describe, items_of, number_of, unread
from .watching import Calls, memory

NAMES = ("W_xh", "W_hh", "b_h", "W_hq", "b_q")


def shapes(vocab_size, num_hiddens):
    n, h = vocab_size, num_hiddens
    return [(n, h), (h, h), (h,), (h, n), (n,)]


def drawn(vocab_size, num_hiddens, *, std=0.01, weights=torch.randn, biases=torch.zeros, swapped=False):
    """The five parameters, with places to go wrong."""
    found = shapes(vocab_size, num_hiddens)
    if swapped:
        found = [shape[::-1] for shape in found]
    params = [std * weights(shape) if len(shape) == 2 else biases(shape) for shape in found]
    return [param.requires_grad_() for param in params]


def observe_params(function, vocab_size, num_hiddens):
    """What can be said of parameters that are drawn at random."""
    result = function(vocab_size, num_hiddens)
    params = items_of(result, 5)
    if params is None:
        return Parts({"result": unread([0] * 5, result)})
    if len(params) != 5:
        return Parts({"result": Unread(f"expected five tensors, got {number_of(len(params), 'item')}")})
    others = [param for param in params if not isinstance(param, torch.Tensor) or param.numel() > 10**6]
    if others:
        return Parts({"result": Unread(f"expected five tensors, got {describe(others[0])} among them")})
    sizes = [tuple(param.shape) for param in params]
    if [tuple(param.shape) for param in function(vocab_size + 3, num_hiddens + 2)] == sizes:
        hint = "Did you write fixed numbers? The shapes come from vocab_size and num_hiddens."
        return Parts(
            {"result": Unread("expected shapes that depend on the arguments, got the same for all arguments", hint)}
        )
    found = Parts({f"shape of {name}": str(size) for name, size in zip(NAMES, sizes)})
    if not all(param.requires_grad for param in params):
        found["requires_grad"] = Flaw("a parameter takes no gradients", "Did you forget requires_grad_()?")
    elif not all(param.is_leaf for param in params):
        hint = "Did you set requires_grad before scaling by 0.01? Scale first."
        found["leaves"] = Flaw("a parameter is the result of a computation, so its .grad stays empty", hint)
    for name, param in zip(NAMES, params):
        if param.dtype != torch.float32:
            found["dtype"] = Flaw(f"{name} holds {param.dtype}, not torch.float32", "Make it float32, like the inputs.")
    if len(set().union(*map(memory, params))) < 5:
        found["memory"] = Flaw("two parameters share their memory", "Make a new tensor for each parameter.")
    W_hh = params[1].detach()
    if W_hh.dim() == 2 and torch.equal(W_hh, W_hh.T) and W_hh.unique().numel() > 2:
        found["symmetry"] = Flaw("W_hh equals its own transpose", "Draw each entry of a matrix on its own.")
    found |= statistics(*(param.detach().double().flatten() for param in params))
    if "memory" in found:
        found["matrices"] = "drawn one by one"  # they can't be, and once is enough to say so
    return found


def statistics(W_xh, W_hh, b_h, W_hq, b_q):
    weights = {"W_xh": W_xh, "W_hh": W_hh, "W_hq": W_hq}
    found = {f"largest value of {name}": float(b.abs().max()) for name, b in [("b_h", b_h), ("b_q", b_q)]}
    if any(W.unique().numel() < 3 for W in weights.values()):
        return {**found, "weights": "all the same"}
    found["weights"] = "drawn at random"
    found |= {f"mean of {name} in standard deviations": round(float(W.mean() / W.std())) for name, W in weights.items()}
    found |= {f"standard deviation of {name}": float(W.std()) for name, W in weights.items()}
    bell = torch.cat([(W - W.mean()) / W.std() for W in weights.values()]).abs() > 2  # 4.6 % of a normal distribution
    found["distribution"] = "normal" if 0.025 < float(bell.double().mean()) < 0.07 else "not normal"
    firsts = {tuple(W[:3].tolist()) for W in weights.values()} | {(float(W.min()),) for W in weights.values()}
    return {**found, "matrices": "drawn one by one" if len(firsts) == 6 else "drawn from the same numbers"}


BIASES = "Did you start the biases at something other than zero?"
UNIFORM = "Did you use torch.rand instead of torch.randn?"
STD = "Is the standard deviation 0.01? randn has 1, so scale it."

get_params = Check(
    "get_params",
    drawn,
    lambda rng: [
        ("a small network", (29, 40)),
        ("a small vocabulary", (3, 200)),
        ("a large vocabulary", (500, 50)),
    ],
    drawn,
    {
        "Did you forget the factor 0.01?": {"std": 1.0},
        UNIFORM: {"weights": torch.rand},
        BIASES: [
            {"biases": torch.ones},
            {"biases": lambda shape: 0.01 * torch.randn(shape)},
            {"biases": torch.randn},
        ],
        "Did you swap rows and columns? X has vocab_size columns, H has num_hiddens.": {"swapped": True},
        "Did you fill a matrix with one number? Draw each entry.": {"weights": torch.ones},
    },
    run=observe_params,
    about={
        **{f"shape of {name}": "Did you swap rows and columns? X has vocab_size columns, H has num_hiddens."
           for name in NAMES},
        **{f"shape of {name}": "Is the bias a vector? b_h has shape (num_hiddens,), b_q has shape (vocab_size,)."
           for name in ("b_h", "b_q")},
        **{f"largest value of {name}": BIASES for name in NAMES},
        **{f"mean of {name} in standard deviations": "Is the mean 0? randn has the mean 0." for name in NAMES},
        **{f"standard deviation of {name}": STD for name in NAMES},
        "distribution": "Did you draw from another distribution? randn is the normal one.",
        "weights": "Did you fill a matrix with one number? Draw each entry.",
        "matrices": "Did you draw the matrices from the same random numbers? Draw each matrix anew.",
    },
    rtol=0.3,
    atol=0.002,
)  # fmt: skip


def count(vocab_size, num_hiddens, *, W_xh=1, W_hh=1, b_h=1, W_hq=1, b_q=1, size=math.prod):
    """How many numbers, with places to go wrong."""
    times = (W_xh, W_hh, b_h, W_hq, b_q)
    return sum(n * size(shape) for n, shape in zip(times, shapes(vocab_size, num_hiddens)))


def without_tensors(function, vocab_size, num_hiddens):
    with Calls() as calls:
        found = Parts({"result": function(vocab_size, num_hiddens)})
    if calls.functions:
        found["way"] = Flaw("it makes tensors", "Only multiply and add the two sizes.")
    return found


num_params = Check(
    "num_params",
    lambda vocab_size, num_hiddens: int(np.sum([math.prod(shape) for shape in shapes(vocab_size, num_hiddens)])),
    lambda rng: [
        ("a very small network", (3, 1)),
        ("another very small network", (2, 3)),
        ("a small network", (7, 5)),
        ("a larger network", (43, 210)),
        ("a large network", (301, 1030)),
    ],
    count,
    {
        "Did you forget the biases?": {"b_h": 0, "b_q": 0},
        "Did you forget W_hh?": {"W_hh": 0},
        "Did you forget W_xh or W_hq?": {"W_xh": 0},
        "Did you forget the output layer, W_hq and b_q?": {"W_hq": 0, "b_q": 0},
        "Did you forget b_h?": {"b_h": 0},
        "Did you forget b_q?": {"b_q": 0},
        "Did you count b_h twice? nn.RNN has two such biases, this network has one.": {"b_h": 2},
        "Did you swap the lengths of the biases? b_h has num_hiddens numbers, b_q vocab_size.": [
            lambda n, h: count(n, h, b_h=0, b_q=2),
            lambda n, h: count(n, h, b_h=2, b_q=0),
        ],
        "Did you add the shapes instead of multiplying?": {"size": sum},
        "Did you raise to a power instead of multiplying? ** is a power, * a product.": [
            lambda n, h: n**h + h**h + h**n + n + h,
            lambda n, h: n * h + h**h + h * n + n + h,
            lambda n, h: n**h + h * h + h**n + n + h,
        ],
    },
    run=without_tensors,
)


SPECTRA = {"eigenvalues": torch.linalg.eigvals, "symmetric": torch.linalg.eigvalsh,
           "singular": torch.linalg.svdvals, "entries": torch.flatten}  # fmt: skip


def spectrum(W, *, of="eigenvalues", measure=torch.abs, choose=torch.max):
    """The largest eigenvalue, with places to go wrong."""
    return choose(measure(SPECTRA[of](W)))


def rotation(angle):
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s], [s, c]])


spectral_radius = Check(
    "spectral_radius",
    lambda W: float(np.abs(np.linalg.eigvals(W.double().numpy())).max()),
    lambda rng: [
        ("a 1 x 1 matrix", (torch.tensor([[-3.0]]),)),
        ("a triangular matrix", (torch.tensor([[0.5, 8.0], [0.0, 0.3]]),)),
        ("a rotation of the plane, scaled by 0.9 (complex eigenvalues)", (0.9 * rotation(1.2),)),
        ("a diagonal matrix whose largest eigenvalue is negative", (torch.diag(torch.tensor([0.5, -2.0, 1.0])),)),
        ("a random matrix (6, 6)", (normal(rng, 6, 6),)),
        ("a random matrix (60, 60)", (normal(rng, 60, 60),)),
    ],
    spectrum,
    {
        "Did you take the singular values (the matrix norm)? Take the eigenvalues.": {"of": "singular"},
        "Did you drop the imaginary parts? abs() of a complex number takes both parts into account.": [
            {"measure": lambda values: values.real.abs()},
            {"measure": lambda values: values.real},
        ],
        "Did you treat W as a symmetric matrix (eigvalsh)? Take eigvals.": [
            {"of": "symmetric"},
            {"of": "symmetric", "measure": lambda values: values},
        ],
        "Did you take the largest entry of W? Take the eigenvalues.": [
            {"of": "entries"},
            {"of": "entries", "measure": lambda values: values},
        ],
        "Did you take the Frobenius norm, the root of the sum of squares?": lambda W: float(W.norm()),
        "Did you take the smallest eigenvalue?": {"choose": torch.min},
        "Did you take the first eigenvalue? They come in no order: take the largest.": {
            "choose": lambda values: values[0]
        },
        "Did you choose by the real part? Take abs() first, then the largest.": lambda W: abs(
            max(torch.linalg.eigvals(W).tolist(), key=lambda value: value.real)
        ),
        "Did you return all eigenvalues? Return one number, the largest.": {"choose": lambda values: values},
        "Did you average over the eigenvalues? Take the largest.": {"choose": torch.mean},
        "Did you take the trace or the determinant? Take the eigenvalues.": [
            lambda W: float(W.trace()),
            lambda W: float(W.trace().abs()),
            lambda W: float(torch.linalg.det(W)),
            lambda W: float(torch.linalg.det(W).abs()),
        ],
        "Did you square the result?": {"measure": lambda values: values.abs() ** 2},
    },
)
