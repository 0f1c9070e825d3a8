"""Checks of notebook 04: greedy continuation, temperature, the k likeliest symbols."""

import math
from functools import partial

import numpy as np
import torch

from .engine import Check, hot, normal
from .forward_pass import NOT_CARRIED, cell, logits_of, network, reference_final_logits

SOFTMAX_AXIS = "Is the softmax over the wrong axis? It belongs to the last one (dim=-1)."
OVERFLOW = "Does exp overflow? torch.softmax is safe for large numbers."


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
