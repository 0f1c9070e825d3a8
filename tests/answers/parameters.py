"""Answers to the exercises of notebook 02."""

import math

import numpy as np
import torch
from torch import nn

import d2lmini

from . import right, wrong


def params_from(draw, biases=torch.zeros, finish=lambda param: param.requires_grad_()):
    def get_params(n, h):
        return [finish(p) for p in (draw(n, h), draw(h, h), biases(h), draw(h, n), biases(n))]

    return get_params


small = params_from(lambda *shape: torch.randn(*shape) * 0.01)


# --- get_params ---


right("get_params")(small)


@right("get_params")
def _(vocab_size, num_hiddens):
    layer = [
        nn.Parameter(torch.normal(0.0, 0.01, shape))
        for shape in [(vocab_size, num_hiddens), (num_hiddens, num_hiddens), (num_hiddens, vocab_size)]
    ]
    b_h, b_q = nn.Parameter(torch.zeros(num_hiddens)), nn.Parameter(torch.zeros(vocab_size))
    return layer[0], layer[1], b_h, layer[2], b_q


@right("get_params")
def _(vocab_size, num_hiddens):
    rng = np.random.default_rng(7)

    def weights(rows, columns):
        return torch.tensor(rng.normal(scale=0.01, size=(rows, columns)), dtype=torch.float32)

    params = [weights(vocab_size, num_hiddens), weights(num_hiddens, num_hiddens), torch.zeros(num_hiddens)]
    params += [weights(num_hiddens, vocab_size), torch.zeros(vocab_size)]
    for param in params:
        param.requires_grad = True
    return params


wrong("get_params", "Did you forget requires_grad_()?")(
    params_from(lambda *shape: torch.randn(*shape) * 0.01, finish=lambda param: param)
)


wrong("get_params", "Did you forget the factor 0.01?")(params_from(torch.randn))


@wrong("get_params", "Draw each entry of a matrix on its own")
def _(vocab_size, num_hiddens):
    W_xh, W_hh, b_h, W_hq, b_q = (param.detach() for param in small(vocab_size, num_hiddens))
    W_hh = (W_hh + W_hh.T) / 2**0.5  # symmetric
    return [param.requires_grad_() for param in (W_xh, W_hh, b_h, W_hq, b_q)]


wrong("get_params", "Did you use torch.rand instead of torch.randn?")(params_from(lambda *s: torch.rand(*s) * 0.01))


wrong("get_params", "Did you start the biases at something other than zero?")(
    params_from(lambda *s: torch.randn(*s) * 0.01, torch.ones)
)


wrong("get_params", "Did you start the biases at something other than zero?")(
    params_from(lambda *s: torch.randn(*s) * 0.01, lambda *s: torch.randn(*s) * 0.01)
)


@wrong("get_params", "Did you set requires_grad before scaling by 0.01? Scale first.")
def _(vocab_size, num_hiddens):
    n, h = vocab_size, num_hiddens
    shapes = [(n, h), (h, h), (h,), (h, n), (n,)]
    return [
        torch.randn(shape, requires_grad=True) * 0.01 if len(shape) == 2 else torch.zeros(shape, requires_grad=True)
        for shape in shapes
    ]


@wrong("get_params", "Did you swap rows and columns? X has vocab_size columns, H has num_hiddens.")
def _(vocab_size, num_hiddens):
    W_xh, W_hh, b_h, W_hq, b_q = small(vocab_size, num_hiddens)
    return [W_xh.detach().T.requires_grad_(), W_hh, b_h, W_hq.detach().T.requires_grad_(), b_q]


@wrong("get_params", "Did you draw the matrices from the same random numbers? Draw each matrix anew.")
def _(vocab_size, num_hiddens):
    def draw(*shape):
        return torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * 0.01

    return params_from(draw)(vocab_size, num_hiddens)


@wrong("get_params")
def _(vocab_size, num_hiddens):
    return small(vocab_size, num_hiddens)[:3]


# --- num_params ---


right("num_params")(lambda n, h: h * (n + h + 1) + n * (h + 1))


wrong("num_params", "Only multiply and add the two sizes.")(
    lambda vocab_size, num_hiddens: sum(p.numel() for p in d2lmini.get_params(vocab_size, num_hiddens))
)


right("num_params")(lambda n, h: int(np.sum([n * h, h * h, h, h * n, n])))


