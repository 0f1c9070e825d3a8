"""Checks of notebook 01: one-hot vectors, their order in time, and the product that is a look-up."""

import torch
from torch.nn import functional as F

from .judge import Check, hot, ids, normal
from .reading import Flaw, Parts
from .watching import Calls, with_gradients

AXES = "Did you swap the time and batch axes?"
MULTIPLIED = "Did you multiply by one-hot vectors? Take the rows of W_xh directly."


def from_scratch(function, ids, vocab_size):
    with Calls() as calls:
        found = Parts({"result": function(ids, vocab_size)})
    result = found["result"]
    if isinstance(result, torch.Tensor) and result.requires_grad:
        found["gradients"] = Flaw("it asks for gradients", "One-hot vectors are inputs: nothing in them is learned.")
    if "one_hot" in calls.names:
        found["way"] = Flaw("it calls F.one_hot", "Make the vectors yourself, from what the notebook has shown.")
    return found


def encoded(ids, vocab_size, *, shift=0, axis=-1, transpose=False, flat=False, columns=None, values=lambda V, ids: V):
    """One-hot vectors, with places to go wrong."""
    ids = ids.flatten() if flat else ids.T if transpose and ids.dim() == 2 else ids
    columns = int(ids.max()) + 1 if columns == "largest" else columns or vocab_size
    return values(hot((ids + shift) % vocab_size, columns), ids).movedim(-1, axis)


one_hot = Check(
    "one_hot",
    lambda ids, vocab_size: (ids[..., None] == torch.arange(vocab_size)).float(),
    lambda rng: [
        ("a single id", (torch.tensor(3), 5)),
        ("ids without the largest one", (torch.tensor([0, 2, 1, 2]), 6)),
        ("ids of shape (2, 3), vocab_size 5", (torch.tensor([[0, 3, 1], [2, 4, 1]]), 5)),
        ("other ids of the same shape", (torch.tensor([[1, 0, 4], [2, 0, 3]]), 5)),
        ("a batch of 1 with 1 step, vocab_size 2", (torch.tensor([[1]]), 2)),
        ("ids of shape (3, 2) that are a transposed tensor", (ids(rng, 7, 2, 3).T, 7)),
        ("no ids at all", (torch.zeros(0, dtype=torch.long), 4)),
        ("ids of shape (2, 1, 3, 4)", (ids(rng, 7, 2, 1, 3, 4), 7)),
        ("ids up to 299, 40 rows", (torch.cat([torch.tensor([[299, 256]]), ids(rng, 300, 40, 2)]), 300)),
    ],
    encoded,
    {
        "Did you put the new axis first? It is the last one.": {"axis": 0},
        AXES: {"transpose": True},
        "Is the 1 off by one place? Id 0 has its 1 in column 0.": [{"shift": 1}, {"shift": -1}],
        "Did you lose the shape of ids?": {"flat": True},
        "Did you take the number of columns from the largest id, instead of vocab_size?": {"columns": "largest"},
        "Did you write 28 for the number of columns? Use vocab_size.": {"columns": 28},
        "Did you swap zeros and ones?": {"values": lambda V, ids: 1 - V},
        "Did you write the id itself, instead of a 1?": {"values": lambda V, ids: V * ids[..., None]},
        "Did you fill all columns up to the id? Only one of them is 1.": {
            "values": lambda V, ids: V.flip(-1).cumsum(-1).flip(-1)
        },
    },
    run=from_scratch,
)


def major(X, vocab_size, *, turned=lambda X: X.T, order=(0, 1, 2), flat=False, shift=0, columns=None):
    """Time-major one-hot vectors, with places to go wrong."""
    V = hot((turned(X) + shift) % vocab_size, columns or vocab_size).permute(order)
    return V.flatten(0, 1) if flat else V


