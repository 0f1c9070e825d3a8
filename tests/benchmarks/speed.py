"""How fast each version of the model trains and writes on this machine.

    python tests/benchmarks/speed.py                  the tables (about five minutes)
    python tests/benchmarks/speed.py --json FILE      and the same numbers for machines

Every figure is a median over rounds in which all contenders take turns, each after a warm-up, so that a slow minute
of the machine hits them alike; the spread is the middle half of the rounds. Nothing else should be running. All
train float32 on the course's 10,000 letters: 512 hidden units, minibatches of 32 x 35, 28 symbols.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from d2lmini import (
    RNNModel,
    RNNModelNumPy,
    RNNModelScratch,
    RNNModelTorch,
    SequentialBatches,
    load_corpus,
    predict,
    samples,
    train_epoch,
)
from d2lmini.bptt import one_torch_thread

TOKENS, _, VOCAB = load_corpus()
SIZES = {"vocab_size": len(VOCAB), "num_hiddens": 512, "batch_size": 32, "num_steps": 35}
BEST_LR = 2.0  # see best_model


def source_rnn(inputs, state, params):
    """The forward pass as the sources write it: the output product inside the loop."""
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:
        H = torch.tanh(torch.mm(X, W_xh) + torch.mm(H, W_hh) + b_h)
        outputs.append(torch.mm(H, W_hq) + b_q)
    return torch.cat(outputs), (H,)


def source_predict(prefix, num_preds, model):
    """Greedy continuation as the sources write it: one character a call, one-hot, autograd recording."""
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
        logits, state = model(X, model.begin_state(X.shape[0]) if state is None else state.detach())
        loss = F.cross_entropy(logits, Y.T.reshape(-1))
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


def trainers(sizes, names=("sources", "readable", "torch_by_hand", "numpy_by_hand", "nn_rnn")):
    """{name: function that trains on the minibatches it is given}, all from the same initial weights."""
    V, H, lr = sizes["vocab_size"], sizes["num_hiddens"], 0.1
    models = {
        "sources": RNNModelScratch(V, H, forward_fn=source_rnn),
        "readable": RNNModelScratch(V, H),
        "torch_by_hand": RNNModelTorch(V, H),
        "numpy_by_hand": RNNModelNumPy(V, H),
    }
    run = {name: lambda batches, model=model: train_epoch(model, batches, lr) for name, model in models.items()}
    run["numpy_by_hand"] = one_torch_thread()(run["numpy_by_hand"])
    torch.manual_seed(0)
    layer = RNNModel(nn.RNN(V, H), V)
    optimizer = torch.optim.SGD(layer.parameters(), lr)
    run["nn_rnn"] = lambda batches: train_nn_epoch(layer, optimizer, batches)
    return {name: run[name] for name in names}


def measure(contenders, rounds):
    """{name: [seconds of each round]}: the contenders take turns, each with an unmeasured call before."""
    seconds = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, (warm_up, work) in contenders.items():
            warm_up()
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def rates(amount, seconds):
    """Median, first and third quartile of amount / seconds."""
    values = [amount / s for s in seconds]
    low, middle, high = quantiles(values, n=4)
    return {"median": middle, "low": low, "high": high}


def training_rates(sizes, rounds, **options):
    batches, warm_up = Minibatches(**sizes), Minibatches(**sizes | {"number": 2})
    contenders = {
        name: (lambda f=f: f(warm_up), lambda f=f: f(batches)) for name, f in trainers(sizes, **options).items()
    }
    return {name: rates(batches.num_tokens, s) for name, s in measure(contenders, rounds).items()}


def product_peak(rounds=15):
    """Largest float32 rate of a matrix product here, in FLOP/s: {"torch": ..., "numpy": ...}."""
    N, H = SIZES["batch_size"] * SIZES["num_steps"], SIZES["num_hiddens"]
    best = {"torch": 0.0, "numpy": 0.0}
    for rows, columns in ((N, H), (2048, 2048)):
        A, B = torch.rand(rows, columns), torch.rand(columns, columns)
        products = {"torch": partial(torch.matmul, A, B), "numpy": partial(np.matmul, A.numpy(), B.numpy())}
        seconds = measure({name: (f, f) for name, f in products.items()}, rounds)
        best = {name: max(rate, 2 * rows * columns**2 / median(seconds[name])) for name, rate in best.items()}
    return best


def flops_per_token(vocab_size, num_hiddens, **_):
    """Of one training step: W_hh and W_hq forward, back to the state, and into their gradients."""
    return 3 * 2 * (num_hiddens**2 + num_hiddens * vocab_size)


def generation_rates(rounds, num_preds=400, prefix="time traveller"):
    """Characters per second of greedy writing, and of 64 samples side by side."""
    readable = RNNModelScratch(len(VOCAB), SIZES["num_hiddens"], orthogonal=True)
    by_torch, by_numpy = (engine(len(VOCAB), SIZES["num_hiddens"]) for engine in (RNNModelTorch, RNNModelNumPy))
    by_torch.params = by_numpy.params = readable.params
    write = {
        "sources": lambda: source_predict(prefix, num_preds, readable),
        "readable": lambda: predict(prefix, num_preds, readable, VOCAB),
        "torch": lambda: predict(prefix, num_preds, by_torch, VOCAB),
        "fast": lambda: predict(prefix, num_preds, by_numpy, VOCAB),
        "batch64": lambda: samples(prefix, 64, num_preds, by_numpy, VOCAB),
    }
    seconds = measure({name: (f, f) for name, f in write.items()}, rounds)
    return {name: rates(num_preds * (64 if name == "batch64" else 1), s) for name, s in seconds.items()}


def best_model(engine):
    """The best recipe found: an orthogonal W_hh, W_xh with standard deviation 1, and twice the learning rate."""
    model = engine(len(VOCAB), SIZES["num_hiddens"], orthogonal=True)
    nn.init.normal_(model.params[0], generator=torch.Generator().manual_seed(0))
    return model


def seconds_to(model, lr, target=1.1, max_epochs=400):
    """Train until the training perplexity is at most `target`. Returns (seconds, epochs)."""
    batches, start = SequentialBatches(TOKENS, SIZES["batch_size"], SIZES["num_steps"]), time.perf_counter()
    for epoch in range(1, max_epochs + 1):
        if train_epoch(model, batches, lr)[0] <= target:
            return time.perf_counter() - start, epoch
    raise RuntimeError(f"perplexity {target} was not reached in {max_epochs} epochs")


def times_to_goal(rounds):
    """Seconds and epochs to perplexity 1.1: the sources' recipe on their loop once, the best one several times."""
    best = [seconds_to(best_model(RNNModelTorch), BEST_LR) for _ in range(rounds)]
    sources = seconds_to(RNNModelScratch(**model_sizes(), forward_fn=source_rnn), 1.0)
    return {
        "sources": {"seconds": sources[0], "epochs": sources[1]},
        "best": {"seconds": median(seconds for seconds, _ in best), "epochs": best[0][1]},
    }


