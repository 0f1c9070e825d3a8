"""What networks know that were trained on the whole book, and how far back they look: for notebook 12.

    python tests/tools/inside.py [FILE]      -> data/runs/inside.json (about 40 minutes on one core)

FILE is the book, downloaded unless it's given. Its first nine tenths train. The validation half of the rest chooses
the learning rate (in short runs, with seed 0) and the epoch, and trains the probes; the test half only reports.
Results that are stored already stay: a second call goes on where the first one stopped.
"""

import json
import math
import sys
from functools import partial
from itertools import combinations
from pathlib import Path
from statistics import median

import torch
from search import load_book
from torch import nn
from torch.func import jacrev, vmap
from torch.nn import functional as F

from d2lmini import (
    KneserNey,
    RandomBatches,
    RNNModel,
    RNNModelByHand,
    SequentialBatches,
    evaluate,
    one_hot,
    train_epoch,
)  # fmt: skip

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "data" / "runs" / "inside.json"
NOTEBOOK = ROOT / "notebooks" / "12_look_inside.ipynb"
BATCH, SEEDS = (32, 64), (0, 1, 2)
CONTEXTS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32, 48, 64)  # characters
ORDERS = range(1, 11)
# {network: (epochs, learning rates of Adam to choose from, epochs of the short runs that choose)}
KINDS = {
    "RNN": (12, (0.002, 0.005), 4),
    "LSTM": (20, (0.005, 0.015), 4),
    "attention": (24, (0.005, 0.015), 4),
    "attention + MLP": (24, (0.005, 0.015), 4),
}


# --- the networks ---


def notebook_class():
    """AttentionModel, as a cell of notebook 12 defines it."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    (source,) = ["".join(cell["source"]) for cell in cells if cell["id"] == "attention-model"]
    namespace = {"nn": nn, "attention": partial(F.scaled_dot_product_attention, is_causal=True)}
    exec(source, namespace)
    return namespace["AttentionModel"]


def make(kind, vocab_size, seed):
    """An untrained network of about 80,000 parameters."""
    torch.manual_seed(seed)
    if kind == "RNN":
        return RNNModelByHand(vocab_size, 256, seed=seed, input_std=1.0, orthogonal=True)
    if kind == "LSTM":
        model = RNNModel(nn.LSTM(vocab_size, 124), vocab_size)
        nn.init.normal_(model.rnn.weight_ih_l0, std=1.0)
        return model
    width, mlp = {"attention": (128, 0), "attention + MLP": (72, 352)}[kind]
    return notebook_class()(vocab_size, width, mlp)


def fit(kind, tokens, validation, vocab_size, lr, seed, epochs):
    """Train with Adam; the learning rate rises for a tenth of the time and falls to zero (one cycle).

    Returns the model with the weights of its best epoch, and {epoch: [training, validation perplexity]}.
    """
    model = make(kind, vocab_size, seed)
    batches = (RandomBatches if "attention" in kind else SequentialBatches)(tokens, *BATCH, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, epochs * len(batches), pct_start=0.1)
    curve, best = {}, math.inf
    for batches.epoch in range(1, epochs + 1):
        train_ppl, _ = train_epoch(model, batches, lr, 1.0, lambda: (optimizer.step(), schedule.step()))
        ppl = evaluate(model, validation, 8, BATCH[1])
        curve[batches.epoch] = [round(train_ppl, 3), round(ppl, 3)]
        if ppl < best:
            best, weights = ppl, [param.detach().clone() for param in model.parameters()]
    with torch.no_grad():
        for param, value in zip(model.parameters(), weights):
            param.copy_(value)
    return model, curve


# --- how far back ---


def places(text):
    """The places whose characters are predicted, the same for every context."""
    return torch.arange(max(CONTEXTS), len(text), 2)


@torch.no_grad()
def bits(model, text, k, past=None):
    """Bits per character if each prediction sees only the k characters before it.

    past: states by place, tuple of (..., len(text), num_hiddens): what the network begins with instead of zeros.
    """
    total = 0.0
    for ends in places(text).split(1024):
        X = torch.stack([text[ends - j] for j in range(k, 0, -1)], dim=1)  # (n, k)
        state = model.begin_state(len(ends))
        if past is not None:
            state = tuple(part[..., ends - k - 1, :].contiguous() for part in past)
        logits, _ = model(X, state)
        total += float(F.cross_entropy(logits[-len(ends) :], text[ends], reduction="sum"))
    return total / len(places(text)) / math.log(2)


@torch.no_grad()
def read(model, text):
    """Bits of each character of a text but the first, and all states: a tuple of (..., len(text), num_hiddens)."""
    state, logits, states = model.begin_state(1), [], []
    for id in text:
        scores, state = model(id.reshape(1, 1), state)
        logits.append(scores)
        states.append(state)
    nll = F.cross_entropy(torch.cat(logits)[:-1], text[1:], reduction="none") / math.log(2)
    return nll, tuple(torch.cat(parts, dim=-2) for parts in zip(*states))


def rnn_jacobians(model, states):
    """dh(t) / dh(t-1) for states h(t), (n, num_hiddens): (n, num_hiddens, num_hiddens), the old state in the rows."""
    return model.params[1].detach() * (1 - states[:, None] ** 2)


def lstm_jacobians(model, text, H, C):
    """The same for an LSTM's state, h and c together; text, H, C: what it reads, and the state before."""
    cell = nn.LSTMCell(model.vocab_size, model.num_hiddens)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in model.rnn.state_dict().items()})

    def step(state, x):
        weights = cell.weight_ih, cell.weight_hh, cell.bias_ih + cell.bias_hh
        h, c = state.chunk(2)
        i, f, g, o = (weights[0] @ x + weights[1] @ h + weights[2]).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return torch.cat([o.sigmoid() * c.tanh(), c])

    jacobian = vmap(jacrev(step))(torch.cat([H, C], dim=1), one_hot(text, model.vocab_size))
    return jacobian.detach().transpose(1, 2)


