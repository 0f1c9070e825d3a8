"""Answers to the exercises of notebook 10."""

import itertools

import torch

from . import changes, right, wrong

TRUTH = {
    1: ("rate", "slower"),
    2: ("vocabulary", "same vocab"),
    3: ("state", "new state"),
    4: ("memorizing", "keep the best"),
    5: ("saturation", "smaller input"),
    6: ("order", "transpose"),
    7: ("explosion", "clip"),
    8: ("graph", "detach"),
}
REMEDY = "If a cause is right but its remedy isn't"

# --- diagnose ---


right("diagnose")(lambda run: TRUTH[run])


right("diagnose")(lambda run: list(TRUTH[run]))


right("diagnose")(lambda run: ("explosion", "slower") if run == 7 else TRUTH[run])


@right("diagnose")
def _(run):
    causes = ["rate", "vocabulary", "state", "memorizing", "saturation", "order", "explosion", "graph"]
    return causes[run - 1], TRUTH[run][1]


@right("diagnose")
def _(run):
    if run == 8:
        return "graph", "detach"
    if run == 6:
        return "order", "transpose"
    return TRUTH[run]


def but(**answers):
    """The truth, with other answers for some runs: run_1=("rate", "clip")."""
    return lambda run: answers.get(f"run_{run}", TRUTH[run])


wrong("diagnose", "Run 1: ")(but(run_1=("explosion", "clip")))
wrong("diagnose", "Run 2: ")(but(run_2=("memorizing", "keep the best")))
wrong("diagnose", "Run 3: ")(but(run_3=("underfitting", "more epochs")))
wrong("diagnose", "Run 4: ")(but(run_4=("vocabulary", "same vocab")))
wrong("diagnose", "Run 5: ")(but(run_5=("rate", "slower")))
wrong("diagnose", "Run 6: ")(but(run_6=("ignored", "use the state")))
wrong("diagnose", "Run 7: ")(but(run_7=("rate", "slower")))
wrong("diagnose", "Run 8: ")(but(run_8=("greedy", "sample")))
wrong("diagnose", "Run 1: ", "Run 7: ")(but(run_1=("explosion", "clip"), run_7=("rate", "slower")))
wrong("diagnose", "Run 2: ", "Run 4: ")(but(run_2=TRUTH[4], run_4=TRUTH[2]))
wrong("diagnose", REMEDY)(but(run_1=("rate", "clip")))
wrong("diagnose", REMEDY)(but(run_4=("memorizing", "more epochs"), run_6=("order", "detach")))
wrong("diagnose", REMEDY, "Run 5: ")(but(run_3=("state", "detach"), run_5=("underfitting", "more epochs")))
wrong("diagnose", "Take the short names from the two printed lists.")(but(run_2=("vocab", "same vocab")))
wrong("diagnose", "Take the short names from the two printed lists.")(but(run_4=("keep the best", "memorizing")))
wrong("diagnose", "Return a pair")(lambda run: TRUTH[run][0])
wrong("diagnose", "Return a pair")(lambda run: run)
wrong("diagnose", "Did you forget the return?")(lambda run: print(end=""))

# --- dependencies ---


def row_of(model, X, r, t):
    logits, _ = model(X, model.begin_state(X.shape[0]))
    return logits.reshape(X.shape[1], X.shape[0], -1)[t, r]


def tried(new=lambda old, n: (old + 1) % n, row=row_of, differ=lambda a, b: bool((a != b).any()), copy=torch.clone,
          where=lambda i, j, r, t: True, turn=lambda D: D):  # fmt: skip
    """A learner's double loop, with something changed."""

    def dependencies(model, X, r, t):
        before, found, changed = row(model, X, r, t), torch.zeros(X.shape, dtype=torch.bool), X.clone()
        for i, j in itertools.product(range(X.shape[0]), range(X.shape[1])):
            changed = copy(changed) if copy is not torch.clone else X.clone()
            changed[i, j] = new(X[i, j], model.vocab_size)
            found[i, j] = where(i, j, r, t) and differ(before, row(model, changed, r, t))
        return turn(found)

    return dependencies


right("dependencies")(tried())


right("dependencies")(tried(differ=lambda a, b: not torch.allclose(a, b, atol=1e-6)))


right("dependencies")(tried(new=lambda old, n: n - 1 - old if n % 2 == 0 else (old + 1) % n))


