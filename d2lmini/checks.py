"""The checks of the exercises: `from d2lmini import checks as check`, then `check.one_hot(my_one_hot)`.

Each check names a reference made of torch's or NumPy's own parts, the inputs to try, and the mistakes it
can recognise. How it judges stands in checker.py. Reading this file gives solutions away.
"""

import math
import re
from collections import Counter
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .checker import Check, Problem

# Hints that more than one check gives.
AXES = "Are the time and batch axes swapped?"
TANH = "Is tanh missing?"
BIAS = "Is the bias b_h forgotten?"
W_HH_TRANSPOSED = "Is W_hh transposed?"
STATE_IGNORED = "Is the incoming state ignored?"
NOT_CARRIED = "Is the state carried from step to step?"
SOFTMAX_AXIS = "Is the softmax over the wrong axis? It belongs to the last one (dim=-1)."
OVERFLOW = "Does exp overflow? torch.softmax is safe for large numbers."


def normal(rng, *shape, std=1.0):
    return torch.randn(*shape, generator=rng) * std


def ids(rng, vocab_size, *shape):
    return torch.randint(vocab_size, shape, generator=rng)


def hot(ids, vocab_size):
    return F.one_hot(ids, vocab_size).float()


# --- 00: the book ----------------------------------------------------------------------------------------------

normalise = Check(
    "normalise",
    lambda text: " ".join("".join(c if "a" <= c <= "z" else " " for c in text.lower()).split()),
    lambda rng: [
        ("a line break between two words", ("and I saw\nthe laboratory",)),
        ("capitals", ("The Time Traveller",)),
        ("a run of punctuation and digits", ("one--two, 3 (three)",)),
        ("a text that ends with a full stop", ('  "I am afraid not." ',)),
        ("letters outside a to z", ("a café in Zürich",)),
    ],
    {
        "Are words glued together where something between them was removed?": [
            lambda text: re.sub("[^a-z]+", " ", text.lower().replace("\n", "")).strip(),
            lambda text: re.sub("[^a-z ]", "", text.lower()).strip(),
            lambda text: re.sub("[^a-z ]+", "", text.lower()).strip(),
            lambda text: re.sub("[^a-z]+", "", text.lower()),
        ],
        "Are capitals lost instead of made lower case?": lambda text: re.sub("[^a-z]+", " ", text).strip(),
        "Do capitals stay?": lambda text: re.sub("[^A-Za-z]+", " ", text).strip(),
        "Does every removed character leave a space, instead of every run of them?": [
            lambda text: re.sub("[^a-z]", " ", text.lower()).strip(),
            lambda text: re.sub("[^a-z]", " ", text.lower()),
        ],
        "Is a space left at the start or the end?": lambda text: re.sub("[^a-z]+", " ", text.lower()),
        "Do letters outside a to z stay?": lambda text: re.sub(r"[\W\d_]+", " ", text.lower()).strip(),
    },
)  # fmt: skip


def counted(tokens, order=lambda item: -item[1], unk_at=0, first_id=0):
    """A vocabulary, with places to go wrong."""
    idx_to_token = [token for token, _ in sorted(Counter(tokens).items(), key=order)]
    if unk_at is not None:
        idx_to_token.insert(unk_at if unk_at >= 0 else len(idx_to_token), "<unk>")
    return idx_to_token, {token: idx for idx, token in enumerate(idx_to_token, start=first_id)}


vocabulary = Check(
    "vocabulary",
    counted,
    lambda rng: [
        ("the tokens of 'attic tea'", (list("attic tea"),)),
        ("tokens with a tie, b before a", (list("bac" + "cab" + "ddd"),)),
        ("a single token", (["z"],)),
        ("words", (["the", "time", "the", "traveller", "the", "time"],)),
    ],
    {
        'Is "<unk>" missing from idx_to_token?': partial(counted, unk_at=None),
        'Is "<unk>" at the end? It has id 0.': partial(counted, unk_at=-1),
        "Is the order alphabetical, instead of most frequent first?": partial(counted, order=lambda item: item[0]),
        "Is the order that of first appearance, instead of most frequent first?": partial(counted, order=lambda _: 0),
        "Is the rarest token first?": partial(counted, order=lambda item: item[1]),
        "Are ties in alphabetical order? They stay in order of first appearance.": partial(
            counted, order=lambda item: (-item[1], item[0])
        ),
        "Is token_to_idx one off? idx_to_token[token_to_idx[token]] must be token.": [
            partial(counted, first_id=1),
            partial(counted, first_id=-1),
        ],
        "Is token_to_idx the wrong way round? Its keys are the tokens.": lambda tokens: (
            counted(tokens)[0],
            dict(enumerate(counted(tokens)[0])),
        ),
        "Does a token that occurs twice get two ids?": lambda tokens: (
            ["<unk>", *tokens],
            {token: idx for idx, token in enumerate(["<unk>", *tokens])},
        ),
    },
    parts=("idx_to_token", "token_to_idx"),
)


