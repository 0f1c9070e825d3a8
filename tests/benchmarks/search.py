"""How low can held-out perplexity go? A small search on the chapter, and one long run on the whole book.

    python tests/benchmarks/search.py chapter         18 settings, 100 epochs each -> search.json
    python tests/benchmarks/search.py book [FILE]     the whole book, downloaded unless FILE is given -> book.json

The results lie in data/runs, and notebook 09 shows them.
"""

import json
import sys
from itertools import product
from pathlib import Path

import torch

from d2lmini import (
    RNNModelTorch,
    SequentialBatches,
    baselines,
    download_book,
    evaluate,
    load_corpus,
    normalise,
    predict,
    read_text,
    sample,
    train,
)  # fmt: skip

RESULTS = Path(__file__).parents[2] / "data" / "runs"


def save(name, results):
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def new_model(vocab, num_hiddens, orthogonal, std):
    """A fresh model whose W_xh has the standard deviation `std`."""
    model = RNNModelTorch(len(vocab), num_hiddens, orthogonal=orthogonal)
    with torch.no_grad():
        model.params[0] *= std / (0.3 if orthogonal else 0.01)
    return model


def try_setting(num_hiddens, lr, orthogonal, std):
    """Train 100 epochs; choose the best one on the first half of the held-out letters, report on the second half."""
    tokens, held_out, vocab = load_corpus()
    choose, report = held_out[: len(held_out) // 2], held_out[len(held_out) // 2 :]
    model, batches, curve = new_model(vocab, num_hiddens, orthogonal, std), SequentialBatches(tokens, 32, 35), {}
    for epoch in range(5, 101, 5):
        history = train(model, batches, 5, lr)
        curve[epoch] = [history.train_ppl[-1], evaluate(model, choose, 8), evaluate(model, report, 8)]
    best = min(curve, key=lambda epoch: curve[epoch][1])
    train_ppl, choose_ppl, report_ppl = (round(ppl, 3) for ppl in curve[best])
    return {
        "num_hiddens": num_hiddens, "lr": lr, "orthogonal": orthogonal, "W_xh_std": std, "best_epoch": best,
        "train_ppl": train_ppl, "choose_ppl": choose_ppl, "report_ppl": report_ppl,
        "last_train_ppl": round(curve[100][0], 3), "last_report_ppl": round(curve[100][2], 3),
    }  # fmt: skip


def search_chapter():
    """Try every size and rate with every start: is W_hh orthogonal, and the standard deviation of W_xh."""
    starts = ((False, 0.01), (True, 0.3), (True, 1.0))
    results = []
    for num_hiddens, lr, start in product((64, 256, 512), (0.5, 1.0), starts):
        results.append(try_setting(num_hiddens, lr, *start))
        print(results[-1], flush=True)
    save("search.json", results)


# The whole book: epochs and learning rate, one stage after the other.
BOOK_STAGES = [(12, 1.0), (2, 0.3), (2, 0.1)]


def train_book(path=None, num_hiddens=256):
    """Train on the first nine tenths of the book; the last tenth is held out."""
    text = read_text(path or download_book())
    tokens, held_out, vocab = load_corpus(text, num_train=len(normalise(text)) * 9 // 10)
    model, batches = new_model(vocab, num_hiddens, True, 1.0), SequentialBatches(tokens, 32, 35)
    epoch, curve = 0, {}
    for num_epochs, lr in BOOK_STAGES:
        history = train(model, batches, num_epochs, lr, held_out=held_out, every=1)
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
