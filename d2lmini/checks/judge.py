"""How a check judges a learner's function: run it on a few inputs, compare, and name the likely mistakes.

A check knows a right function (the reference) and a model: the same computation with options, each of which is
a place to go wrong. If the learner's results equal those of the model with one mistake, or with two, the verdict
names them. Read this file from the top: Check first, then how results are read, compared, and shown.
"""

import copy
import inspect
import linecache
import math
import os
import random
import sys
import textwrap
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, combinations, islice
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

WIDTH = 88  # columns of a verdict
SHORT = 12  # so many numbers are shown; of more numbers, only the first that is wrong

NO_RETURN = "Did you forget the return?"
NO_TENSOR = "Did you return something other than a tensor? torch.as_tensor converts it."
NO_FLOATS = "Did you return integers? .float() makes them numbers that weights can multiply."
OTHER_DTYPE = "Did you leave PyTorch's usual float32? .float() converts back."
NO_GRADIENT = "Did you detach something, use no_grad, or take the way through NumPy?"
STATE_KEPT = "Do you keep something between the calls: a global, or a list or dict as a default argument?"
CUT_SHORT = "The gradient must reach every argument: did you copy numbers, detach, or use no_grad?"
SHARED = "Return a copy (.clone()): whoever changes the result would change the argument, too."

# What PyTorch's own error messages mean here: {a part of the message: hint}.
ERRORS = {
    "leaf Variable that requires grad": "Did you change a parameter outside of torch.no_grad()?",
    "backward through the graph a second time": "Did you forget to detach the incoming state?",
    "call numpy() on Tensor that requires grad": "Stay with PyTorch's operations: NumPy doesn't track gradients.",
    "does not require grad": "Did you detach something on the way to the loss?",
    "can be converted to": "Did you use a tensor of several numbers where one number belongs?",
    "view size is not compatible": "Use reshape: view needs numbers that are contiguous in memory.",
    "saved tensor hooks": "Write the formula yourself: no backward, no autograd.",
} | dict.fromkeys(
    ["shape", "size", "imension", "operands"], "Do the shapes fit? Print them in front of the line that fails."
)


@dataclass(frozen=True)
class Flaw:
    """What is wrong with a function whose numbers may be right: "it changes its argument `ids`"."""

    text: str
    hint: str = ""


@dataclass
class Unread:
    """Stands for a result, or a part of it, that isn't what was expected: no tensor, the wrong length, ..."""

    text: str
    hint: str = ""


class Parts(dict):
    """What `run` observed: {name of the part: value}. A value can be a Flaw."""

    def __or__(self, others):
        return Parts({**self, **others})


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
    reference  a right function, made of other parts than the course's own, with the arguments' names of the
               exercise; or a list of them, where the exercise leaves room for several results
    cases      rng -> list of (what the input is, arguments); drawn anew, with a fixed seed, for every check
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
        self.names = [parameter.name for parameter in parameters if parameter.default is parameter.empty]
        self._known = {}

    def __call__(self, function):
        """Print the verdict: not tried yet, right, or what is wrong and where to look. Returns None."""
        text, encoding = self.verdict(function), getattr(sys.stdout, "encoding", None) or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding))  # not every console knows the sign in front

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
                break  # something of another kind will not become right with other inputs
        wrong = min((self.wrong(outcomes, k) for k in range(len(self.references))), key=len)
        if not wrong and len(outcomes) < len(cases):
            raise ValueError(f"the check of {self.name} can't read its own reference")
        flaws = list(dict.fromkeys(chain.from_iterable(outcome.flaws for outcome in outcomes)))
        if wrong or any(flaw.hint != SHARED for flaw in flaws):  # sharing matters where all else is right
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
        return self.known("cases", lambda: self.cases(torch.Generator().manual_seed(0)))

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
        except BaseException as error:  # whatever the learner's code does, exit() too, the notebook must run on
            outcome.error = error
        return outcome

    def call(self, function, i):
        args = copy.deepcopy(self.drawn()[i][1])
        return self.run(function, *args) if self.run else function(*args)

    def raw_expected(self, i, k=0):
        """What reference number k gives for case i, as it gives it."""

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
        order = sorted(range(len(outcomes)), key=lambda i: (i not in wrong, outcomes[i].error is not None, i))

        def explains(mistake, part=None):
            return all(self.equal(self.made(mistake, i), outcomes[i], part) for i in order)

        singles, pairs = self.known("mistakes", self.all_mistakes)
        for mistake in chain(singles, pairs):
            if explains(mistake):
                return [hint for hint, _ in mistake]
        hints = []
        wrong_parts = list(dict.fromkeys(part for i in wrong for part in self.wrong_parts(outcomes[i], i)))
        if len(wrong_parts) > 1 and "gradients" in wrong_parts:
            wrong_parts.remove("gradients")  # of wrong results, they are wrong anyway
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