def cut(tokens, batch_size, num_steps, offset=0, target=1, spare=1, extra=0):
    """Sequential minibatches by plain indexing, with places to go wrong."""
    row_length = (len(tokens) - spare) // batch_size
    starts = [offset + row * row_length for row in range(batch_size)]
    for step in range(0, (row_length // num_steps + extra) * num_steps, num_steps):
        X = [tokens[start + step : start + step + num_steps] for start in starts]
        Y = [tokens[start + step + target : start + step + target + num_steps] for start in starts]
        yield torch.stack(X), torch.stack(Y)


def shuffled_rows(tokens, batch_size, num_steps):
    """Minibatches whose rows are neighbours in the text: row r does not go on in the next minibatch."""
    num_batches = (len(tokens) - 1) // (batch_size * num_steps)
    Xs = tokens[: num_batches * batch_size * num_steps].reshape(num_batches, batch_size, num_steps)
    return [(X, X + 1) for X in Xs]


def ragged(tokens, batch_size, num_steps):
    row_length = (len(tokens) - 1) // batch_size
    Xs = tokens[: batch_size * row_length].reshape(batch_size, row_length)
    return [(X, X + 1) for X in Xs.split(num_steps, dim=1)]


def without_spare(tokens, batch_size, num_steps):
    row_length = len(tokens) // batch_size
    Xs = tokens[: batch_size * row_length].reshape(batch_size, row_length)
    Ys = tokens[1 : batch_size * row_length + 1].reshape(batch_size, row_length)
    starts = range(0, row_length // num_steps * num_steps, num_steps)
    return [(Xs[:, i : i + num_steps], Ys[:, i : i + num_steps]) for i in starts]


def observe_batches(function, tokens, batch_size, num_steps):
    """The tokens are 0, 1, 2, ...: so each id says where in the text it comes from."""
    batches = function(tokens, batch_size, num_steps)
    if batches is None:
        return None
    batches = [(torch.as_tensor(X), torch.as_tensor(Y)) for X, Y in batches]
    return {
        "number of minibatches": len(batches),
        "shapes of X": [str(tuple(X.shape)) for X, _ in batches],
        "shapes of Y": [str(tuple(Y.shape)) for _, Y in batches],
        "distances from X to Y in the text": [int(d) for X, Y in batches for d in (Y - X).unique()],
        "distances between neighbours in a row": [int(d) for X, _ in batches for d in X.diff(dim=1).unique()],
        "distances from a row's end to its next minibatch": [
            int(d) for (X, _), (X_next, _) in pairwise(batches) for d in (X_next[:, 0] - X[:, -1]).unique()
        ],
        "first token": int(batches[0][0][0, 0]),
        "number of different tokens in X": len(torch.cat([X.flatten() for X, _ in batches]).unique()),
    }


sequential_batches = Check(
    "sequential_batches",
    cut,
    lambda rng: [
        ("24 tokens, batch_size 2, num_steps 3", (torch.arange(24), 2, 3)),
        ("37 tokens, batch_size 3, num_steps 4", (torch.arange(37), 3, 4)),
        ("batch_size 1 and num_steps 1", (torch.arange(5), 1, 1)),
        ("exactly one minibatch", (torch.arange(7), 2, 3)),
    ],
    {
        "Are the targets Y the inputs themselves? Y is the text one token later.": partial(cut, target=0),
        "Are the targets two tokens later?": partial(cut, target=2, spare=2),
        "Does row r go on where row r of the minibatch before ended? Cut the text into batch_size long rows first.": (
            shuffled_rows
        ),
        "Is X transposed? It has shape (batch_size, num_steps).": lambda tokens, b, s: [
            (X.T, Y.T) for X, Y in cut(tokens, b, s)
        ],
        "Is an incomplete minibatch kept at the end?": ragged,
        "Is the last token kept for the last target? A row has (len(tokens) - 1) // batch_size tokens.": [
            partial(cut, spare=0),
            without_spare,
        ],
        "Is the last minibatch left out?": partial(cut, extra=-1),
        "Is there an offset? Begin with the first token.": partial(cut, offset=1, spare=2),
    },
    run=observe_batches,
)

# --- 01: one-hot encoding --------------------------------------------------------------------------------------

one_hot = Check(
    "one_hot",
    hot,
    lambda rng: [
        ("ids of shape (2, 3), vocab_size 5", (torch.tensor([[0, 3, 1], [2, 4, 1]]), 5)),
        ("ids without the largest one", (torch.tensor([0, 2, 1, 2]), 6)),
        ("a single id", (torch.tensor(3), 5)),
        ("a batch of 1 with 1 step, vocab_size 2", (torch.tensor([[1]]), 2)),
        ("ids of shape (2, 3, 4)", (ids(rng, 7, 2, 3, 4), 7)),
    ],
    {
        "Is the new axis the first one? It is the last.": lambda ids, n: hot(ids, n).movedim(-1, 0),
        AXES: lambda ids, n: hot(ids.T if ids.dim() == 2 else ids, n),
        "Is the one a place off? Id 0 has its one in column 0.": [
            lambda ids, n: hot((ids + 1) % n, n),
            lambda ids, n: hot((ids - 1) % n, n),
        ],
        "Is the shape of ids lost?": lambda ids, n: hot(ids.flatten(), n),
        "Is the number of columns taken from the largest id, instead of vocab_size?": lambda ids, n: hot(ids, -1),
        "Are zeros and ones swapped?": lambda ids, n: 1 - hot(ids, n),
        "Does every row hold the id itself, instead of a one?": lambda ids, n: hot(ids, n) * ids[..., None],
    },
)

time_major = Check(
    "time_major",
    lambda X, n: torch.stack([hot(column, n) for column in X.unbind(1)]),
    lambda rng: [
        ("X of shape (2, 5), vocab_size 4", (ids(rng, 4, 2, 5), 4)),
        ("as many steps as rows", (ids(rng, 6, 3, 3), 6)),
        ("a batch of 1", (ids(rng, 4, 1, 3), 4)),
        ("one step, vocab_size 2", (torch.tensor([[1], [0], [0]]), 2)),
    ],
    {
        AXES: hot,
        "Is it reshaped? reshape keeps the order of the numbers; swapping axes needs a transpose.": (
            lambda X, n: hot(X.reshape(X.shape[1], X.shape[0]), n)
        ),
        "Is the vocabulary axis the last one?": [
            lambda X, n: hot(X.T, n).transpose(1, 2),
            lambda X, n: hot(X, n).permute(2, 1, 0),
            lambda X, n: hot(X, n).permute(2, 0, 1),
            lambda X, n: hot(X, n).transpose(1, 2),
        ],
        "Are the two axes of X flattened into one?": lambda X, n: hot(X.T.flatten(), n),
    },
)


class LargestTensor(TorchFunctionMode):
    """Remembers the size of the largest tensor that torch made while it was active."""

    size = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.size = max(self.size, result.numel())
        return result


def observe_lookup(function, ids, W_xh):
    with LargestTensor() as largest:
        result = function(ids, W_xh)
    one_hot_size = ids.numel() * len(W_xh)
    return {"result": result, "work": "one-hot" if largest.size >= one_hot_size else "no tensor of one-hot size"}


lookup = Check(
    "lookup",
    lambda ids, W_xh: F.embedding(ids, W_xh),
    lambda rng: [
        ("ids of shape (5, 6), W_xh (40, 3)", (ids(rng, 40, 5, 6), normal(rng, 40, 3))),
        ("ids of shape (4,)", (ids(rng, 9, 4), normal(rng, 9, 2))),
        ("as many symbols as hidden units", (ids(rng, 4, 2, 5), normal(rng, 4, 4))),
        ("a batch of 1 with 1 step, vocabulary 2", (torch.tensor([[1]]), normal(rng, 2, 3))),
    ],
    {
        "Are columns of W_xh taken, instead of rows?": [
            lambda ids, W_xh: W_xh[:, ids],
            lambda ids, W_xh: W_xh.T[ids],
            lambda ids, W_xh: W_xh[:, ids].movedim(0, -1),
        ],
        AXES: lambda ids, W_xh: W_xh[ids.T if ids.dim() == 2 else ids],
        "Is the row one off?": [lambda ids, W_xh: W_xh[ids - 1], lambda ids, W_xh: W_xh[(ids + 1) % len(W_xh)]],
        "Is the shape of ids lost?": lambda ids, W_xh: W_xh[ids.flatten()],
    },
    run=observe_lookup,
    about={"work": "Is the one-hot tensor built on the way? Take the rows of W_xh directly."},
)

# --- 02: parameters --------------------------------------------------------------------------------------------

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
    found |= {f"mean of {name}": round(float(w.mean()), 3) for name, w in weights.items()}
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
        **{f"mean of {name}": "Is torch.rand used instead of torch.randn?" for name in NAMES},
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

# --- 03: forward pass ------------------------------------------------------------------------------------------


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


def wrong_rnn(change=lambda states, inputs, state, params: (states @ params[3] + params[4]).flatten(0, 1), **mistake):
    """A network over time with a mistake in its steps, or with other logits."""

    def network(inputs, state, params):
        states = unroll(inputs, state[0], params, **mistake)
        return change(states, inputs, state, params), (states[-1],)

    return network


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
            lambda states, inputs, state, params: logits_of(states, params).transpose(0, 1).flatten(0, 1)
        ),
        "Are the steps stacked? Join them to (num_steps * batch_size, vocab_size), as torch.cat does.": wrong_rnn(
            lambda states, inputs, state, params: logits_of(states, params)
        ),
        "Are only the last step's logits returned?": wrong_rnn(
            lambda states, inputs, state, params: logits_of(states[-1], params)
        ),
        "Is the bias b_q forgotten?": wrong_rnn(
            lambda states, inputs, state, params: (states @ params[3]).flatten(0, 1)
        ),
        "Are these the hidden states instead of the logits?": wrong_rnn(
            lambda states, inputs, state, params: states.flatten(0, 1)
        ),
        "Is the old state returned? The new one is the H of the last step.": (
            lambda inputs, state, params: (reference_rnn(inputs, state, params)[0], state)
        ),
    },
    parts=("logits", "state"),
    about={"state": "Is the state a tuple with one tensor, (H,)?"},
)


