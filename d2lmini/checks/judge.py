"""How a check judges a learner's function: run it on a few inputs, compare, and name the likely mistakes.

A check knows a right function (the reference) and a model: the same computation with options, each of which is
a place to go wrong. If the learner's results equal those of the model with one mistake, or with two, the verdict
names them. How results are read and compared is in reading.py; what a function does besides returning, in watching.py;
the words of a verdict, in wording.py.
"""

import copy
import inspect
import math
import sys
import textwrap
import warnings
from dataclasses import dataclass, field
from itertools import chain, combinations

import numpy as np
import torch

from .reading import NO_RETURN, WHOLE, Flaw, Number, Parts, Unread, as_array, describe, items_of, number_of, plain, same
from .watching import SHARED, Watched, as_it_was, frozen, memory, start_afresh
from .wording import difference, hint_of, is_stub, message_of, shown_input, size

WIDTH = 88  # columns of a verdict
STATE_KEPT = (
    "Do you keep something between the calls: a global, or a list or dict as a default argument? Or is there a "
    "torch.empty that you never fill?"
)
CUT_SHORT = "The gradient must reach every argument: did you copy numbers, detach, or use no_grad?"


@dataclass
class Outcome:
    """What came of one call: the parts of the result as plain values, flaws, or the exception."""

    parts: dict = field(default_factory=dict)
    flaws: list = field(default_factory=list)
    result: object = None
    error: BaseException | None = None


