"""Answers to the exercises of notebook 04."""

import math

import numpy as np
import torch
from torch.nn import functional as F

import d2lmini

from . import NUMPY, changes, right, wrong
from .forward_pass import logits, step


def greedy(ids, num_preds, params, H=None):
    H = torch.zeros(1, len(params[1])) if H is None else H
    for id in ids:
        H = step(torch.eye(len(params[0]))[[id]], H, params)
    result = []
    for _ in range(num_preds):
        result.append(logits(H, params).argmax().item())
        H = step(torch.eye(len(params[0]))[result[-1:]], H, params)
    return result, H


def cut(logits, k):
    return logits >= logits.topk(k, dim=-1).values[..., -1:]


# --- predict ---


@right("predict")
def _(ids, num_preds, params):
    inputs = d2lmini.one_hot(torch.tensor([ids]).T, len(params[0]))
    logits, state = d2lmini.rnn(inputs, d2lmini.init_rnn_state(1, len(params[1])), params)
    result = []
    for _ in range(num_preds):
        result.append(int(logits[-1].argmax()))
        logits, state = d2lmini.rnn(d2lmini.one_hot(torch.tensor([result[-1:]]), len(params[0])), state, params)
    return result


@right("predict")
def _(ids, num_preds, params):
    outputs, H = [ids[0]], torch.zeros(1, len(params[1]))
    for t in range(len(ids) + num_preds - 1):
        H = torch.tanh(params[0][outputs[-1]] + H @ params[1] + params[2])
        outputs.append(ids[t + 1] if t + 1 < len(ids) else int((H @ params[3] + params[4]).argmax(dim=1)))
    return outputs[len(ids) :]


@right("predict")
def _(ids, num_preds, params):
    W_xh, W_hh, b_h, W_hq, b_q = [param.detach().numpy() for param in params]
    h, written = np.zeros(len(W_hh), dtype=np.float32), []
    while len(written) < num_preds:
        for id in ids:
            h = np.tanh(W_xh[id] + h @ W_hh + b_h)
        logits = h @ W_hq + b_q
        logits[0] = -np.inf  # "<unk>" is never written
        ids = [logits.argmax()]
        written.append(ids[0])
    return written


@wrong("predict", "Did you skip the warm-up, or forget .T? The prefix must pass through the network id by id.")
def _(ids, num_preds, params):
    return greedy(ids[-1:], num_preds, params)[0]


@wrong("predict", "Did you return the prefix as well? Return only the continuation.")
def _(ids, num_preds, params):
    return list(ids) + greedy(ids, num_preds, params)[0]


@wrong("predict", "Did you forget to carry the state from step to step?")
def _(ids, num_preds, params):
    result = greedy(ids, 1, params)[0]
    while len(result) < num_preds:
        result += greedy(result[-1:], 1, params)[0]
    return result


@wrong("predict", "Did you read the last id of the prefix twice?")
def _(ids, num_preds, params):
    return greedy([*ids, ids[-1]], num_preds, params)[0]


@wrong("predict", NUMPY)
def _(ids, num_preds, params):
    return greedy(ids, num_preds, [torch.from_numpy(param.numpy()) for param in params])[0]  # a model's want gradients


wrong("predict", "int(...) makes them whole numbers.")(
    lambda ids, num_preds, params: [float(id) for id in greedy(ids, num_preds, params)[0]]
)
wrong("predict", "int(...) makes them whole numbers.")(
    lambda ids, num_preds, params: torch.tensor(greedy(ids, num_preds, params)[0], dtype=torch.float32)
)


@wrong("predict", "Is the number of predictions off by one?")
def _(ids, num_preds, params):
    return greedy(ids, num_preds + 1, params)[0]


@wrong("predict", "Did you lose the first prediction? It comes from the prefix's last logits.")
def _(ids, num_preds, params):
    return greedy(ids, num_preds + 1, params)[0][1:]


@wrong("predict", "Did you take the argmin? The likeliest token is the argmax.")
def _(ids, num_preds, params):
    W_xh, W_hh, _, W_hq, b_q = params
    H, result = torch.zeros(1, len(W_hh)), []
    for t in range(len(ids) + num_preds):
        id = ids[t] if t < len(ids) else int((H @ W_hq + b_q).argmin())
        if t >= len(ids):
            result.append(id)
        H = step(torch.eye(len(W_xh))[[id]], H, params)
    return result


# --- temperature ---


right("temperature")(lambda logits, temperature: torch.softmax(logits / temperature, dim=-1))


right("temperature")(lambda logits, temperature: F.log_softmax(logits / temperature, -1).exp())


