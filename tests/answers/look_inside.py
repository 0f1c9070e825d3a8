"""Answers to the exercises of notebook 12."""

import math
import re

import numpy as np
import torch
from torch.nn import functional as F

from . import changes, right, wrong

# --- probe_accuracy ---


def with_ones(features):
    return torch.cat([features, torch.ones(len(features), 1)], dim=1)


def fitted(features, answers):
    return torch.linalg.lstsq(with_ones(features), F.one_hot(answers).float(), driver="gelsd").solution


def accuracy(features, answers, weights):
    return ((with_ones(features) @ weights).argmax(dim=1) == answers).float().mean().item()


@right("probe_accuracy")
def _(features, answers):
    half = len(features) // 2
    return accuracy(features[half:], answers[half:], fitted(features[:half], answers[:half]))


@right("probe_accuracy")
def _(features, answers):
    half = len(features) // 2
    A = np.hstack([np.ones((len(features), 1)), features.numpy()])
    B = np.eye(int(answers.max()) + 1)[answers.numpy()]
    weights, *_ = np.linalg.lstsq(A[:half], B[:half], rcond=None)
    return np.mean((A[half:] @ weights).argmax(axis=1) == answers.numpy()[half:])


@right("probe_accuracy")
def _(features, answers):
    half = len(features) // 2
    A = with_ones(features).double()
    normal = A[:half].T @ A[:half] + 1e-9 * torch.eye(A.shape[1])
    weights = torch.linalg.solve(normal, A[:half].T @ F.one_hot(answers)[:half].double())
    count = 0
    for place in range(half, len(A)):
        count += int((A[place] @ weights).argmax()) == int(answers[place])
    return count / (len(A) - half)