class Watched:
    """The learner's function, and what it does to its arguments."""

    def __init__(self, function, names, changes, shares):
        self.function, self.names, self.changes, self.shares = function, names, changes, shares
        self.flaws, self.result = [], None

    def __call__(self, *args):
        before = frozen(args)
        result = self.function(*args)
        if isinstance(result, Iterator):  # a generator is as good as a list
            result = list(islice(result, 1000))
        self.result = result
        for name, old, arg in zip(self.names, before, args):
            if name not in self.changes and frozen(arg) != old:
                text = f"it changes its argument `{name}`"
                self.flaws.append(
                    Flaw(text, f"Compute with a copy, or without operations in place, so that {name} stays.")
                )
            elif not self.shares and memory(arg) & memory(result):
                self.flaws.append(Flaw(f"its result shares memory with the argument `{name}`", SHARED))
        return result


def frozen(value):
    """A copy that can be compared with ==."""
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.detach().numpy().tobytes()
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    return [frozen(item) for item in value] if isinstance(value, (list, tuple)) else value


def memory(value, depth=3):
    """Where the numbers of a value are stored."""
    if isinstance(value, nn.Module):
        value = list(value.parameters())
    if isinstance(value, torch.Tensor):
        return {value.untyped_storage().data_ptr()} if value.numel() and value.layout == torch.strided else set()
    if isinstance(value, np.ndarray):
        return {value.ctypes.data} if value.base is None else memory(value.base)
    if isinstance(value, (list, tuple)) and depth:
        return set().union(*(memory(item, depth - 1) for item in value[:100]))
    return set()


def with_gradients(function, *args):
    """A `run` for functions through which gradients must flow: the results, and the gradients of all arguments."""
    leaves, results = floats(args), None
    for leaf in leaves:
        leaf.requires_grad_()
    result = function(*replaced(args, iter([leaf.clone() for leaf in leaves])))
    usual_settings()  # whatever the function has set
    found = Parts({"result": result})
    results = [tensor for tensor in floats(result) if tensor.requires_grad and tensor.numel() < 10**6]
    if not results:
        return found | {"gradients": Flaw("no gradient flows back through it", NO_GRADIENT)}
    try:
        total = sum((tensor * torch.linspace(-1, 2, tensor.numel()).reshape(tensor.shape)).sum() for tensor in results)
        gradients = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
    except RuntimeError:
        text = "its gradients can't be computed, because a tensor was overwritten after it had been used"
        return found | {"gradients": Flaw(text, "Make new tensors in place of operations like H[:] = ... and *=.")}
    return found | {"gradients": torch.cat([gradient.flatten() for gradient in gradients])}


class Calls(TorchFunctionMode):
    """Remembers which of PyTorch's functions were called."""

    def __init__(self):
        super().__init__()
        self.functions = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.functions.append(function)
        return function(*args, **(kwargs or {}))


def floats(value, depth=3):
    """All tensors of floats in a value."""
    if isinstance(value, torch.Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, (list, tuple)) and depth:
        return [tensor for item in value[:100] for tensor in floats(item, depth - 1)]
    return []


def replaced(value, tensors):
    """The same value with other tensors in the places of its tensors of floats."""
    if isinstance(value, torch.Tensor):
        return next(tensors) if value.is_floating_point() else value
    return type(value)(replaced(item, tensors) for item in value) if isinstance(value, (list, tuple)) else value