class Check:
    """A check of one exercise: call it with the learner's function, and it prints a verdict.

    name       the exercise
    reference  a right function, made of other parts than the course's own, with the argument names of the
               exercise; or a list of such functions, if the exercise has several right results
    cases      rng -> list of (what the input is, arguments); drawn once, with a fixed seed
    model      reference with options, each a place to go wrong
    mistakes   {hint: options of `model` that make this mistake, or a whole function, or a list of such};
               two mistakes made by options are also recognised together
    run        run(function, *arguments) -> what to compare; by default, what the function returns
    parts      names of the results when the function returns a tuple
    about      {part, or name of an exception: hint} for what no mistake explains
    changes    names of the arguments that the function is meant to change
    shares     whether the result may share memory with the arguments
    any_float  whether float64 is as good as float32
    rtol, atol how close numbers must be
    """

    def __init__(self, name, reference, cases, model=None, mistakes=(), run=None, parts=(), about=None,
                 changes=(), shares=False, any_float=False, rtol=1e-4, atol=1e-5):  # fmt: skip
        self.name, self.cases, self.run, self.parts = name, cases, run, parts
        self.about = {"gradients": CUT_SHORT} | (about or {})
        self.references = reference if isinstance(reference, list) else [reference]
        self.model = model or self.references[0]
        self.mistakes = {hint: made if isinstance(made, list) else [made] for hint, made in dict(mistakes).items()}
        self.changes, self.shares, self.any_float, self.rtol, self.atol = changes, shares, any_float, rtol, atol
        parameters = inspect.signature(self.references[0]).parameters.values()
        needed = [parameter for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
        self.names = [parameter.name for parameter in needed if parameter.default is parameter.empty]
        self._known = {}

    def __call__(self, function):
        """Print the verdict: not tried yet, right, or what is wrong and where to look. Returns None."""
        text, encoding = self.verdict(function), getattr(sys.stdout, "encoding", None) or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding))  # not every console knows the sign in front

    def pick(self, function):
        """The learner's function if it's right, or else the check's reference, to go on with. Prints which."""
        right = self.verdict(function).startswith("✓")
        print(f"going on with {function.__name__}" if right else f"going on with the course's {self.name}")
        return function if right else self.references[0]

    def verdict(self, function):
        """What is printed: a sign, the exercise's name, what was seen, and hints on lines of their own."""
        with as_it_was(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start_afresh()
            return self.judge(function)

    def judge(self, function):
        if not callable(function):
            return self.says("✗", f"pass the function itself, without brackets: check.{self.name}(my_{self.name})")
        cases = self.drawn()
        outcomes = []
        for i in range(len(cases)):
            outcomes.append(self.outcome(function, i))
            if is_stub(outcomes[i].error):
                return self.says("…", "not tried yet")
            if outcomes[i].parts and all(isinstance(value, Unread) for value in outcomes[i].parts.values()):
                break  # something of another kind won't become right with other inputs
        wrong = min((self.wrong(outcomes, k) for k in range(len(self.references))), key=len)
        if not wrong and len(outcomes) < len(cases):
            raise ValueError(f"the check of {self.name} can't read its own reference")
        flaws = list(dict.fromkeys(chain.from_iterable(outcome.flaws for outcome in outcomes)))
        if wrong:  # these two matter only if all else is right
            flaws = [flaw for flaw in flaws if flaw.hint not in (SHARED, WHOLE)]
        elif any(flaw.hint != SHARED for flaw in flaws):
            flaws = [flaw for flaw in flaws if flaw.hint != SHARED]
        if 0 not in wrong:
            again = self.outcome(function, 0)
            if not self.equal(outcomes[0], again):
                return self.says("✗", "a second call with the same arguments gives something else", [], [STATE_KEPT])
            if not self.shares and memory(outcomes[0].result) & memory(again.result):
                flaws.append(Flaw("two calls return the same tensor", "Make a new one in each call."))
        if not wrong and not flaws:
            return self.says("✓", "right" + self.remark(outcomes[0]))
        if not wrong:
            return self.says("✗", f"right results, but {flaws[0].text}", [], [flaw.hint for flaw in flaws])
        return self.what_is_wrong(outcomes, wrong, flaws)

    def what_is_wrong(self, outcomes, wrong, flaws):
        """The verdict on wrong results, shown on the smallest input on which the function fails."""
        i = min(wrong, key=lambda i: (size(self.drawn()[i][1]), i))
        description, args = self.drawn()[i]
        hints, lines = self.explanation(outcomes, wrong), [f"input: {shown_input(description, self.names, args)}"]
        if outcomes[i].error is not None:
            title, where = message_of(outcomes[i].error)
            lines = [where, *lines]
            hints = hints or [self.about.get(type(outcomes[i].error).__name__) or hint_of(outcomes[i].error)]
        else:
            part = self.wrong_parts(outcomes[i], i)[0]
            expected, got = self.expected(i).parts.get(part), outcomes[i].parts[part]
            title, detail = difference(expected, got, part, self.rtol, self.atol)
            lines.append(detail)
            if isinstance(got, Unread) and got.hint and not self.about.get(part):
                hints = [got.hint, *hints]
        lines += [f"also: {flaw.text}" for flaw in flaws]
        return self.says("✗", title, lines, [*hints, *(flaw.hint for flaw in flaws)])

    def says(self, sign, title, lines=(), hints=()):
        """The lines of a verdict, none of them longer than WIDTH."""
        lines = [*lines, *(f"Hint: {hint}" for hint in dict.fromkeys(hints) if hint)]
        text = textwrap.wrap(f"{sign} {self.name}: {title}", WIDTH, subsequent_indent="  ")
        for line in filter(None, lines):
            text += textwrap.wrap(line, WIDTH, initial_indent="  ", subsequent_indent="    ")
        return "\n".join("".join(c if c.isprintable() else "\ufffd" for c in line) for line in text)

    # --- running ---

    def drawn(self):
        """The cases; the same ones in every check."""

        def draw():
            cases, others = (self.cases(torch.Generator().manual_seed(seed)) for seed in (0, 1))
            # Other numbers of the same shapes: whoever keeps results of earlier calls by shape gives the old ones.
            redrawn = [b for a, b in zip(cases, others) if frozen(a[1]) != frozen(b[1])]
            return cases + sorted(redrawn, key=lambda case: size(case[1]))[:1]

        return self.known("cases", draw)

    def known(self, key, make):
        """Cases, and what the reference and the mistakes make of them, are computed once."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def outcome(self, function, i):
        """What the function makes of a copy of the arguments of case i."""
        expected = self.raw_expected(i)
        watched = Watched(function, self.names, self.changes, self.shares)
        outcome = Outcome(flaws=watched.flaws)
        try:
            start_afresh()
            outcome.parts = self.read(expected, self.call(watched, i), outcome.flaws)
            outcome.result = watched.result
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever the learner's code does, even exit(), the notebook must run on
            outcome.error = error
        return outcome

    def call(self, function, i):
        args = copy.deepcopy(self.drawn()[i][1])
        return self.run(function, *args) if self.run else function(*args)

    def raw_expected(self, i, k=0):
        """What reference number k returns for case i, before it is read."""

        def make():
            start_afresh()
            return self.call(self.references[k], i)

        return self.known(("raw", i, k), make)

    def expected(self, i, k=0):
        return self.known(
            ("expected", i, k), lambda: Outcome(self.read(self.raw_expected(i), self.raw_expected(i, k), []))
        )

    def read(self, expected, got, flaws):
        """The result as {part: plain value}; what is wrong with its type alone becomes a flaw."""
        if not isinstance(expected, Parts):
            return self.read_result(expected, got, flaws)
        parts = {name: value for name, value in got.items() if isinstance(value, Unread)}
        flaws += [value for value in got.values() if isinstance(value, Flaw)]
        for name in expected:
            if name not in got or isinstance(got[name], (Flaw, Unread)):
                continue
            if name == "result":
                parts |= self.read_result(expected[name], got[name], flaws)
            else:
                parts |= plain(name, expected[name], got[name], flaws, self.any_float)
        return parts

    def read_result(self, expected, got, flaws):
        if not self.parts:
            return plain("", expected, got, flaws, self.any_float)
        items = items_of(got, len(self.parts))
        if isinstance(got, (torch.Tensor, np.ndarray)) and all(isinstance(item, (int, float)) for item in expected):
            row = as_array(got, len(self.parts) + 1)  # numbers in a row are as good as a tuple of numbers
            short = row is not None and row.ndim == 1 and len(row) <= len(self.parts) + 1  # not 10**9 times nan
            items = row.tolist() if short else None
        if items is None or len(items) != len(self.parts):
            found = describe(got) if items is None else number_of(len(items), "result")
            hint = NO_RETURN if got is None else f"Return a tuple: {', '.join(self.parts)}"
            return {"": Unread(f"expected {' and '.join(self.parts)}, got {found}", hint)}
        parts = {}
        for name, a, b in zip(self.parts, expected, items):
            parts |= plain(name, a, b, flaws, self.any_float)
        return parts

    # --- comparing ---

    def wrong_parts(self, outcome, i, k=0):
        expected = self.expected(i, k).parts
        return [
            part for part, value in outcome.parts.items()
            if part not in expected or not same(expected[part], value, self.rtol, self.atol)
        ]  # fmt: skip

    def wrong(self, outcomes, k):
        """The numbers of the cases that differ from reference k."""
        return [i for i, outcome in enumerate(outcomes) if outcome.error is not None or self.wrong_parts(outcome, i, k)]

    def equal(self, a, b, part=None):
        """Whether two outcomes are the same, in all parts or in one, as far as both could be read."""
        if a.error is not None or b.error is not None:
            return (a.error is not None and b.error is not None) or (infinite(a) and infinite(b))
        if part is None and any(isinstance(b.parts[name], Unread) for name in b.parts.keys() - a.parts.keys()):
            return False
        parts = [name for name in a.parts if name in b.parts and part in (None, name)]
        return bool(parts) and all(same(a.parts[name], b.parts[name], self.rtol, self.atol) for name in parts)

    def explanation(self, outcomes, wrong):
        """Hints of the mistakes that lead to these outcomes: one mistake, two, or one for each wrong part."""
        if all(outcome.error is not None for outcome in outcomes):
            return []
        # Small inputs first: nearly every mistake is ruled out by one of them, and a large one takes its time.
        order = sorted(range(len(outcomes)), key=lambda i: (outcomes[i].error is not None, size(self.drawn()[i][1]), i))

        def explains(mistake, part=None):
            return all(self.equal(self.made(mistake, i), outcomes[i], part) for i in order)

        singles, pairs = self.known("mistakes", self.all_mistakes)
        for mistake in chain(singles, pairs):
            if explains(mistake):
                return [hint for hint, _ in mistake]
        hints = []
        wrong_parts = list(dict.fromkeys(part for i in wrong for part in self.wrong_parts(outcomes[i], i)))
        if len(wrong_parts) > 1 and "gradients" in wrong_parts:
            wrong_parts.remove("gradients")  # the gradients of wrong results are wrong anyway
        for part in wrong_parts:
            found = (hint for ((hint, n),) in singles if explains(((hint, n),), part))
            hints.append(next(found, self.about.get(part, "")))
        return hints

    def all_mistakes(self):
        """Every mistake, and every two that options can make at once, as tuples of (hint, number of the variant)."""
        singles = [((hint, n),) for hint, made in self.mistakes.items() for n in range(len(made))]
        return singles, [a + b for a, b in combinations(singles, 2) if self.combined(a + b) is not None]

    def combined(self, mistake):
        """The options that make all of these mistakes at once, or None."""
        options = {}
        for hint, n in mistake:
            made = self.mistakes[hint][n]
            if callable(made) or options.keys() & made.keys():
                return None
            options |= made
        return options

    def made(self, mistake, i):
        """What the model gives for case i when it makes these mistakes."""

        def wrong_model(*args):
            options = self.combined(mistake)
            return (
                self.mistakes[mistake[0][0]][mistake[0][1]](*args) if options is None else self.model(*args, **options)
            )

        return self.known((mistake, i), lambda: self.outcome(wrong_model, i))

    def remark(self, outcome):
        """What is worth saying about a right result of another type."""
        expected, got = self.raw_expected(0), outcome.parts.get("")
        if type(expected) in (int, float) and isinstance(got, Number) and got.kind != type(expected).__name__:
            return f" (it returns {got.kind}; {type(expected).__name__}(...) makes it a plain number)"
        return ""


def infinite(outcome):
    """Whether the numbers went beyond all floats: in Python an exception, in PyTorch and NumPy inf."""
    results = outcome.parts.values()
    return isinstance(outcome.error, OverflowError) or any(
        isinstance(x, Number) and x.value == math.inf for x in results
    )


# Random inputs that the checks share.


def normal(rng, *shape, std=1.0):
    return torch.randn(*shape, generator=rng) * std


def ids(rng, vocab_size, *shape):
    return torch.randint(vocab_size, shape, generator=rng)


def hot(ids, vocab_size):
    return torch.eye(vocab_size)[ids]
