"""Answers to the exercises of notebook 01."""

import numpy as np
import torch
from torch.nn import functional as F

import d2lmini

from . import NUMPY, changes, right, wrong

# --- one_hot ---


right("one_hot")(lambda ids, vocab_size: (ids.unsqueeze(-1) == torch.arange(vocab_size)).float())


right("one_hot")(lambda ids, vocab_size: torch.from_numpy(np.eye(vocab_size, dtype=np.float32)[ids.numpy()]))


right("one_hot")(lambda ids, n: torch.zeros(*ids.shape, n).scatter_(-1, ids[..., None], 1.0))


@wrong("one_hot", changes("ids"))
def _(ids, vocab_size):
    result = torch.zeros(ids.numel(), vocab_size)
    for row, id in enumerate(ids.flatten()):
        result[row, id] = 1
    ids *= 0
    return result.reshape(*ids.shape, vocab_size)


@wrong("one_hot", "Did you put the new axis first? It is the last one.")
def _(ids, vocab_size):
    return torch.stack([(ids == i).float() for i in range(vocab_size)])


@wrong("one_hot", "Did you swap the time and batch axes?")
def _(ids, vocab_size):
    result = torch.eye(vocab_size)[ids]
    return result.transpose(0, 1) if ids.dim() == 2 else result


@wrong("one_hot", "Is the 1 off by one place? Id 0 has its 1 in column 0.")
def _(ids, vocab_size):
    return torch.eye(vocab_size)[ids - 1]


@wrong("one_hot", "Did you lose the shape of ids?")
def _(ids, vocab_size):
    result = torch.zeros(ids.numel(), vocab_size)
    result[torch.arange(ids.numel()), ids.reshape(-1)] = 1
    return result


@wrong("one_hot", "Did you take the number of columns from the largest id, instead of vocab_size?")
def _(ids, vocab_size):
    return torch.eye(int(ids.max()) + 1)[ids]


@wrong("one_hot", "Did you swap zeros and ones?")
def _(ids, vocab_size):
    return (ids[..., None] != torch.arange(vocab_size)).float()


@wrong(
    "one_hot",
    "Did you return integers? .float() makes them numbers that weights can multiply.",
    "Make the vectors yourself, from what the notebook has shown.",
)
def _(ids, vocab_size):
    return F.one_hot(ids, vocab_size)


wrong("one_hot", "Make the vectors yourself, from what the notebook has shown.")(
    lambda ids, vocab_size: torch.ops.aten.one_hot(ids, vocab_size).float()
)


@wrong("one_hot", "Did you return True and False? .float() makes them the numbers 1 and 0.")
def _(ids, vocab_size):
    return ids.unsqueeze(-1) == torch.arange(vocab_size)


@wrong("one_hot", "Did you return something other than a tensor? torch.as_tensor converts it.")
def _(ids, vocab_size):
    return np.eye(vocab_size, dtype=np.float32)[ids.numpy()]


@wrong("one_hot", "Did you return something other than a tensor? torch.as_tensor converts it.")
def _(ids, vocab_size):
    return torch.eye(vocab_size)[ids].tolist()


# --- time_major ---


right("time_major")(lambda X, vocab_size: d2lmini.one_hot(X.T, vocab_size))


right("time_major")(lambda X, vocab_size: torch.eye(vocab_size)[X].permute(1, 0, 2))


right("time_major")(lambda X, vocab_size: torch.einsum("btv->tbv", F.one_hot(X, vocab_size).float()))


right("time_major")(lambda X, vocab_size: torch.stack([torch.eye(vocab_size)[X[:, t]] for t in range(X.shape[1])]))


@wrong("time_major", "Did you swap the time and batch axes?")
def _(X, vocab_size):
    return torch.eye(vocab_size)[X]


@wrong("time_major", "Did you reshape? reshape keeps the order of the numbers; swapping axes needs a transpose.")
def _(X, vocab_size):
    return F.one_hot(X, vocab_size).float().reshape(X.shape[1], X.shape[0], vocab_size)


@wrong("time_major", "Is the vocabulary axis the last one? The order is time, batch, vocabulary.")
def _(X, vocab_size):
    return F.one_hot(X, vocab_size).float().permute(1, 2, 0)