@right("dependencies")
def _(model, X, r, t):
    index = t * len(X) + r
    before = model(X, model.begin_state(len(X)))[0][index]
    rows = []
    for i in range(len(X)):
        rows.append([])
        for j in range(X.shape[1]):
            other = X.clone()
            other[i, j] = 0 if X[i, j] else 1
            rows[-1].append(bool((model(other, model.begin_state(len(X)))[0][index] - before).abs().sum() > 0))
    return torch.tensor(rows)


@right("dependencies")
def _(model, X, r, t):
    """In place, but undone, in a copy."""
    X = X.clone()
    before, found = row_of(model, X, r, t), torch.zeros_like(X)
    for place in range(X.numel()):
        flat, foundflat = X.view(-1), found.view(-1)
        old = flat[place].item()
        flat[place] = (old - 1) % model.vocab_size
        foundflat[place] = int(not torch.equal(before, row_of(model, X, r, t)))
        flat[place] = old
    return found.bool()


MAJOR = "Is that the row of sequence r at step t?"
ANOTHER = "Is the new token always another token?"
wrong("dependencies", MAJOR)(
    tried(row=lambda model, X, r, t: model(X, model.begin_state(len(X)))[0][r * X.shape[1] + t])
)
wrong("dependencies", MAJOR)(tried(row=lambda model, X, r, t: model(X, model.begin_state(len(X)))[0][t]))
wrong("dependencies")(tried(differ=lambda a, b: not torch.allclose(a, b, atol=0.01)))
wrong("dependencies")(tried(differ=lambda a, b: bool(a[..., 0] != b[..., 0])))  # the first logit only
wrong("dependencies", "Did you return numbers?")(lambda *args: tried()(*args).long())
wrong("dependencies", "Did you return numbers?")(lambda *args: tried()(*args).float())
wrong("dependencies", "Did you compare all the logits?")(
    tried(row=lambda model, X, r, t: model(X, model.begin_state(len(X)))[0])
)
wrong("dependencies", "Did you compare all the sequences at step t?")(
    tried(row=lambda model, X, r, t: model(X, model.begin_state(len(X)))[0].reshape(*X.T.shape, -1)[t])
)
wrong("dependencies", "Did you forget to undo a change")(tried(copy=lambda changed: changed))
wrong("dependencies", ANOTHER)(tried(new=lambda old, n: 0))
wrong("dependencies", ANOTHER)(tried(new=lambda old, n: min(int(old) + 1, n - 1)))
wrong("dependencies", "Is the new id below vocab_size?")(tried(new=lambda old, n: old + 1))
wrong("dependencies", "Did you change the tokens of sequence r only?")(tried(where=lambda i, j, r, t: i == r))
wrong("dependencies", "Did you change only the tokens up to step t?")(tried(where=lambda i, j, r, t: j <= t))
wrong("dependencies", "Did you compare the likeliest tokens?")(
    tried(differ=lambda a, b: bool(a.argmax() != b.argmax()))
)
wrong("dependencies", "Is it the other way round?")(tried(differ=lambda a, b: bool((a == b).all())))
wrong("dependencies", "Is it the other way round?")(tried(turn=torch.logical_not))
wrong("dependencies", "Did you transpose the result?")(tried(turn=lambda D: D.T))
wrong("dependencies", "Did you change the tokens of sequence r only?", "Did you transpose the result?")(
    tried(where=lambda i, j, r, t: i == r, turn=lambda D: D.T)
)


@wrong("dependencies", changes("X"))
def _(model, X, r, t):
    before, found = row_of(model, X, r, t), torch.zeros(X.shape, dtype=torch.bool)
    for i, j in itertools.product(range(X.shape[0]), range(X.shape[1])):
        old = X[i, j].item()
        X[i, j] = (old + 1) % model.vocab_size
        found[i, j] = not torch.equal(before, row_of(model, X, r, t))
        X[i, j] = old
    X[0, 0] = (X[0, 0] + 1) % model.vocab_size
    return found


# --- batch_faults ---