@wrong("temperature", changes("logits"))
def _(logits, temperature):
    logits /= temperature
    logits -= logits.max(dim=-1, keepdim=True).values
    logits.exp_()
    logits /= logits.sum(-1, keepdim=True)
    return logits


@right("temperature")
def _(logits, temperature):
    scores = logits.numpy() / temperature
    exp = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return torch.from_numpy(exp / exp.sum(axis=-1, keepdims=True))


wrong("temperature", "Did you multiply the logits by the temperature? Divide them by it.")(
    lambda logits, temperature: F.softmax(temperature * logits, dim=-1)
)


wrong("temperature", "Did you take the softmax over the wrong axis? Take it over the last axis (dim=-1).")(
    lambda logits, temperature: F.softmax(logits / temperature, dim=0)
)


wrong("temperature", "Did you take the softmax over the wrong axis? Take it over the last axis (dim=-1).")(
    lambda logits, temperature: F.softmax(logits / temperature, dim=1)
)


wrong("temperature", "Did you ignore the temperature, or add or subtract it? Divide by it.")(
    lambda logits, temperature: logits.softmax(-1)
)


wrong("temperature", "Did you apply the softmax before the division? Divide the logits first.")(
    lambda logits, temperature: F.softmax(logits, dim=-1) / temperature
)


wrong("temperature", "Did you forget the softmax?")(lambda logits, temperature: logits / temperature)


wrong("temperature", "Did you forget to divide exp by its sum?")(
    lambda logits, temperature: torch.exp(logits / temperature)
)


wrong("temperature", "Does exp overflow? torch.softmax is safe for large numbers.")(
    lambda logits, temperature: (
        torch.exp(logits / temperature) / torch.exp(logits / temperature).sum(dim=-1, keepdim=True)
    )
)


# --- top_k ---


@right("top_k")
def _(logits, k):
    values, indices = logits.topk(k)
    return torch.zeros_like(logits).scatter(-1, indices, values.softmax(-1))


@wrong("top_k", changes("logits"))
def _(logits, k):
    smallest = logits.sort(dim=-1, descending=True).values[..., k - 1, None]
    logits[logits < smallest] = -math.inf
    return logits.softmax(-1)


@right("top_k")
def _(logits, k):
    probs = torch.softmax(logits, -1).reshape(-1, logits.shape[-1])
    for row in probs:
        for i in row.argsort()[: len(row) - k]:
            row[i] = 0
        row /= row.sum()
    return probs.reshape(logits.shape)


wrong("top_k", "Do the probabilities sum to 1? Renormalise after the cut.")(
    lambda logits, k: torch.where(cut(logits, k), logits.softmax(-1), 0)
)


wrong("top_k", "Did you keep the k smallest?")(
    lambda logits, k: torch.where(logits <= logits.sort(-1).values[..., k - 1 : k], logits, -math.inf).softmax(-1)
)


wrong("top_k", "Is k off by one?")(
    lambda logits, k: torch.where(cut(logits, min(k + 1, logits.shape[-1])), logits, -math.inf).softmax(-1)
)


wrong("top_k", "Did you set the other logits to 0? exp(0) is 1; -inf gives the probability 0.")(
    lambda logits, k: (logits * cut(logits, k)).softmax(-1)
)


wrong("top_k", "Did you return only k probabilities? The result has the shape of the logits.")(
    lambda logits, k: F.softmax(torch.topk(logits, k)[0], dim=-1)
)


wrong("top_k", "Did you take the softmax over the wrong axis? Take it over the last axis (dim=-1).")(
    lambda logits, k: logits.masked_fill(~cut(logits, k), -math.inf).softmax(0)
)


# --- predict, more ---


@wrong("predict", "Pass the state as a tuple")
def _(ids, num_preds, params):
    H, X, result = torch.zeros(1, len(params[1])), torch.tensor([ids]), []
    for _ in range(num_preds):
        outputs, (H,) = d2lmini.rnn(d2lmini.one_hot(X.T, len(params[0])), H, params)
        result.append(int(outputs[-1].argmax()))
        X = torch.tensor([result[-1:]])
    return result


@wrong("predict", "Did you skip the warm-up, or forget .T?")
def _(ids, num_preds, params):
    state, X, result = (torch.zeros(1, len(params[1])),), torch.tensor([ids]), []
    for _ in range(num_preds):
        outputs, state = d2lmini.rnn(d2lmini.one_hot(X, len(params[0])), state, params)
        result.append(int(outputs[-1].argmax()))
        X = torch.tensor([result[-1:]])
    return result


