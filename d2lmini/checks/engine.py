"""How a check judges a learner's function: run it on a few inputs, compare, and name the likely cause.

At the end: the random inputs that the checks share.
"""

import copy
import random
import warnings
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

# Hints that any check can give.
NO_RETURN = "Is the return missing?"
NO_TENSOR = "Is it a tensor? Convert it with torch.as_tensor."
NO_FLOATS = "Are these integers? .float() makes them numbers that weights can multiply."
NO_TUPLE = "Is it a tuple?"
NO_FIT = "Do the shapes fit? Print them in front of the line that fails."


@dataclass
class Problem:
    """What is wrong: with which part of the result, in which respect, and how it shows."""

    part: str
    kind: str
    text: str
    hint: str = ""

    def __str__(self):
        if self.kind.startswith("raised"):
            return self.kind
        if self.kind == "value":
            return f"wrong {self.part or 'result'}"
        return f"wrong {self.kind}" + (f"{' in' if self.kind == 'numbers' else ' of'} {self.part}" if self.part else "")


@contextmanager
def random_numbers_kept():
    """Whatever happens inside, the caller's random number generators are afterwards as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


class Check:
    """A check of one exercise: call it with the learner's function, and it prints one line.

    name       the exercise
    reference  a right function, made of other parts than the course's own
    cases      rng -> list of (what the input is, arguments); drawn anew, with a fixed seed, for every check
    wrong      {hint: function that makes this mistake, or a list of such}: when the learner's function
               gives the same results as one of these, the line ends with its hint
    run        run(function, *arguments) -> what to compare; by default what the function returns
    parts      names of the results when the function returns a tuple
    about      {part: hint} for wrong parts that no function in `wrong` explains
    rtol, atol how close numbers must be
    """

    def __init__(self, name, reference, cases, wrong, run=None, parts=(), about=None, rtol=1e-4, atol=1e-5):
        self.name, self.reference, self.cases = name, reference, cases
        self.wrong = {hint: made if isinstance(made, list) else [made] for hint, made in wrong.items()}
        self.run = run or (lambda function, *args: function(*args))
        self.parts, self.about, self.rtol, self.atol = parts, about or {}, rtol, atol

    @property
    def hints(self):
        """All hints that this check can give beside the general ones."""
        return [*self.wrong, *self.about.values()]

    def __call__(self, function):
        """Print one line: not tried yet, right, or what is wrong and where to look. Returns None."""
        print(f"{self.name}: {self.verdict(function)}")

    @random_numbers_kept()
    def verdict(self, function):
        """The line that is printed, without the exercise's name."""
        if not callable(function):
            return "pass the function itself, without brackets behind its name."
        cases = self.cases(torch.Generator().manual_seed(0))
        got = [self.outcome(function, args) for _, args in cases]
        if any(isinstance(outcome, NotImplementedError) and not outcome.args for outcome in got):
            return "not tried yet"
        expected = [self.outcome(self.reference, args) for _, args in cases]
        for outcome in expected:  # a reference that fails is a broken check, not the learner's fault
            if isinstance(outcome, Exception):
                raise outcome
            if isinstance(outcome, Problem):
                raise ValueError(outcome.text)
        problems = [self.difference(a, b) for a, b in zip(expected, got)]
        for i, problem in enumerate(problems):
            if problem:
                text = f"{problem} on {cases[i][0]}: {problem.text}."
                return f"{text} {self.hint(cases, got, i, problem)}".strip()
        return "right" + remark(expected[0], got[0])

    def outcome(self, function, args):
        """What the function gives for a copy of the arguments, or the exception that it raises."""
        random.seed(0)  # every function gets the same random numbers
        np.random.seed(0)
        torch.random.default_generator.manual_seed(0)
        try:
            with torch.enable_grad():
                return self.run(function, *copy.deepcopy(args))
        except Exception as error:  # whatever the learner's code raises, the notebook must run on
            return error

    def difference(self, expected, got):
        """The first Problem of `got`, or None."""
        if isinstance(expected, (Exception, Problem)):  # only when two wrong functions are compared
            return None if repr(got) == repr(expected) else Problem("", "value", "")
        if isinstance(got, Problem):
            return got
        if isinstance(got, Exception):
            misfit = any(word in str(got) for word in ("shape", "size", "imension", "operands"))
            return Problem("", f"raised {type(got).__name__}", message_of(got), NO_FIT if misfit else "")
        if self.parts and all(isinstance(x, tuple) and len(x) == len(self.parts) for x in (expected, got)):
            expected, got = dict(zip(self.parts, expected)), dict(zip(self.parts, got))
        return difference(expected, got, self.rtol, self.atol)

    def hint(self, cases, got, first, problem):
        """The hint of the wrong function that explains all results; else the first wrong one; else the part's."""

        def explains(function, i):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a wrong function may overflow
                return self.difference(self.outcome(function, cases[i][1]), got[i]) is None

        explains_first = []
        for hint, functions in self.wrong.items():
            for function in functions:
                if explains(function, first):
                    if all(explains(function, i) for i in range(len(cases))):
                        return hint
                    explains_first.append(hint)
        return next(iter(explains_first), "") or self.about.get(problem.part) or problem.hint