def read(X, params, step=cell, carry=True, start=0):
    """The states while reading ids X (batch_size, num_steps) from a zero state."""
    H = torch.zeros(len(X), len(params[1]))
    return unroll(hot(X.T[start:], len(params[0])), H, params, step, carry)


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

# --- 04: prediction --------------------------------------------------------------------------------------------


def written(ids, num_preds, params, warm_up=True, carry=True, twice=False, choose=torch.argmax):
    """Greedy continuation, with places to go wrong."""
    vocab_size, H = len(params[0]), torch.zeros(1, len(params[1]))

    def step(id, H):
        return cell(hot(torch.tensor([id]), vocab_size), H, params)

    for id in ids if warm_up else ids[-1:]:
        H = step(id, H)
    if twice:
        H = step(ids[-1], H)
    result = []
    for _ in range(num_preds):
        result.append(int(choose(logits_of(H, params)[0])))
        H = step(result[-1], H if carry else torch.zeros_like(H))
    return result


def reference_predict(ids, num_preds, params):
    """Reads everything again for each prediction: slow, and nothing can get lost between the steps."""
    text = list(ids)
    for _ in range(num_preds):
        text.append(int(reference_final_logits(torch.tensor([text]), params).argmax()))
    return text[len(ids) :]


predict = Check(
    "predict",
    reference_predict,
    lambda rng: [
        ("a prefix of 4 ids, num_preds 8", ([2, 4, 1, 3], 8, network(rng, 7, 9))),
        ("a prefix of 6 ids, num_preds 5", ([1, 5, 5, 2, 3, 1], 5, network(rng, 6, 8))),
        ("a prefix of one id", ([3], 6, network(rng, 6, 8))),
        ("num_preds 1", ([1, 2, 3], 1, network(rng, 6, 8))),
    ],
    {
        "Is the warm-up skipped? The whole prefix must pass through the network first.": partial(
            written, warm_up=False
        ),
        "Is the prefix part of the result? Only the continuation is wanted.": [
            lambda ids, n, params: ids + written(ids, n, params),
            lambda ids, n, params: ids[-1:] + written(ids, n, params),
        ],
        NOT_CARRIED: [
            partial(written, carry=False),
            lambda ids, n, params: written(ids[-1:], n, params, carry=False),
        ],
        "Is the last id of the prefix read twice?": partial(written, twice=True),
        "Is the number of predictions one off?": [
            lambda ids, n, params: written(ids, n - 1, params),
            lambda ids, n, params: written(ids, n + 1, params),
        ],
        "Is the first prediction lost? It comes from the prefix's last logits.": (
            lambda ids, n, params: written(ids, n + 1, params)[1:]
        ),
        "Is it the least likely symbol? Take the argmax.": partial(written, choose=torch.argmin),
        "Is it a drawn symbol? Greedy decoding takes the argmax.": partial(
            written, choose=lambda logits: torch.multinomial(logits.softmax(-1), 1)
        ),
    },
)


