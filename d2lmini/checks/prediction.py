"""Checks of notebook 04: greedy continuation, temperature, the k likeliest tokens."""

import math

import numpy as np
import torch

from .forward_pass import NOT_CARRIED, WRONG_STEPS, as_in_a_model, network, reference_final_logits, step
from .judge import Check, hot, normal
from .reading import Flaw, Parts, Unread
from .watching import Calls

SOFTMAX_AXIS = "Did you take the softmax over the wrong axis? Take it over the last axis (dim=-1)."
OVERFLOW = "Does exp overflow? torch.softmax is safe for large numbers."
ONE_MAXIMUM = "Did you subtract the largest logit of all rows? Each row has its own: amax(dim=-1, keepdim=True)."


def written(ids, num_preds, params, *, read=lambda ids: ids, prefix=None, carry=True, first=0, more=0,
            choose=torch.argmax, fed=None, b_q=1, **mistake):  # fmt: skip
    """Greedy continuation, with places to go wrong."""
    vocab_size, H = len(params[0]), torch.zeros(1, len(params[1]))

    def logits():
        return (H @ params[3] + b_q * params[4])[0]

    for id in read(ids):
        H = step(hot(torch.tensor([id]), vocab_size), H, params, **mistake)
    result = []
    for _ in range(first + num_preds + more):
        result.append(int(choose(logits())))
        H = step(hot(torch.tensor([ids[-1] if fed == "last of prefix" else result[-1]]), vocab_size),
                 H if carry else torch.zeros_like(H), params, **mistake)  # fmt: skip
    return (prefix(ids) if prefix else []) + result[first:]


def reference_predict(ids, num_preds, params):
    """Reads everything again for each prediction: slow, but nothing can get lost between the steps."""
    text = list(ids)
    for _ in range(num_preds):
        text.append(int(reference_final_logits(torch.tensor([text]), params).argmax()))
    return text[len(ids) :]


def flattened_argmax(ids, num_preds, params):
    """The argmax over the logits of all steps of the prefix: an id only by accident."""
    texts = [ids[: t + 1] for t in range(len(ids))]
    rows = torch.cat([reference_final_logits(torch.tensor([text]), params) for text in texts])
    if int(rows.argmax()) >= len(params[0]) and num_preds > 1:
        raise IndexError("no such id")
    found = int(rows.argmax())
    return [found, *reference_predict([*ids, found], num_preds - 1, params)]


