"""Answers to the exercises of notebook 11."""

import math

import numpy as np
import torch
from torch.nn import functional as F

from . import RIGHT, changes, right, wrong

# --- lr_schedule ---


def cosine(part):
    return (1 + math.cos(math.pi * part)) / 2


@right("lr_schedule")
def _(step, num_steps, max_lr, warm_up=0.1):
    done = step / num_steps
    if done < warm_up:
        return max_lr * done / warm_up
    return max_lr * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up))) / 2


@right("lr_schedule")
def _(step, num_steps, max_lr, warm_up=0.1):
    rising = warm_up * num_steps
    if step <= rising:
        return max_lr * step / rising
    return 0.5 * max_lr * (1 + np.cos(np.pi * (step - rising) / (num_steps - rising)))


@right("lr_schedule")
def _(step, num_steps, max_lr, warm_up=0.1):
    return max_lr * np.interp(step / num_steps, [0, warm_up], [0, 1]) if step < warm_up * num_steps else (
        max_lr * math.cos(math.pi / 2 * (step / num_steps - warm_up) / (1 - warm_up)) ** 2
    )  # fmt: skip


@right("lr_schedule")
def _(step, num_steps, max_lr, warm_up=0.1):
    part = torch.tensor((step / num_steps - warm_up) / (1 - warm_up), dtype=torch.float64)
    if part >= 0:
        return float(max_lr * (1 + torch.cos(math.pi * part)) / 2)
    return step * max_lr / num_steps / warm_up


@right("lr_schedule")
def _(step, num_steps, max_lr, warm_up=0.1):
    up = step / (warm_up * num_steps) if warm_up else 2
    return max_lr * min(up, cosine(max(0, (step / num_steps - warm_up) / (1 - warm_up))))


@wrong("lr_schedule", "Did you count the steps from 0?")
def _(step, num_steps, max_lr, warm_up=0.1):
    done = (step - 1) / num_steps
    return max_lr * done / warm_up if done < warm_up else max_lr * cosine((done - warm_up) / (1 - warm_up))


@wrong("lr_schedule", "Did you forget the warm-up?")
def _(step, num_steps, max_lr, warm_up=0.1):
    return max_lr * cosine(step / num_steps)


@wrong("lr_schedule", "Did you forget the warm-up?")
def _(step, num_steps, max_lr, warm_up=0.1):
    done = step / num_steps
    return max_lr if done < warm_up else max_lr * cosine((done - warm_up) / (1 - warm_up))


@wrong("lr_schedule", "Does the cosine begin at step 0?")
def _(step, num_steps, max_lr, warm_up=0.1):
    done = step / num_steps
    return max_lr * done / warm_up if done < warm_up else max_lr * cosine(done)


@wrong("lr_schedule", "Did you divide by the whole length?")
def _(step, num_steps, max_lr, warm_up=0.1):
    done = step / num_steps
    return max_lr * done / warm_up if done < warm_up else max_lr * cosine(done - warm_up)


@wrong("lr_schedule", "Did you decay in a straight line?")
def _(step, num_steps, max_lr, warm_up=0.1):
    done = step / num_steps
    return max_lr * done / warm_up if done < warm_up else max_lr * (1 - done) / (1 - warm_up)


@wrong("lr_schedule", "Did you keep the learning rate after the warm-up?")
def _(step, num_steps, max_lr, warm_up=0.1):
    return max_lr if step >= warm_up * num_steps else max_lr * step / num_steps / warm_up


@wrong("lr_schedule", "Did you forget to halve?")
def _(step, num_steps, max_lr, warm_up=0.1):
    done = step / num_steps
    return max_lr * done / warm_up if done < warm_up else 2 * max_lr * cosine((done - warm_up) / (1 - warm_up))


@wrong("lr_schedule", "Did you write 1 - cos?")
def _(step, num_steps, max_lr, warm_up=0.1):
    done = step / num_steps
    if done < warm_up:
        return max_lr * done / warm_up
    return max_lr * (1 - math.cos(math.pi * (done - warm_up) / (1 - warm_up))) / 2


@wrong("lr_schedule", "Did you use a quarter of the cosine's period?")
def _(step, num_steps, max_lr, warm_up=0.1):
    done = step / num_steps
    if done < warm_up:
        return max_lr * done / warm_up
    return max_lr * math.cos(math.pi / 2 * (done - warm_up) / (1 - warm_up))


