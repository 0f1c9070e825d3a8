"""Answers to the exercises of notebook 09."""

import math
from collections import defaultdict
from itertools import product
from statistics import mean, median

import torch

from . import right, wrong

# --- plan ---


def runs(batch=lambda tokens, n: round(tokens / n), start=dict, seeds=lambda seeds: seeds, swapped=False):
    """A learner's plan, with something changed."""

    def plan(common, num_steps, all_seeds):
        tokens = common["batch_size"] * common["num_steps"]
        pairs = list(product(num_steps, seeds(all_seeds)))
        if swapped:
            pairs = [(n, seed) for seed, n in product(all_seeds, num_steps)]
        found = []
        for n, seed in pairs:
            run = start(common)
            run["num_steps"], run["batch_size"], run["seed"] = n, batch(tokens, n), seed
            found.append(run)
        return found

    return plan


right("plan")(runs())


right("plan")(runs(batch=lambda tokens, n: int(tokens / n + 0.5)))


right("plan")(runs(batch=lambda tokens, n: max(1, round(tokens / n))))


@right("plan")
def _(common, num_steps, seeds):
    tokens = common["batch_size"] * common["num_steps"]
    return [common | {"num_steps": n, "batch_size": round(tokens / n), "seed": s} for n in num_steps for s in seeds]


@right("plan")
def _(common, num_steps, seeds):
    for n in num_steps:
        height = round(common["batch_size"] * common["num_steps"] / n)
        for seed in seeds:
            yield {**common, "num_steps": n, "batch_size": height, "seed": seed}