def exact_softmax(logits, dim=-1):
    exp = np.exp(logits.double().numpy() - logits.double().numpy().max(axis=dim, keepdims=True))
    return torch.tensor(exp / exp.sum(axis=dim, keepdims=True)).float()


temperature = Check(
    "temperature",
    lambda logits, temperature: exact_softmax(logits.double() / temperature),
    lambda rng: [
        ("logits (4, 6), temperature 0.5", (normal(rng, 4, 6), 0.5)),
        ("logits (3, 3), temperature 2", (normal(rng, 3, 3), 2.0)),
        ("temperature 1", (normal(rng, 2, 5), 1.0)),
        ("logits of a single step, shape (5,)", (normal(rng, 5), 0.7)),
        ("logits (2, 3, 4)", (normal(rng, 2, 3, 4), 1.5)),
        ("a vocabulary of 2", (normal(rng, 1, 2), 3.0)),
        ("large logits, up to 1,000", (torch.tensor([[1000.0, 999.0, -1000.0]]), 0.5)),
    ],
    {
        "Are the logits multiplied by the temperature? They are divided by it.": (
            lambda logits, t: torch.softmax(logits * t, -1)
        ),
        SOFTMAX_AXIS: [
            lambda logits, t: torch.softmax(logits / t, 0),
            lambda logits, t: torch.softmax(logits / t, 1),
            lambda logits, t: (logits / t).exp() / (logits / t).exp().sum(),
        ],
        "Is the temperature ignored?": lambda logits, t: torch.softmax(logits, -1),
        "Is the softmax taken before the division? Divide the logits first.": [
            lambda logits, t: torch.softmax(logits, -1) / t,
            lambda logits, t: torch.softmax(torch.softmax(logits, -1) / t, -1),
        ],
        "Is the softmax missing?": lambda logits, t: logits / t,
        "Are these logarithms of probabilities?": lambda logits, t: torch.log_softmax(logits / t, -1),
        "Is exp not divided by its sum?": lambda logits, t: (logits / t).exp(),
        OVERFLOW: lambda logits, t: (logits / t).exp() / (logits / t).exp().sum(-1, keepdim=True),
    },
)