@wrong("predict", "Did you take the argmax over all rows")
def _(ids, num_preds, params):
    state, X, result = (torch.zeros(1, len(params[1])),), torch.tensor([ids]), []
    for _ in range(num_preds):
        outputs, state = d2lmini.rnn(d2lmini.one_hot(X.T, len(params[0])), state, params)
        result.append(int(outputs.argmax()))
        X = torch.tensor([result[-1:]])
    return result


@wrong("predict", "Did you choose from every row of the logits?")
def _(ids, num_preds, params):
    state, X, result = (torch.zeros(1, len(params[1])),), torch.tensor([ids]), []
    for _ in range(num_preds):
        outputs, state = d2lmini.rnn(d2lmini.one_hot(X.T, len(params[0])), state, params)
        X = outputs.argmax(1)
        result.append(X)
    return result


right("predict")(lambda ids, n, params: torch.tensor(greedy(ids, n, params)[0]))
right("predict")(lambda ids, n, params: (id for id in greedy(ids, n, params)[0]))
wrong("predict", "Did you leave out the last id of the prefix?")(lambda ids, n, params: greedy(ids[:-1], n, params)[0])
wrong("predict", "Did you read the prefix backwards?")(lambda ids, n, params: greedy(ids[::-1], n, params)[0])
wrong("predict")(lambda ids, n, params: greedy(ids[-50:], n, params)[0])
wrong("predict")(lambda ids, n, params: greedy(ids, n, params)[0][:30])
wrong("predict", changes("ids"))(
    lambda ids, n, params: [ids.append(id) or id for id in greedy(list(ids), n, params)[0]]
)
wrong("predict", "Is the number of predictions off by one?", "Did you return the prefix as well?")(
    lambda ids, n, params: ids + greedy(ids, n + 1, params)[0]
)
wrong("predict", "Did you skip the warm-up", "Did you return the prefix as well?")(
    lambda ids, n, params: ids + greedy(ids[-1:], n, params)[0]
)
wrong("predict", "Did you read the prefix backwards?", "Did you lose the first prediction?")(
    lambda ids, n, params: greedy(ids[::-1], n + 1, params)[0][1:]
)
wrong("predict", "Did you read the last id of the prefix twice?", "Did you return the prefix as well?")(
    lambda ids, n, params: ids + greedy([*ids, ids[-1]], n, params)[0]
)

# --- temperature, more ---

right("temperature")(lambda logits, temperature: logits.div(temperature).sub(7).softmax(-1))
right("temperature")(lambda logits, t: torch.exp(logits / t - torch.logsumexp(logits / t, -1, keepdim=True)))
wrong("temperature", "Did you return logarithms")(lambda logits, t: F.log_softmax(logits / t, -1))
wrong("temperature", "Did you use sigmoid?")(lambda logits, t: torch.sigmoid(logits / t))
wrong("temperature", "Did you take the root")(lambda logits, t: torch.softmax(logits / math.sqrt(t), -1))
wrong("temperature")(lambda logits, t: torch.softmax(logits / max(t, 0.1), -1))  # a limit
wrong("temperature")(lambda logits, t: torch.softmax(logits / min(t, 10), -1))  # a limit
wrong("temperature", "Does exp overflow?")(
    lambda logits, t: (
        ((logits - logits.mean(-1, keepdim=True)) / t).exp()
        / ((logits - logits.mean(-1, keepdim=True)) / t).exp().sum(-1, keepdim=True)
    )
)
wrong("temperature")(lambda logits, t: torch.softmax(logits / t, -1)[:100])


@right("temperature")
def _(logits, temperature):
    divided = logits / temperature
    exp = torch.exp(divided - divided.max(-1, keepdim=True).values)
    return exp / exp.sum(-1, keepdim=True)


@wrong("temperature", "Did you lose an axis in the sum?")
def _(logits, temperature):
    scores = logits / temperature
    exp = torch.exp(scores - scores.amax(-1, keepdim=True))
    return exp / exp.sum(-1)


@wrong("temperature", "Did you multiply", "Did you lose an axis in the sum?")
def _(logits, temperature):
    scores = logits * temperature
    exp = torch.exp(scores - scores.amax(-1, keepdim=True))
    return exp / exp.sum(-1)


@wrong("temperature", "Did you subtract the largest logit of all rows?")
def _(logits, temperature):
    exp = torch.exp((logits - logits.max()) / temperature)
    return exp / exp.sum(-1, keepdim=True)


@wrong("temperature", "Did you multiply", "Did you subtract the largest logit of all rows?")
def _(logits, temperature):
    exp = torch.exp((logits - logits.max()) * temperature)
    return exp / exp.sum(-1, keepdim=True)


@wrong("temperature", "Did you take the softmax over the wrong axis?")
def _(logits, temperature):
    exp = torch.exp((logits - logits.max()) / temperature)
    return exp / exp.sum()


