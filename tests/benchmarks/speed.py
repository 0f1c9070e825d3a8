"""How fast each version of the model trains and generates on this machine.

    python tests/benchmarks/speed.py                      everything (about ten minutes)
    python tests/benchmarks/speed.py training neighbour   some parts only
    python tests/benchmarks/speed.py --json FILE          the numbers for machines, too

The contenders take turns, so a slow minute of the machine hits them alike, and every ratio is a median over the
rounds. When the rounds differ too much, the machine wasn't quiet: this is said, and the part is measured again.
All train float32 with 512 hidden units, 28 tokens and minibatches of 32 x 35, except for the sweep.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from unittest.mock import patch

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from d2lmini import (
    RNNModel,
    RNNModelByHand,
    RNNModelScratch,
    SequentialBatches,
    load_corpus,
    predict,
    samples,
    time_major,
    train,
    train_epoch,
)
from d2lmini.threads import Pace

TOKENS, _, VOCAB = load_corpus()
SIZES = {"vocab_size": len(VOCAB), "num_hiddens": 512, "batch_size": 32, "num_steps": 35}
SWEEP = {
    "num_hiddens": (128, 256, 1024), "batch_size": (1, 4, 8, 16, 128),
    "num_steps": (10, 70, 140), "vocab_size": (1000, 5000),
}  # fmt: skip
QUIET = 0.15  # the middle half of the rounds may spread this far, as a share of the median
NEIGHBOUR = [sys.executable, "-c", "while True: pass"]


# --- the contenders


def source_rnn(inputs, state, params):
    """The forward pass as in the book: all products inside the loop."""
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:
        H = torch.tanh(torch.mm(X, W_xh) + torch.mm(H, W_hh) + b_h)
        outputs.append(torch.mm(H, W_hq) + b_q)
    return torch.cat(outputs), (H,)


def source_predict(model, prefix, num_preds):
    """Greedy continuation as in the book: one character a call, one-hot, autograd recording."""
    state, ids = model.begin_state(1), [VOCAB[prefix[0]]]
    for step in range(len(prefix) - 1 + num_preds):
        X = F.one_hot(torch.tensor([[ids[-1]]]).T, len(VOCAB)).float()
        logits, state = source_rnn(X, state, model.params)
        warming_up = step < len(prefix) - 1
        ids.append(VOCAB[prefix[step + 1]] if warming_up else int(logits.argmax(dim=1)))
    return "".join(VOCAB.to_tokens(ids))


def train_nn_epoch(model, optimizer, batches):
    """One epoch of nn.RNN + nn.Linear with torch's own loss, clipping and SGD."""
    state = None
    for X, Y in batches:
        state = model.begin_state(X.shape[0]) if state is None else (state[0].detach(),)
        logits, state = model(X, state)
        loss = F.cross_entropy(logits, time_major(Y))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()


class Minibatches(list):
    """A few minibatches of random ids, the same in every epoch."""

    carries_state = True

    def __init__(self, vocab_size, batch_size, num_steps, number=8, **_):
        rng = torch.Generator().manual_seed(0)
        ids = torch.randint(vocab_size, (number, 2, batch_size, num_steps), generator=rng)
        super().__init__((X, Y) for X, Y in ids)
        self.num_tokens = number * batch_size * num_steps


def trainers(sizes):
    """{name: function that trains on the minibatches it is given}."""
    V, H, lr = sizes["vocab_size"], sizes["num_hiddens"], 0.1
    models = {
        "sources": RNNModelScratch(V, H, forward_fn=source_rnn),
        "readable": RNNModelScratch(V, H),
        "by hand": RNNModelByHand(V, H),
    }
    layer = RNNModel(nn.RNN(V, H), V)
    optimizer = torch.optim.SGD(layer.parameters(), lr)
    run = {name: lambda batches, model=model: train_epoch(model, batches, lr) for name, model in models.items()}
    return run | {"nn.RNN": lambda batches: train_nn_epoch(layer, optimizer, batches)}


# --- measuring


def take_turns(contenders, rounds):
    """{name: [seconds of each round]}, each after an unmeasured call."""
    seconds = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            work()
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def spread(values):
    low, middle, high = quantiles(values, n=4)
    return (high - low) / middle


def measure(contenders, rounds, tries=3):
    """take_turns, again if the machine wasn't quiet."""
    for attempt in range(1, tries + 1):
        seconds = take_turns(contenders, rounds)
        widest = max(map(spread, seconds.values()))
        if widest <= QUIET:
            break
        again = "measured again" if attempt < tries else "take these figures with care"
        print(f"  the machine wasn't quiet (the middle half of the rounds spreads over {widest:.0%}): {again}")
    return seconds