def kept(logits, k, largest=True):
    """True at the k likeliest symbols."""
    k = min(max(k, 0), logits.shape[-1])
    return torch.zeros_like(logits, dtype=torch.bool).scatter(-1, logits.topk(k, largest=largest).indices, True)


def top_k_probs(logits, k, largest=True, dim=-1, fill=-math.inf):
    return logits.masked_fill(~kept(logits, k, largest), fill).softmax(dim)


def reference_top_k(logits, k):
    rank = logits.argsort(dim=-1, descending=True).argsort(dim=-1)
    probs = exact_softmax(logits) * (rank < k)
    return probs / probs.sum(-1, keepdim=True)


top_k = Check(
    "top_k",
    reference_top_k,
    lambda rng: [
        ("logits (3, 6), k 2", (normal(rng, 3, 6), 2)),
        ("logits of a single step, shape (7,), k 3", (normal(rng, 7), 3)),
        ("k 1", (normal(rng, 2, 5), 1)),
        ("k as large as the vocabulary", (normal(rng, 2, 4), 4)),
        ("logits (1, 2), k 1", (normal(rng, 1, 2), 1)),
    ],
    {
        "Do the probabilities not sum to 1? Renormalise after the cut.": lambda logits, k: (
            logits.softmax(-1) * kept(logits, k)
        ),
        "Are these the k smallest?": partial(top_k_probs, largest=False),
        "Is k one off?": [lambda logits, k: top_k_probs(logits, k - 1), lambda logits, k: top_k_probs(logits, k + 1)],
        "Are the logits outside set to 0? exp(0) is 1; -inf gives the probability 0.": partial(top_k_probs, fill=0.0),
        "Are only k probabilities returned? The shape stays that of the logits.": (
            lambda logits, k: logits.topk(k).values.softmax(-1)
        ),
        SOFTMAX_AXIS: partial(top_k_probs, dim=0),
        "Are the k largest taken over all rows together? Each row has its own.": lambda logits, k: top_k_probs(
            logits.flatten(), k
        ).reshape(logits.shape),
        "Are the probabilities renormalised by a second softmax? Divide by their sum.": lambda logits, k: (
            logits.softmax(-1) * kept(logits, k)
        ).softmax(-1),
        "Are these logits? Probabilities are wanted.": (
            lambda logits, k: logits.masked_fill(~kept(logits, k), -math.inf)
        ),
    },
)

