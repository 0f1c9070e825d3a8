"""What notebook 11 shows of the whole book: its rivals, a ladder of improvements, a long run and its pages.

    python tests/tools/novel.py PART [FILE]     one part -> data/runs/novel.json; the others stay

PART is
    rivals            seconds
    ladder            about 9 minutes on one core for each seed; runs that are stored already aren't repeated
    long-0 .. long-2  one network each, about 20 minutes on one core, left in d2lmini-output/; two at a time take
                      30 minutes on two cores for all three
    report            what the three networks reach, alone and together, and pages of the first; three minutes

The book is downloaded unless FILE is given.

The network, its training and its report are those of the notebook: its cells are executed here.
"""

import json
import sys
import time
from functools import partial
from pathlib import Path

import torch

from d2lmini import (
    KneserNey,
    RNNModelByHand,
    SequentialBatches,
    checks,
    download_book,
    evaluate,
    load_model,
    read_text,
    save_model,
    sgd,
    train_epoch,
)

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "data/runs/novel.json"
WEIGHTS = Path("d2lmini-output")
CELLS = ("imports", "updater", "dropout-lstm", "train-network", "new-network", "token-probs", "product",
         "report-tools", "generating", "copies-tools", "rivals")  # fmt: skip
EXERCISES = ("lr_schedule", "mixture", "top_p")


def notebook():
    """What the cells of the notebook define, with the course's own answers to its exercises."""
    cells = json.loads((ROOT / "notebooks/11_a_whole_novel.ipynb").read_text(encoding="utf-8"))["cells"]
    sources = {cell["id"]: "".join(cell["source"]) for cell in cells}
    defined = {name: getattr(checks, name).references[0] for name in EXERCISES}
    for id in CELLS:
        lines = sources[id].splitlines(keepends=True)
        exec("".join(line for line in lines if "check." not in line), defined)
    function = sources["book"].split("\n\n\n")[0]  # load_split; what follows downloads
    exec(function, defined)
    return defined


nb = notebook()
NUM_STEPS = 64
PASSES = 12  # of each rung, over the whole book or as many characters
SEEDS = (0, 1, 2)
CHAPTER = 10_000  # characters
DROPOUT = 0.25, 0.2, 0.05  # on the outputs, on W_hh, on the inputs
# rung: (network, its hidden units and dropout, what updates it, sequences in a minibatch)
RUNGS = {
    "chapter": ("RNN", (256,), "SGD", 32),
    "book": ("RNN", (256,), "SGD", 32),
    "schedule": ("RNN", (256,), "SGD with schedule", 32),
    "AdamW": ("RNN", (256,), "AdamW with schedule", 32),
    "LSTM": ("LSTM", (128,), "AdamW with schedule", 32),
    "wider": ("LSTM", (256,), "AdamW with schedule", 32),
    "dropout": ("LSTM", (256, *DROPOUT), "AdamW with schedule", 32),
    "average": ("LSTM", (256, *DROPOUT), "AdamW with schedule", 32),  # the same run, measured otherwise
    "smaller": ("LSTM", (256, *DROPOUT), "AdamW with schedule", 16),
}
LONG = {"units_and_dropout": (512, 0.45, 0.35, 0.05), "num_epochs": 50, "batch_size": 16}
ORDERS = (5, 7, 9, 11, 13)  # of Kneser-Ney; the best one in a product with the networks is chosen
PREFIX, PAGE = "the time traveller ", 1000  # characters


def stored():
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def save(part, result):
    RESULTS.write_text(json.dumps({**stored(), part: result}) + "\n", encoding="utf-8")


def rounded(thing, digits=3):
    """The same lists and dicts with rounded numbers."""
    if isinstance(thing, dict):
        return {key: rounded(value, digits) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [rounded(value, digits) for value in thing]
    return round(thing, digits) if isinstance(thing, float) else thing


def measure_rivals(tokens, validation, test, vocab):
    sizes = {"training": len(tokens), "validation": len(validation), "test": len(test), "vocabulary": len(vocab)}
    save("sizes", sizes)
    save("rivals", rounded(nb["rivals"](tokens, torch.cat([validation, test]), vocab)))


def plain_updater(model, kind, num_steps):
    """The updater of a tanh RNN with gradients by hand: SGD, with or without a schedule, or AdamW with one."""
    if kind == "SGD":
        return None
    step = 0
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.02)

    def updater():
        nonlocal step
        step += 1
        if kind == "SGD with schedule":
            sgd(model.parameters(), nb["lr_schedule"](step, num_steps, 1.0))
        else:
            optimizer.param_groups[0]["lr"] = nb["lr_schedule"](step, num_steps, 4e-3)
            optimizer.step()

    return updater


def climb(rung, seed, tokens, validation, vocab, passes=PASSES):
    """[[training, validation perplexity], ...] of one rung after each pass, or the first `passes` of them."""
    kind, (num_hiddens, *rates), update, batch_size = RUNGS[rung]
    batches = SequentialBatches(tokens[: CHAPTER if rung == "chapter" else None], batch_size, NUM_STEPS, seed)
    epochs_a_pass = len(tokens) // len(batches.tokens)
    num_steps = PASSES * epochs_a_pass * len(batches)
    if kind == "RNN":
        model = measured = RNNModelByHand(len(vocab), num_hiddens, seed=seed, input_std=1.0)
        updater = plain_updater(model, update, num_steps)
    else:
        model = measured = nb["new_network"](vocab, num_hiddens, *rates, seed=seed)
        updater, average = nb["make_updater"](model, num_steps)
    if rung == "average":
        measured = nb["copy"].deepcopy(model)
    curve = []
    for batches.epoch in range(1, passes * epochs_a_pass + 1):
        train_ppl, _ = train_epoch(model, batches, 1.0, 1.0, updater)
        if batches.epoch % epochs_a_pass == 0:
            if rung == "average":
                measured.load_state_dict(average)
            curve.append(rounded([train_ppl, evaluate(measured, validation, 4)]))
    return curve