def ratio(seconds, name, other):
    """How many times as fast `name` is as `other`: the median over the rounds."""
    return median(b / a for a, b in zip(seconds[name], seconds[other]))


def show(seconds, amounts, unit, base):
    """Print rates and ratios; returns the median rates."""
    rates = {name: amounts[name] / median(values) for name, values in seconds.items()}
    for name, rate in rates.items():
        ratios = "  ".join(
            f"{ratio(seconds, name, other) * amounts[name] / amounts[other]:5.2f} x {other}" for other in base
        )
        print(f"  {name:14}{rate:10,.0f} {unit}  (spread {spread(seconds[name]):4.0%})  {ratios}")
    return rates


# --- the parts


def training(rounds=15):
    """Training speed, and its share of what one large product allows."""
    batches, N, H = Minibatches(**SIZES), SIZES["batch_size"] * SIZES["num_steps"], SIZES["num_hiddens"]
    contenders = {name: partial(run, batches) for name, run in trainers(SIZES).items()}
    products = {}
    for rows, columns in ((N, H), (2048, 2048)):
        A, B = torch.rand(rows, columns), torch.rand(columns, columns)
        products[f"torch {rows} x {columns}"] = 2 * rows * columns**2, partial(torch.mm, A, B)
        products[f"NumPy {rows} x {columns}"] = 2 * rows * columns**2, partial(np.matmul, A.numpy(), B.numpy())
    seconds = measure(contenders, rounds)
    rates = show(seconds, dict.fromkeys(contenders, batches.num_tokens), "tokens/s", ("sources", "readable", "nn.RNN"))
    flops = {name: work / median(take_turns({name: f}, rounds)[name]) for name, (work, f) in products.items()}
    print("  large product: " + ", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in flops.items()))
    # W_hh and W_hq forward, back to the state, and into their gradients
    ceiling = max(flops.values()) / (3 * 2 * (H**2 + H * SIZES["vocab_size"]))
    print(f"  ceiling {ceiling:,.0f} tokens/s, if a step were nothing but products at the fastest of these rates:")
    print("    " + ", ".join(f"{name} {rate / ceiling:.0%}" for name, rate in rates.items()))
    return {"tokens/s": rates, "product FLOP/s": flops, "ceiling tokens/s": ceiling}


def sweep(rounds=7):
    """Training speed when one size changes."""
    table = {}
    for size, values in SWEEP.items():
        for value in values:
            sizes = SIZES | {size: value}
            batches = Minibatches(**sizes, number=2)
            contenders = {name: partial(run, batches) for name, run in trainers(sizes).items()}
            seconds = measure(contenders, rounds, tries=2)
            slowest = min(ratio(seconds, "by hand", other) for other in contenders if other != "by hand")
            rates = {name: batches.num_tokens / median(values) for name, values in seconds.items()}
            table[f"{size} {value}"] = rates | {"by hand / fastest other": slowest}
            print(
                f"  {size:12}{value:6}  by hand {slowest:5.2f} x the fastest other   "
                + "  ".join(f"{name} {rate:9,.0f}" for name, rate in rates.items())
            )
    return table


def generation(rounds=9, num_preds=400, prefix="time traveller"):
    """Characters per second of greedy continuations, and of 64 samples side by side."""
    readable = RNNModelScratch(len(VOCAB), SIZES["num_hiddens"], orthogonal=True)
    fast = RNNModelByHand(len(VOCAB), SIZES["num_hiddens"])
    fast.params = readable.params
    contenders = {
        "sources": lambda: source_predict(readable, prefix, num_preds),
        "readable": lambda: predict(readable, VOCAB, prefix, num_preds),
        "by hand": lambda: predict(fast, VOCAB, prefix, num_preds),
        "64 at once": lambda: samples(fast, VOCAB, prefix, num_preds, 64),
    }
    amounts = {name: num_preds * (64 if name == "64 at once" else 1) for name in contenders}
    return show(measure(contenders, rounds), amounts, "characters/s", ("sources",))


@contextmanager
def neighbours():
    """One busy process for every two cores."""
    processes = [subprocess.Popen(NEIGHBOUR) for _ in range(max(1, os.cpu_count() // 2))]
    try:
        time.sleep(0.5)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def neighbour(seconds=8):
    """Training speed of whole runs beside busy processes, and what watching the pace costs without them."""
    unwatched = partial(patch.object, Pace, "start", lambda self: None)
    found = {}
    for name, cls in (("readable", RNNModelScratch), ("by hand", RNNModelByHand)):
        batches = SequentialBatches(TOKENS, SIZES["batch_size"], SIZES["num_steps"])
        model = cls(len(VOCAB), SIZES["num_hiddens"])
        speed = train_epoch(model, batches, 0.1)[1]
        num_epochs = max(1, round(seconds * speed / batches.tokens_used))
        rates = {}
        for title, beside, watching in (
            ("quiet", nullcontext, nullcontext), ("quiet, pace not watched", nullcontext, unwatched),
            ("neighbours", neighbours, nullcontext), ("neighbours, pace not watched", neighbours, unwatched),
        ):  # fmt: skip
            epochs = max(1, num_epochs // 5) if title.endswith("s, pace not watched") else num_epochs
            with beside(), watching():
                start = time.perf_counter()
                train(model, batches, epochs, 0.1)
                rates[title] = epochs * batches.tokens_used / (time.perf_counter() - start)
            print(f"  {name:10}{title:30}{rates[title]:10,.0f} tokens/s  {rates[title] / rates['quiet']:6.0%} of quiet")
        found[name] = rates
    return found


def memory():
    """Peak memory in MB of a process that only trains, and the seconds that an import takes."""
    program = "import speed; batches = speed.Minibatches(**speed.SIZES); "
    program += "speed.trainers(speed.SIZES)[{!r}](batches); print(speed.megabytes())"
    found = {name: float(python(program.format(name))) for name in trainers(SIZES)}
    timed = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
    for name in ("torch", "d2lmini"):
        found[f"import {name} (s)"] = median(float(python(timed.format(name))) for _ in range(5))
    print("  " + "  ".join(f"{name} {value:,.2f}" for name, value in found.items()))
    return found


def python(program):
    """What a new process prints that runs `program` in this folder."""
    command, folder = [sys.executable, "-c", program], Path(__file__).parent
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def megabytes():
    """Peak memory of this process."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux: getrusage would count the memory of the process that started this one
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1]) / 2**10
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def goal(rounds=3):
    """Seconds and epochs to training perplexity 1.1: the book's recipe on its loop once, the best one several times."""
    best = [seconds_to(RNNModelByHand, 2.0, input_std=1.0, orthogonal=True) for _ in range(rounds)]
    runs = {"best": (median(seconds for seconds, _ in best), best[0][1])}
    runs["sources"] = seconds_to(RNNModelScratch, 1.0, input_std=0.01, forward_fn=source_rnn)
    for name, (seconds, epochs) in runs.items():
        print(f"  {name:14}{seconds:8.1f} s, {epochs} epochs")
    print(f"  {runs['sources'][0] / runs['best'][0]:.1f} times sooner")
    return runs


def seconds_to(cls, lr, target=1.1, max_epochs=400, **options):
    """Train until the training perplexity is at most `target`. Returns (seconds, epochs)."""
    model = cls(len(VOCAB), SIZES["num_hiddens"], **options)
    batches, start = SequentialBatches(TOKENS, SIZES["batch_size"], SIZES["num_steps"]), time.perf_counter()
    for epoch in range(1, max_epochs + 1):
        batches.epoch = epoch
        if train_epoch(model, batches, lr)[0] <= target:
            return time.perf_counter() - start, epoch
    raise RuntimeError(f"perplexity {target} was not reached in {max_epochs} epochs")


PARTS = {part.__name__: part for part in (training, sweep, generation, neighbour, memory, goal)}


def processor():
    """Name of the processor, as well as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.*)", cpuinfo.read_text()) if cpuinfo.exists() else []
    return names[0] if names else platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART", help="of " + ", ".join(PARTS))
    parser.add_argument("--json", metavar="FILE", help="write all numbers to this file as well")
    args = parser.parse_args()
    results = {
        "processor": processor(), "threads": torch.get_num_threads(), "python": platform.python_version(),
        "torch": torch.__version__, "numpy": np.__version__, "sizes": SIZES,
    }  # fmt: skip
    print("  ".join(f"{name}: {value}" for name, value in results.items()))
    for name in args.parts or PARTS:
        print(f"\n{name}: {PARTS[name].__doc__.splitlines()[0]}", flush=True)
        results[name] = PARTS[name]()
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
