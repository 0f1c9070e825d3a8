"""Checks of notebook 12: the accuracy of a linear probe, causal attention, a merge of byte-pair encoding."""

import math

import torch
from torch.nn import functional as F

from .judge import Check, ids, normal
from .watching import with_gradients

PARTS = {"first": lambda half: slice(half), "second": lambda half: slice(half, None), "all": lambda half: slice(None)}


def probed(features, answers, *, fit="first", report="second", bias=1, wanted="one-hot", result="right"):
    """The accuracy of a probe by the pseudoinverse, with places to go wrong."""
    half = len(features) // 2
    fit, report = PARTS[fit](half), PARTS[report](half)
    A = torch.cat([features, torch.ones(len(features), bias)], dim=1).double()
    B = F.one_hot(answers).double() if wanted == "one-hot" else answers[:, None].double()
    scores = A[report] @ torch.linalg.pinv(A[fit]) @ B[fit]
    found = scores.argmax(dim=1) if wanted == "one-hot" else scores[:, 0].round()
    right = (found == answers[report]).double()
    return float({"right": right.mean(), "wrong": 1 - right.mean(), "count": right.sum(),
                  "percent": 100 * right.mean()}[result])  # fmt: skip


def reference_probe_accuracy(features, answers):
    A = torch.cat([features, features.new_ones(len(features), 1)], dim=1).double()
    half, wanted = len(A) // 2, F.one_hot(answers).double()
    weights = torch.linalg.lstsq(A[:half], wanted[:half], driver="gelsd").solution  # gelsd: of any rank
    return (A[half:] @ weights).argmax(dim=1).eq(answers[half:]).double().mean().item()


def places(rng, n, width, num_answers, noise=1.0, offset=0.0):
    """Features of n places that tell the answers as far as the noise lets them."""
    answers = ids(rng, num_answers, n)
    answers[-num_answers:] = answers[:num_answers] = torch.arange(num_answers)
    return normal(rng, num_answers, width)[answers] + noise * normal(rng, n, width) + offset, answers


def one_hot_places(rng, n, num_tokens, num_answers):
    """Two tokens as one-hot vectors side by side, one of which says more about the answer; two columns are empty."""
    tokens = ids(rng, num_tokens, n, 2)
    answers = (tokens[:, 0] + (torch.rand(n, generator=rng) < 0.3)) % num_answers
    return F.one_hot(tokens, num_tokens + 1).flatten(1).float(), answers