@right("probe_accuracy")
def _(features, answers):
    first, second = torch.tensor_split(with_ones(features), [len(features) // 2])
    known, asked = torch.tensor_split(answers, [len(features) // 2])
    scores = second @ (torch.linalg.pinv(first) @ F.one_hot(known, int(answers.max()) + 1).float())
    return (scores.max(dim=1).indices == asked).double().mean()


@right("probe_accuracy")
def _(features, answers):
    half = len(features) // 2
    centre = features[:half].mean(dim=0)
    wanted = F.one_hot(answers).float()
    share = wanted[:half].mean(dim=0)
    weights = torch.linalg.lstsq(features[:half] - centre, wanted[:half] - share, driver="gelsd").solution
    return float(torch.mean((((features[half:] - centre) @ weights + share).argmax(1) == answers[half:]).float()))


@wrong("probe_accuracy", "Did you report on the places that the probe was fitted on?")
def _(features, answers):
    half = len(features) // 2
    return accuracy(features[:half], answers[:half], fitted(features[:half], answers[:half]))


wrong("probe_accuracy", "Did you report on the places", "Did you fit the probe on all places?")(
    lambda features, answers: accuracy(
        features[: len(features) // 2], answers[: len(features) // 2], fitted(features, answers)
    )
)


@wrong("probe_accuracy", "Did you fit the probe on all places?")
def _(features, answers):
    half = len(features) // 2
    return accuracy(features[half:], answers[half:], fitted(features, answers))


@wrong("probe_accuracy", "Did you fit on the very half that you report on?")
def _(features, answers):
    features, answers = features[len(features) // 2 :], answers[len(answers) // 2 :]
    return accuracy(features, answers, fitted(features, answers))


@wrong("probe_accuracy", "Did you report on all places?")
def _(features, answers):
    half = len(features) // 2
    return accuracy(features, answers, fitted(features[:half], answers[:half]))


@wrong("probe_accuracy", "Did you fit on the second half, and report on the first?")
def _(features, answers):
    half = len(features) // 2
    return accuracy(features[:half], answers[:half], fitted(features[half:], answers[half:]))


@wrong("probe_accuracy", "Did you forget the column of ones?")
def _(features, answers):
    half = len(features) // 2
    weights = torch.linalg.lstsq(features[:half], F.one_hot(answers[:half]).float(), driver="gelsd").solution
    return ((features[half:] @ weights).argmax(1) == answers[half:]).float().mean().item()


@wrong("probe_accuracy", "Did you fit the ids themselves?")
def _(features, answers):
    half = len(features) // 2
    A = with_ones(features)
    weights = torch.linalg.lstsq(A[:half], answers[:half, None].float(), driver="gelsd").solution
    return ((A[half:] @ weights).round()[:, 0] == answers[half:]).float().mean().item()


@wrong("probe_accuracy", "Did you return the share of wrong answers?")
def _(features, answers):
    half = len(features) // 2
    return 1 - accuracy(features[half:], answers[half:], fitted(features[:half], answers[:half]))


@wrong("probe_accuracy", "Did you return how many answers are right?")
def _(features, answers):
    half = len(features) // 2
    A = with_ones(features)
    return int(((A[half:] @ fitted(features[:half], answers[:half])).argmax(1) == answers[half:]).sum())


@wrong("probe_accuracy", "Did you return a percentage?")
def _(features, answers):
    half = len(features) // 2
    return 100 * accuracy(features[half:], answers[half:], fitted(features[:half], answers[:half]))


@wrong("probe_accuracy", "Did you answer with the most frequent answer")
def _(features, answers):
    half = len(features) // 2
    guess = answers[:half].bincount().argmax()
    return (answers[half:] == guess).float().mean().item()


wrong("probe_accuracy")(lambda features, answers: 0.5)


# --- attention ---


def scores(Q, K):
    return Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])


def later(S, diagonal=1):
    return torch.ones(S.shape[-2:], dtype=torch.bool).triu(diagonal)


def causal(S, diagonal=1):
    return S.masked_fill(later(S, diagonal), -torch.inf)


@right("attention")
def _(Q, K, V):
    return causal(scores(Q, K)).softmax(-1) @ V


@right("attention")
def _(Q, K, V):
    S = torch.einsum("...qd,...kd->...qk", Q, K) * Q.shape[-1] ** -0.5
    mask = torch.full(S.shape[-2:], -torch.inf).triu(1)
    return torch.einsum("...qk,...kd->...qd", torch.softmax(S + mask, dim=-1), V)


@right("attention")
def _(Q, K, V):
    S = scores(Q, K)
    S = torch.where(later(S), -1e30, S)
    weights = (S - S.amax(-1, keepdim=True).detach()).exp()
    return weights / weights.sum(dim=-1, keepdim=True) @ V


@right("attention")
def _(Q, K, V):
    steps = []
    for t in range(Q.shape[-2]):
        weights = torch.softmax(scores(Q[..., t : t + 1, :], K[..., : t + 1, :]), dim=-1)
        steps.append(weights @ V[..., : t + 1, :])
    return torch.cat(steps, dim=-2)


@right("attention")
def _(Q, K, V):
    n = Q.shape[-2]
    visible = torch.arange(n)[:, None] >= torch.arange(n)
    return F.scaled_dot_product_attention(Q, K, V, attn_mask=visible)


@wrong("attention", "Did you forget to divide the scores")
def _(Q, K, V):
    S = Q @ K.mT
    return causal(S).softmax(-1) @ V


@wrong("attention", "Did you divide by the width itself?")
def _(Q, K, V):
    S = Q @ K.mT / Q.shape[-1]
    return causal(S).softmax(-1) @ V


@wrong("attention", "Did you multiply by the square root of the width?")
def _(Q, K, V):
    S = Q @ K.mT * math.sqrt(Q.shape[-1])
    return causal(S).softmax(-1) @ V


@wrong("attention", "Did you divide by the root of the number of steps?")
def _(Q, K, V):
    S = Q @ K.mT / math.sqrt(Q.shape[-2])
    return causal(S).softmax(-1) @ V


wrong("attention")(lambda Q, K, V: scores(Q, K).masked_fill(later(scores(Q, K)), -100.0).softmax(-1) @ V)  # a limit
wrong("attention")(  # a window of 20 steps
    lambda Q, K, V: scores(Q, K).masked_fill(
        later(scores(Q, K)) | torch.ones(Q.shape[-2], Q.shape[-2]).tril(-20).bool(), -math.inf
    ).softmax(-1) @ V
)  # fmt: skip
wrong("attention", "Did you forget the mask?")(lambda Q, K, V: scores(Q, K).softmax(-1) @ V)
wrong("attention", "Did you forget the mask?", "Did you forget to divide the scores")(
    lambda Q, K, V: (Q @ K.mT).softmax(-1) @ V
)


@wrong("attention", "Did you hide the past instead of the future?")
def _(Q, K, V):
    S = scores(Q, K)
    return S.masked_fill(later(S).mT, -torch.inf).softmax(-1) @ V


@wrong("attention", "Did you hide each step from itself?")
def _(Q, K, V):
    return causal(scores(Q, K), 0).softmax(-1) @ V


@wrong("attention", "Does a step see one step too many?")
def _(Q, K, V):
    return causal(scores(Q, K), 2).softmax(-1) @ V


@wrong("attention", "Did you mask after the softmax?")
def _(Q, K, V):
    S = scores(Q, K)
    return S.softmax(-1).tril() @ V


@wrong("attention", "Did you mask after the softmax?", "Did you forget to divide the scores")
def _(Q, K, V):
    return (Q @ K.mT).softmax(-1).tril() @ V


wrong("attention", "Did you set hidden scores to 0?")(lambda Q, K, V: scores(Q, K).tril().softmax(-1) @ V)
wrong("attention", "Did you forget the softmax?")(lambda Q, K, V: scores(Q, K).tril() @ V)


@wrong("attention", "Did you take the softmax over the wrong axis?")
def _(Q, K, V):
    return causal(scores(Q, K)).softmax(-2) @ V


@wrong("attention", "Did you swap queries and keys?")
def _(Q, K, V):
    return causal(scores(K, Q)).softmax(-1) @ V


@wrong("attention", "Did you return the weights?")
def _(Q, K, V):
    return causal(scores(Q, K)).softmax(-1)


@wrong("attention", "Did you multiply the weights by K?")
def _(Q, K, V):
    return causal(scores(Q, K)).softmax(-1) @ K


@wrong("attention", "Did you detach something")
def _(Q, K, V):
    return torch.tensor(causal(scores(Q, K)).softmax(-1).detach().numpy() @ V.detach().numpy())


# --- merge_pair ---


@right("merge_pair")
def _(tokens, pair):
    result, i = [], 0
    while i < len(tokens):
        if tuple(tokens[i : i + 2]) == pair:
            result.append(tokens[i] + tokens[i + 1])
            i += 2
        else:
            result.append(tokens[i])
            i += 1
    return result


@right("merge_pair")
def _(tokens, pair):
    result, skip = [], False
    for token, following in zip(tokens, [*tokens[1:], None]):
        if skip:
            skip = False
        elif (token, following) == pair:
            result.append("".join(pair))
            skip = True
        else:
            result.append(token)
    return result


@right("merge_pair")
def _(tokens, pair):
    result, open_ = [], False
    for token in tokens:
        if open_ and result[-1] == pair[0] and token == pair[1]:
            result[-1] += token
            open_ = False
        else:
            result.append(token)
            open_ = True
    return result


@right("merge_pair")
def _(tokens, pair):
    text = "".join(f"<{token}>" for token in tokens)
    text = text.replace(f"<{pair[0]}><{pair[1]}>", f"<{pair[0]}{pair[1]}>")
    return re.findall("<(.*?)>", text)


@right("merge_pair")
def _(tokens, pair):
    tokens = list(tokens)
    for i in range(len(tokens) - 1):
        if i + 1 < len(tokens) and (tokens[i], tokens[i + 1]) == pair:
            tokens[i : i + 2] = [pair[0] + pair[1]]
    return tokens


@right("merge_pair")
def _(tokens, pair):
    i = 0
    while i < len(tokens):
        merge = tokens[i : i + 2] == list(pair)
        yield "".join(tokens[i : i + 1 + merge])
        i += 1 + merge


@wrong("merge_pair", "Did you go on by one token after a merge?")
def _(tokens, pair):
    result = []
    for i in range(len(tokens)):
        both = tuple(tokens[i : i + 2]) == pair
        result.append(pair[0] + pair[1] if both else tokens[i])
    return result


@wrong("merge_pair", "Did you merge only the first occurrence?")
def _(tokens, pair):
    for i in range(len(tokens) - 1):
        if (tokens[i], tokens[i + 1]) == pair:
            return [*tokens[:i], pair[0] + pair[1], *tokens[i + 2 :]]
    return list(tokens)


def looped(tokens, pair, same, joined="".join, end=0, skip=2):
    result, i = [], 0
    while i < len(tokens) - end:
        if i + 1 < len(tokens) and same(tokens[i], tokens[i + 1]):
            result.append(joined(pair))
            i += skip
        else:
            result.append(tokens[i])
            i += 1
    return result


wrong("merge_pair", "Did you lose the last token?")(
    lambda tokens, pair: looped(tokens, pair, lambda a, b: (a, b) == pair, end=1)
)
wrong("merge_pair", "Did you merge the pair in either order?")(
    lambda tokens, pair: looped(tokens, pair, lambda a, b: {a, b} == set(pair) and (a != b or pair[0] == pair[1]))
)
wrong("merge_pair", "Did you compare only the first token")(
    lambda tokens, pair: looped(tokens, pair, lambda a, b: a == pair[0])
)
wrong("merge_pair", "Did you compare only the second token")(
    lambda tokens, pair: looped(tokens, pair, lambda a, b: b == pair[1])
)
wrong("merge_pair", "Did you keep only one token")(
    lambda tokens, pair: looped(tokens, pair, lambda a, b: (a, b) == pair, joined=lambda pair: pair[0])
)
wrong("merge_pair", "Did you keep only one token")(
    lambda tokens, pair: looped(tokens, pair, lambda a, b: (a, b) == pair, joined=lambda pair: pair[1])
)


@wrong("merge_pair", "Did you compare the joined text?")
def _(tokens, pair):
    result, i = [], 0
    while i < len(tokens):
        step = 2 if "".join(tokens[i : i + 2]) == "".join(pair) and i + 1 < len(tokens) else 1
        result.append("".join(tokens[i : i + step]))
        i += step
    return result


wrong("merge_pair", "Did you put a space between the two?")(
    lambda tokens, pair: looped(tokens, pair, lambda a, b: (a, b) == pair, joined=" ".join)
)
wrong("merge_pair", "Did you put a space between the two?", "Did you lose the last token?")(
    lambda tokens, pair: looped(tokens, pair, lambda a, b: (a, b) == pair, joined=" ".join, end=1)
)


@wrong("merge_pair", "Did you go from right to left?")
def _(tokens, pair):
    tokens = list(tokens)
    i = len(tokens) - 2
    while i >= 0:
        if (tokens[i], tokens[i + 1]) == pair:
            tokens[i : i + 2] = [pair[0] + pair[1]]
            i -= 1
        i -= 1
    return tokens


wrong("merge_pair", "Did you return the tokens unchanged?")(lambda tokens, pair: list(tokens))
wrong("merge_pair", "Did you replace in a joined text?")(
    lambda tokens, pair: "|".join(tokens).replace("|".join(pair), "".join(pair)).split("|")
)
wrong("merge_pair")(lambda tokens, pair: "".join(tokens).replace("".join(pair), "".join(pair)))


@wrong("merge_pair", changes("tokens"))
def _(tokens, pair):
    i = 0
    while i < len(tokens) - 1:
        if (tokens[i], tokens[i + 1]) == pair:
            tokens[i : i + 2] = [pair[0] + pair[1]]
        i += 1
    return tokens