wrong("num_params", "Did you forget the biases?")(lambda n, h: n * h + h * h + h * n)


wrong("num_params", "Did you forget W_hh?")(lambda n, h: n * h + h + h * n + n)


wrong("num_params", "Did you forget the output layer, W_hq and b_q?")(lambda n, h: n * h + h * h + h)


wrong("num_params", "Did you forget b_q?")(lambda n, h: n * h + h * h + h + h * n)


wrong(
    "num_params",
    "Did you count b_h twice? nn.RNN has two such biases, this network has one.",
    "Only multiply and add the two sizes.",
)(lambda n, h: sum(p.numel() for layer in (nn.RNN(n, h), nn.Linear(h, n)) for p in layer.parameters()))


wrong("num_params", "Did you add the shapes instead of multiplying?")(lambda n, h: (n + h) + (h + h) + h + (h + n) + n)


# --- spectral_radius ---


right("spectral_radius")(lambda W: torch.linalg.eigvals(W).abs().max().item())


right("spectral_radius")(lambda W: max(abs(value) for value in np.linalg.eigvals(W.numpy()).tolist()))


@right("spectral_radius")
def _(W):
    log_norm, W = 0.0, W.double()  # the norm of W to the power n, to the power 1 / n
    for i in range(40):
        norm = W.norm()
        log_norm += math.log(norm) / 2**i
        W = W / norm
        W = W @ W
    return math.exp(log_norm)


wrong("spectral_radius", "Did you take the singular values (the matrix norm)? Take the eigenvalues.")(
    lambda W: torch.linalg.svdvals(W)[0].item()
)


wrong("spectral_radius", "Did you drop the imaginary parts? abs() of a complex number takes both parts into account.")(
    lambda W: max(np.linalg.eigvals(W.numpy()).real).item()
)


wrong("spectral_radius", "Did you treat W as a symmetric matrix (eigvalsh)?")(
    lambda W: np.abs(np.linalg.eigvalsh(W.numpy())).max().item()
)


wrong("spectral_radius", "Did you take the Frobenius norm, the root of the sum of squares?")(
    lambda W: math.sqrt((W * W).sum().item())
)


wrong("spectral_radius", "Did you return all eigenvalues? Return one number, the largest.")(
    lambda W: torch.linalg.eigvals(W).abs()
)


# --- get_params, more ---

right("get_params")(lambda n, h: nn.ParameterList(small(n, h)))
right("get_params")(lambda n, h: (param for param in small(n, h)))
right("get_params")(params_from(lambda *shape: nn.init.normal_(torch.empty(shape), std=0.01)))


@wrong("get_params", "Make a new tensor for each parameter.")
def _(n, h):
    W_xh, W_hh, b_h, _, b_q = small(n, h)
    return [W_xh, W_hh, b_h, W_xh.detach().T.requires_grad_(), b_q]


@wrong("get_params", "Did you draw the matrices from the same random numbers?")
def _(n, h):
    W_xh, W_hh, b_h, _, b_q = small(n, h)
    return [W_xh, W_hh, b_h, W_xh.detach().T.clone().requires_grad_(), b_q]


_made = {}
wrong("get_params", "Make a new one in each call.")(lambda n, h: _made.setdefault((n, h), small(n, h)))
wrong("get_params", "Make it float32")(params_from(lambda *s: torch.randn(*s, dtype=torch.float64) * 0.01))
wrong("get_params", "Did you write fixed numbers?")(lambda n, h: small(28, 512))
wrong("get_params", "Did you fill a matrix with one number?")(params_from(lambda *s: torch.full(s, 0.01)))
wrong("get_params", "Did you use torch.rand")(params_from(lambda *s: (torch.rand(*s) - 0.5) * 0.0346))
wrong("get_params", "Is the standard deviation 0.01?")(params_from(lambda *s: torch.randn(*s) * 0.03))
wrong("get_params", "Is the bias a vector?")(
    lambda n, h: [torch.zeros(1, h).requires_grad_() if p.dim() == 1 and len(p) == h else p for p in small(n, h)]
)
wrong("get_params", "Did you fill a matrix with one number?")(params_from(torch.zeros))
wrong("get_params", "Did you forget the factor 0.01?", "Did you forget requires_grad_()?")(
    params_from(torch.randn, finish=lambda param: param)
)
wrong("get_params", "Did you forget the factor 0.01?", "Did you start the biases")(params_from(torch.randn, torch.ones))
wrong("get_params", "Did you use torch.rand", "Did you start the biases")(
    params_from(lambda *s: torch.rand(*s) * 0.01, torch.ones)
)
wrong("get_params", "Did you use torch.rand", "Did you forget requires_grad_()?")(
    params_from(lambda *s: torch.rand(*s) * 0.01, finish=lambda param: param)
)
wrong("get_params", "Did you start the biases", "Make it float32, like the inputs.")(
    params_from(lambda *s: torch.randn(*s, dtype=torch.float64) * 0.01, torch.ones)
)

