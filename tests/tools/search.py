"""How low can held-out perplexity go? A search on the chapter, and one long run on the whole book.

    python tests/tools/search.py chapter         30 runs -> search.json (about 15 minutes on one core)
    python tests/tools/search.py book [FILE]     the whole book, downloaded unless FILE is given -> book.json

The results are stored in data/runs, and notebooks 02 and 09 show them.
"""

import json
import sys
from itertools import product
from pathlib import Path

from d2lmini import (
    RNNModelByHand,
    SequentialBatches,
    Watch,
    baselines,
    download_book,
    evaluate,
    load_corpus,
    normalise,
    predict,
    read_text,
    sample,
    train,
    train_epoch,
)  # fmt: skip

RESULTS = Path(__file__).parents[2] / "data" / "runs"


def save(name, results):
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(json.dumps(results) + "\n", encoding="utf-8")


# Long enough for each initialization to pass its best epoch: {standard deviation of W_xh: epochs}.
EPOCHS = {0.01: 200, 0.3: 120, 1.0: 80}
# (num_hiddens, is W_hh orthogonal, standard deviation of W_xh): one change at a time, then other sizes of the best two.
SETTINGS = [*product((256,), (False, True), EPOCHS), *product((64, 512), (False, True), (1.0,))]


def try_setting(num_hiddens, orthogonal, input_std, seed):
    """Train; choose the best epoch on the validation half of the held-out text, report on its test half."""
    tokens, held_out, vocab = load_corpus()
    half, curve = len(held_out) // 2, {}
    model = RNNModelByHand(len(vocab), num_hiddens, seed=seed, input_std=input_std, orthogonal=orthogonal)
    batches = SequentialBatches(tokens, 32, 35, seed)
    for batches.epoch in range(1, EPOCHS[input_std] + 1):
        train_ppl, _ = train_epoch(model, batches, lr=1.0)
        if batches.epoch % 4 == 0:
            measured = train_ppl, evaluate(model, held_out[:half], 8), evaluate(model, held_out[half:], 8)
            curve[batches.epoch] = [round(ppl, 3) for ppl in measured]
    best = min(curve, key=lambda epoch: curve[epoch][1])
    return {
        "num_hiddens": num_hiddens, "orthogonal": orthogonal, "input_std": input_std, "seed": seed,
        "best_epoch": best, "validation_ppl": curve[best][1], "test_ppl": curve[best][2],
        "curve": curve,  # {epoch: [training, validation, test perplexity]}
    }  # fmt: skip


def search_chapter():
    """Try every setting with three seeds."""
    results = []
    for setting in SETTINGS:
        results += [try_setting(*setting, seed) for seed in (0, 1, 2)]
        print(*setting, [row["test_ppl"] for row in results[-3:]], flush=True)
        save("search.json", results)


# The whole book: epochs and learning rate, one stage after the other.
BOOK_STAGES = [(12, 1.0), (2, 0.3), (2, 0.1)]


def load_book(path=None):
    """(training ids, held-out ids, vocab) of the book at `path`, or downloaded; its last tenth is held out.

    Raises ConnectionError if it can't be downloaded.
    """
    text = read_text(path or download_book())
    return load_corpus(text, num_train=len(normalise(text)) * 9 // 10)


def train_book(path=None, num_hiddens=256):
    """Train on the first nine tenths of the book; the last tenth is held out."""
    tokens, held_out, vocab = load_book(path)
    model = RNNModelByHand(len(vocab), num_hiddens, input_std=1.0, orthogonal=True)
    batches = SequentialBatches(tokens, 32, 35)
    epoch, curve = 0, {}
    for num_epochs, lr in BOOK_STAGES:
        history = train(model, batches, num_epochs, lr, watch=Watch(held_out, every=1))
        for i, ppl in history.held_out_ppl.items():
            curve[epoch + i] = [round(history.train_ppl[i - 1], 3), round(ppl, 3)]
        epoch += num_epochs
        print(epoch, lr, curve[epoch], flush=True)
    save("book.json", {
        "num_hiddens": num_hiddens, "stages": BOOK_STAGES, "tokens": [len(tokens), len(held_out)], "curve": curve,
        "held_out_ppl": round(evaluate(model, held_out), 3),
        "baselines": {name: round(ppl, 2) for name, ppl in baselines(tokens, held_out, len(vocab)).items()},
        "predict": predict(model, vocab, "time traveller", 80),
        "sample": sample(model, vocab, "time traveller", 200, temperature=0.6),
    })  # fmt: skip


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["chapter"]:
            search_chapter()
        case ["book", *path]:
            train_book(*path)
        case _:
            sys.exit(__doc__)
