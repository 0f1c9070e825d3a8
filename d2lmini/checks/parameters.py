"""Checks of notebook 02: the five parameters, how many numbers they have, and the spectral radius."""

import math
from functools import partial

import numpy as np
import torch

from .engine import Check, Problem, normal

NAMES = ("W_xh", "W_hh", "b_h", "W_hq", "b_q")


def shapes(vocab_size, num_hiddens):
    n, h = vocab_size, num_hiddens
    return [(n, h), (h, h), (h,), (h, n), (n,)]


def drawn(vocab_size, num_hiddens):
    params = [torch.zeros(shape) for shape in shapes(vocab_size, num_hiddens)]
    return [p.normal_(0, 0.01).requires_grad_() if p.dim() == 2 else p.requires_grad_() for p in params]


def observe_params(function, vocab_size, num_hiddens):
    params = function(vocab_size, num_hiddens)
    if not isinstance(params, (list, tuple)) or not all(isinstance(p, torch.Tensor) for p in params):
        return None if params is None else Problem("", "type", "expected a list of five tensors")
    if len(params) != 5:
        return Problem("", "length", f"expected five tensors, got {len(params)}")
    found = {f"shape of {name}": str(tuple(p.shape)) for name, p in zip(NAMES, params)}
    found |= {"requires_grad": " ".join(str(p.requires_grad) for p in params)}
    found |= {"parameters (a leaf, not the result of a computation)": " ".join(str(p.is_leaf) for p in params)}
    weights = {name: p.detach() for name, p in zip(NAMES, params) if p.dim() == 2}
    biases = {name: p.detach() for name, p in zip(NAMES, params) if p.dim() == 1}
    found |= {f"largest value of {name}": float(b.abs().max()) for name, b in biases.items()}
    found |= {
        f"mean of {name}, in standard deviations": round(float(w.mean() / w.std())) for name, w in weights.items()
    }
    found |= {f"standard deviation of {name}": round(float(w.std()), 3) for name, w in weights.items()}
    firsts = {tuple(w.flatten()[:3].tolist()) for w in weights.values()}
    return {**found, "number of differently drawn matrices": len(firsts)}


get_params = Check(
    "get_params",
    drawn,
    lambda rng: [
        ("vocab_size 28, num_hiddens 40", (28, 40)),
        ("vocab_size 2, num_hiddens 200", (2, 200)),
        ("vocab_size 500, num_hiddens 50", (500, 50)),
    ],
    {},
    run=observe_params,
    about={
        "requires_grad": "Is requires_grad missing?",
        "parameters (a leaf, not the result of a computation)": "Is requires_grad set before the scaling by 0.01?",
        **{f"shape of {name}": "Are rows and columns swapped? X has vocab_size columns, H has num_hiddens."
           for name in NAMES},
        **{f"largest value of {name}": "Do the biases start at zero?" for name in NAMES},
        **{f"mean of {name}, in standard deviations": "Is torch.rand used instead of torch.randn?" for name in NAMES},
        **{f"standard deviation of {name}": "Is the factor 0.01 missing?" for name in NAMES},
        "number of differently drawn matrices": "Are the matrices drawn from the same random numbers?",
    },
    rtol=0.3,
    atol=0.002,
)  # fmt: skip


def count(vocab_size, num_hiddens, leave_out=(), more=0):
    named = zip(NAMES, shapes(vocab_size, num_hiddens))
    return sum(math.prod(shape) for name, shape in named if name not in leave_out) + more * num_hiddens


num_params = Check(
    "num_params",
    count,
    lambda rng: [
        ("vocab_size 7, num_hiddens 5", (7, 5)),
        ("vocab_size 43, num_hiddens 256", (43, 256)),
        ("vocab_size 2, num_hiddens 1", (2, 1)),
    ],
    {
        "Are the biases forgotten?": partial(count, leave_out=("b_h", "b_q")),
        "Is W_hh forgotten?": partial(count, leave_out=("W_hh",)),
        "Is the output layer, W_hq and b_q, forgotten?": partial(count, leave_out=("W_hq", "b_q")),
        "Is one of the two biases forgotten?": [
            partial(count, leave_out=("b_h",)),
            partial(count, leave_out=("b_q",)),
        ],
        "Is b_h counted twice? nn.RNN has two of them, this network one.": partial(count, more=1),
        "Are shapes added instead of multiplied?": lambda n, h: sum(sum(shape) for shape in shapes(n, h)),
    },
)


def rotation(rng, angle):
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s], [s, c]])


spectral_radius = Check(
    "spectral_radius",
    lambda W: float(np.abs(np.linalg.eigvals(W.double().numpy())).max()),
    lambda rng: [
        ("a random matrix (6, 6)", (normal(rng, 6, 6),)),
        ("a diagonal matrix whose largest eigenvalue is negative", (torch.diag(torch.tensor([0.5, -2.0, 1.0])),)),
        ("a rotation of the plane, scaled by 0.9 (complex eigenvalues)", (0.9 * rotation(rng, 1.2),)),
        ("a triangular matrix", (torch.tensor([[0.5, 8.0], [0.0, 0.3]]),)),
        ("a 1 x 1 matrix", (torch.tensor([[-3.0]]),)),
    ],
    {
        "Is it the largest singular value (the matrix norm)? Take the eigenvalues.": (
            lambda W: float(torch.linalg.matrix_norm(W, 2))
        ),
        "Are only the real parts used? The size of a complex number is abs().": [
            lambda W: float(torch.linalg.eigvals(W).real.abs().max()),
            lambda W: float(torch.linalg.eigvals(W).real.max()),
        ],
        "Is W taken for a symmetric matrix (eigvalsh)?": [
            lambda W: float(torch.linalg.eigvalsh(W).abs().max()),
            lambda W: float(torch.linalg.eigvalsh(W).max()),
        ],
        "Is it the Frobenius norm, the root of the sum of squares?": lambda W: float(W.norm()),
        "Is it the smallest eigenvalue?": lambda W: float(torch.linalg.eigvals(W).abs().min()),
        "Are these all eigenvalues? One number is wanted, the largest.": lambda W: torch.linalg.eigvals(W).abs(),
        "Is it the mean over the eigenvalues?": lambda W: float(torch.linalg.eigvals(W).abs().mean()),
        "Is it the largest entry of W?": lambda W: float(W.abs().max()),
    },
)
