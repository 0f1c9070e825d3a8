"""Run the recipes that were published, each with three seeds, and save what came out as data/runs/recipes.json.

    python tests/tools/recipes.py            all that aren't stored yet (about 40 minutes on one core)
    python tests/tools/recipes.py A C        only these, whether stored or not

Notebook 10 shows the file beside the printed results. The fast engine of notebook 08 does the work.
"""

import copy
import json
import sys
from functools import cache
from pathlib import Path

import torch

from d2lmini import RandomBatches, RNNModelByHand, SequentialBatches, Watch, load_corpus, predict, train

RESULTS = Path(__file__).parents[2] / "data" / "runs" / "recipes.json"
SEEDS = (0, 1, 2)
PREFIXES = ["time traveller", "traveller", "time traveller ", "tell me a tale"]


class FixedCuts:
    """Cut the text at the same places in every epoch (recipes B, C, D); ours move them by a random offset."""

    def __iter__(self):
        yield from self.cut(self.tokens, self.random_numbers())


class FixedSequential(FixedCuts, SequentialBatches):
    pass


class FixedRandom(FixedCuts, RandomBatches):
    pass


class ForgetfulSequential(SequentialBatches):
    """The fault of recipes F, H and M: "random" fed the sequential minibatches, and only reset the state."""

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


# name: (form of the text, sampler, num_steps, learning rate, clipping threshold, epochs, recipe whose model goes on)
RECIPES = {
    "A": ("letters", SequentialBatches, 35, 1.0, 1.0, 500, None),
    "B": ("letters", FixedSequential, 35, 1.3, 1.0, 200, "A"),
    "F as printed": ("letters", ForgetfulSequential, 35, 1.0, 1.0, 500, "A"),
    "F from a new model": ("letters", ForgetfulSequential, 35, 1.0, 1.0, 500, None),
    "F really random": ("letters", RandomBatches, 35, 1.0, 1.0, 500, None),
    "C": ("characters", FixedRandom, 64, 100.0, 0.01, 500, None),
    "D": ("characters", FixedSequential, 64, 100.0, 0.01, 500, None),
    "G sequential": ("letters", UntransposedSequential, 35, 1.0, 1.0, 500, None),
    "G random": ("letters", UntransposedRandom, 35, 1.0, 1.0, 500, None),
}


@cache
def trained(name, seed, num_epochs=None):
    """The model of a recipe and its History. The model isn't to be changed: other recipes may go on with a copy."""
    form, Batches, num_steps, lr, theta, epochs, before = RECIPES[name]
    tokens, held_out, vocab = load_corpus(form=form)
    if before is None:
        model = RNNModelByHand(len(vocab), 512, seed=seed, input_std=0.01)
    else:
        model = copy.deepcopy(trained(before, seed)[0])
    history = train(model, Batches(tokens, 32, num_steps, seed), num_epochs or epochs, lr, theta, watch=Watch(held_out))
    return model, history


def summary(name, seed, num_epochs=None):
    """What the table needs of a run, rounded so that the file stays small."""
    model, history = trained(name, seed, num_epochs)
    vocab = load_corpus(form=RECIPES[name][0])[2]
    return {
        "train_ppl": {epoch: round(history.train_ppl[epoch - 1], 3) for epoch in history.held_out_ppl},
        "held_out_ppl": {epoch: round(ppl, 2) for epoch, ppl in history.held_out_ppl.items()},
        "baselines": {name: round(ppl, 2) for name, ppl in history.baselines.items()},
        "continuations": {prefix: predict(model, vocab, prefix, 50) for prefix in PREFIXES},
    }


if __name__ == "__main__":
    torch.set_num_threads(1)  # sums in another order end elsewhere, after 500 epochs: the same on every number of cores
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    missing = [(name, seed) for seed in SEEDS for name in RECIPES if str(seed) not in results.get(name, {})]
    for name, seed in [(name, seed) for name in sys.argv[1:] for seed in SEEDS] or missing:
        run = results.setdefault(name, {})[str(seed)] = summary(name, seed)
        print(name, seed, *(list(run[key].values())[-1] for key in ("train_ppl", "held_out_ppl")), flush=True)
        RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n", encoding="utf-8")