def difference(expected, got, rtol, atol, part=""):
    """Compare results of any kind, part by part; returns the first Problem or None."""
    wrong_type = Problem(part, "type", f"expected {describe(expected)}, got {describe(got)}")
    if got is None:
        wrong_type.hint = NO_RETURN
        return wrong_type
    if isinstance(expected, dict):
        if not isinstance(got, dict):
            return wrong_type
        for key in [*expected, *got]:
            if key not in expected or key not in got:
                where = "missing" if key in expected else "too many"
                return Problem(part, "keys", f"{key!r} is {where}")
        return first(difference(expected[k], got[k], rtol, atol, f"{part}[{k!r}]" if part else k) for k in expected)
    if isinstance(expected, (tuple, list)):
        if hasattr(got, "tolist") and isinstance(expected, list):
            got = got.tolist()
        if not isinstance(got, tuple if isinstance(expected, tuple) else (tuple, list)):
            wrong_type.hint = NO_TUPLE if isinstance(expected, tuple) else ""
            return wrong_type
        if len(got) != len(expected):
            return Problem(part, "length", f"expected {len(expected)}, got {len(got)}")
        return first(difference(a, b, rtol, atol, f"{part}[{i}]") for i, (a, b) in enumerate(zip(expected, got)))
    if isinstance(expected, (torch.Tensor, np.ndarray)):
        return array_difference(expected, got, rtol, atol, wrong_type)
    if isinstance(expected, str):
        if not isinstance(got, str):
            return wrong_type
        return None if got == expected else Problem(part, "value", text_difference(expected, got))
    number = as_number(got)
    if number is None:
        return wrong_type
    if number == expected or (isinstance(expected, float) and abs(number - expected) <= atol + rtol * abs(expected)):
        return None
    return Problem(part, "value", f"expected {expected:.7g}, got {number:.7g}")


def array_difference(expected, got, rtol, atol, wrong_type):
    """Compare a tensor or an array: shape, then numbers, then type."""
    part = wrong_type.part
    try:
        a, b = as_array(expected), as_array(got)
    except (TypeError, ValueError):
        return wrong_type
    if a.shape != b.shape:
        return Problem(part, "shape", f"expected {a.shape}, got {b.shape}")
    far = ~np.isclose(b, a, rtol, atol, equal_nan=True)
    if far.any():
        place = np.unravel_index(far.argmax(), a.shape)
        where = f"at {[int(i) for i in place]} " if place else ""
        return Problem(part, "numbers", f"{where}expected {a[place]:.4g}, got {b[place]:.4g}")
    if isinstance(expected, torch.Tensor):
        if not isinstance(got, torch.Tensor):
            wrong_type.hint = NO_TENSOR
            return wrong_type
        if expected.is_floating_point() and not got.is_floating_point():
            return Problem(part, "number type", f"expected {expected.dtype}, got {got.dtype}", NO_FLOATS)
    return None


def as_array(value):
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    elif isinstance(value, (list, tuple)):
        value = [as_array(item) for item in value]
    if np.iscomplexobj(value):
        raise TypeError("a complex number")
    return np.asarray(value, dtype=float)


def as_number(value):
    """A float for any single real number (also in a tensor or an array), else None."""
    try:
        array = as_array(value)
    except (TypeError, ValueError):
        return None
    return None if isinstance(value, (str, list, tuple)) or array.size != 1 else array.item()


def text_difference(expected, got):
    """Where two texts begin to differ, with a few characters around."""
    i = next((i for i, (a, b) in enumerate(zip(expected, got)) if a != b), min(len(expected), len(got)))
    start = max(0, i - 6)
    return f"from character {start} expected {expected[start : i + 6]!r}, got {got[start : i + 6]!r}"


def describe(value):
    """A few words for what a value is."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a NumPy array of shape {value.shape}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return "nothing (None)" if value is None else f"a {type(value).__name__}"


def message_of(error):
    """The first line of an exception's message, at most 120 characters of it."""
    message = (str(error).splitlines() or ["no message"])[0]
    return message[:120].rstrip(".")


def remark(expected, got):
    """What is worth saying about a right result of another type."""
    if isinstance(expected, float) and not isinstance(got, (int, float)):
        return f" (it returns {describe(got)}; float(...) would make it a plain number)"
    if isinstance(expected, torch.Tensor) and got.dtype != expected.dtype:
        return f" (its numbers are {got.dtype}; the course uses {expected.dtype})"
    return ""


def first(problems):
    return next((problem for problem in problems if problem), None)


def normal(rng, *shape, std=1.0):
    return torch.randn(*shape, generator=rng) * std


def ids(rng, vocab_size, *shape):
    return torch.randint(vocab_size, shape, generator=rng)


def hot(ids, vocab_size):
    return F.one_hot(ids, vocab_size).float()
