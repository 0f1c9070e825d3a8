"""Train the runs of notebook 10, each with its fault and repaired, and save them as data/runs/clinic.json.

    python tests/tools/clinic.py      all eight pairs, about two minutes on one core
    python tests/tools/clinic.py 3    only this pair

The two runs of a pair share their seed and everything else but one setting, so the repaired run is the control of
the broken one. Nothing in the stored file names a fault: to name it is the reader's task.
"""

import json
import math
import statistics
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from d2lmini import (
    RandomBatches,
    RNNModelByHand,
    SequentialBatches,
    Vocab,
    baselines,
    clip_gradients,
    evaluate,
    load_corpus,
    predict,
    sample,
    time_major,
)  # fmt: skip
from d2lmini.training import LARGEST_LOSS

RESULTS = Path(__file__).parents[2] / "data" / "runs" / "clinic.json"
SEEDS = (0, 1, 2)


class CarriedRandom(RandomBatches):
    """Sequences from anywhere in the text, and yet the state goes on from one minibatch to the next."""

    carries_state = True


def own_vocabulary(vocab, ids):
    return vocab


def new_vocabulary(vocab, ids):
    """The same tokens, counted in the held-out text instead of the training text, so in another order."""
    return Vocab(vocab.to_tokens(ids.tolist()))


HEALTHY = {
    "units": 64, "init": {"input_std": 1.0}, "sampler": SequentialBatches, "shape": (32, 35), "lr": 1.0, "theta": 1.0,
    "num_epochs": 40, "targets": time_major, "cut": True, "vocabulary": own_vocabulary, "keep_best": False,
}  # fmt: skip
# number: (what the runs of the pair share, {run: what only it has})
RUNS = {
    1: ({}, {"broken": {"lr": 8.0}, "repaired": {"lr": 1.0}}),
    2: ({}, {"broken": {"vocabulary": new_vocabulary}, "repaired": {"vocabulary": own_vocabulary}}),
    3: ({"shape": (32, 10)}, {"broken": {"sampler": CarriedRandom}, "repaired": {"sampler": RandomBatches}}),
    4: (
        {"units": 128, "lr": 2.0, "init": {"input_std": 1.0, "orthogonal": True}, "theta": 0.5, "num_epochs": 100},
        {"broken": {"keep_best": False}, "repaired": {"keep_best": True}},
    ),
    5: ({}, {"broken": {"init": {"input_std": 30.0}}, "repaired": {"init": {"input_std": 1.0}}}),
    6: ({}, {"broken": {"targets": lambda Y: Y.reshape(-1)}, "repaired": {"targets": time_major}}),
    7: (
        {"lr": 4.0, "theta": None, "init": {"input_std": 0.3, "orthogonal": True}},
        {"broken": {}, "repaired": {"theta": 0.25}, "slower": {"lr": 1.0}},
    ),
    8: ({"shape": (16, 20), "num_epochs": 12}, {"broken": {"cut": False}, "repaired": {"cut": True}}),
}


def step(model, X, Y, state, settings):
    """One step as in notebook 06: (loss, gradient norm, new state); without the step if the loss is too large."""
    (H,) = state
    logits, state = model(X, (H.detach() if settings["cut"] else H,))
    loss = F.cross_entropy(logits, settings["targets"](Y))
    if not loss <= LARGEST_LOSS:
        return math.inf, math.inf, state
    for param in model.params:
        param.grad = None
    loss.backward(retain_graph=not settings["cut"])
    norm = float(clip_gradients(model.params, settings["theta"] or math.inf))
    for param in model.params:
        param.data -= settings["lr"] * param.grad  # .data: autograd doesn't complain, however long the graph
    return loss.item(), norm, state


@torch.no_grad()
def saturated(model, batches):
    """The share of hidden numbers beyond 0.99 in the first minibatch."""
    W_xh, W_hh, b_h, *_ = model.params
    X, _ = next(iter(batches))
    H, found = torch.zeros(len(X), len(b_h)), []
    for ids in X.T:
        H = torch.tanh(W_xh[ids] + H @ W_hh + b_h)
        found.append((H.abs() > 0.99).float().mean())
    return torch.stack(found).mean().item()