@contextmanager
def as_it_was():
    """Whatever happens inside, the caller's random numbers and settings are afterwards as they were."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    dtype, device, grad = torch.get_default_dtype(), torch.empty(0).device, torch.is_grad_enabled()
    try:
        with np.errstate():
            yield
    finally:
        set_defaults(dtype, device)
        torch.set_grad_enabled(grad)
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def usual_settings():
    set_defaults(torch.float32, torch.device("cpu"))
    torch.set_grad_enabled(True)
    np.seterr(all="ignore")


def start_afresh():
    """Every function gets the same random numbers and the same settings."""
    usual_settings()
    random.seed(0)
    np.random.seed(0)
    torch.default_generator.manual_seed(0)


def set_defaults(dtype, device):
    torch.set_default_dtype(dtype)
    if torch.empty(0).device != device:
        torch.set_default_device(device)


# --- reading results ---


@dataclass
class Number:
    """A single number, and what it was: float, int, a tensor of shape (), ..."""

    value: float
    kind: str


def plain(part, expected, got, flaws, any_float):
    """A result as {part: str, array, Number, list, dict or Unread}, in the form of what is expected."""
    if isinstance(got, Unread):
        return {part: got}
    if isinstance(expected, (torch.Tensor, np.ndarray)):
        return {part: plain_array(part, expected, got, flaws, any_float)}
    if isinstance(expected, str):
        return {part: str.__str__(got) if isinstance(got, str) else unread(expected, got)}
    if isinstance(expected, dict):
        return {part: plain_dict(got, len(expected)) if isinstance(got, dict) else unread(expected, got)}
    if isinstance(expected, (list, tuple)):
        return plain_items(part, expected, got, flaws, any_float)
    number = plain_number(got)
    if number is not None and isinstance(got, torch.Tensor) and got.requires_grad:
        flaws.append(Flaw(f"{part or 'its result'} still carries its graph", "Return a plain number: .item()"))
    return {part: unread(expected, got) if number is None else number}


def plain_array(part, expected, got, flaws, any_float):
    array = as_array(got, 10 * math.prod(expected.shape) + 1000)
    if array is None:
        return unread(expected, got)
    part, tensor = part or "its result", isinstance(expected, torch.Tensor)
    if not isinstance(got, type(expected)):
        hint = NO_TENSOR if tensor else "Did you return something other than a NumPy array? np.asarray converts it."
        flaws.append(Flaw(f"{part} is {describe(got)}, not a {'tensor' if tensor else 'NumPy array'}", hint))
    elif tensor and array.size and got.dtype != expected.dtype:
        if expected.is_floating_point():
            if not any_float or got.dtype != torch.float64:
                flaws.append(Flaw(f"the numbers of {part} are {got.dtype}, not {expected.dtype}",
                                  OTHER_DTYPE if got.is_floating_point() else NO_FLOATS))  # fmt: skip
        elif got.is_floating_point():
            flaws.append(
                Flaw(f"the ids in {part} are {got.dtype}", "Did you turn the ids into floats? They must stay integers.")
            )
    return array


def as_array(value, limit):
    """A NumPy array of floats, or None where that isn't possible or would be huge."""
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_complex() or value.device.type == "meta":
            return None
        if value.numel() > limit:
            return np.broadcast_to(np.nan, value.shape)  # its shape is wrong; its numbers don't matter
        return value.detach().to("cpu", torch.float64).numpy()
    if isinstance(value, (list, tuple)):
        value = [item if type(item) in (int, float) else as_array(item, limit) for item in value[: int(limit)]]
        if any(item is None for item in value) or sum(np.size(item) for item in value) > limit:
            return None
    elif not isinstance(value, (int, float, np.ndarray, np.number)):
        return None
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" or array.size > limit:
            return np.broadcast_to(np.nan, array.shape) if array.dtype.kind in "biuf" else None
        return array.astype(float)
    except (TypeError, ValueError, OverflowError):
        return None