@wrong("time_major", "Is the vocabulary axis the last one? The order is time, batch, vocabulary.")
def _(X, vocab_size):
    return torch.stack([torch.eye(vocab_size)[i][X] for i in range(vocab_size)]).transpose(1, 2)


@wrong("time_major", "Did you flatten the two axes of X into one?")
def _(X, vocab_size):
    return torch.eye(vocab_size)[X.T.reshape(-1)]


@wrong("time_major", "Did you return integers? .float() makes them numbers that weights can multiply.")
def _(X, vocab_size):
    return F.one_hot(X.T, vocab_size)


# --- lookup ---


right("lookup")(lambda ids, W_xh: W_xh[ids])


right("lookup")(lambda ids, W_xh: torch.index_select(W_xh, 0, ids.reshape(-1)).reshape(*ids.shape, -1))


wrong("lookup", NUMPY)(lambda ids, W_xh: torch.as_tensor(W_xh.numpy()[ids.numpy()]))


right("lookup")(
    lambda ids, W_xh: torch.stack([W_xh[int(id)] for id in ids.flatten()]).reshape(*ids.shape, W_xh.shape[1])
)


@wrong("lookup", "Did you take columns of W_xh, instead of rows?")
def _(ids, W_xh):
    return W_xh.t()[ids]


@wrong("lookup", "Did you swap the time and batch axes?")
def _(ids, W_xh):
    return F.embedding(ids, W_xh).transpose(0, 1) if ids.dim() == 2 else F.embedding(ids, W_xh)


@wrong("lookup", "Is the row off by one?")
def _(ids, W_xh):
    return W_xh[ids - 1]


@wrong("lookup", "Did you lose the shape of ids?")
def _(ids, W_xh):
    return W_xh.index_select(0, ids.flatten())


@wrong("lookup", "Did you multiply by one-hot vectors? Take the rows of W_xh directly.")
def _(ids, W_xh):
    return F.one_hot(ids, len(W_xh)).float() @ W_xh


@wrong("lookup", "Did you multiply by one-hot vectors? Take the rows of W_xh directly.")
def _(ids, W_xh):
    return torch.eye(W_xh.shape[0])[ids] @ W_xh


# --- one_hot, more ---

right("one_hot")(lambda ids, n: torch.stack([(ids == i).float() for i in range(n)], dim=-1))
right("one_hot")(lambda ids, n: torch.eye(n).index_select(0, ids.reshape(-1)).reshape(*ids.shape, n))
wrong("one_hot", "Make the vectors yourself")(lambda ids, n: F.one_hot(ids, n).float())
wrong("one_hot", "Did you write 28")(lambda ids, n: torch.eye(28)[ids])
wrong("one_hot", "Did you leave PyTorch's usual float32?")(lambda ids, n: torch.eye(n, dtype=torch.float64)[ids])
wrong("one_hot", "Did you leave PyTorch's usual float32?")(lambda ids, n: torch.eye(n)[ids].bfloat16())
wrong("one_hot")(lambda ids, n: torch.eye(n)[ids].to_sparse())
wrong("one_hot")(lambda ids, n: torch.eye(n)[ids.to(torch.uint8).long()])  # a limit: ids above 255
wrong("one_hot")(lambda ids, n: torch.eye(n)[ids[:32]] if ids.dim() else torch.eye(n)[ids])  # a limit: 32 rows
wrong("one_hot", "Use reshape")(lambda ids, n: torch.eye(n)[ids.view(-1)].view(*ids.shape, n))
wrong("one_hot", "Did you write the id itself")(lambda ids, n: torch.eye(n)[ids] * ids[..., None])
wrong("one_hot", "Did you write the id itself", "Did you take the number of columns")(
    lambda ids, n: torch.eye(int(ids.max()) + 1)[ids] * ids[..., None]
)
wrong("one_hot", "Did you put the new axis first?", "Did you swap zeros and ones?")(
    lambda ids, n: torch.stack([(ids != i).float() for i in range(n)])
)
wrong("one_hot", "Did you lose the shape of ids?", "Is the 1 off by one place?")(
    lambda ids, n: torch.eye(n)[ids.flatten() - 1]
)
wrong("one_hot", "Did you lose the shape of ids?", "Did you return integers?")(
    lambda ids, n: torch.eye(n).long()[ids.flatten()]
)
wrong("one_hot", "Did you swap the time and batch axes?", "Did you return something other than a tensor?")(
    lambda ids, n: np.eye(n, dtype=np.float32)[ids.numpy().T if ids.dim() == 2 else ids.numpy()]
)
_buffer = {}