wrong("temperature", "Did you multiply", "Did you take the softmax over the wrong axis?")(
    lambda logits, t: torch.softmax(logits * t, 0)
)
wrong("temperature", "Did you ignore", "Did you take the softmax over the wrong axis?")(
    lambda logits, t: torch.softmax(logits, 0)
)
wrong("temperature", "Did you multiply", "Does exp overflow?")(
    lambda logits, t: (logits * t).exp() / (logits * t).exp().sum(-1, keepdim=True)
)
wrong("temperature", "Did you multiply", "Did you forget the softmax?")(lambda logits, t: logits * t)
wrong("temperature", "Did you multiply", "Did you return logarithms")(lambda logits, t: (logits * t).log_softmax(-1))
wrong("temperature", "Did you ignore", "Did you return logarithms")(lambda logits, t: logits.log_softmax(-1))
wrong("temperature", "Did you ignore", "Did you use sigmoid?")(lambda logits, t: logits.sigmoid())

# --- top_k, more ---

right("top_k")(lambda logits, k: logits.masked_fill(logits < logits.topk(k).values[..., -1:], -math.inf).softmax(-1))
right("top_k")(lambda logits, k: F.normalize(torch.where(cut(logits, k), logits.softmax(-1), 0), p=1, dim=-1))


@right("top_k")
def _(logits, k):
    kept = torch.argsort(logits, dim=-1, descending=True, stable=True)[..., :k]
    exp = torch.exp(logits.double() - logits.amax(-1, keepdim=True))
    probs = torch.zeros_like(exp).scatter(-1, kept, exp.gather(-1, kept))
    return probs / probs.sum(-1, keepdim=True)


wrong("top_k")(lambda logits, k: logits.masked_fill(~cut(logits, k), -100.0).softmax(-1))  # a limit
wrong("top_k", "Did you take the k largest over all rows")(
    lambda logits, k: logits.masked_fill(logits < logits.topk(k).values.min(), -math.inf).softmax(-1)
)
wrong("top_k", "Does exp overflow?")(
    lambda logits, k: (logits.exp() * cut(logits, k)) / (logits.exp() * cut(logits, k)).sum(-1, keepdim=True)
)
wrong("top_k", "Did you keep all tokens?")(lambda logits, k: logits.softmax(-1))
wrong("top_k", "Did you return logits?")(lambda logits, k: logits.masked_fill(~cut(logits, k), -math.inf))
wrong("top_k", "Did you give all k tokens the same probability?")(lambda logits, k: cut(logits, k) / k)
wrong("top_k", "Did you renormalise by a second softmax?")(
    lambda logits, k: torch.where(cut(logits, k), logits.softmax(-1), 0).softmax(-1)
)
wrong("top_k", "Did you take the k largest over all rows")(
    lambda logits, k: (
        logits.masked_fill(logits < logits.flatten().topk(k).values[-1], -math.inf)
        .flatten()
        .softmax(0)
        .reshape(logits.shape)
    )
)


@wrong("top_k", "Did you divide by the sum of all rows?")
def _(logits, k):
    probs = torch.softmax(logits, dim=-1)
    probs[logits < torch.topk(logits, k).values[..., -1:]] = 0
    return probs / probs.sum()


@wrong("top_k", "Did you index with the ids alone?")
def _(logits, k):
    values, ids = torch.topk(logits, k)
    probs = torch.zeros_like(logits)
    probs[ids] = torch.softmax(values, dim=-1)
    return probs


wrong("top_k")(lambda logits, k: torch.where(cut(logits, min(k, 32)), logits, -math.inf).softmax(-1))
wrong("top_k", "Did you keep the k smallest?", "Do the probabilities sum to 1?")(
    lambda logits, k: torch.where(logits <= logits.sort(-1).values[..., k - 1 : k], logits.softmax(-1), 0)
)
wrong("top_k", "Is k off by one?", "Do the probabilities sum to 1?")(
    lambda logits, k: torch.where(cut(logits, min(k + 1, logits.shape[-1])), logits.softmax(-1), 0)
)
wrong("top_k", "Is k off by one?", "Did you set the other logits to 0?")(
    lambda logits, k: (logits * cut(logits, min(k + 1, logits.shape[-1]))).softmax(-1)
)
wrong("top_k", "Did you keep the k smallest?", "Did you return only k probabilities?")(
    lambda logits, k: logits.topk(k, largest=False).values.softmax(-1)
)
wrong("top_k", "Did you set the other logits to 0?", "Did you take the softmax over the wrong axis?")(
    lambda logits, k: (logits * cut(logits, k)).softmax(0)
)
