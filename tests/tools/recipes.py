"""Run the recipes that were published, and save what came out as data/runs/recipes.json.

    python tests/tools/recipes.py            all of them (about 12 minutes)
    python tests/tools/recipes.py A C        only these

Notebook 09 shows the file beside the printed results. The fast engine of notebook 08 does the work. The stored
numbers were made before seed and epoch of a sampler were hashed together: a run of today cuts the text at other
places, and agrees within some percent.
"""

import json
import sys
from pathlib import Path

import torch

from d2lmini import RandomBatches, RNNModelByHand, SequentialBatches, Watch, load_corpus, predict, train

RESULTS = Path(__file__).parents[2] / "data" / "runs" / "recipes.json"
PREFIXES = ["time traveller", "traveller", "time traveller ", "tell me a tale"]


class FixedCuts:
    """Cut the text at the same places in every epoch (recipes B, C, D); ours move them by a random offset."""

    def __iter__(self):
        yield from self.cut(self.tokens, torch.Generator().manual_seed(1_000_000 * self.seed + self.epoch))


class FixedSequential(FixedCuts, SequentialBatches):
    pass


class FixedRandom(FixedCuts, RandomBatches):
    pass


class ForgetfulSequential(SequentialBatches):
    """The fault of recipes F and H: "random" fed the sequential minibatches, and only reset the state."""

    carries_state = False


class UntransposedLabels:
    """The fault of recipe G: the targets in batch-major order, under logits in time-major order."""

    def __iter__(self):
        for X, Y in super().__iter__():
            yield X, Y.reshape(Y.shape[1], Y.shape[0]).T


class UntransposedSequential(UntransposedLabels, SequentialBatches):
    pass


class UntransposedRandom(UntransposedLabels, RandomBatches):
    pass


# name: (form of the text, sampler, num_steps, learning rate, clipping threshold, seed); all else is the same for all.
RECIPES = {
    "A": ("letters", SequentialBatches, 35, 1.0, 1.0, 0),
    "B": ("letters", SequentialBatches, 35, 1.0, 1.0, 3),
    "C": ("characters", FixedRandom, 64, 100.0, 0.01, 0),
    "D": ("characters", FixedSequential, 64, 100.0, 0.01, 0),
    "E": ("letters", SequentialBatches, 35, 1.0, 1.0, 1),
    "F as printed": ("letters", ForgetfulSequential, 35, 1.0, 1.0, 1),
    "F really random": ("letters", RandomBatches, 35, 1.0, 1.0, 1),
    "G sequential": ("letters", UntransposedSequential, 35, 1.0, 1.0, 0),
    "G random": ("letters", UntransposedRandom, 35, 1.0, 1.0, 0),
    "H sequential": ("letters", SequentialBatches, 35, 1.0, 1.0, 2),
    "H as printed": ("letters", ForgetfulSequential, 35, 1.0, 1.0, 2),
    "H really random": ("letters", RandomBatches, 35, 1.0, 1.0, 2),
}


def summary(model, history, vocab):
    """What the table needs of a run, rounded so that the file stays small."""
    return {
        "train_ppl": {epoch: round(history.train_ppl[epoch - 1], 3) for epoch in history.held_out_ppl},
        "held_out_ppl": {epoch: round(ppl, 2) for epoch, ppl in history.held_out_ppl.items()},
        "baselines": {name: round(ppl, 2) for name, ppl in history.baselines.items()},
        "tokens_per_second": round(history.tokens_per_second),
        "continuations": {prefix: predict(model, vocab, prefix, 50) for prefix in PREFIXES},
    }


def run(name, num_epochs=500):
    """Train one recipe from a fresh model; B then goes on with it for 200 epochs at rate 1.3, the cuts fixed."""
    form, Batches, num_steps, lr, theta, seed = RECIPES[name]
    tokens, held_out, vocab = load_corpus(form=form)
    model, batches = RNNModelByHand(len(vocab), 512, seed=seed, input_std=0.01), Batches(tokens, 32, num_steps, seed)
    history = train(model, batches, num_epochs, lr, theta, watch=Watch(held_out))
    if name == "B":
        history = train(model, FixedSequential(tokens, 32, num_steps, seed), 200, 1.3, theta, watch=Watch(held_out))
    return summary(model, history, vocab)


if __name__ == "__main__":
    torch.set_num_threads(1)  # sums in another order end elsewhere, after 500 epochs: the same on every number of cores
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in sys.argv[1:] or RECIPES:
        results[name] = run(name)
        print(name, *(list(results[name][key].values())[-1] for key in ("train_ppl", "held_out_ppl")), flush=True)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n", encoding="utf-8")