@torch.no_grad()
def by_place(model, batches, settings):
    """Training perplexity of the first, second, ... token of the sequences, the state treated as in training."""
    state, total = None, 0.0
    for X, Y in batches:
        if state is None or not batches.carries_state:
            state = model.begin_state(len(X))
        logits, state = model(X, state)
        total = total + F.cross_entropy(logits, settings["targets"](Y), reduction="none").view(X.T.shape).mean(1)
    return (total / len(batches)).exp().tolist()


def observe(number, run, seed=0, num_epochs=None):
    """One run as a practitioner meets it: curves, norms, times and texts. The held-out numbers are of the test half."""
    shared, only = RUNS[number]
    settings = HEALTHY | shared | only[run]
    tokens, held_out, vocab = load_corpus()
    vocab = settings["vocabulary"](vocab, held_out)
    half = len(held_out) // 2
    validation, test = (torch.tensor(vocab[load_corpus()[2].to_tokens(ids.tolist())])
                        for ids in (held_out[:half], held_out[half:]))  # fmt: skip
    model = RNNModelByHand(len(vocab), settings["units"], seed=seed, **settings["init"])
    batches = settings["sampler"](tokens, *settings["shape"], seed)
    seen = {"train_ppl": {}, "test_ppl": {}, "saturated": {0: saturated(model, batches)}, "norms": [], "updates": []}
    times, best = [], math.inf
    for batches.epoch in range(1, (num_epochs or settings["num_epochs"]) + 1):
        losses, milliseconds, state = [], [], None
        for X, Y in batches:
            start = time.thread_time()
            if state is None or not batches.carries_state:
                state = model.begin_state(len(X))
            loss, norm, state = step(model, X, Y, state, settings)
            milliseconds.append(1000 * (time.thread_time() - start))
            losses.append(loss)
            seen["norms"].append(norm)
            seen["updates"].append(settings["lr"] * min(norm, settings["theta"] or math.inf))
        times.append(milliseconds)
        seen["train_ppl"][batches.epoch] = math.exp(sum(losses) / len(losses))
        if batches.epoch in (1, 2) or batches.epoch % 4 == 0:
            seen["test_ppl"][batches.epoch] = evaluate(model, test, 8)
            seen["saturated"][batches.epoch] = saturated(model, batches)
            choice = evaluate(model, validation, 8) if settings["keep_best"] else -batches.epoch
            if choice < best:
                best, kept, params = choice, batches.epoch, [param.detach().clone() for param in model.params]
    for param, value in zip(model.params, params):
        param.data = value
    seen |= {"kept": kept, "ms": [statistics.median(column) for column in zip(*times)]}
    seen["by_place"] = by_place(model, batches, settings)
    seen["greedy"] = predict(model, vocab, "time traveller", 60)
    seen["sampled"] = sample(model, vocab, "time traveller", 60, seed=0)
    return seen


def short(value):
    """Four digits are enough for a figure, and 64 steps for the norms."""
    if isinstance(value, dict):
        return {key: short(item) for key, item in value.items()}
    if isinstance(value, list):
        return [short(item) for item in value[:64]]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def summary(seen):
    """The numbers that the text quotes, of one seed."""
    epoch = seen["kept"]
    return {
        "train_ppl": seen["train_ppl"][epoch], "test_ppl": seen["test_ppl"][epoch],
        "lowest_test_ppl": min(seen["test_ppl"].values()), "first_place": seen["by_place"][0],
        "saturated": seen["saturated"][0], "largest_norm": max(seen["norms"]), "slower": seen["ms"][-1] / seen["ms"][0],
    }  # fmt: skip


def pair(number):
    """The record of a pair: the first seed in full, and a summary of every seed."""
    record = {}
    for name in RUNS[number][1]:
        runs = [observe(number, name, seed) for seed in SEEDS]
        record[name] = short(runs[0] | {"seeds": [summary(seen) for seen in runs]})
        print(number, name, [short(summary(seen)) for seen in runs], runs[0]["greedy"], flush=True)
    return record


if __name__ == "__main__":
    torch.set_num_threads(1)  # sums in another order end elsewhere: the same on every number of cores
    tokens, held_out, vocab = load_corpus()
    counted = baselines(tokens, held_out[len(held_out) // 2 :], len(vocab))
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    results["baselines"] = short(counted)
    for number in map(int, sys.argv[1:] or RUNS):
        results[f"run {number}"] = pair(number)
    RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n", encoding="utf-8")