# --- num_params, more ---

right("num_params")(lambda n, h: (n + h + 1) * h + (h + 1) * n)
right("num_params")(lambda n, h: sum(a * b for a, b in [(n, h), (h, h), (1, h), (h, n), (1, n)]))
right("num_params")(lambda n, h: math.prod([n + h + 1, h]) + math.prod([h + 1, n]))
right("num_params")(lambda n, h: np.int64(h) * (2 * n + h + 1) + n)
wrong("num_params", "Did you forget b_h?")(lambda n, h: n * h + h * h + h * n + n)
wrong("num_params", "Did you raise to a power")(lambda n, h: n**h + h**h + h**n + h + n)
wrong("num_params", "Did you raise to a power")(lambda n, h: n * h + h**h + h * n + h + n)
wrong("num_params", "Did you swap the lengths of the biases?")(lambda n, h: 2 * n * h + h * h + 2 * n)
wrong("num_params", "Did you forget W_xh or W_hq?")(lambda n, h: n * h + h * h + h + n)
wrong("num_params")(lambda n, h: 34240)
wrong("num_params")(lambda n, h: (n * h + h * h + h + h * n + n) / 1.0 + 0.5)
wrong("num_params", "Did you forget W_hh?", "Did you forget the biases?")(lambda n, h: 2 * n * h)
wrong("num_params", "Did you forget W_hh?", "Did you forget b_q?")(lambda n, h: 2 * n * h + h)
wrong("num_params", "Did you forget W_hh?", "Did you count b_h twice?")(lambda n, h: 2 * n * h + 2 * h + n)
wrong("num_params", "Did you swap the lengths of the biases?")(lambda n, h: 2 * n * h + h * h + 2 * h)

# --- spectral_radius, more ---

right("spectral_radius")(lambda W: np.abs(np.linalg.eig(W.numpy())[0]).max())
right("spectral_radius")(lambda W: torch.linalg.eigvals(W).abs().sort().values[-1])
wrong("spectral_radius", "Did you take the singular values")(lambda W: float(torch.linalg.norm(W, 2)))
wrong("spectral_radius", "Did you take the largest entry of W?")(lambda W: W.max().item())
wrong("spectral_radius", "Did you average over the eigenvalues?")(lambda W: torch.linalg.eigvals(W).abs().mean().item())
wrong("spectral_radius", "Did you take the smallest eigenvalue?")(lambda W: torch.linalg.eigvals(W).abs().min().item())
wrong("spectral_radius", "Did you take the trace or the determinant?")(lambda W: W.trace().item())
wrong("spectral_radius", "Did you square the result?")(lambda W: float((torch.linalg.eigvals(W).abs() ** 2).max()))
wrong("spectral_radius", "Did you take the first eigenvalue?")(lambda W: float(torch.linalg.eigvals(W)[0].abs()))
wrong("spectral_radius", "Did you choose by the real part?")(
    lambda W: float(max(torch.linalg.eigvals(W), key=lambda value: float(value.real)).abs())
)
wrong("spectral_radius", "Complex numbers have no order")(lambda W: torch.linalg.eigvals(W).max())
wrong("spectral_radius", "Did you use a tensor of several numbers")(lambda W: float(torch.linalg.eigvals(W).abs()))
wrong("spectral_radius", "Did you treat W as a symmetric matrix", "Did you average over the eigenvalues?")(
    lambda W: torch.linalg.eigvalsh(W).abs().mean()
)
wrong("spectral_radius", "Did you take the singular values", "Did you take the smallest eigenvalue?")(
    lambda W: float(torch.linalg.svdvals(W).min())
)
wrong("spectral_radius", "Did you drop the imaginary parts?", "Did you take the smallest eigenvalue?")(
    lambda W: float(torch.linalg.eigvals(W).real.min())
)