def looked(batches, all_targets=True, end=lambda X, Y: Y[:, -1], believe=True, rows=slice(None), number=None):
    """A learner's test, with something left out."""
    pairs, names = list(batches)[:number], []
    for X, Y in pairs:
        if all_targets and not (X[rows, 1:] == Y[rows, :-1]).all():
            names = ["targets"]
    for n in range(len(pairs) - 1):
        same = end(*pairs[n])[rows] == pairs[n + 1][0][rows, 0]
        if (batches.carries_state or not believe) and not same.all() and "state" not in names:
            names.append("state")
    return names


right("batch_faults")(looked)


@right("batch_faults")
def _(batches):
    wrong_targets, jumps, before = False, False, None
    for X, Y in batches:
        wrong_targets |= not torch.equal(X[:, 1:], Y[:, :-1])
        jumps |= before is not None and not torch.equal(before, X[:, 0])
        before = Y[:, -1]
    return ["targets"] * wrong_targets + ["state"] * (jumps and batches.carries_state)


@right("batch_faults")
def _(batches):
    Xs, Ys = zip(*batches)
    found = []
    if any((a[:, 1:] != b[:, :-1]).any().item() for a, b in zip(Xs, Ys)):
        found += ["targets"]
    if batches.carries_state and any(a[:, -1].tolist() != b[:, 0].tolist() for a, b in zip(Ys, Xs[1:])):
        found += ["state"]
    return found


@right("batch_faults")
def _(batches):
    """With the text of each sequence put together."""
    X, Y = (torch.stack(part) for part in zip(*batches))
    targets = bool((X[:, :, 1:] != Y[:, :, :-1]).any())
    state = batches.carries_state and bool((X[1:, :, 0] != Y[:-1, :, -1]).any())
    return [name for name, there in (("targets", targets), ("state", state)) if there]


@right("batch_faults")
def _(batches):
    names = set()
    last = None
    for X, Y in batches:
        for r in range(len(X)):
            for t in range(X.shape[1]):
                if t and X[r, t] != Y[r, t - 1]:
                    names.add("targets")
            if batches.carries_state and last is not None and last[r] != X[r, 0]:
                names.add("state")
        last = Y[:, -1]
    return sorted(names, reverse=True)


wrong("batch_faults", "Did you look at the first minibatch only?")(lambda batches: looked(batches, number=1))
wrong("batch_faults", "Did you look at the first minibatch only?")(lambda batches: looked(batches, number=2))
wrong("batch_faults", "Does the state matter here?")(lambda batches: looked(batches, believe=False))
wrong("batch_faults", "Which token follows the last input")(lambda batches: looked(batches, end=lambda X, Y: X[:, -1]))
wrong("batch_faults", "Is the next input one more than")(lambda batches: looked(batches, end=lambda X, Y: Y[:, -1] + 1))


@wrong("batch_faults", "Is a target one more than its input?")
def _(batches):
    pairs = list(batches)
    found = ["targets"] if any(not torch.equal(Y[:, :-1], X[:, :-1] + 1) for X, Y in pairs) else []
    ends = [torch.equal(Y[:, -1], later[:, 0]) for (_, Y), (later, _) in itertools.pairwise(pairs)]
    return found + ["state"] * (batches.carries_state and not all(ends))


wrong("batch_faults", "Did you look at one sequence only?")(lambda batches: looked(batches, rows=slice(0, 1)))
wrong("batch_faults", "Did you forget the targets?")(lambda batches: looked(batches, all_targets=False))
wrong("batch_faults", "Did you stop at the first fault?")(lambda batches: looked(batches)[:1])
wrong("batch_faults", "Did you always return an empty list?")(lambda batches: [])
wrong("batch_faults", "Does the state matter here?", "Which token follows the last input")(
    lambda batches: looked(batches, believe=False, end=lambda X, Y: X[:, -1])
)
wrong("batch_faults", "Did you look at one sequence only?", "Does the state matter here?")(
    lambda batches: looked(batches, believe=False, rows=slice(0, 1))
)


@wrong("batch_faults", "Did you accept tokens that agree in one place only?")
def _(batches):
    pairs = list(batches)
    found = []
    if any(X.shape[1] > 1 and not (X[:, 1:] == Y[:, :-1]).any() for X, Y in pairs):
        found.append("targets")
    if batches.carries_state and any(not (a[1][:, -1] == b[0][:, 0]).any() for a, b in itertools.pairwise(pairs)):
        found.append("state")
    return found


wrong("batch_faults", "Did you forget the return?")(lambda batches: print(end=""))
wrong("batch_faults")(lambda batches: ["state"])