def stretches(model, text, states, num_places=24):
    """{k: largest singular value of d state(t+k) / d state(t), root mean square of all}, medians over some places."""
    rng = torch.Generator().manual_seed(0)
    found = {k: [] for k in CONTEXTS}
    for t in torch.randint(len(text) - max(CONTEXTS) - 1, (num_places,), generator=rng).tolist():
        now = slice(t + 1, t + 1 + max(CONTEXTS))
        if len(states) == 1:
            steps = rnn_jacobians(model, states[0][now])
        else:
            before = slice(t, t + max(CONTEXTS))
            steps = lstm_jacobians(model, text[now], *(part[0, before] for part in states))
        product = torch.eye(steps.shape[1])
        for k, step in enumerate(steps, start=1):
            product = product @ step
            if k in found:
                found[k].append((float(torch.linalg.matrix_norm(product, 2)),
                                 float(product.norm()) / math.sqrt(len(product))))  # fmt: skip
    return {k: [float(f"{median(values):.3g}") for values in zip(*pairs)] for k, pairs in found.items()}


# --- what is in the state ---


def windows(text, width, vocab_size):
    """The last `width` characters at each place, as one-hot vectors side by side: (len(text), width * vocab_size)."""
    padded = torch.cat([text.new_zeros(width - 1), text])
    return one_hot(padded.unfold(0, width, 1), vocab_size).flatten(1)


def labels(text, space):
    """{what a probe asks: the answer at each place of the text but the last}, integers."""
    place = torch.zeros_like(text)
    for t in range(1, len(text)):
        place[t] = 0 if text[t] == space else min(int(place[t - 1]) + 1, 7)
    back = {f"the character {k} back": text.roll(k) for k in (1, 2, 4, 8)}
    return {"next is a space": (text.roll(-1) == space).long(), "place in the word": place, **back}


