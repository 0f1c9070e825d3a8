"""Checks of notebook 11: a learning rate that rises and falls, a mixture of two models, top-p."""

import math

import numpy as np
import torch

from .judge import Check, normal
from .prediction import OVERFLOW, SOFTMAX_AXIS, SOFTMAXES, exact_softmax
from .reading import Flaw, Parts
from .watching import usual_settings


def reference_lr_schedule(step, num_steps, max_lr, warm_up=0.1):
    """Half a turn of the complex unit circle, read off its real part."""
    done = step / num_steps
    if done < warm_up:
        return max_lr * step / (warm_up * num_steps)
    turn = np.exp(1j * np.pi * (done - warm_up) / (1 - warm_up))
    return float(max_lr * abs(1 + turn) ** 2 / 4)


def schedule(step, num_steps, max_lr, warm_up=0.1, *, first=0, rise="line", fall="cosine", over="rest", turn=math.pi,
             half=2, peak=True, counted="fraction", whole=None):  # fmt: skip
    """Up in a line, then down along a cosine, with places to go wrong."""
    warm_up = whole(warm_up * num_steps) / num_steps if whole else warm_up
    step = step - first
    done = step / num_steps
    start = warm_up if counted == "fraction" else 0
    highest = max_lr if peak else 1.0
    if done < warm_up and rise != "none":
        return {"line": highest * done / warm_up, "squared": highest * (done / warm_up) ** 2, "full": highest}[rise]
    part = {"rest": (done - start) / (1 - start), "all": done, "late": done - start}[over]
    if fall == "line":
        return highest * (1 - part)
    if fall == "quarter":
        return highest * math.cos(turn * part / 2)
    if fall == "stays":
        return highest
    if fall == "rises":
        return highest * (1 - math.cos(turn * part)) / 2
    return highest * (1 + math.cos(turn * part)) / half


lr_schedule = Check(
    "lr_schedule",
    reference_lr_schedule,
    lambda rng: [
        ("the first step", (1, 100, 0.004, 0.1)),
        ("the last step", (100, 100, 0.004, 0.1)),
        ("the end of the warm-up", (20, 200, 0.5, 0.1)),
        ("in the middle of the warm-up", (7, 100, 2.0, 0.2)),
        ("no warm-up", (30, 90, 1.0, 0.0)),
        ("halfway down", (55, 100, 0.3, 0.1)),
        ("just after the warm-up", (13, 40, 1.5, 0.25)),
        ("a long run", (2_817, 3_800, 0.01, 0.1)),
        ("a warm-up that ends between two steps", (9, 95, 0.6, 0.1)),
        ("warm_up left out: it's 0.1", (3, 50, 2.0)),
        ("warm_up left out, after the warm-up", (31, 60, 0.7)),
    ],
    schedule,
    {
        "Did you count the steps from 0? The first step is step 1.": {"first": 1},
        "Did you forget the warm-up?": [{"rise": "none", "over": "all"}, {"rise": "none"}, {"rise": "full"}],
        "Did you let the warm-up rise along a curve? It's a straight line.": {"rise": "squared"},
        "Did you decay in a straight line? It falls along a cosine.": {"fall": "line"},
        "Did you use a quarter of the cosine's period? Half a period goes from 1 to -1.": {"fall": "quarter"},
        "Did you keep the learning rate after the warm-up? It falls to 0 along a cosine.": {"fall": "stays"},
        "Did you write 1 - cos? That rises.": {"fall": "rises"},
        "Does the cosine begin at step 0? It begins where the warm-up ends.": [
            {"over": "all"},
            {"counted": "no fraction"},
        ],
        "Did you divide by the whole length? The cosine has only the steps after the warm-up.": {"over": "late"},
        "Did you forget to halve? (1 + cos) / 2 runs from 1 to 0.": {"half": 1},
        "Did you forget pi, or take 2 pi? Half a period is pi.": [{"turn": 1.0}, {"turn": 2 * math.pi}, {"turn": 180}],
        "Did you forget max_lr?": {"peak": False},
        "Did you round the warm-up to whole steps? It may end between two steps.": [
            {"whole": math.floor}, {"whole": math.ceil},
        ],
    },
    about={"ZeroDivisionError": "Did you divide by warm_up where it's 0? Then there's no warm-up."},
    atol=1e-9,
)  # fmt: skip

WEIGHTS = np.linspace(0, 1, 21)


def reference_mixture(p_network, p_counts):
    """All weights at once: one row for each."""
    p = np.stack([np.asarray(p_network, dtype=float), np.asarray(p_counts, dtype=float)])
    ppl = np.exp(-np.log(np.stack([WEIGHTS, 1 - WEIGHTS], 1) @ p).mean(1))
    return float(WEIGHTS[ppl.argmin()]), float(ppl.min())