@wrong("lr_schedule", "Did you forget pi")
def _(step, num_steps, max_lr, warm_up=0.1):
    done = step / num_steps
    if done < warm_up:
        return max_lr * done / warm_up
    return max_lr * (1 + math.cos((done - warm_up) / (1 - warm_up))) / 2


@wrong("lr_schedule", "Did you forget max_lr?")
def _(step, num_steps, max_lr, warm_up=0.1):
    done = step / num_steps
    return done / warm_up if done < warm_up else cosine((done - warm_up) / (1 - warm_up))


@wrong("lr_schedule", "Did you divide by warm_up where it's 0?")
def _(step, num_steps, max_lr, warm_up=0.1):
    return max_lr * min(step / num_steps / warm_up, cosine((step / num_steps - warm_up) / (1 - warm_up)))


@wrong("lr_schedule", "Did you round the warm-up to whole steps?")
def _(step, num_steps, max_lr, warm_up=0.1):
    rising = int(warm_up * num_steps)
    if step < rising:
        return max_lr * step / rising
    return max_lr * cosine((step - rising) / (num_steps - rising))


@wrong("lr_schedule")
def _(step, num_steps, max_lr, warm_up):
    return RIGHT["lr_schedule"][0](step, num_steps, max_lr, warm_up)


@wrong("lr_schedule")
def _(step, num_steps, max_lr, warm_up=0.5):
    return RIGHT["lr_schedule"][0](step, num_steps, max_lr, warm_up)


# --- mixture ---


@right("mixture")
def _(p_network, p_counts):
    best = None
    for i in range(21):
        w = i / 20
        ppl = torch.exp(-torch.log(w * p_network + (1 - w) * p_counts).mean()).item()
        if best is None or ppl < best[1]:
            best = w, ppl
    return best


@right("mixture")
def _(p_network, p_counts):
    def ppl(w):
        return math.exp(-float((w * p_network + (1 - w) * p_counts).log().mean()))

    w = min((i * 0.05 for i in range(21)), key=ppl)
    return w, ppl(w)


@right("mixture")
def _(p_network, p_counts):
    w = torch.arange(21)[:, None] / 20
    nats = -(p_counts + w * (p_network - p_counts)).double().log().mean(1)
    return [w[nats.argmin(), 0], nats.min().exp()]


@right("mixture")
def _(p_network, p_counts):
    mixed = {
        round(0.05 * k, 2): math.exp(
            sum(-math.log(0.05 * k * a + (1 - 0.05 * k) * b) for a, b in zip(p_network.tolist(), p_counts.tolist()))
            / len(p_counts)
        )
        for k in range(21)
    }
    weight = min(mixed, key=mixed.get)
    return weight, mixed[weight]


@right("mixture")
def _(p_network, p_counts):
    weights = np.linspace(0, 1, 21)
    both = np.array([2 ** -np.log2(w * p_network.numpy() + (1 - w) * p_counts.numpy()).mean() for w in weights])
    return weights[both.argmin()], both.min()


def searched(ppl, weights=None):
    weights = [i / 20 for i in range(21)] if weights is None else weights
    best = min(weights, key=ppl)
    return best, float(ppl(best))


@wrong("mixture", "Did you mix logarithms, or the two perplexities?")
def _(p_network, p_counts):
    return searched(lambda w: (-(w * p_network.log() + (1 - w) * p_counts.log()).mean()).exp())


@wrong("mixture", "Did you mix logarithms, or the two perplexities?")
def _(p_network, p_counts):
    a, b = ((-p.log().mean()).exp() for p in (p_network, p_counts))
    return searched(lambda w: w * a + (1 - w) * b)


@wrong("mixture")
def _(p_network, p_counts):
    weight, ppl = searched(lambda w: (-(w * p_network + (1 - w) * p_counts).log().mean()).exp())
    return (weight, ppl) if ppl < 100 else (0.0, 100.0)  # the search began too low for a bad model


@wrong("mixture", "Does the product of all probabilities become 0?")
def _(p_network, p_counts):
    return searched(lambda w: (w * p_network + (1 - w) * p_counts).prod() ** (-1 / len(p_counts)))


@wrong("mixture", "Is w the weight of the counts")
def _(p_network, p_counts):
    return searched(lambda w: (-(w * p_counts + (1 - w) * p_network).log().mean()).exp())


@wrong("mixture", "Did you swap the two results?")
def _(p_network, p_counts):
    weight, ppl = searched(lambda w: np.exp(-np.log(w * p_network.numpy() + (1 - w) * p_counts.numpy()).mean()))
    return ppl, weight