# --- 05: gradient clipping -------------------------------------------------------------------------------------


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
        "Are the norms of the parts added? Add the squares, and take one root.": (
            lambda grads: float(sum(grad.norm() for grad in grads))
        ),
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
        param.grad = grad
    nn.utils.clip_grad_norm_(params, theta)
    return [param.grad for param in params]


clip = Check(
    "clip",
    reference_clip,
    lambda rng: [
        ("five gradients with a norm above theta 1", (gradients(rng), 1.0)),
        ("gradients with a norm below theta", (gradients(rng, 0.01), 1.0)),
        ("a single gradient, theta 0.5", ([normal(rng, 4, 2)], 0.5)),
        ("a large and a small gradient", ([torch.tensor([30.0, 40.0]), torch.tensor([0.3])], 5.0)),
    ],
    {
        "Is each gradient clipped by its own norm? They share one norm.": (
            lambda grads, theta: [grad * min(1.0, theta / float(grad.norm())) for grad in grads]
        ),
        "Are small gradients scaled up? Without min(1, ...) the norm always becomes theta.": [
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
        "Are the norms of the parts added? Add the squares, and take one root.": (
            lambda grads, theta: scaled(grads, min(1.0, theta / sum(float(grad.norm()) for grad in grads)))
        ),
        "Is nothing clipped?": lambda grads, theta: grads,
    },
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
        "Are the norms of the parts added? Add the squares, and take one root.": lambda a, b: (
            dot(a, b) / float(sum(x.norm() for x in a) * sum(y.norm() for y in b))
        ),
    },
)

# --- 06: training ----------------------------------------------------------------------------------------------


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
        "Is it the mean of exponentials, instead of the exponential of the mean?": (
            lambda probs: float(nll(probs).exp().mean())
        ),
        "Is it the inverse of the arithmetic mean of the probabilities?": lambda probs: float(1 / probs.mean()),
        "Is the loss summed instead of averaged?": [
            lambda probs: float(nll(probs).sum().exp()),
            lambda probs: float(nll(probs).float().sum().exp()),
            lambda probs: math.exp(nll(probs).sum()),
            lambda probs: math.exp(float(nll(probs).sum())),
        ],
        "Is the minus sign missing?": lambda probs: float((-nll(probs)).mean().exp()),
        "Is the exponential missing?": lambda probs: float(nll(probs).mean()),
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
        "Is it the mean of exponentials, instead of the exponential of the mean?": [
            lambda losses, tokens: sum(map(math.exp, losses)) / len(losses),
            lambda losses, tokens: float(np.average(np.exp(losses), weights=tokens)),
        ],
        "Does every minibatch count the same? Weigh each loss by its tokens.": (
            lambda losses, tokens: math.exp(sum(losses) / len(losses))
        ),
        "Is the exponential missing?": lambda losses, tokens: float(np.average(losses, weights=tokens)),
        "Is the loss summed instead of averaged?": [
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
    if update:
        torch.optim.SGD(params, sign * lr).step() if sign > 0 else torch.optim.SGD(params, lr, maximize=True).step()
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
        "Is the loss summed instead of averaged?": partial(training_step, reduction="sum"),
        "Is the clipping missing?": partial(training_step, clip=lambda params, theta: None),
        "Is each gradient clipped by its own norm? They share one norm.": partial(training_step, clip=clip_each),
        "Are small gradients scaled up? Without min(1, ...) the norm always becomes theta.": (
            partial(training_step, clip=clip_always)
        ),
        "Are the gradients of the step before still there? Set every grad to None first.": (
            partial(training_step, clear=False)
        ),
        "Are the parameters unchanged? The step must change them in place.": partial(training_step, update=False),
        "Does the step go uphill? The sign of the update is minus.": partial(training_step, sign=-1),
        STATE_IGNORED: partial(training_step, zero=True),
        "Is the old state returned? The new one is the H of the last step.": partial(training_step, carry=False),
    },
    run=observe_training,
)

# --- 07: concise -----------------------------------------------------------------------------------------------


def gated(rng, vocab_size, num_hiddens, num_gates):
    """Three parameters (from the input, from the state, bias) for every gate."""
    n, h = vocab_size, num_hiddens
    return [normal(rng, *shape, std=0.8) for _ in range(num_gates) for shape in [(n, h), (h, h), (h,)]]


def triples(params, bias=True, transpose=False):
    """The parameters as one triple per gate."""
    for W_x, W_h, b in zip(params[0::3], params[1::3], params[2::3]):
        yield W_x, W_h.T if transpose else W_h, b if bias else 0 * b