probe_accuracy = Check(
    "probe_accuracy",
    reference_probe_accuracy,
    lambda rng: [
        ("41 places, 2 features, 2 answers", places(rng, 41, 2, 2, 1.0, 3.0)),
        ("60 places, 3 features, 3 answers", places(rng, 60, 3, 3, 1.0, 2.0)),
        ("90 places, 4 features, 5 answers", places(rng, 90, 4, 5, 0.8, -2.0)),
        ("75 places, 6 features, 4 answers", places(rng, 75, 6, 4, 1.5, 1.5)),
        ("one-hot features, whose columns depend on one another", one_hot_places(rng, 90, 5, 3)),
        ("features that tell nothing", (normal(rng, 120, 5), ids(rng, 3, 120))),
        ("400 places, 20 features, 6 answers", places(rng, 400, 20, 6, 2.0, 1.0)),
    ],
    probed,
    {
        "Did you report on the places that the probe was fitted on? Report on the second half.": {"report": "first"},
        "Did you report on all places? The probe has seen the first half.": {"report": "all"},
        "Did you fit the probe on all places? Fit it on the first half.": {"fit": "all"},
        "Did you fit on the second half, and report on the first?": {"fit": "second", "report": "first"},
        "Did you fit on the very half that you report on?": {"fit": "second"},
        "Did you forget the column of ones? Without it, the probe has no bias.": {"bias": 0},
        "Did you fit the ids themselves? Answer 2 isn't twice answer 1: fit one-hot vectors.": {"wanted": "ids"},
        "Did you return the share of wrong answers? The accuracy is the share of right ones.": {"result": "wrong"},
        "Did you return how many answers are right? Divide by the number of answers.": {"result": "count"},
        "Did you return a percentage? The accuracy is between 0 and 1.": {"result": "percent"},
        "Did you answer with the most frequent answer everywhere? Fit the features.": lambda features, answers: float(
            (answers[len(answers) // 2 :] == answers[: len(answers) // 2].mode().values).double().mean()
        ),
    },
)  # fmt: skip


SCALES = {  # by which the scores are divided
    "root": lambda width, steps: math.sqrt(width),
    "none": lambda width, steps: 1,
    "width": lambda width, steps: width,
    "multiply": lambda width, steps: 1 / math.sqrt(width),
    "steps": lambda width, steps: math.sqrt(steps),
}


def attended(Q, K, V, *, scale="root", hidden=lambda n: torch.ones(n, n).triu(1), when="before", axis=-1,
             swap=False, shown="result"):  # fmt: skip
    """Causal attention, with places to go wrong."""
    if swap:
        Q, K = K, Q
    scores = Q @ K.transpose(-1, -2) / SCALES[scale](Q.shape[-1], Q.shape[-2])
    hidden = hidden(scores.shape[-1]).bool()
    if when == "before":
        weights = scores.masked_fill(hidden, -math.inf).softmax(axis)
    elif when == "zeros":
        weights = scores.masked_fill(hidden, 0).softmax(axis)
    elif when == "after":
        weights = scores.softmax(axis).masked_fill(hidden, 0)
    else:  # no softmax
        weights = scores.masked_fill(hidden, 0)
    return weights if shown == "weights" else weights @ V


def reference_attention(Q, K, V):
    return F.scaled_dot_product_attention(Q, K, V, is_causal=True)


def heads(rng, *shape, scale=1.0):
    return [scale * normal(rng, *shape), scale * normal(rng, *shape), normal(rng, *shape)]


def heads_that_differ(rng, *shape):
    """Queries that point away from their keys: the mask must work even where all scores are very low."""
    K, V = normal(rng, *shape), normal(rng, *shape)
    return [-100 * K, K, V]


attention = Check(
    "attention",
    reference_attention,
    lambda rng: [
        ("a single step", heads(rng, 1, 1, 3)),
        ("2 steps of width 3", heads(rng, 1, 2, 3)),
        ("5 steps of width 4", heads(rng, 1, 5, 4)),
        ("large scores", heads(rng, 1, 4, 6, scale=8.0)),
        ("scores far below zero", heads_that_differ(rng, 1, 4, 6)),
        ("3 sequences of 6 steps, width 5", heads(rng, 3, 6, 5)),
        ("2 sequences of 40 steps, width 3", heads(rng, 2, 40, 3)),
        ("2 sequences, 3 heads, 7 steps of width 4", heads(rng, 2, 3, 7, 4)),
    ],
    attended,
    {
        "Did you forget to divide the scores by the square root of the width?": {"scale": "none"},
        "Did you divide by the width itself? Divide by its square root.": {"scale": "width"},
        "Did you multiply by the square root of the width? Divide by it.": {"scale": "multiply"},
        "Did you divide by the root of the number of steps? The width is Q.shape[-1].": {"scale": "steps"},
        "Did you forget the mask? A step must not see later steps.": {"hidden": lambda n: torch.zeros(n, n)},
        "Did you hide the past instead of the future?": {"hidden": lambda n: torch.ones(n, n).tril(-1)},
        "Did you hide each step from itself? A step sees itself and the steps before it.": {
            "hidden": lambda n: torch.ones(n, n).triu(0)
        },
        "Does a step see one step too many? Check the diagonal of the mask.": {
            "hidden": lambda n: torch.ones(n, n).triu(2)
        },
        "Did you mask after the softmax? Then the weights don't sum to 1: mask the scores.": {"when": "after"},
        "Did you set hidden scores to 0? exp(0) is 1; -inf gives the weight 0.": {"when": "zeros"},
        "Did you forget the softmax?": {"when": "never"},
        "Did you take the softmax over the wrong axis? The weights of each query sum to 1 (dim=-1).": {"axis": -2},
        "Did you swap queries and keys? Row t of the scores belongs to query t.": {"swap": True},
        "Did you return the weights? Multiply them by V.": {"shown": "weights"},
        "Did you multiply the weights by K? The values are V.": lambda Q, K, V: attended(Q, K, K) + 0 * V,
    },
    run=with_gradients,
    any_float=True,
)


def merged(tokens, pair, *, skip=2, most=math.inf, joined="".join, match=lambda here, pair: here == pair, end=0,
           backwards=False):  # fmt: skip
    """Every occurrence of a pair joined, with places to go wrong."""
    if backwards:
        turned = merged(tokens[::-1], pair[::-1], skip=skip, most=most, match=match, end=end,
                        joined=lambda pair: joined(pair[::-1]))  # fmt: skip
        return turned[::-1]
    result, i, found = [], 0, 0
    while i < len(tokens) - end:
        if i + 1 < len(tokens) and found < most and match((tokens[i], tokens[i + 1]), tuple(pair)):
            result.append(joined(pair))
            i, found = i + skip, found + 1
        else:
            result.append(tokens[i])
            i += 1
    return result


def reference_merge_pair(tokens, pair):
    """Takes tokens from a stack: whatever was merged is gone."""
    waiting, result = list(reversed(tokens)), []
    while waiting:
        token = waiting.pop()
        if waiting and (token, waiting[-1]) == tuple(pair):
            token += waiting.pop()
        result.append(token)
    return result


def replaced_in_text(separator):
    def replace(tokens, pair):
        text = separator.join(tokens).replace(separator.join(pair), "".join(pair))
        return text.split(separator)

    return replace


merge_pair = Check(
    "merge_pair",
    reference_merge_pair,
    lambda rng: [
        ("a pair at the beginning", (["t", "h", "e"], ("t", "h"))),
        ("a pair at the end", (["t", "h", "e"], ("h", "e"))),
        ("three equal tokens", (["a", "a", "a"], ("a", "a"))),
        ("a pair that isn't there", (["c", "a", "t"], ("t", "c"))),
        ("the pair the other way round", (["o", "n", "n", "o"], ("n", "o"))),
        ("a single token", (["a"], ("a", "a"))),
        ("several occurrences", (list("banana and ananas"), ("a", "n"))),
        ("longer tokens", (["th", "e", " ", "th", "a", "n", " ", "th", "e"], ("th", "e"))),
        ("a token that ends like the pair", (["o", "th", "e", "r", "loath", "e", "d"], ("th", "e"))),
        ("other tokens with the same letters", (["t", "he", " ", "th", "e"], ("th", "e"))),
        ("many equal tokens", (["o"] * 7 + ["h"] + ["o"] * 4, ("o", "o"))),
        ("300 tokens", (["abc"[i] for i in ids(rng, 3, 300).tolist()], ("b", "c"))),
    ],
    merged,
    {
        "Did you go on by one token after a merge? Go on by two, past the pair.": {"skip": 1},
        "Did you merge only the first occurrence?": {"most": 1},
        "Did you lose the last token? It may have no partner.": {"end": 1},
        "Did you go from right to left? Of three equal tokens, the first two are merged.": {"backwards": True},
        "Did you merge the pair in either order?": {"match": lambda here, pair: here in (pair, pair[::-1])},
        "Did you compare the joined text? Other tokens can join to the same: compare each token of the pair.": {
            "match": lambda here, pair: "".join(here) == "".join(pair)
        },
        "Did you compare only the first token of the pair?": {"match": lambda here, pair: here[0] == pair[0]},
        "Did you compare only the second token of the pair?": {"match": lambda here, pair: here[1] == pair[1]},
        "Did you keep only one token of the pair? The merged token is both of them, joined.": [
            {"joined": lambda pair: pair[0]},
            {"joined": lambda pair: pair[1]},
        ],
        "Did you put a space between the two? Join them without anything between.": {"joined": " ".join},
        "Did you return the tokens unchanged?": lambda tokens, pair: list(tokens),
        "Did you replace in a joined text? There, the end of a longer token looks like the pair, too.": [
            replaced_in_text(" "),
            replaced_in_text("|"),
        ],
    },
)