@wrong("mixture", "Did you choose the highest perplexity?")
def _(p_network, p_counts):
    w = max((i / 20 for i in range(21)), key=lambda w: float(-(w * p_network + (1 - w) * p_counts).log().mean()))
    return w, float((-(w * p_network + (1 - w) * p_counts).log().mean()).exp())


@wrong("mixture", "Did you average 1/p?")
def _(p_network, p_counts):
    return searched(lambda w: (1 / (w * p_network + (1 - w) * p_counts)).mean())


@wrong("mixture", "Did you average the probabilities?")
def _(p_network, p_counts):
    return searched(lambda w: 1 / (w * p_network + (1 - w) * p_counts).mean())


@wrong("mixture", "Did you forget exp?")
def _(p_network, p_counts):
    return searched(lambda w: -(w * p_network + (1 - w) * p_counts).log().mean())


@wrong("mixture", "Did you forget exp?")
def _(p_network, p_counts):
    return searched(lambda w: -(w * p_network + (1 - w) * p_counts).log2().mean())


@wrong("mixture", "Did you add up instead of averaging?")
def _(p_network, p_counts):
    return searched(lambda w: -(w * p_network + (1 - w) * p_counts).log().sum())


@wrong("mixture", "Did you mix log2 and exp?")
def _(p_network, p_counts):
    return searched(lambda w: (-(w * p_network + (1 - w) * p_counts).log2().mean()).exp())


@wrong("mixture", "Do the weights sum to 1?")
def _(p_network, p_counts):
    return searched(lambda w: (-(w * p_network + p_counts).log().mean()).exp())


@wrong("mixture", "Did you leave out the weight 0 or 1?")
def _(p_network, p_counts):
    weights = [i / 20 for i in range(20)]
    return searched(lambda w: (-(w * p_network + (1 - w) * p_counts).log().mean()).exp(), weights)


@wrong("mixture", "Did you try other weights?")
def _(p_network, p_counts):
    weights = [i / 10 for i in range(11)]
    return searched(lambda w: (-(w * p_network + (1 - w) * p_counts).log().mean()).exp(), weights)


@wrong("mixture", "Return a tuple: weight, perplexity")
def _(p_network, p_counts):
    return searched(lambda w: -(w * p_network + (1 - w) * p_counts).log().mean())[0]


# --- top_p ---


@right("top_p")
def _(logits, p):
    probs = logits.softmax(-1)
    ranked, order = probs.sort(dim=-1, descending=True)
    ranked = torch.where(ranked.cumsum(-1) - ranked < p, ranked, 0.0)
    kept = torch.zeros_like(probs).scatter(-1, order, ranked)
    return kept / kept.sum(-1, keepdim=True)


@right("top_p")
def _(logits, p):
    order = logits.argsort(-1, descending=True)
    before = logits.softmax(-1).gather(-1, order).cumsum(-1).roll(1, -1)
    before[..., 0] = 0
    out = (before >= p).gather(-1, order.argsort(-1))
    return torch.softmax(logits.masked_fill(out, -torch.inf), -1)


@right("top_p")
def _(logits, p):
    rows = []
    for row in logits.reshape(-1, logits.shape[-1]):
        probs, kept, total = torch.softmax(row.double(), 0), torch.zeros(len(row), dtype=torch.float64), 0.0
        for i in probs.argsort(descending=True):
            kept[i] = probs[i]
            total += float(probs[i])
            if total >= p:
                break
        rows.append(kept / kept.sum())
    return torch.stack(rows).reshape(logits.shape)