time_major = Check(
    "time_major",
    lambda X, vocab_size: torch.stack([hot(column, vocab_size) for column in X.unbind(1)]),
    lambda rng: [
        ("a batch of 1", (torch.tensor([[2, 0, 3]]), 4)),
        ("one step, vocab_size 2", (torch.tensor([[1], [0], [0]]), 2)),
        ("X of shape (2, 3)", (torch.tensor([[4, 0, 2], [1, 3, 3]]), 5)),
        ("X of shape (2, 5), vocab_size 4", (ids(rng, 4, 2, 5), 4)),
        ("X that is a transposed tensor", (ids(rng, 6, 5, 3).T, 6)),
        ("45 steps", (ids(rng, 4, 3, 45), 4)),
        ("ids up to 299, 40 rows", (ids(rng, 300, 40, 3), 300)),
    ],
    major,
    {
        AXES: {"turned": lambda X: X},
        "Did you reshape? reshape keeps the order of the numbers; swapping axes needs a transpose.": {
            "turned": lambda X: X.reshape(X.shape[1], X.shape[0])
        },
        "Is the vocabulary axis the last one? The order is time, batch, vocabulary.": [
            {"order": (0, 2, 1)},
            {"order": (2, 1, 0)},
            {"order": (2, 0, 1)},
            {"order": (1, 2, 0)},
        ],
        "Did you flatten the two axes of X into one?": {"flat": True},
        "Did you read the text backwards?": {"turned": lambda X: X.flip(1).T},
        "Is the 1 off by one place? Id 0 has its 1 in column 0.": [{"shift": 1}, {"shift": -1}],
        "Did you write 28 for the number of columns? Use vocab_size.": {"columns": 28},
    },
)


def looked_up(ids, W_xh, *, by="rows", transpose=False, flat=False, shift=0):
    """Rows of W_xh, with places to go wrong."""
    ids = ids.flatten() if flat else ids.T if transpose and ids.dim() == 2 else ids
    if by == "product":
        return hot(ids, len(W_xh)) @ W_xh
    if by == "columns":
        return W_xh[:, ids]
    return (W_xh.T if by == "transposed" else W_xh)[(ids + shift) % len(W_xh)]


def rows_only(function, ids, W_xh):
    """The rows and their gradients, and whether one-hot vectors were made on the way."""
    calls = Calls()

    def watched(*args):
        with calls:
            return function(*args)

    found = with_gradients(watched, ids, W_xh)
    if len(W_xh) > 50 * W_xh.shape[1] and calls.largest >= ids.numel() * len(W_xh):
        found["way"] = Flaw("it makes one-hot vectors", MULTIPLIED)
    return found


def loud(rng):
    """A matrix (5, 4) with infinity in row 2: multiplied by a zero of a one-hot vector, it becomes nan."""
    W_xh = normal(rng, 5, 4)
    W_xh[2] = torch.inf
    return W_xh


lookup = Check(
    "lookup",
    lambda ids, W_xh: F.embedding(ids, W_xh),
    lambda rng: [
        ("a batch of 1 with 1 step, vocabulary 2", (torch.tensor([[1]]), normal(rng, 2, 3))),
        ("ids of shape (4,)", (torch.tensor([3, 0, 8, 3]), normal(rng, 9, 2))),
        ("ids of shape (2, 3)", (torch.tensor([[3, 0, 4], [1, 3, 2]]), normal(rng, 5, 4))),
        ("a W_xh with infinity in a row that no id asks for", (torch.tensor([[3, 0], [1, 3], [0, 4]]), loud(rng))),
        ("ids of shape (3, 1, 2, 4)", (ids(rng, 6, 3, 1, 2, 4), normal(rng, 6, 5))),
        ("a transposed W_xh, ids up to 299", (ids(rng, 300, 50, 7), normal(rng, 3, 300).T)),
    ],
    looked_up,
    {
        MULTIPLIED: {"by": "product"},
        "Did you take columns of W_xh, instead of rows?": [
            {"by": "columns"},
            {"by": "transposed"},
            lambda ids, W_xh: W_xh[:, ids].movedim(0, -1),
        ],
        AXES: {"transpose": True},
        "Is the row off by one? Id i takes row i of W_xh.": [{"shift": -1}, {"shift": 1}],
        "Did you lose the shape of ids?": {"flat": True},

    },
    run=rows_only,
)  # fmt: skip