def blend(p_network, p_counts, *, mix="arithmetic", score="perplexity", weights=WEIGHTS, swapped=False,
          choose=np.argmin, base=math.e, results=lambda weight, ppl: (weight, ppl)):  # fmt: skip
    """The best of some mixtures, with places to go wrong."""
    a, b = (np.asarray(p, dtype=float) for p in ((p_counts, p_network) if swapped else (p_network, p_counts)))
    values = []
    for w in weights:
        if mix == "arithmetic":
            p = w * a + (1 - w) * b
        elif mix == "geometric":
            p = a**w * b ** (1 - w)
        elif mix == "perplexities":
            values.append(w * np.exp(-np.log(a).mean()) + (1 - w) * np.exp(-np.log(b).mean()))
            continue
        elif mix == "added":
            p = w * a + b
        if score == "perplexity":
            values.append(np.exp(-(np.log(p) / math.log(base)).mean()))
        elif score == "arithmetic":
            values.append((1 / p).mean())
        elif score == "mean probability":
            values.append(1 / p.mean())
        elif score == "nats":
            values.append(-np.log(p).mean())
        elif score == "bits":
            values.append(-np.log2(p).mean())
        elif score == "sum":
            values.append(-np.log(p).sum())
        elif score == "product":
            with np.errstate(divide="ignore"):
                values.append(np.prod(p) ** (-1 / len(p)))
    best = int(choose(values))
    return results(float(weights[best]), float(values[best]))


def given(rng, n, strong=0.0):
    """The probabilities that two models give to n true tokens; `strong` favours the first."""
    return tuple((normal(rng, n) * 1.5 + shift).sigmoid().double() for shift in (strong, 0.0))


mixture = Check(
    "mixture",
    reference_mixture,
    lambda rng: [
        ("two tokens, each model right at one", (torch.tensor([0.9, 0.2]), torch.tensor([0.1, 0.8]))),
        ("the network better everywhere", (torch.tensor([0.5, 0.6, 0.7]), torch.tensor([0.1, 0.3, 0.2]))),
        ("the counts better everywhere", (torch.tensor([0.1, 0.3]), torch.tensor([0.5, 0.6]))),
        ("ten tokens", given(rng, 10)),
        ("50 tokens, the network stronger", given(rng, 50, 0.7)),
        ("very unlikely tokens", (torch.tensor([2e-4, 5e-4, 3e-4]), torch.tensor([4e-4, 1e-4, 2e-4]))),
        ("1,000 tokens", given(rng, 1000, 0.2)),
        ("5,000 tokens, the counts stronger", given(rng, 5000, -0.4)),
    ],
    blend,
    {
        "Did you mix logarithms, or the two perplexities? Mix each token's probabilities, then take the logarithm.": [
            {"mix": "geometric"}, {"mix": "perplexities"},
        ],
        "Do the weights sum to 1? The counts get 1 - w.": {"mix": "added"},
        "Is w the weight of the counts in your mixture? It belongs to the network.": {"swapped": True},
        "Did you choose the highest perplexity? The lowest is the best.": {"choose": np.argmax},
        "Did you average 1/p? Perplexity is exp of the mean of -log p.": {"score": "arithmetic"},
        "Did you average the probabilities? Perplexity is exp of the mean of -log p.": {"score": "mean probability"},
        "Did you forget exp?": [{"score": "nats"}, {"score": "bits"}],
        "Did you swap the two results? The weight comes first.": {"results": lambda weight, ppl: (ppl, weight)},
        "Did you add up instead of averaging?": {"score": "sum"},
        "Does the product of all probabilities become 0? Average their logarithms.": {"score": "product"},
        "Did you mix log2 and exp? Both must have the same base.": {"base": 2},
        "Did you leave out the weight 0 or 1? Try both ends, too.": [
            {"weights": WEIGHTS[1:-1]}, {"weights": WEIGHTS[:-1]}, {"weights": WEIGHTS[1:]},
        ],
        "Did you try other weights? They are 0, 0.05, 0.1, ... 1.": [
            {"weights": np.linspace(0, 1, 11)}, {"weights": np.linspace(0, 1, 101)},
            {"weights": np.linspace(0, 1, 20)}, {"weights": np.array([0.5])},
        ],
    },
    parts=("weight", "perplexity"),
)  # fmt: skip


def reference_top_p(logits, p):
    """A token stays if the likelier tokens alone don't reach p."""
    probs = exact_softmax(logits)
    likelier = torch.where(probs[..., None, :] > probs[..., :, None], probs[..., None, :], 0.0).sum(-1)
    kept = probs * (likelier < p)
    return kept / kept.sum(-1, keepdim=True)


