"""How low can held-out perplexity go? A search on the chapter, the whole book, and another book.

    python tests/tools/search.py chapter             30 runs -> search.json (about 15 minutes on one core)
    python tests/tools/search.py book [FILE]         the whole book, downloaded unless FILE is given -> book.json
    python tests/tools/search.py other FILE START    another book, any text file -> other.json (about 3 minutes)

START is the phrase with which the other book begins, in lower case and without punctuation ("no one would have
believed"), so that what a file says before doesn't count. The results are stored in data/runs, and notebooks 02 and 09
show them.
"""

import hashlib
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


SEEDS = (0, 1, 2)
# Long enough for each initialization to pass its best epoch: {standard deviation of W_xh: epochs}.
EPOCHS = {0.01: 200, 0.3: 120, 1.0: 80}
# (num_hiddens, is W_hh orthogonal, standard deviation of W_xh): one change at a time, then other sizes of the best two.
SETTINGS = [*product((256,), (False, True), EPOCHS), *product((64, 512), (False, True), (1.0,))]


def try_setting(num_hiddens, orthogonal, input_std, seed):
    """Train; choose the best epoch on the validation half of the held-out text, report on its test half."""
    tokens, held_out, vocab = load_corpus()
    half = len(held_out) // 2
    model = RNNModelByHand(len(vocab), num_hiddens, seed=seed, input_std=input_std, orthogonal=orthogonal)
    texts = held_out[:half], held_out[half:]
    curve = train_and_measure(model, tokens, texts, seed, EPOCHS[input_std])
    best = min(curve, key=lambda epoch: curve[epoch][1])
    return {
        "num_hiddens": num_hiddens, "orthogonal": orthogonal, "input_std": input_std, "seed": seed,
        "best_epoch": best, "validation_ppl": curve[best][1], "test_ppl": curve[best][2],
        "curve": curve,  # {epoch: [training, validation, test perplexity]}
    }  # fmt: skip


def train_and_measure(model, tokens, texts, seed, num_epochs):
    """{every fourth epoch: [training perplexity, the perplexity of each of `texts`]}, at learning rate 1."""
    batches, curve = SequentialBatches(tokens, 32, 35, seed), {}
    for batches.epoch in range(1, num_epochs + 1):
        train_ppl, _ = train_epoch(model, batches, lr=1.0)
        if batches.epoch % 4 == 0:
            measured = train_ppl, *(evaluate(model, text, 8) for text in texts)
            curve[batches.epoch] = [round(ppl, 3) for ppl in measured]
    return curve


def search_chapter():
    """Try every setting with three seeds."""
    results = []
    for setting in SETTINGS:
        results += [try_setting(*setting, seed) for seed in SEEDS]
        print(*setting, [row["test_ppl"] for row in results[-3:]], flush=True)
        save("search.json", results)


# The whole book: epochs and learning rate, one stage after the other.
BOOK_STAGES = [(12, 1.0), (2, 0.3), (2, 0.1)]
# The control: the same network on the book's beginning only, at learning rate 1, and the same held-out text.
SHORT, SHORT_EPOCHS = 10_000, 40