def gru(X, H, params, swap=False, reset="before", squash=torch.tanh, gates=torch.sigmoid, order=(0, 1), **mistake):
    """A step of a gated recurrent unit, with places to go wrong."""
    *first, (W_xh, W_hh, b_h) = triples(params, **mistake)
    Z, R = (gates(X @ first[i][0] + H @ first[i][1] + first[i][2]) for i in order)
    old = {"before": (R * H) @ W_hh, "after": R * (H @ W_hh), "no": H @ W_hh}[reset]
    candidate = squash(X @ W_xh + old + b_h)
    return Z * candidate + (1 - Z) * H if swap else Z * H + (1 - Z) * candidate


def reference_gru(X, H, params):
    """The same in NumPy, with every product written as a sum over indices."""
    X, H, *params = (a.double().numpy() for a in [X, H, *params])

    def linear(state, i):
        return np.einsum("bi,ih->bh", X, params[i]) + np.einsum("bj,jh->bh", state, params[i + 1]) + params[i + 2]

    Z, R = (1 / (1 + np.exp(-linear(H, i))) for i in (0, 3))
    return torch.tensor((1 - Z) * np.tanh(linear(R * H, 6)) + Z * H).float()


gru_step = Check(
    "gru_step",
    reference_gru,
    lambda rng: [
        ("X (3, 5), H (3, 4)", (hot(ids(rng, 5, 3), 5), normal(rng, 3, 4), gated(rng, 5, 4, 3))),
        ("a state of zeros", (hot(ids(rng, 5, 2), 5), torch.zeros(2, 4), gated(rng, 5, 4, 3))),
        ("a batch of 1, vocabulary 2", (hot(ids(rng, 2, 1), 2), normal(rng, 1, 3), gated(rng, 2, 3, 3))),
    ],
    {
        "Are Z and 1 - Z swapped? Z is the share of the old state that stays.": partial(gru, swap=True),
        "Is R applied after W_hh, as nn.GRU does it? Here it comes before: (R * H) @ W_hh.": partial(
            gru, reset="after"
        ),
        "Is the reset gate R forgotten?": partial(gru, reset="no"),
        "Is tanh missing in the candidate state?": partial(gru, squash=lambda A: A),
        "Is sigmoid used for the candidate state? It takes tanh.": partial(gru, squash=torch.sigmoid),
        "Is tanh used for the gates? They take sigmoid.": partial(gru, gates=torch.tanh),
        "Is the sigmoid missing in the gates?": partial(gru, gates=lambda A: A),
        "Are the gates Z and R swapped? The parameters of Z come first.": partial(gru, order=(1, 0)),
        "Are the biases forgotten?": partial(gru, bias=False),
        "Are the matrices W_hz, W_hr, W_hh transposed?": partial(gru, transpose=True),
        "Is this the candidate state only? It is mixed with the old state.": lambda X, H, params: gru(
            X, H, [p if i != 2 else p - 1e9 for i, p in enumerate(params)]
        ),
    },
)


def lstm(X, H, C, params, order=(0, 1, 2, 3), squash=torch.tanh, out=torch.tanh, gates=torch.sigmoid,
         forget=True, old=False, **mistake):  # fmt: skip
    """A step of long short-term memory, with places to go wrong."""
    linear = [X @ W_x + H @ W_h + b for W_x, W_h, b in triples(params, **mistake)]
    I, F_, O = (gates(linear[i]) for i in order[:3])
    C_new = (F_ * C if forget else 0) + I * squash(linear[order[3]])
    return O * out(C if old else C_new), C_new


def reference_lstm(X, H, C, params):
    i, f, o, c = triples(params)
    W_x, W_h, b = (torch.cat([gate[k] for gate in (i, f, c, o)], dim=-1) for k in range(3))
    return torch.lstm_cell(X, (H, C), W_x.T, W_h.T, b, torch.zeros_like(b))