def probe_accuracy(features, answers):
    """A linear probe, fitted on the first half of the places by least squares; its accuracy on the second half."""
    features = torch.cat([features, torch.ones(len(features), 1)], dim=1).double()
    half, wanted = len(features) // 2, F.one_hot(answers).double()
    A, B = features[:half], wanted[:half]
    weights = torch.linalg.solve(A.T @ A + torch.eye(A.shape[1]), A.T @ B)  # a little ridge: solvable for any features
    return float(((features[half:] @ weights).argmax(dim=1) == answers[half:]).double().mean())


def auc(values, answers):
    """How often a unit's value is higher at a place with answer 1 than with 0; ties count half. Per unit."""
    ranks = values.argsort(dim=0).argsort(dim=0).double() + 1
    ones = answers.bool()
    n, m = int(ones.sum()), int((~ones).sum())
    return (ranks[ones].sum(dim=0) - n * (n + 1) / 2) / (n * m)


def best_unit(values, answers):
    """AUC on the second half of the unit, with the sign, that is best on the first half."""
    half = len(values) // 2
    found = auc(values[:half], answers[:half])
    unit = int((found - 0.5).abs().argmax())
    there = float(auc(values[half:, [unit]], answers[half:])[0])
    return there if found[unit] > 0.5 else 1 - there


def vowels_apart(rows, letters):
    """How far apart vowels and other letters are on the first principal component of their rows, and a p-value.

    Distance of the two means over the standard deviation; p: the part of all 65,780 choices of five letters that are
    as far apart. rows: (26, n), letters: the 26 of them.
    """
    rows = rows - rows.mean(dim=0)
    scores = torch.linalg.svd(rows.double(), full_matrices=False).U[:, 0]
    scores = scores / scores.std()
    fives = torch.tensor(list(combinations(range(len(letters)), 5)))
    sums = scores[fives].sum(dim=1)
    gaps = (sums / 5 - (scores.sum() - sums) / (len(letters) - 5)).abs()
    real = gaps[(fives == torch.tensor([i for i, c in enumerate(letters) if c in "aeiou"])).all(dim=1)]
    return [round(float(real), 3), round(float((gaps >= real - 1e-9).double().mean()), 5)]


def what_is_known(states, text, vocab):
    """Probes and units, for states (len(text), num_hiddens) or other features by place."""
    inner = slice(8, len(text) - 1)  # eight characters back, and one ahead
    asked = {name: answers[inner] for name, answers in labels(text, vocab[" "]).items()}
    found = {name: round(probe_accuracy(states[inner], answers), 4) for name, answers in asked.items()}
    spaces = asked["next is a space"]
    shuffled = spaces[torch.randperm(len(spaces), generator=torch.Generator().manual_seed(0))]
    found["best unit"] = round(best_unit(states[inner], spaces), 4)
    found["best unit, answers shuffled"] = round(best_unit(states[inner], shuffled), 4)
    return found


# --- all of it ---


def try_rates(kind, tokens, validation, vocab_size):
    """{learning rate: lowest validation perplexity of a short run with seed 0}."""
    _, rates, epochs = KINDS[kind]
    curves = {lr: fit(kind, tokens, validation, vocab_size, lr, 0, epochs)[1] for lr in rates}
    return {lr: min(ppl for _, ppl in curve.values()) for lr, curve in curves.items()}


