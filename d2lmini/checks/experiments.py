"""Checks of notebook 09: a plan of runs, the report of a table, and what changes along with a setting."""

import statistics

import numpy as np

from .judge import Check

ALONG = "Does each minibatch have as many tokens as in the common setting? Change batch_size along with num_steps."
ROUNDED = "Is batch_size the nearest whole number? round, not // or int."
VALIDATION = "Did you choose by the test perplexity? Choose on the validation half, report on the test half."


def planned(common, num_steps, seeds, *, rows=lambda n, tokens, batch_size: round(tokens / n), keep=True, loop="steps",
            first_only=False):  # fmt: skip
    """The runs of a comparison of num_steps, with places to go wrong."""
    tokens = common["batch_size"] * common["num_steps"]
    pairs = [(n, seed) for n in num_steps for seed in (seeds[:1] if first_only else seeds)]
    if loop == "seeds":
        pairs = [(n, seed) for seed in seeds for n in num_steps]
    found = []
    for n, seed in pairs:
        run = dict(common) if keep else {}
        run |= {"num_steps": n, "batch_size": rows(n, tokens, common["batch_size"]), "seed": seed}
        found.append(run)
    return found


def setting(batch_size, num_steps, **others):
    return {"batch_size": batch_size, "num_steps": num_steps, "lr": 1.0, "theta": 1.0, **others}


def repeated(common, num_steps, seeds):
    """One dict, filled again for each run: in the end all runs are the last one."""
    runs = planned(common, num_steps, seeds)
    return runs[-1:] * len(runs)