lstm_step = Check(
    "lstm_step",
    reference_lstm,
    lambda rng: [
        (
            "X (3, 5), H and C (3, 4)",
            (hot(ids(rng, 5, 3), 5), normal(rng, 3, 4), normal(rng, 3, 4), gated(rng, 5, 4, 4)),
        ),
        ("states of zeros", (hot(ids(rng, 5, 2), 5), torch.zeros(2, 4), torch.zeros(2, 4), gated(rng, 5, 4, 4))),
        (
            "a batch of 1, vocabulary 2",
            (hot(ids(rng, 2, 1), 2), normal(rng, 1, 3), normal(rng, 1, 3), gated(rng, 2, 3, 4)),
        ),
    ],
    {
        "Is tanh missing in H = O * tanh(C)?": partial(lstm, out=lambda C: C),
        "Is the old C used for H? Take the new one.": partial(lstm, old=True),
        "Are the gates I and F swapped? The parameters of I come first.": partial(lstm, order=(1, 0, 2, 3)),
        "Are the parameters taken in another order? It is i, f, o, c; nn.LSTM has i, f, c, o.": [
            partial(lstm, order=(0, 1, 3, 2)),
            partial(lstm, order=(0, 2, 1, 3)),
            partial(lstm, order=(2, 1, 0, 3)),
        ],
        "Is the forget gate F forgotten, F * C?": [
            partial(lstm, forget=False),
            lambda X, H, C, params: (lambda O, new: (O * torch.tanh(new + C), new + C))(
                *(lambda H_, new: (H_ / torch.tanh(new), new))(*lstm(X, H, C, params, forget=False))
            ),
        ],
        "Is sigmoid used for the candidate cell? It takes tanh.": partial(lstm, squash=torch.sigmoid),
        "Is tanh missing in the candidate cell?": partial(lstm, squash=lambda A: A),
        "Is tanh used for the gates? They take sigmoid.": partial(lstm, gates=torch.tanh),
        "Is the order of the results C, H? It is (H, C).": lambda X, H, C, params: lstm(X, H, C, params)[::-1],
        "Are the biases forgotten?": partial(lstm, bias=False),
        "Are the matrices W_hi, W_hf, W_ho, W_hc transposed?": partial(lstm, transpose=True),
    },
    parts=("H", "C"),
)


def observe_layer(function, inputs, H, params):
    layer = function(params)
    if not isinstance(layer, nn.RNN):
        return None if layer is None else Problem("", "type", f"expected an nn.RNN, got {type(layer).__name__}")
    found = {"batch_first": str(layer.batch_first), "nonlinearity": layer.nonlinearity}
    found |= {"number of layers": layer.num_layers, "bidirectional": str(layer.bidirectional)}
    found |= {"weight_ih_l0": layer.weight_ih_l0, "weight_hh_l0": layer.weight_hh_l0}
    found["bias_ih_l0 + bias_hh_l0"] = layer.bias_ih_l0 + layer.bias_hh_l0 if layer.bias else "no biases at all"
    return {**found, "outputs": layer(inputs, H[None])[0]}


def layer_from(params, bias_hh=0.0, transpose_hh=True, copy=True, **options):
    """An nn.RNN with the parameters of the model from scratch, with places to go wrong."""
    W_xh, W_hh, b_h, *_ = params
    layer = nn.RNN(*W_xh.shape, **options)
    with torch.no_grad():
        if copy:
            layer.weight_ih_l0.copy_(W_xh.T)
            layer.weight_hh_l0.copy_(W_hh.T if transpose_hh else W_hh)
            layer.bias_ih_l0.copy_(b_h)
            layer.bias_hh_l0.copy_(bias_hh * b_h)
    return layer


to_nn_rnn = Check(
    "to_nn_rnn",
    layer_from,
    lambda rng: [
        ("vocabulary 5, 4 hidden units", (hot(ids(rng, 5, 6, 3), 5), normal(rng, 3, 4), network(rng, 5, 4))),
        ("as many symbols as hidden units", (hot(ids(rng, 4, 3, 2), 4), normal(rng, 2, 4), network(rng, 4, 4))),
        ("vocabulary 2, one step, a batch of 1", (hot(ids(rng, 2, 1, 1), 2), normal(rng, 1, 3), network(rng, 2, 3))),
    ],
    {
        "Is b_h in both biases? nn.RNN adds bias_ih_l0 and bias_hh_l0.": partial(layer_from, bias_hh=1.0),
        "Are the parameters not copied into the layer?": partial(layer_from, copy=False),
    },
    run=observe_layer,
    about={
        "batch_first": "Is batch_first set? The model from scratch has time first.",
        "nonlinearity": "Is the layer made with ReLU? The model from scratch has tanh.",
        "weight_ih_l0": "Is W_xh transposed? nn.RNN keeps weight_ih_l0 as (num_hiddens, vocab_size).",
        "weight_hh_l0": "Is W_hh transposed? nn.RNN multiplies by weight_hh_l0.T.",
        "bias_ih_l0 + bias_hh_l0": "Is the second bias, bias_hh_l0, set to zero?",
    },
)

# --- 08: gradients by hand -------------------------------------------------------------------------------------


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
    return torch.autograd.grad(torch.tanh(Z), Z, dH.double())[0].float()


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
        (
            "a gradient at the last step only",
            (lambda dH, H, W: (dH * (np.arange(4) == 3)[:, None, None], H, W))(*arrays(rng, 4, 2, 3)),
        ),
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