def plain_number(value):
    """A Number for any single real number, also in a tensor or an array; else None."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        array = as_array(value, 1)
        return Number(array.item(), describe(value)) if array is not None and array.size == 1 else None
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return Number(int(value), "int")
    if isinstance(value, (float, np.floating)):
        return Number(float(value), "float" if isinstance(value, float) else f"a {type(value).__name__}")
    return None


def plain_items(part, expected, got, flaws, any_float):
    """A list, a tuple, or anything else that hands out as many items."""
    flat = all(isinstance(item, (int, float, str)) for item in expected)
    if flat and isinstance(got, (torch.Tensor, np.ndarray)):
        array = as_array(got[: len(expected) + 1], len(expected) + 1) if got.ndim == 1 else None
        got = got if array is None else array.tolist()
    items = items_of(got, len(expected))
    if items is None:
        return {part: unread(expected, got)}
    if flat:
        return {part: [simple(item) for item in items]}
    if len(items) != len(expected):
        return {part: Unread(f"expected {number_of(len(expected), 'item')}, got {len(items)}")}
    if len(expected) == 1:
        return plain(part, expected[0], items[0], flaws, any_float)
    parts = {}
    for i, (a, b) in enumerate(zip(expected, items), start=1):
        parts |= plain(f"{part}, item {i}" if part else f"item {i}", a, b, flaws, any_float)
    return parts


def items_of(got, n):
    """The items of a list, a tuple, ..., or the first of too many; None for what is no sequence of results."""
    if isinstance(got, (str, bytes, dict, set, frozenset, torch.Tensor, np.ndarray, type)) or not isinstance(
        got, Iterable
    ):
        return None
    return list(islice(got, 2 * n + 50))


def plain_dict(got, n):
    return {simple(key): simple(value) for key, value in islice(got.items(), n + 1)}


def simple(value):
    """A plain string or number for what stands in a list or a dict."""
    if isinstance(value, str):
        return str.__str__(value)
    number = plain_number(value)
    return f"({describe(value)})" if number is None else number.value


def unread(expected, got):
    if got is None:
        return Unread(f"expected {describe(expected)}, got nothing (None)", NO_RETURN)
    return Unread(f"expected {describe(expected)}, got {describe(got)}")


# --- comparing parts ---


def same(a, b, rtol, atol):
    """Whether two plain values are equal, numbers as closely as asked."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        if a.shape != b.shape or (a.size and not close(a.flat[0], b.flat[0], rtol, atol)):
            return False  # the usual case, when many mistakes are tried
        return bool(np.isclose(b, a, rtol, atol, equal_nan=True).all())
    if isinstance(a, Number):
        return close(a.value, b.value, rtol, atol)
    return a == b


def infinite(outcome):
    """Whether the numbers went beyond all floats: in Python an exception, in PyTorch and NumPy inf."""
    results = outcome.parts.values()
    return isinstance(outcome.error, OverflowError) or any(
        isinstance(x, Number) and x.value == math.inf for x in results
    )


def close(a, b, rtol, atol):
    if (isinstance(a, int) and isinstance(b, int)) or a == b or (a != a and b != b):
        return a == b or a != a  # nan is no number, but two of them come from one mistake
    try:
        return math.isfinite(a) and math.isfinite(b) and abs(a - b) <= atol + rtol * abs(a)
    except OverflowError:  # an integer beyond all floats
        return False


# --- showing ---


def difference(expected, got, part, rtol, atol):
    """What is wrong with a part, and how it shows: two lines."""
    part = "" if part == "result" else part
    of = f" of {part}" if part else ""
    if isinstance(got, Unread):
        return f"wrong result{': ' + part if part else ''}", got.text
    if isinstance(expected, np.ndarray):
        if expected.shape != got.shape:
            return f"wrong shape{of}", f"expected {expected.shape}, got {got.shape}"
        return f"wrong numbers{' in ' + part if part else ''}", array_difference(expected, got, rtol, atol)
    title = f"wrong {part or 'result'}"
    if isinstance(expected, str):
        return title, text_difference(expected, got)
    if isinstance(expected, dict):
        for key in [*expected, *got]:
            if key not in got or key not in expected:
                return title, f"{key!r} is {'missing' if key not in got else 'too many'}"
            if expected[key] != got[key]:
                return title, f"at {key!r} expected {short(expected[key])}, got {short(got[key])}"
    return title, f"expected {short(expected)}, got {short(got)}"


def array_difference(expected, got, rtol, atol):
    if expected.size <= SHORT:
        return f"expected {short(expected)}, got {short(got)}"
    place = np.unravel_index((~np.isclose(got, expected, rtol, atol)).argmax(), expected.shape)
    where = ", ".join(str(int(i)) for i in place)
    return f"at [{where}] expected {short(expected[place])}, got {short(got[place])}"


