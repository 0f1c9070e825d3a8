"""RNN, GRU and LSTM at equal parameters and equal input scale, the learning rate tuned for each: for notebook 07.

    python tests/tools/gates.py      87 runs and 18 gradients -> data/runs/gates.json (about 30 minutes on one core)

For each layer and input scale, three seeds try every learning rate of the grid. The best epoch of a run is chosen on
the validation half of the held-out text. Notebook 07 chooses the learning rate on that half, too, by the mean of the
seeds; what counts is the test half.
"""

import json
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from d2lmini import (
    RNNModel,
    SequentialBatches,
    TrainingDiverged,
    load_corpus,
    one_hot,
    perplexity,
    train_epoch,
)

RESULTS = Path(__file__).parents[2] / "data" / "runs"
TOKENS, HELD_OUT, VOCAB = load_corpus()
HALF = len(HELD_OUT) // 2
LAYERS = {"RNN": (nn.RNN, 256), "GRU": (nn.GRU, 145), "LSTM": (nn.LSTM, 124)}  # about 80,000 parameters each
SEEDS = (0, 1, 2)
# (layer, is the input loud): learning rates
GRID = {
    ("RNN", True): (0.0625, 0.125, 0.25, 0.5, 1),
    ("GRU", True): (0.25, 0.5, 1, 2, 4),
    ("LSTM", True): (1, 2, 4, 8, 16),
    ("RNN", False): (0.125, 0.25, 0.5, 1, 2),
    ("GRU", False): (1, 2, 4, 8),
    ("LSTM", False): (2, 4, 8, 16, 32),
}
LAG_RATES = {"RNN": 0.5, "GRU": 2, "LSTM": 4}  # for the gradients, at both input scales
LAG_EPOCHS = 20


def make(kind, loud, seed):
    """A model whose input weights are normal with standard deviation 1 (loud) or PyTorch's own, about 0.04."""
    layer, num_hiddens = LAYERS[kind]
    torch.manual_seed(seed)
    model = RNNModel(layer(len(VOCAB), num_hiddens), len(VOCAB))
    if loud:
        nn.init.normal_(model.rnn.weight_ih_l0, std=1.0)
    return model


def held_out_ppl(model, tokens):
    """Perplexity of a text read as four sequences."""
    rows = tokens[: len(tokens) // 4 * 4].reshape(4, -1)
    with torch.no_grad():
        logits, _ = model(rows[:, :-1], model.begin_state(4))
        return perplexity(float(F.cross_entropy(logits, rows[:, 1:].T.reshape(-1))), 1)


def epochs(model, seed, lr, last):
    """Train epoch by epoch; yields the epoch's number and its training perplexity."""
    batches = SequentialBatches(TOKENS, 32, 35, 1000 * seed)
    for batches.epoch in range(1, last + 1):
        yield batches.epoch, train_epoch(model, batches, lr)[0]


def try_setting(kind, loud, lr, seed, last=400, patience=16):
    """Train until `patience` epochs after the best epoch, at most `last`."""
    model, curve = make(kind, loud, seed), {}
    try:
        for epoch, train_ppl in epochs(model, seed, lr, last):
            if epoch % 2 == 0:
                halves = (held_out_ppl(model, half) for half in (HELD_OUT[:HALF], HELD_OUT[HALF:]))
                curve[epoch] = [round(ppl, 3) for ppl in (train_ppl, *halves)]
                best = min(curve, key=lambda epoch: curve[epoch][1])
                if epoch >= best + patience:
                    break
    except TrainingDiverged:
        pass
    return {
        "layer": kind, "loud": loud, "lr": lr, "seed": seed, "best_epoch": best,
        "validation_ppl": curve[best][1], "test_ppl": curve[best][2],
        "curve": curve,  # {epoch: [training, validation, test perplexity]}
    }  # fmt: skip


def lags(model):
    """Norm of the last step's gradient with respect to the state k steps before, for k = 0, 1, ..., relative to k = 0.

    An LSTM's H and C count together. Mean over the 32 sequences of the first minibatch of the validation half.
    """
    X, Y = next(iter(SequentialBatches(HELD_OUT[:HALF], 32, 35)))
    state, states = model.begin_state(32), []
    for inputs in one_hot(X.T, len(VOCAB)):
        state = model.rnn(inputs[None], state if len(state) == 2 else state[0])[1]
        state = state if isinstance(state, tuple) else (state,)
        for part in state:
            part.retain_grad()
        states.append(state)
    F.cross_entropy(model.linear(state[0][0]), Y[:, -1], reduction="sum").backward()
    # The loss doesn't read the last C as such, so that tensor has no gradient.
    norms = [
        float(torch.cat([part.grad[0] for part in state if part.grad is not None], 1).norm(dim=1).mean())
        for state in reversed(states)
    ]
    return [float(f"{norm / norms[0]:.3g}") for norm in norms]


def measure_lags(kind, loud, seed):
    """The gradients before training and after LAG_EPOCHS."""
    model = make(kind, loud, seed)
    before = lags(model)
    for _ in epochs(model, seed, LAG_RATES[kind], LAG_EPOCHS):
        pass
    return {"layer": kind, "loud": loud, "seed": seed, "before": before, "after": lags(model)}


def save(results):
    (RESULTS / "gates.json").write_text(json.dumps(results) + "\n", encoding="utf-8")


def main():
    runs, gradients = [], []
    for (kind, loud), rates in GRID.items():
        for lr in rates:
            tried = [try_setting(kind, loud, lr, seed) for seed in SEEDS]
            print(kind, loud, lr, *(run["test_ppl"] for run in tried), flush=True)
            runs += tried
        gradients += [measure_lags(kind, loud, seed) for seed in SEEDS]
        save({"runs": runs, "gradients": gradients})


if __name__ == "__main__":
    torch.set_num_threads(1)  # other sums end elsewhere after many epochs
    main()