@wrong("one_hot", "Make a new one in each call.")
def _(ids, n):
    result = _buffer.setdefault((tuple(ids.shape), n), torch.zeros(*ids.shape, n))  # never cleared
    return result.scatter_(-1, ids[..., None], 1.0) if len(_buffer) else result


# --- time_major, more ---

right("time_major")(lambda X, n: torch.zeros(*X.T.shape, n).scatter_(2, X.T[:, :, None], 1.0))
wrong("time_major", "Is the 1 off by one place?")(lambda X, n: torch.eye(n)[X.T - 1])
wrong("time_major", "Did you write 28")(lambda X, n: torch.eye(28)[X.T])
wrong("time_major", "Did you read the text backwards?")(lambda X, n: torch.eye(n)[X.flip(1).T])
wrong("time_major", "Use reshape")(lambda X, n: torch.eye(n)[X.T.view(-1)].view(*X.T.shape, n))
wrong("time_major")(lambda X, n: torch.eye(n)[X[:, :35].T])  # a limit
wrong("time_major", "Did you leave PyTorch's usual float32?")(lambda X, n: torch.eye(n, dtype=torch.double)[X.T])
wrong("time_major", "Did you swap the time and batch axes?", "Did you return integers?")(lambda X, n: F.one_hot(X, n))
wrong("time_major", "Did you swap the time and batch axes?", "Is the 1 off by one place?")(
    lambda X, n: torch.eye(n)[X - 1]
)
wrong("time_major", "Did you swap the time", "Did you flatten")(lambda X, n: torch.eye(n)[X.reshape(-1)])
wrong("time_major", "Is the 1 off by one place?", "Is the vocabulary axis the last one?")(
    lambda X, n: torch.eye(n)[X.T - 1].permute(2, 0, 1)
)
wrong("time_major", "Did you read the text backwards?", "Did you write 28")(lambda X, n: torch.eye(28)[X.flip(1).T])

# --- lookup, more ---

right("lookup")(lambda ids, W_xh: W_xh.gather(0, ids.reshape(-1, 1).expand(-1, W_xh.shape[1])).reshape(*ids.shape, -1))
right("lookup")(lambda ids, W_xh: W_xh.T[:, ids.flatten()].T.reshape(*ids.shape, W_xh.shape[1]))
wrong("lookup", "Did you detach something")(lambda ids, W_xh: W_xh.detach()[ids])
wrong("lookup", "Did you detach something")(torch.no_grad()(lambda ids, W_xh: F.embedding(ids, W_xh)))
wrong("lookup", "Did you multiply by one-hot vectors?")(
    lambda ids, W_xh: torch.stack([torch.eye(len(W_xh))[i] @ W_xh for i in ids.flatten()]).reshape(*ids.shape, -1)
)
wrong("lookup", "Did you multiply by one-hot vectors?")(
    lambda ids, W_xh: ((ids[..., None] == torch.arange(len(W_xh)))[..., None] * W_xh).sum(-2)
)
wrong("lookup")(lambda ids, W_xh: W_xh[ids % 256])  # a limit
wrong("lookup", "Did you lose the shape of ids?", "Is the row off by one?")(lambda ids, W_xh: W_xh[ids.flatten() - 1])
wrong("lookup", "Did you lose the shape", "Did you detach something")(lambda ids, W_xh: W_xh.data[ids.flatten()])
wrong("lookup", "Did you swap the time and batch axes?", "Is the row off by one?")(
    lambda ids, W_xh: W_xh[(ids.T if ids.dim() == 2 else ids) - 1]
)
wrong("lookup", "Did you multiply by one-hot vectors?")(  # without a product
    lambda ids, W_xh: torch.where((ids[..., None] == torch.arange(len(W_xh)))[..., None], W_xh, 0.0).sum(-2)
)
wrong("lookup", changes("W_xh"))(lambda ids, W_xh: W_xh.mul_(2)[ids] / 2)