def try_kind(kind, lr, seed, tokens, held_out, vocab):
    """Train one network and measure everything."""
    half = len(held_out) // 2
    test = held_out[half:]
    untrained = make(kind, len(vocab), seed)
    model, curve = fit(kind, tokens, held_out[:half], len(vocab), lr, seed, KINDS[kind][0])
    result = {"lr": lr, "curve": curve, "num_params": sum(param.numel() for param in model.parameters())}
    result["bits"] = {k: round(bits(model, test, k), 4) for k in CONTEXTS}
    if "attention" in kind:
        return result
    nll, states = read(model, test)
    result["bits with all"] = round(float(nll[places(test) - 1].mean()), 4)
    elsewhere = torch.randperm(len(test), generator=torch.Generator().manual_seed(seed))
    past = tuple(part[..., elsewhere, :] for part in states)
    result["bits, another past"] = {k: round(bits(model, test, k, past), 4) for k in CONTEXTS}
    result["stretch"] = stretches(model, test, states)
    result["stretch untrained"] = stretches(untrained, test, read(untrained, test)[1])
    for name, network in (("trained", model), ("untrained", untrained)):
        result[name] = what_is_known(read(network, held_out)[1][0].reshape(len(held_out), -1), held_out, vocab)
    if kind == "RNN":
        letters = [vocab[c] for c in "abcdefghijklmnopqrstuvwxyz"]
        for name, network in (("trained", model), ("untrained", untrained)):
            W_xh, _, _, W_hq, _ = (param.detach() for param in network.params)
            result[name]["vowels in W_xh"] = vowels_apart(W_xh[letters], "abcdefghijklmnopqrstuvwxyz")
            result[name]["vowels in W_hq"] = vowels_apart(W_hq.T[letters], "abcdefghijklmnopqrstuvwxyz")
    return result


def counted(tokens, held_out, vocab):
    """What needs no network: n-grams, windows of characters, and the table of pairs."""
    half = len(held_out) // 2
    test = held_out[half:]
    result = {"tokens": [len(tokens), half, len(test)], "Kneser-Ney": {}}
    for order in ORDERS:
        nll = -KneserNey(tokens, len(vocab), order).token_probs(test).log2()
        result["Kneser-Ney"][order] = round(float(nll[places(test) - 1].mean()), 4)
    for width in (1, 6, 10):
        result[f"window {width}"] = what_is_known(windows(held_out, width, len(vocab)), held_out, vocab)
    answers = labels(held_out, vocab[" "])
    result["most frequent"] = {
        name: round(float((a[half:] == a[:half].mode().values).double().mean()), 4) for name, a in answers.items()
    }
    letters = [vocab[c] for c in "abcdefghijklmnopqrstuvwxyz"]
    pairs = torch.ones(len(vocab), len(vocab)).index_put_((tokens[:-1], tokens[1:]), torch.ones(()), accumulate=True)
    logs = (pairs / pairs.sum(dim=1, keepdim=True)).log()
    # One number, from the last character alone: how often a space follows it in the training text.
    inner = slice(8, len(held_out) - 1)
    value = logs[held_out, vocab[" "]][inner, None]
    result["best unit from the last character"] = round(best_unit(value, answers["next is a space"][inner]), 4)
    result["vowels by what precedes them"] = vowels_apart(logs.T[letters], "abcdefghijklmnopqrstuvwxyz")
    result["vowels by what follows them"] = vowels_apart(logs[letters], "abcdefghijklmnopqrstuvwxyz")
    return result


def store(name, function, *arguments):
    """Store what the function returns, unless it's stored already."""
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if name not in results:
        results[name] = function(*arguments)
        RESULTS.write_text(json.dumps(results) + "\n", encoding="utf-8")
        print(name, flush=True)


def main(path=None):
    tokens, held_out, vocab = load_book(path)
    validation = held_out[: len(held_out) // 2]
    store("counted", counted, tokens, held_out, vocab)
    for kind in KINDS:
        store(f"{kind}, rates", try_rates, kind, tokens, validation, len(vocab))
        tried = json.loads(RESULTS.read_text(encoding="utf-8"))[f"{kind}, rates"]
        for seed in SEEDS:
            store(
                f"{kind}, seed {seed}", try_kind, kind, float(min(tried, key=tried.get)), seed, tokens, held_out, vocab
            )


if __name__ == "__main__":
    torch.set_num_threads(1)  # other sums end elsewhere after many epochs
    main(*sys.argv[1:])