def load_book(path=None):
    """(training ids, held-out ids, vocab) of the book at `path`, or downloaded; its last tenth is held out.

    Raises ConnectionError if it can't be downloaded.
    """
    text = read_text(path or download_book())
    return load_corpus(text, num_train=len(normalise(text)) * 9 // 10)


def train_book(path=None, num_hiddens=256):
    """Train on the first nine tenths of the book, with each seed; the last tenth is held out."""
    tokens, held_out, vocab = load_book(path)
    counted = {name: round(ppl, 2) for name, ppl in baselines(tokens, held_out, len(vocab)).items()}
    results = {"num_hiddens": num_hiddens, "stages": BOOK_STAGES, "tokens": [len(tokens), len(held_out)],
               "baselines": counted, "runs": []}  # fmt: skip
    for seed in SEEDS:
        model, control = (
            RNNModelByHand(len(vocab), num_hiddens, seed=seed, input_std=1.0, orthogonal=True) for _ in range(2)
        )
        results["runs"].append({
            "seed": seed, "curve": train_in_stages(model, tokens, held_out, seed),
            "short": train_and_measure(control, tokens[:SHORT], [held_out], seed, SHORT_EPOCHS),
            "held_out_ppl": round(evaluate(model, held_out), 3),
            "predict": predict(model, vocab, "time traveller", 80),
            "sample": sample(model, vocab, "time traveller", 200, temperature=0.6),
        })  # fmt: skip
        lowest = min(ppl for _, ppl in results["runs"][-1]["short"].values())
        print(seed, results["runs"][-1]["held_out_ppl"], "the beginning only:", lowest, flush=True)
        save("book.json", results)


def train_in_stages(model, tokens, held_out, seed):
    """{epoch: [training, held-out perplexity]}"""
    batches = SequentialBatches(tokens, 32, 35, seed)
    epoch, curve = 0, {}
    for num_epochs, lr in BOOK_STAGES:
        history = train(model, batches, num_epochs, lr, watch=Watch(held_out, every=1))
        for i, ppl in history.held_out_ppl.items():
            curve[epoch + i] = [round(history.train_ppl[i - 1], 3), round(ppl, 3)]
        epoch += num_epochs
    return curve


# Another book: as many characters as the chapter has, cut in the same way, in the chapter's vocabulary.
OTHER_EPOCHS = 48


def load_other(path, start):
    """(training ids, validation half, test half, SHA-256 of the characters) of the book at `path`.

    Raises ValueError if the book doesn't contain `start`, or is shorter than the chapter.
    """
    tokens, held_out, vocab = load_corpus()
    length, half = len(tokens) + len(held_out), len(held_out) // 2
    text = normalise(read_text(path))
    if start not in text:
        raise ValueError(f"{path} doesn't contain {start!r}: give its first words, lower case, without punctuation.")
    text = text[text.index(start) :][:length]
    if len(text) < length:
        raise ValueError(f"{path} has only {len(text)} characters from {start!r} on, but {length} are needed.")
    ids = tokens.new_tensor(vocab[list(text)])
    held_out = ids[len(tokens) :]
    return ids[: len(tokens)], held_out[:half], held_out[half:], hashlib.sha256(text.encode()).hexdigest()


def cross(train_tokens, validation, tests, seed, vocab_size, num_epochs=OTHER_EPOCHS):
    """Train on one book, choose the epoch on its own validation half, report on the test half of each book."""
    model = RNNModelByHand(vocab_size, 256, seed=seed, input_std=1.0, orthogonal=False)
    curve = train_and_measure(model, train_tokens, [validation, *tests.values()], seed, num_epochs)
    best = min(curve, key=lambda epoch: curve[epoch][1])
    return {"seed": seed, "best_epoch": best, "test_ppl": dict(zip(tests, curve[best][2:])), "curve": curve}


def read_other(path, start):
    """Networks and counting models of two books, each read on the test halves of both."""
    tokens, held_out, vocab = load_corpus()
    half = len(held_out) // 2
    *other, digest = load_other(path, start)
    books = {"The Time Machine": (tokens, held_out[:half], held_out[half:]), "other": other}
    tests = {name: test for name, (_, _, test) in books.items()}
    results = {"start": start, "characters": len(tokens) + len(held_out), "sha256": digest, "trained_on": {}}
    for name, (train_tokens, validation, _) in books.items():
        counted = {test: baselines(train_tokens, ids, len(vocab)) for test, ids in tests.items()}
        results["trained_on"][name] = {
            "baselines": {test: {k: round(v, 2) for k, v in ppl.items()} for test, ppl in counted.items()},
            "runs": [cross(train_tokens, validation, tests, seed, len(vocab)) for seed in SEEDS],
        }
        print(name, [run["test_ppl"] for run in results["trained_on"][name]["runs"]], flush=True)
        save("other.json", results)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["chapter"]:
            search_chapter()
        case ["book", *path]:
            train_book(*path)
        case ["other", path, start]:
            read_other(path, start)
        case _:
            sys.exit(__doc__)