def model_sizes():
    return {"vocab_size": SIZES["vocab_size"], "num_hiddens": SIZES["num_hiddens"]}


def peak_memory(name):
    """Peak memory in MB of a process that only trains this contender for a few minibatches."""
    program = f"import speed; speed.trainers(speed.SIZES, [{name!r}])[{name!r}](speed.Minibatches(**speed.SIZES)); "
    program += "print(speed.megabytes())"
    folder = Path(__file__).parent
    result = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    return float(result.stdout)


def megabytes():
    """Peak memory of this process."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux: getrusage would count the memory of the process that started this one
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1]) / 2**10
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def growth(rounds=7):
    """Training tokens/s when one size changes: {size: {value: {name: tokens/s}}}."""
    values = {
        "num_hiddens": (128, 256, 1024), "num_steps": (10, 70, 140),
        "batch_size": (1, 8, 128), "vocab_size": (1000, 5000),
    }  # fmt: skip
    table = {}
    for size, options in values.items():
        table[size] = {}
        for value in options:
            sizes = SIZES | {size: value}
            found = training_rates(sizes | {"number": 2}, rounds)
            table[size][value] = {name: rate["median"] for name, rate in found.items()}
    return table


def device():
    """Name of the processor, as well as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        return names[0] if names else platform.machine()
    return platform.processor() or platform.machine()


def show(title, found, unit, base):
    print(f"\n{title}")
    for name, rate in found.items():
        ratios = "  ".join(f"{rate['median'] / found[other]['median']:5.2f} x {other}" for other in base)
        print(f"  {name:14}{rate['median']:10,.0f} {unit}  ({rate['low']:,.0f} to {rate['high']:,.0f})  {ratios}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="write all numbers to this file as well")
    file = parser.parse_args().json
    about = {
        "device": device(), "threads": torch.get_num_threads(), "python": platform.python_version(),
        "torch": torch.__version__, "numpy": np.__version__, "sizes": SIZES,
    }  # fmt: skip
    print("  ".join(f"{name}: {value}" for name, value in about.items()))

    training, peak = training_rates(SIZES, rounds=25), product_peak()
    ceiling = max(peak.values()) / flops_per_token(**SIZES)
    show("Training", training, "tokens/s", ("sources", "nn_rnn"))
    print("  matrix product: " + ", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in peak.items()))
    print(
        f"  ceiling       {ceiling:10,.0f} tokens/s, if a step were nothing but products at the faster of these rates"
    )
    for name, rate in training.items():
        print(f"    {name:14}{rate['median'] / ceiling:6.0%} of the ceiling")

    generation = generation_rates(rounds=15)
    show("Writing", generation, "characters/s", ("sources",))

    memory = {name: peak_memory(name) for name in training if sys.platform != "win32"}
    print("\nPeak memory of a process that only trains, MB (most of it is the libraries)")
    print("  " + "  ".join(f"{name} {value:,.0f}" for name, value in memory.items()))

    goal = times_to_goal(rounds=5)
    print("\nTo training perplexity 1.1")
    for name, run in goal.items():
        print(f"  {name:14}{run['seconds']:8.1f} s, {run['epochs']} epochs")
    print(f"  {goal['sources']['seconds'] / goal['best']['seconds']:.1f} times sooner")

    grown = growth()
    print("\nTraining tokens/s when one size changes")
    for size, rows in grown.items():
        for value, row in rows.items():
            print(f"  {size:12}{value:6}  " + "  ".join(f"{name} {rate:9,.0f}" for name, rate in row.items()))

    if file:
        results = {
            **about,
            "train": {name: rate["median"] for name, rate in training.items()} | {"ceiling_tokens": ceiling},
            "train_spread": {name: [rate["low"], rate["high"]] for name, rate in training.items()},
            "product_flops": peak,
            "generate": {name: rate["median"] for name, rate in generation.items()},
            "generate_spread": {name: [rate["low"], rate["high"]] for name, rate in generation.items()},
            "seconds_to_1_1": {name: run["seconds"] for name, run in goal.items()},
            "epochs_to_1_1": {name: run["epochs"] for name, run in goal.items()},
            "peak_memory_mb": memory,
            "growth": grown,
        }
        Path(file).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