plan = Check(
    "plan",
    lambda common, num_steps, seeds: planned(common, num_steps, seeds),
    lambda rng: [
        ("one length, one seed", (setting(32, 35), [35], [0])),
        ("half the length, two seeds", (setting(8, 20), [10], [0, 1])),
        ("two lengths, three seeds", (setting(32, 35), [10, 70], [0, 1, 2])),
        ("a length that doesn't divide the tokens", (setting(32, 35, num_hiddens=256), [9, 11, 40], [3, 4])),
        ("other settings, seeds 7 and 5", (setting(20, 30, epochs=10, text="letters"), [7, 50], [7, 5])),
    ],
    planned,
    {
        ALONG: {"rows": lambda n, tokens, batch_size: batch_size},
        ROUNDED: [
            {"rows": lambda n, tokens, batch_size: tokens // n},
            {"rows": lambda n, tokens, batch_size: -(-tokens // n)},
            {"rows": lambda n, tokens, batch_size: tokens / n},
        ],
        "Is the ratio upside down? Shorter sequences leave room for more of them.": {
            "rows": lambda n, tokens, batch_size: round(batch_size * n * batch_size / tokens)
        },
        "Did you lose the other settings? Each run needs all of them: dict(common).": {"keep": False},
        "Did you plan one seed only? Each length needs every seed.": {"first_only": True},
        "Did you put the same dict into the list again and again? Make a new one for each run.": repeated,
        "Is the order right? All seeds of the first length come first, then all seeds of the next.": {"loop": "seeds"},
    },
)


def reported(rows, *, choose="validation_ppl", report="test_ppl", average=statistics.fmean, best=min, single=False,
             alone=False, of_all=False):  # fmt: skip
    """The chosen setting, and mean, lowest and highest of what is reported; with places to go wrong."""
    arms = {}
    for row in rows:
        arms.setdefault(row["setting"], []).append(row)
    chosen = best(arms, key=lambda name: average([row[choose] for row in arms[name]]))
    if single:
        chosen = best(rows, key=lambda row: row[choose])["setting"]
    values = [row[report] for row in (rows if of_all else arms[chosen])]
    if alone:
        values = [best(arms[chosen], key=lambda row: row[choose])[report]]
    return chosen, statistics.fmean(values), min(values), max(values)


def row(name, seed, validation_ppl, test_ppl):
    return {"setting": name, "seed": seed, "validation_ppl": validation_ppl, "test_ppl": test_ppl}


def table(rng, settings, seeds):
    """Rows in which seeds matter less than settings, in mixed order."""
    numbers = [(7 + i * 0.7 + float(x) * 0.3, 7 - i * 0.4 + float(y) * 0.3) for i in range(settings) for x, y in
               zip(rng.normal(size=seeds), rng.normal(size=seeds))]  # fmt: skip
    rows = [row(f"setting {n // seeds}", n % seeds, *pair) for n, pair in enumerate(numbers)]
    return [rows[i] for i in rng.permutation(len(rows))]


def tables(rng):
    rng = np.random.default_rng(0)
    return [
        ("one setting, one seed", ([row("A", 0, 7.0, 6.5)],)),
        ("one setting, two seeds", ([row("A", 0, 7.0, 6.5), row("A", 1, 6.0, 7.5)],)),
        ("two settings, one better on each half", ([row("A", 0, 6.0, 7.0), row("B", 0, 7.0, 6.0)],)),
        (
            "two settings, one of them with a lucky seed",
            ([row("B", 0, 5.0, 5.5), row("A", 1, 6.2, 6.4), row("B", 1, 9.0, 9.1), row("A", 0, 6.0, 6.3)],),
        ),
        (
            "three seeds, one of them an outlier",
            ([row("A", s, v, v + 0.5) for s, v in enumerate((5.0, 5.1, 9.0))]
             + [row("B", s, v, v - 0.25) for s, v in enumerate((5.6, 5.5, 5.4))],),
        ),
        (
            "settings with different numbers of seeds",
            ([row("A", s, 6.0 + s / 10, 6.5) for s in range(4)] + [row("B", 0, 6.5, 6.0)],),
        ),
        ("a single seed that is best", ([row("A", 0, 6.0, 6.5), row("B", 0, 5.9, 6.7), row("A", 1, 6.2, 6.1)],)),
        ("a name that begins another name", ([row("lr 1", 0, 5.0, 5.5), row("lr 10", 0, 6.0, 7.0)],)),
        ("six settings, three seeds", (table(rng, 6, 3),)),
        ("twelve settings, five seeds", (table(rng, 12, 5),)),
    ]  # fmt: skip


report = Check(
    "report",
    lambda rows: reported(rows),
    tables,
    reported,
    {
        VALIDATION: {"choose": "test_ppl"},
        "Did you report the validation perplexity? It was used to choose.": {"report": "validation_ppl"},
        "Did you choose the single best run? A lucky seed isn't a better setting: compare means.": {"single": True},
        "Did you report one run only? Report the mean and the range over all seeds of the setting.": {"alone": True},
        "Did you report the runs of all settings? Report only the runs of the chosen setting.": {"of_all": True},
        "Did you add up instead of averaging? Settings can have different numbers of seeds.": {"average": sum},
        "Did you compare medians? Compare the means over the seeds.": {"average": statistics.median},
        "Did you choose the highest perplexity? Lower is better.": {"best": max},
    },
    parts=("setting", "mean", "lowest", "highest"),
)


def confounded(runs, name, *, balanced=set, include=False, order=sorted, which=lambda arms: arms, ignore=()):
    """The other settings whose values aren't the same in every arm, with places to go wrong."""
    arms = {}
    for run in runs:
        arms.setdefault(run[name], []).append(run)
    arms = which(list(arms.values()))
    found = [
        other for other in runs[0]
        if (include or other != name) and other not in ignore
        and any(balanced([run[other] for run in arm]) != balanced([run[other] for run in arms[0]]) for arm in arms)
    ]  # fmt: skip
    return order(found)


def grid(**values):
    """All combinations of the values: [{name: value}]."""
    runs = [{}]
    for name, found in values.items():
        runs = [run | {name: value} for run in runs for value in found]
    return runs


def two_arms(first, second):
    return grid(units=[64], **first) + grid(units=[256], **second)


def everything(runs, name):
    """Every setting that isn't the same in all runs, balanced or not."""
    return sorted(other for other in runs[0] if other != name and len({run[other] for run in runs}) > 1)


def pooled(runs, name):
    """Values that occur with one value of the setting only."""
    found = []
    for other in runs[0]:
        arms = {run[other]: {r[name] for r in runs if r[other] == run[other]} for run in runs}
        if other != name and len(arms) > 1 and all(len(arm) == 1 for arm in arms.values()):
            found.append(other)
    return sorted(found)


def beyond_the_first(runs, name):
    """Settings for which some arm has a value that the first arm doesn't have."""
    first = [run for run in runs if run[name] == runs[0][name]]
    known = {other: {run[other] for run in first} for other in runs[0] if other != name}
    return sorted(other for other in known if any(run[other] not in known[other] for run in runs))


confounders = Check(
    "confounders",
    lambda runs, name: confounded(runs, name),
    lambda rng: [
        ("two runs that differ in one setting", ([{"lr": 1, "units": 64}, {"lr": 2, "units": 64}], "lr")),
        ("two runs that differ in two settings", ([{"lr": 1, "units": 64}, {"lr": 2, "units": 256}], "lr")),
        ("every arm with the same three seeds", (grid(units=[64, 256], seed=[0, 1, 2], lr=[1]), "units")),
        ("each arm with seeds of its own", (two_arms({"seed": [0, 1]}, {"seed": [2, 3]}), "units")),
        ("arms that share one seed", (two_arms({"seed": [0, 1]}, {"seed": [1, 2]}), "units")),
        ("arms with the same lowest and highest value", (two_arms({"lr": [1, 4]}, {"lr": [1, 2, 4]}), "units")),
        ("arms whose values have the same sum", (two_arms({"seed": [0, 3]}, {"seed": [1, 2]}), "units")),
        ("one arm with an extra run", (two_arms({"seed": [0, 1], "lr": [1]}, {"seed": [0, 1, 1], "lr": [1]}), "units")),
        ("a third arm that differs", (grid(units=[64, 128], lr=[1]) + grid(units=[256], lr=[2]), "units")),
        ("learning rates tuned in every arm", (grid(layer=["RNN", "GRU", "LSTM"], lr=[1, 2, 4], seed=[0]), "layer")),
        ("the second of three arms differs", ([{"units": n, "lr": lr} for n, lr in ((1, 4), (2, 5), (3, 4))], "units")),
        ("learning rates tuned in the first arm only", (two_arms({"lr": [1, 2, 4]}, {"lr": [2]}), "units")),
        (
            "learning rates tuned in one arm only",
            (two_arms({"lr": [1]}, {"lr": [1, 2, 4]}), "units"),
        ),
        (
            "arms that differ in three settings",
            ([{"text": "book", "seed": s, "lr": 2, "epochs": 16} for s in (0, 1)]
             + [{"text": "chapter", "seed": s, "lr": 1, "epochs": 36} for s in (0, 1, 2)], "text"),
        ),
    ],
    confounded,
    {
        "Did you list what is the same in all arms? Three seeds in every arm aren't a confounder.": everything,
        "Is overlap enough to be fair? Every arm must have the same values.": [pooled, beyond_the_first],
        "Did you compare only the first two arms? A third may differ.": {"which": lambda arms: arms[:2]},
        "Did you compare only the first and the last arm? One between them may differ.": {
            "which": lambda arms: [arms[0], arms[-1]]
        },
        "Did you list the setting itself? It's meant to change.": {"include": True},
        "Are the names in alphabetical order? sorted(...) does it.": {"order": list},
        "Did you leave out the seed? An arm with other seeds is confounded, too.": {"ignore": ("seed",)},
        "Did you compare one run of each arm? Look at all runs of each arm.": {"balanced": lambda values: values[0]},
        "Did you compare how often a value occurs? One arm may have more seeds than another.": {"balanced": sorted},
    },
)  # fmt: skip