def climb_all(tokens, validation, test, vocab):
    """Every rung with every seed; the best measurement on the validation half counts."""
    runs = stored().get("ladder", [])
    missing = {(rung, seed) for rung in RUNGS for seed in SEEDS} - {(run["rung"], run["seed"]) for run in runs}
    for rung, seed in sorted(missing, key=lambda run: (run[1], list(RUNGS).index(run[0]))):
        curve = climb(rung, seed, tokens, validation, vocab)
        best = min(ppl for _, ppl in curve)
        runs.append({"rung": rung, "seed": seed, "perplexity": best, "curve": curve})
        print(runs[-1], flush=True)
        save("ladder", runs)


def train(recipe, seed, tokens, validation, vocab, look=None):
    """Train as the notebook does. Returns (network, curve, seconds of processor time).

    curve: {epoch: [training, validation perplexity, the same of the average of weights]}
    """
    curve, start = {}, time.process_time()

    def watch(epoch, model, measured):
        curve[epoch] = rounded(measured)
        print(epoch, curve[epoch], flush=True)
        if look:
            look(epoch, model)

    model = nb["new_network"](vocab, *recipe["units_and_dropout"], seed=seed)
    network, history = nb["train_network"](model, tokens, validation, recipe["num_epochs"], recipe["batch_size"], watch)
    seconds = round(time.process_time() - start)
    return network, {epoch: [round(history.train_ppl[epoch - 1], 3), *curve[epoch]] for epoch in curve}, seconds


def train_long(seed, tokens, validation, test, vocab):
    """One of the long runs; Ctrl-C ends it early, with what it has by then."""
    WEIGHTS.mkdir(exist_ok=True)

    def keep(epoch, model):
        if epoch == 1:
            save_model(model, vocab, WEIGHTS / f"novel-first-{seed}.safetensors")

    network, curve, seconds = train(LONG, seed, tokens, validation, vocab, keep)
    save_model(network, vocab, WEIGHTS / f"novel-long-{seed}.safetensors")
    save(f"long-{seed}", {"recipe": LONG, "curve": curve, "seconds on one thread": seconds})


def report(tokens, validation, test, vocab):
    """The table of the notebook for each network and for all three: a temperature, the counts, the mixture."""
    networks = [load_model(WEIGHTS / f"novel-long-{seed}.safetensors")[0] for seed in SEEDS]
    groups = {"network 0": networks[:1], "network 1": networks[1:2], "network 2": networks[2:], "together": networks}
    tables = {order: KneserNey(tokens, len(vocab), order) for order in ORDERS}
    products = {order: best_product(networks, counts, validation) for order, counts in tables.items()}
    save("orders", rounded(products, 4))
    counts = tables[min(products, key=products.get)]
    save("report", {
        name: rounded(nb["report"](group, counts, validation, test), 4) for name, group in groups.items()
    })  # fmt: skip
    first, _ = load_model(WEIGHTS / "novel-first-0.safetensors")
    generate_pages({"after epoch 1, temperature 1": first}, networks[0], tokens, validation, test, vocab)


def best_product(networks, counts, ids):
    """Perplexity of the best product of networks and counts."""
    network = nb["mean_probs"](nb["read_all"](networks, ids))
    counted = nb["count_probs"](counts, ids)
    products = (nb["product"](network, counted, weight) for weight in nb["WEIGHTS"])
    return min(nb["ppl_of"](nb["at_targets"](probs, ids)) for probs in products)


def generate_pages(first, network, tokens, validation, test, vocab):
    """Pages of the networks, how much of them is copied or invented, and the same for pages of the author."""
    book = "".join(vocab.to_tokens(tokens))
    ways = [(name, model, "temperature 1") for name, model in first.items()]
    ways += [(f"at the end, {way}", network, way) for way in ("temperature 0.5", "top-p 0.9", "temperature 1")]
    pages = {}
    for name, model, way in ways:
        text = nb["go_on"](model, vocab, PREFIX, PAGE - len(PREFIX), nb["WAYS"][way])
        pages[name] = {
            "text": text, "longest copy": nb["longest_copy"](text, book), "invented": nb["invented"](text, book),
        }  # fmt: skip
    save("pages", pages)
    held_out = "".join(vocab.to_tokens(torch.cat([validation, test])))
    own = [held_out[i : i + PAGE] for i in range(0, len(held_out) - PAGE, PAGE)]
    save("wells", {
        "longest copies": [len(nb["longest_copy"](text, book)) for text in own],
        "shares of new words": [round(len(nb["invented"](text, book)) / len(text.split()), 4) for text in own],
    })  # fmt: skip


PARTS = {
    "rivals": measure_rivals, "ladder": climb_all, "report": report,
    **{f"long-{seed}": partial(train_long, seed) for seed in SEEDS},
}  # fmt: skip

if __name__ == "__main__":
    match sys.argv[1:]:
        case [part, *path] if part in PARTS and len(path) < 2:
            PARTS[part](*nb["load_split"](read_text(*path or [download_book()])))
        case _:
            sys.exit(__doc__)