@right("top_p")
def _(logits, p):
    probs = F.softmax(logits, dim=-1)
    ranked = probs.sort(-1, descending=True).values
    number = (ranked.cumsum(-1) < p).sum(-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    kept = torch.where(probs >= ranked.gather(-1, number), probs, torch.zeros(()))
    return kept / kept.sum(dim=-1, keepdim=True)


@right("top_p")
def _(logits, p):
    flat = logits.reshape(-1, logits.shape[-1]).numpy().astype(np.float64)
    probs = np.exp(flat - flat.max(1, keepdims=True))
    probs /= probs.sum(1, keepdims=True)
    order = np.argsort(-probs, axis=1)
    ranked = np.take_along_axis(probs, order, 1)
    ranked[ranked.cumsum(1) - ranked >= p] = 0
    np.put_along_axis(probs, order, ranked, 1)
    return torch.from_numpy(probs / probs.sum(1, keepdims=True)).reshape(logits.shape)


def sorted_probs(logits):
    probs = logits.softmax(-1)
    ranked, order = probs.sort(-1, descending=True)
    return probs, ranked, order, ranked.cumsum(-1)


def back(keep, order):
    return torch.zeros_like(keep).scatter(-1, order, keep)


@wrong("top_p")
def _(logits, p):
    probs, ranked, order, total = sorted_probs(logits)
    keep = total - ranked < p
    keep[..., 150:] = False  # a limit
    kept = probs * back(keep, order)
    return kept / kept.sum(-1, keepdim=True)


@wrong("top_p", "Set their probabilities to 0")
def _(logits, p):
    probs, ranked, order, total = sorted_probs(logits)
    kept = probs * back(total - ranked < p, order)
    return (kept / kept.sum(-1, keepdim=True)).clamp(min=1e-6)


@wrong("top_p", "Set their probabilities to 0")
def _(logits, p):
    _, ranked, order, total = sorted_probs(logits)
    return logits.masked_fill(~back(total - ranked < p, order), -20.0).softmax(-1)


@wrong("top_p", "Does the token that reaches p stay?")
def _(logits, p):
    probs, _, order, total = sorted_probs(logits)
    kept = probs * back(total < p, order)
    return kept / kept.sum(-1, keepdim=True)


@wrong("top_p", "Does the token that reaches p stay?")
def _(logits, p):
    probs, _, order, total = sorted_probs(logits)
    kept = probs * back(total <= p, order)
    return kept / kept.sum(-1, keepdim=True)


@wrong("top_p", "Does the token that reaches p stay?")
def _(logits, p):
    probs, _, order, total = sorted_probs(logits)
    keep = total <= p
    keep[..., 0] = True
    kept = probs * back(keep, order)
    return kept / kept.sum(-1, keepdim=True)


@wrong("top_p", "Do the probabilities sum to 1?")
def _(logits, p):
    probs, ranked, order, total = sorted_probs(logits)
    return probs * back(total - ranked < p, order)


@wrong("top_p", "Did you renormalise by a second softmax?")
def _(logits, p):
    probs, ranked, order, total = sorted_probs(logits)
    return (probs * back(total - ranked < p, order)).softmax(-1)


@wrong("top_p", "Did you keep the share p of all tokens?")
def _(logits, p):
    number = math.ceil(p * logits.shape[-1])
    keep = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, logits.topk(number, -1).indices, True)
    return logits.masked_fill(~keep, -torch.inf).softmax(-1)


@wrong("top_p", "Did you compare each probability with p?")
def _(logits, p):
    probs = logits.softmax(-1)
    kept = probs * (probs >= 1 - p)
    return kept / kept.sum(-1, keepdim=True)


@wrong("top_p", "Did you compare each probability with p?")
def _(logits, p):
    probs = logits.softmax(-1)
    kept = probs * (probs >= p * probs.max(-1, keepdim=True).values)
    return kept / kept.sum(-1, keepdim=True)


@wrong("top_p", "Are the probabilities still sorted?")
def _(logits, p):
    _, ranked, _, total = sorted_probs(logits)
    kept = ranked * (total - ranked < p)
    return kept / kept.sum(-1, keepdim=True)


@wrong("top_p", "Did you begin with the least likely tokens?")
def _(logits, p):
    probs = logits.softmax(-1)
    ranked, order = probs.sort(-1)
    kept = probs * back(ranked.cumsum(-1) - ranked < p, order)
    return kept / kept.sum(-1, keepdim=True)


@wrong("top_p", "Did you set the other logits to 0?")
def _(logits, p):
    _, ranked, order, total = sorted_probs(logits)
    return logits.masked_fill(~back(total - ranked < p, order), 0.0).softmax(-1)


@wrong("top_p", "Did you make one set for all rows?")
def _(logits, p):
    probs, ranked, order, total = sorted_probs(logits.flatten())
    kept = probs * back(total - ranked < p, order)
    return (kept / kept.sum()).reshape(logits.shape)


@wrong("top_p", "Did you keep all tokens?")
def _(logits, p):
    return logits.softmax(-1)


@wrong("top_p", "Did you give all tokens of the set the same probability?")
def _(logits, p):
    _, ranked, order, total = sorted_probs(logits)
    keep = back(total - ranked < p, order)
    return keep / keep.sum(-1, keepdim=True)


@wrong("top_p", changes("logits"))
def _(logits, p):
    _, ranked, order, total = sorted_probs(logits)
    logits[~back(total - ranked < p, order)] = -torch.inf
    return logits.softmax(-1)