class StateUnpacked(Calls):
    """Watches for a bare tensor (1, num_hiddens) in place of the tuple: (H,) = state then takes its only row."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.unbind and args[0].dim() == 2 and len(args[0]) == 1:
            self.functions.append(args[0].shape[1])
        return function(*args, **(kwargs or {}))


def observe_predict(function, ids, num_preds, params):
    with StateUnpacked() as watch:
        found = Parts({"result": as_in_a_model(function, ids, num_preds, params)})
    items = found["result"] if isinstance(found["result"], (list, tuple)) else []
    if any(isinstance(item, torch.Tensor) and item.numel() > 1 for item in items):
        hint = "Did you choose from every row of the logits? Only the last row predicts the next token."
        found["result"] = Unread("expected a list of ids, got a list with tensors of several ids", hint)
    if len(params[1]) in watch.functions:
        hint = "Pass the state as a tuple, (H,): a bare tensor works only by accident, at batch size 1."
        found["state"] = Flaw("a bare tensor is unpacked as if it were the state's tuple", hint)
    return found


predict = Check(
    "predict",
    reference_predict,
    lambda rng: [
        ("num_preds 1", ([1, 4, 3], 1, network(rng, 7, 8))),
        ("num_preds 1, a network that has a favourite", ([5, 1, 4, 1], 1, network(rng, 6, 9))),
        ("a prefix of one id", ([3], 6, network(rng, 6, 8))),
        ("a prefix of 4 ids, num_preds 8", ([2, 4, 1, 3], 8, network(rng, 7, 9))),
        ("a prefix of 6 ids, num_preds 5", ([1, 5, 5, 2, 3, 1], 5, network(rng, 6, 8))),
        ("a vocabulary of 301 tokens", ([300, 7, 256], 9, network(rng, 301, 20))),
        ("a prefix of 60 ids, num_preds 40", ([1 + i * i % 5 for i in range(60)], 40, network(rng, 6, 11))),
    ],
    written,
    {
        "Did you skip the warm-up, or forget .T? The prefix must pass through the network id by id.": {
            "read": lambda ids: ids[-1:]
        },
        "Did you return the prefix as well? Return only the continuation.": [
            {"prefix": list},
            {"prefix": lambda ids: ids[-1:]},
        ],
        NOT_CARRIED: [
            {"carry": False},
            {"carry": False, "read": lambda ids: ids[-1:]},
        ],
        "Did you read the last id of the prefix twice?": {"read": lambda ids: [*ids, ids[-1]]},
        "Did you read the prefix backwards?": {"read": lambda ids: ids[::-1]},
        "Did you leave out the last id of the prefix?": {"read": lambda ids: ids[:-1]},
        "Did you feed the last id of the prefix again and again, instead of the prediction?": {"fed": "last of prefix"},
        "Is the number of predictions off by one? Return num_preds ids.": [{"more": -1}, {"more": 1}],
        "Did you lose the first prediction? It comes from the prefix's last logits.": {"first": 1},
        "Did you take the argmin? The likeliest token is the argmax.": {"choose": torch.argmin},
        "Did you draw at random? Greedy decoding takes the argmax.": {
            "choose": lambda logits: torch.multinomial(logits.softmax(-1), 1)
        },
        "Did you take the argmax over all rows of the logits? Only the last row predicts the next token.": (
            flattened_argmax
        ),
        "Did you forget the bias b_q?": {"b_q": 0},
        **{hint: made for hint, made in WRONG_STEPS.items() if made != {"old": 0}},  # it is NOT_CARRIED here
    },
    run=observe_predict,
)  # fmt: skip


def exact_softmax(logits):
    exp = np.exp(logits.double().numpy() - logits.double().numpy().max(axis=-1, keepdims=True))
    return torch.tensor(exp / exp.sum(axis=-1, keepdims=True)).float()


SCALES = {"divide": lambda logits, t: logits / t, "multiply": lambda logits, t: logits * t,
          "ignore": lambda logits, t: logits,
          "root": lambda logits, t: logits / math.sqrt(t)}  # fmt: skip
SOFTMAXES = {
    "softmax": torch.softmax,
    "log": torch.log_softmax,
    "none": lambda logits, dim: logits,
    "exp": lambda logits, dim: logits.exp(),
    "sigmoid": lambda logits, dim: logits.sigmoid(),
    "ratio": lambda logits, dim: logits / logits.sum(dim, keepdim=True),
    "unsafe": lambda logits, dim: logits.exp() / logits.exp().sum(dim, keepdim=True),
    "one maximum": lambda logits, dim: SOFTMAXES["unsafe"](logits - logits.max(), dim),
    "minus mean": lambda logits, dim: SOFTMAXES["unsafe"](logits - logits.mean(dim, keepdim=True), dim),
    "flat sum": lambda logits, dim: logits.exp() / logits.exp().sum(dim),
    "safe flat sum": lambda logits, dim: SOFTMAXES["flat sum"](logits - logits.amax(dim, keepdim=True), dim),
}


def soft(logits, temperature, *, scale="divide", axis=-1, by="softmax", first=False):
    """Probabilities at a temperature, with places to go wrong."""
    if first:
        logits = SOFTMAXES[by](logits, axis)
    logits = SCALES[scale](logits, temperature)
    if first == "only":
        return logits
    if axis == "all":
        return SOFTMAXES[by](logits.flatten(), 0).reshape(logits.shape)
    return SOFTMAXES[by](logits, axis)


temperature = Check(
    "temperature",
    lambda logits, temperature: exact_softmax(logits.double() / temperature),
    lambda rng: [
        ("a vocabulary of 2", (normal(rng, 1, 2), 3.0)),
        ("logits of a single step", (normal(rng, 5), 0.7)),
        ("large logits, up to 1,000", (torch.tensor([[1000.0, 999.0, -1000.0]]), 0.5)),
        ("large logits with two signs", (torch.tensor([[1000.0, 999.0], [-1000.0, -998.0]]), 1.5)),
        ("a logit of minus infinity", (torch.tensor([0.3, -math.inf, 1.2, -0.4]), 1.6)),
        ("equal logits", (torch.tensor([0.4, 0.4, 0.4]), 2)),
        ("a very low temperature", (torch.tensor([0.31, 0.29, 0.32]), 0.02)),
        ("a very high temperature", (torch.tensor([30.0, -20.0, 5.0]), 40.0)),
        ("temperature 1", (normal(rng, 2, 5), 1.0)),
        ("logits (4, 6), temperature 0.4", (normal(rng, 4, 6), 0.4)),
        ("logits (2, 3, 4) that are a transposed tensor", (normal(rng, 3, 2, 4).transpose(0, 1), 1.5)),
        ("logits (2, 1, 3, 7)", (normal(rng, 2, 1, 3, 7), 2.5)),
        ("200 rows, a vocabulary of 300", (3 * normal(rng, 200, 300), 0.8)),
    ],
    soft,
    {
        "Did you multiply the logits by the temperature? Divide them by it.": {"scale": "multiply"},
        "Did you ignore the temperature, or add or subtract it? Divide by it.": {"scale": "ignore"},
        "Did you take the root of the temperature?": {"scale": "root"},
        SOFTMAX_AXIS: [{"axis": 0}, {"axis": 1}, {"axis": "all"}],
        "Did you apply the softmax before the division? Divide the logits first.": [
            {"first": "only"},
            {"first": True},
        ],
        "Did you forget the softmax?": {"by": "none"},
        "Did you return logarithms of probabilities?": {"by": "log"},
        "Did you forget to divide exp by its sum?": {"by": "exp"},
        "Did you use sigmoid? The probabilities of a row must sum to 1.": {"by": "sigmoid"},
        "Did you divide by the sum without exp?": {"by": "ratio"},
        OVERFLOW: [{"by": "unsafe"}, {"by": "minus mean"}],
        "Did you lose an axis in the sum? keepdim=True keeps it, so each row is divided by its own sum.": [
            {"by": "flat sum"},
            {"by": "safe flat sum"},
        ],
        ONE_MAXIMUM: {"by": "one maximum"},
    },
    any_float=True,
)


def kept(logits, k, largest):
    """True at the k likeliest tokens."""
    k = min(max(k, 0), logits.shape[-1])
    return torch.zeros_like(logits, dtype=torch.bool).scatter(-1, logits.topk(k, largest=largest).indices, True)


def top(logits, k, *, more=0, largest=True, fill=-math.inf, axis=-1, joint=False, by="softmax", sharper=1):
    """The probabilities of the k likeliest tokens, with places to go wrong."""
    shape = logits.shape
    if joint:
        logits = logits.flatten()
    mask = kept(logits, k + more, largest)
    if by in ("no renormalising", "two softmaxes", "one sum"):
        probs = logits.softmax(axis) * mask
        made = {"no renormalising": probs, "two softmaxes": probs.softmax(axis), "one sum": probs / probs.sum()}
        return made[by].reshape(shape)
    scores = (logits * sharper).masked_fill(~mask, fill)
    if by == "values only":
        return logits.topk(k + more, largest=largest).values.softmax(axis)
    if by == "mask":
        return (mask.float() / mask.sum(axis, keepdim=True)).reshape(shape)
    return SOFTMAXES[by](scores, axis).reshape(shape)


def index_alone(logits, k):
    """Indexing with ids along the first axis: right for a single row of logits, and for no others."""
    values, ids = logits.topk(k)
    probs = torch.zeros_like(logits)
    probs[ids] = values.softmax(-1)
    return probs


def reference_top_k(logits, k):
    rank = logits.argsort(dim=-1, descending=True).argsort(dim=-1)
    probs = exact_softmax(logits) * (rank < k)
    return probs / probs.sum(-1, keepdim=True)


top_k = Check(
    "top_k",
    reference_top_k,
    lambda rng: [
        ("logits (1, 2), k 1", (normal(rng, 1, 2), 1)),
        ("k 1", (normal(rng, 2, 5), 1)),
        ("k as large as the vocabulary", (normal(rng, 2, 4), 4)),
        ("logits of a single step, shape (7,), k 3", (normal(rng, 7), 3)),
        ("logits that are all negative", (-normal(rng, 2, 5).abs() - 1, 2)),
        ("two equal logits among the 3 largest", (torch.tensor([0.2, 1.5, -1.0, 1.5, 0.9]), 3)),
        ("equal logits outside the 2 largest", (torch.tensor([-0.3, 1.5, 0.4, 1.1, -0.3]), 2)),
        ("large logits, up to 1,000", (torch.tensor([[1000.0, -1000.0, 999.0]]), 2)),
        ("logits far below zero", (torch.tensor([-501.0, -500.0, -503.5]), 2)),
        ("logits (3, 6), k 2", (normal(rng, 3, 6), 2)),
        ("logits (2, 3, 1, 7), k 3", (normal(rng, 2, 3, 1, 7), 3)),
        ("60 rows, a vocabulary of 300, k 40", (2 * normal(rng, 60, 300), 40)),
    ],
    top,
    {
        "Do the probabilities sum to 1? Renormalise after the cut.": {"by": "no renormalising"},
        "Did you renormalise by a second softmax? Divide by the sum.": {"by": "two softmaxes"},
        "Did you divide by the sum of all rows? Each row has its own: sum(dim=-1, keepdim=True).": {"by": "one sum"},
        "Did you index with the ids alone? They count within a row: scatter(-1, ids, values) puts each in its row.": (
            index_alone
        ),
        "Did you keep the k smallest?": {"largest": False},
        "Is k off by one? Keep exactly k tokens.": [{"more": -1}, {"more": 1}],
        "Did you set the other logits to 0? exp(0) is 1; -inf gives the probability 0.": {"fill": 0.0},
        "Did you return only k probabilities? The result has the shape of the logits.": {"by": "values only"},
        SOFTMAX_AXIS: [{"axis": 0}, {"axis": 1}],
        "Did you take the k largest over all rows together? Each row has its own.": [
            {"joint": True},
            lambda logits, k: logits.masked_fill(logits < logits.topk(k).values.min(), -math.inf).softmax(-1),
        ],
        OVERFLOW: {"by": "unsafe"},
        "Did you return logits? Return probabilities.": {"by": "none"},
        "Did you return logarithms of probabilities?": {"by": "log"},
        "Did you give all k tokens the same probability?": {"by": "mask"},
        "Did you keep all tokens?": lambda logits, k: logits.softmax(-1),
    },
    any_float=True,
)