def nucleus(logits, p, *, upto="reach", by="softmax", axis=-1, largest=True, joint=False, place=True, final="divide"):
    """The probabilities of the smallest set that reaches p, with places to go wrong."""
    shape = logits.shape
    logits = logits.flatten() if joint else logits
    probs = SOFTMAXES[by](logits, axis)
    ranked, order = probs.sort(dim=axis, descending=largest)
    total = ranked.cumsum(axis)
    if upto == "reach":
        keep = total - ranked < p
    elif upto == "one less":
        keep = total <= p
    elif upto == "one less, never none":
        keep = (total <= p).index_fill(axis, torch.tensor([0]), True)
    elif upto == "below p":
        keep = total < p
    elif upto == "below p, never none":
        keep = (total < p).index_fill(axis, torch.tensor([0]), True)
    elif upto == "one more":
        keep = (total - ranked < p).roll(1, axis).index_fill(axis, torch.tensor([0]), True)
    elif upto == "share of tokens":
        number = math.ceil(p * probs.shape[axis])
        keep = (torch.arange(probs.shape[-1]) < number).expand_as(probs)
    elif upto == "probability above p":
        keep = ranked >= p
    elif upto == "probability above 1 - p":
        keep = ranked >= 1 - p
    elif upto == "part of the largest":
        keep = ranked >= p * ranked.amax(axis, keepdim=True)
    if place:
        keep = torch.zeros_like(keep).scatter(axis, order, keep)
    else:
        probs = ranked
    if final == "divide":
        kept = probs * keep
        kept = kept / kept.sum(axis, keepdim=True)
    elif final == "none":
        kept = probs * keep
    elif final == "softmax":
        kept = (probs * keep).softmax(axis)
    elif final == "zeros":
        kept = (logits * keep).softmax(axis)
    elif final == "equal":
        kept = keep / keep.sum(axis, keepdim=True)
    elif final == "logits":
        kept = logits.masked_fill(~keep, -math.inf)
    elif final == "logs":
        kept = logits.masked_fill(~keep, -math.inf).log_softmax(axis)
    return kept.reshape(shape)


def with_exact_zeros(function, logits, p):
    """The result, and whether tokens outside the set have a small probability instead of none."""
    result = function(logits, p)
    usual_settings()  # whatever the function has set
    found = Parts({"result": result})
    if isinstance(result, torch.Tensor) and result.shape == logits.shape and result.is_floating_point():
        expected = reference_top_p(logits, p)
        if torch.allclose(result.double(), expected.double(), 1e-4, 1e-5) and result[expected == 0].any():
            text = "tokens outside the set have a small probability"
            found["zeros"] = Flaw(text, "Set their probabilities to 0, or their logits to -inf.")
    return found


top_p = Check(
    "top_p",
    reference_top_p,
    lambda rng: [
        ("logits (1, 3), the likeliest token alone reaches p", (torch.tensor([[0.2, 3.0, -1.0]]), 0.5)),
        ("logits of a single step, shape (6,), p 0.8", (normal(rng, 6), 0.8)),
        ("p so small that one token is enough", (normal(rng, 2, 5), 0.01)),
        ("p 1: all tokens stay", (normal(rng, 2, 4), 1.0)),
        ("logits (3, 7), p 0.6", (normal(rng, 3, 7), 0.6)),
        ("one sharp row and one flat row", (torch.stack([normal(rng, 6) * 6, normal(rng, 6) / 6]), 0.7)),
        ("logits that are all negative", (-normal(rng, 2, 5).abs() - 1, 0.75)),
        ("large logits, up to 1,000", (torch.tensor([[1000.0, -1000.0, 999.0]]), 0.9)),
        ("very negative logits", (torch.tensor([[-32.5, -30.0, -31.0]]), 0.5)),
        ("logits (2, 3, 1, 7), p 0.9", (normal(rng, 2, 3, 1, 7), 0.9)),
        ("60 rows, a vocabulary of 300, p 0.95", (normal(rng, 60, 300) / 2, 0.95)),
    ],
    nucleus,
    {
        "Does the token that reaches p stay? It belongs to the set.": [
            {"upto": "one less"}, {"upto": "one less, never none"},
            {"upto": "below p"}, {"upto": "below p, never none"},
        ],
        "Did you keep one token more than needed?": {"upto": "one more"},
        "Did you keep the share p of all tokens? Add up probabilities instead of counting tokens.": {
            "upto": "share of tokens"
        },
        "Did you compare each probability with p? What counts is their sum.": [
            {"upto": "probability above p"}, {"upto": "probability above 1 - p"}, {"upto": "part of the largest"},
        ],
        "Did you begin with the least likely tokens? Sort in descending order.": {"largest": False},
        "Are the probabilities still sorted? Put them back where their tokens were.": {"place": False},
        "Do the probabilities sum to 1? Renormalise after the cut.": {"final": "none"},
        "Did you renormalise by a second softmax? Divide by the sum.": {"final": "softmax"},
        "Did you set the other logits to 0? exp(0) is 1; -inf gives the probability 0.": {"final": "zeros"},
        "Did you give all tokens of the set the same probability?": {"final": "equal"},
        "Did you return logits? Return probabilities.": {"final": "logits"},
        "Did you return logarithms of probabilities?": {"final": "logs"},
        "Did you keep all tokens?": lambda logits, p: logits.softmax(-1),
        SOFTMAX_AXIS: {"axis": 0},
        "Did you make one set for all rows? Each row has its own.": {"joint": True},
        OVERFLOW: {"by": "unsafe"},
    },
    run=with_exact_zeros,
    any_float=True,
)  # fmt: skip
