"""Checks of notebook 01: one-hot vectors, their order in time, and the product that is a look-up."""

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .engine import Check, hot, ids, normal

AXES = "Are the time and batch axes swapped?"


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
    # Where there are as many hidden units as symbols, the result itself is as large, and nothing can be said.
    one_hot_size, result_size = ids.numel() * len(W_xh), ids.numel() * W_xh.shape[1]
    built = largest.size >= one_hot_size > result_size
    return {"result": result, "work": "one-hot" if built else "no tensor of one-hot size"}


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