def text_difference(expected, got):
    """The texts, or a few characters around the place where they begin to differ."""
    if max(len(expected), len(got)) <= 40:
        return f"expected {expected!r}, got {got!r}"
    i = next((i for i, (a, b) in enumerate(zip(expected, got)) if a != b), min(len(expected), len(got)))
    start = max(0, i - 10)
    a, b = expected[start : i + 10], got[start : i + 10]
    return (
        f"after {number_of(i, 'equal character')}: expected {'...' * (start > 0)}{a!r}, got {'...' * (start > 0)}{b!r}"
    )


def short(value):
    """A value in a few characters."""
    if isinstance(value, Number):
        value = value.value
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return short(value.tolist()) if math.prod(value.shape) <= SHORT else f"numbers of shape {tuple(value.shape)}"
    if isinstance(value, (list, tuple)):
        if len(value) > SHORT:
            return f"[{', '.join(map(short, value[:SHORT]))}, ...]"
        return f"[{', '.join(map(short, value))}]"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if isinstance(value, int) and value.bit_length() > 60:
        return f"an integer of {value.bit_length()} bits"
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def shown_input(description, names, args):
    """The arguments where they are short, as in "ids = [0, 2], vocab_size = 5 (a single row)"."""
    if len(names) != len(args) or size(args) > SHORT + 3:
        return description
    return f"{', '.join(f'{name} = {short(arg)}' for name, arg in zip(names, args))} ({description})"


def size(value):
    """How many numbers, characters and so on there are in the arguments."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return math.prod(value.shape) or 50  # an empty tensor is no input to learn from
    if isinstance(value, str):
        return len(value) / 10
    return sum(map(size, value)) if isinstance(value, (list, tuple)) else 1


def number_of(n, thing):
    return f"{n} {thing}{'' if n == 1 else 's'}"


def describe(value):
    """A few words for what a value is."""
    if isinstance(value, torch.Tensor):
        kind = "tensor" if value.layout == torch.strided else "sparse tensor"
        return f"a {'complex ' * value.is_complex()}{kind} of shape {tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a NumPy array of shape {value.shape}"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {number_of(len(value), 'item')}"
    if value is None:
        return "nothing (None)"
    names = {str: "a text", dict: "a dictionary", int: "an integer", float: "a number", bool: "True or False"}
    name = type(value).__name__
    return names.get(type(value), f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}")


# --- exceptions ---

# Lines of these files are no learner's: this package, Python's own library, NumPy, PyTorch.
FOREIGN = (
    str(Path(__file__).parents[1]), os.path.dirname(os.__file__), "<frozen", "<__array_function__",
    str(Path(torch.__file__).parents[1]), str(Path(np.__file__).parents[1]),
)  # fmt: skip


def learner_frames(error):
    """The frames of an exception that are in the learner's own code."""
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    return [(code, line) for code, line in frames if not code.co_filename.startswith(FOREIGN)]


def is_stub(error):
    """Whether the function itself says `raise NotImplementedError`, not another function that it calls."""
    return type(error) is NotImplementedError and not error.args and len(learner_frames(error)) == 1


def message_of(error):
    """What was raised, and in which line of the learner's."""
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = ""
    name, frames = type(error).__name__, learner_frames(error)
    title = f"raised {name}{': ' if message else ''}{message[:200]}"
    if not frames:
        return title, ""
    code, line = frames[-1]
    if type(error) is NotImplementedError and not error.args:
        title = f"it calls {code.co_name}, which isn't written yet"
    source = linecache.getline(code.co_filename, line).strip()
    file = f" of {os.path.basename(code.co_filename)}" if os.path.exists(code.co_filename) else " of the cell"
    return title, f"line {line}{file}{': ' if source else ''}{source}"


def hint_of(error):
    message = message_of(error)[0]
    return next((hint for words, hint in ERRORS.items() if words in message), "")


# --- random inputs that the checks share ---


def normal(rng, *shape, std=1.0):
    return torch.randn(*shape, generator=rng) * std


def ids(rng, vocab_size, *shape):
    return torch.randint(vocab_size, shape, generator=rng)


def hot(ids, vocab_size):
    return torch.eye(vocab_size)[ids]