ALONG = "Does each minibatch have as many tokens"
ROUNDED = "Is batch_size the nearest whole number?"
wrong("plan", ALONG)(
    lambda common, num_steps, seeds: [common | {"num_steps": n, "seed": s} for n in num_steps for s in seeds]
)
wrong("plan", ROUNDED)(runs(batch=lambda tokens, n: tokens // n))
wrong("plan", ROUNDED)(runs(batch=lambda tokens, n: math.ceil(tokens / n)))
wrong("plan", ROUNDED)(runs(batch=lambda tokens, n: tokens / n))
wrong("plan", "Did you lose the other settings?")(runs(start=lambda common: {}))
wrong("plan", "Did you plan one seed only?")(runs(seeds=lambda seeds: seeds[:1]))
wrong("plan", "Is the order right?")(runs(swapped=True))
wrong("plan", "Did you plan one seed only?")(
    lambda common, num_steps, seeds: [common | {"num_steps": n, "seed": seeds[0]} for n in num_steps]
)
wrong("plan", ALONG, "Did you lose the other settings?")(
    lambda common, num_steps, seeds: [
        {"num_steps": n, "batch_size": common["batch_size"], "seed": s} for n in num_steps for s in seeds
    ]
)
wrong("plan", ROUNDED, "Is the order right?")(runs(batch=lambda tokens, n: tokens // n, swapped=True))
wrong("plan", "Did you put the same dict", "Work on a copy")(runs(start=lambda common: common))


@wrong("plan", "Did you put the same dict into the list again and again?")
def _(common, num_steps, seeds):
    run, found = dict(common), []
    for n in num_steps:
        for seed in seeds:
            run["num_steps"], run["seed"] = n, seed
            run["batch_size"] = round(common["batch_size"] * common["num_steps"] / n)
            found.append(run)
    return found


wrong("plan", "int(...) makes them whole numbers.")(runs(batch=lambda tokens, n: round(tokens / n, 0)))
wrong("plan", "Did you forget the return?")(lambda common, num_steps, seeds: print(end=""))
wrong("plan")(lambda common, num_steps, seeds: [common])

# --- report ---


def table(rows):
    arms = defaultdict(list)
    for row in rows:
        arms[row["setting"]].append(row)
    return arms


def chosen(rows, by="validation_ppl", says="test_ppl", centre=mean, best=min):
    arms = table(rows)
    name = best(arms, key=lambda name: centre(row[by] for row in arms[name]))
    values = [row[says] for row in arms[name]]
    return name, mean(values), min(values), max(values)


right("report")(chosen)


right("report")(lambda rows: list(chosen(rows)))


@right("report")
def _(rows):
    lowest = math.inf
    for name in {row["setting"] for row in rows}:
        mine = [row for row in rows if row["setting"] == name]
        if sum(row["validation_ppl"] for row in mine) / len(mine) < lowest:
            lowest = sum(row["validation_ppl"] for row in mine) / len(mine)
            values = [row["test_ppl"] for row in mine]
            result = name, sum(values) / len(values), min(values), max(values)
    return result


@right("report")
def _(rows):
    means = {name: torch.tensor([row["validation_ppl"] for row in arm]).mean() for name, arm in table(rows).items()}
    name = min(means, key=means.get)
    values = torch.tensor([row["test_ppl"] for row in rows if row["setting"] == name])
    return name, values.mean().item(), values.min().item(), values.max().item()


@right("report")
def _(rows):
    ordered = sorted(table(rows).items(), key=lambda item: mean(row["validation_ppl"] for row in item[1]))
    name, arm = ordered[0]
    values = sorted(row["test_ppl"] for row in arm)
    return name, mean(values), values[0], values[-1]


wrong("report", "Did you choose by the test perplexity?")(lambda rows: chosen(rows, by="test_ppl"))
wrong("report", "Did you report the validation perplexity?")(lambda rows: chosen(rows, says="validation_ppl"))
wrong("report", "Did you choose by the test perplexity?", "Did you report the validation perplexity?")(
    lambda rows: chosen(rows, by="test_ppl", says="validation_ppl")
)
wrong("report", "Did you choose the single best run?")(lambda rows: chosen(rows, centre=min))
wrong("report", "Did you report the runs of all settings?")(
    lambda rows: (chosen(rows)[0], *(f([row["test_ppl"] for row in rows]) for f in (mean, min, max)))
)
wrong("report", "Did you add up instead of averaging?")(lambda rows: chosen(rows, centre=sum))
wrong("report", "Did you compare medians?")(lambda rows: chosen(rows, centre=median))
wrong("report", "Did you choose the highest perplexity?")(lambda rows: chosen(rows, best=max))


@wrong("report", "Did you choose the single best run?")
def _(rows):
    name = min(rows, key=lambda row: row["validation_ppl"])["setting"]
    values = [row["test_ppl"] for row in rows if row["setting"] == name]
    return name, mean(values), min(values), max(values)


@wrong("report", "Did you report one run only?")
def _(rows):
    name, *_ = chosen(rows)
    best = min((row for row in rows if row["setting"] == name), key=lambda row: row["validation_ppl"])["test_ppl"]
    return name, best, best, best


wrong("report", "Return a tuple: setting, mean, lowest, highest")(lambda rows: chosen(rows)[:2])
wrong("report", "Did you forget the return?")(lambda rows: print(end=""))
wrong("report")(lambda rows: (rows[0]["setting"], *chosen(rows)[1:]))

# --- confounders ---


def arms_of(runs, name, first=None):
    arms = {}
    for run in runs:
        arms.setdefault(run[name], []).append(run)
    return list(arms.values())[:first]


def differing(runs, name, values=lambda arm, other: {run[other] for run in arm}, order=sorted, first=None, skip=()):
    """A learner's comparison of all arms, with something changed."""
    arms = arms_of(runs, name, first)
    found = []
    for other in runs[0]:
        if other not in (name, *skip) and any(values(arm, other) != values(arms[0], other) for arm in arms):
            found.append(other)
    return order(found)


right("confounders")(differing)


right("confounders")(lambda runs, name: [other for other in differing(runs, name) if other != name])


@right("confounders")
def _(runs, name):
    found = []
    for other in sorted(set(runs[0]) - {name}):
        seen = {frozenset(run[other] for run in arm) for arm in arms_of(runs, name)}
        if len(seen) > 1:
            found.append(other)
    return found


@right("confounders")
def _(runs, name):
    """Every combination of an arm and a value must occur."""
    found = []
    for other in runs[0]:
        pairs = {(run[name], run[other]) for run in runs}
        if other != name and len(pairs) < len({a for a, _ in pairs}) * len({b for _, b in pairs}):
            found.append(other)
    return tuple(sorted(found))


@right("confounders")
def _(runs, name):
    def values(arm, other):
        return sorted({run[other] for run in arm}, key=str)

    first, *others = arms_of(runs, name)
    return sorted(key for key in first[0] if key != name and any(values(first, key) != values(o, key) for o in others))


def all_that_change(runs, name):
    return sorted(other for other in runs[0] if other != name and len({run[other] for run in runs}) > 1)


wrong("confounders", "Did you list what is the same in all arms?")(all_that_change)
wrong("confounders", "Did you compare only the first two arms?")(lambda runs, name: differing(runs, name, first=2))
wrong("confounders", "Did you list the setting itself?")(lambda runs, name: sorted([name, *differing(runs, name)]))
wrong("confounders", "Are the names in alphabetical order?")(lambda runs, name: differing(runs, name, order=list))
wrong("confounders", "Did you leave out the seed?")(lambda runs, name: differing(runs, name, skip=("seed",)))
wrong("confounders", "Did you compare one run of each arm?")(
    lambda runs, name: differing(runs, name, values=lambda arm, other: arm[0][other])
)
wrong("confounders", "Did you compare how often a value occurs?")(
    lambda runs, name: differing(runs, name, values=lambda arm, other: sorted((run[other] for run in arm), key=str))
)
wrong("confounders", "Did you leave out the seed?", "Did you compare only the first two arms?")(
    lambda runs, name: differing(runs, name, first=2, skip=("seed",))
)
wrong("confounders", "Did you compare one run of each arm?", "Are the names in alphabetical order?")(
    lambda runs, name: differing(runs, name, values=lambda arm, other: arm[0][other], order=list)
)
wrong("confounders", "Did you leave out the seed?", "Are the names in alphabetical order?")(
    lambda runs, name: differing(runs, name, skip=("seed",), order=list)
)


@wrong("confounders", "Is overlap enough to be fair?")
def _(runs, name):
    """Reports a setting only if the arms share none of its values."""
    found = []
    for other in runs[0]:
        if other == name or len({run[other] for run in runs}) == 1:
            continue
        values = [{run[other] for run in arm} for arm in arms_of(runs, name)]
        if all(not (a & b) for a, b in product(values, values) if a is not b):
            found.append(other)
    return sorted(found)


wrong("confounders")(
    lambda runs, name: differing(
        runs, name, values=lambda arm, other: [f({str(run[other]) for run in arm}) for f in (min, max)]
    )
)
wrong("confounders")(
    lambda runs, name: differing(runs, name, values=lambda arm, other: len({run[other] for run in arm}))
)
wrong("confounders", "Did you compare only the first and the last arm?")(
    lambda runs, name: differing([run for run in runs if run[name] in (runs[0][name], runs[-1][name])], name)
)


@wrong("confounders", "Is overlap enough to be fair?")
def _(runs, name):
    first, *others = arms_of(runs, name)
    known = {key: {run[key] for run in first} for key in first[0]}
    return sorted(k for k in known if k != name and any(run[k] not in known[k] for arm in others for run in arm))


wrong("confounders", "Did you forget the return?")(lambda runs, name: print(end=""))
wrong("confounders")(lambda runs, name: [])
