"""What a function returned, as plain values that can be compared: nothing here raises because an object is odd."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

NO_RETURN = "Did you forget the return?"
NO_TENSOR = "Did you return something other than a tensor? torch.as_tensor converts it."
NO_FLOATS = "Did you return integers? .float() makes them numbers that weights can multiply."
WHOLE = "int(...) makes them whole numbers."
NO_NUMBERS = "Did you return True and False? .float() makes them the numbers 1 and 0."
NO_BOOLS = "Did you return numbers? A comparison such as != gives True and False; .bool() converts numbers."
FLOAT_IDS = "Did you turn the ids into floats? They must stay integers."
FEWER_DIGITS = "Did you compute in float32? The arrays are float64: np.zeros_like(H) keeps the number type."
OTHER_DTYPE = "Did you leave PyTorch's usual float32? .float() converts back."


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
        if not isinstance(got, dict):
            return {part: unread(expected, got)}
        found = plain_dict(got, len(expected))
        if found == expected and any(is_float(got.get(key)) for key, n in expected.items() if type(n) is int):
            flaws.append(floats_for_ints(part))
        return {part: found}
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
                hint = OTHER_DTYPE if got.is_floating_point() else NO_NUMBERS if got.dtype == torch.bool else NO_FLOATS
                flaws.append(Flaw(f"the numbers of {part} are {got.dtype}, not {expected.dtype}", hint))
        elif expected.dtype == torch.bool:
            flaws.append(Flaw(f"the entries of {part} are {got.dtype}, not torch.bool", NO_BOOLS))
        elif got.is_floating_point():
            flaws.append(Flaw(f"the ids in {part} are {got.dtype}", FLOAT_IDS))
    elif not tensor and got.dtype.kind == "f" and got.dtype.itemsize < expected.dtype.itemsize:
        flaws.append(Flaw(f"the numbers of {part} are {got.dtype}, not {expected.dtype}", FEWER_DIGITS))
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
    floats = is_float(got)
    whole = isinstance(got, (torch.Tensor, np.ndarray)) and not floats
    if flat and isinstance(got, (torch.Tensor, np.ndarray)):
        array = as_array(got[: len(expected) + 1], len(expected) + 1) if got.ndim == 1 else None
        got = got if array is None else array.tolist()
    items = items_of(got, len(expected))
    if items is None:
        return {part: unread(expected, got)}
    if flat:
        found = [simple(item) for item in items]
        floats = floats or (not whole and any(type(n) is int and is_float(a) for n, a in zip(expected, items)))
        if floats and found == list(expected) and any(type(n) is int for n in expected):
            flaws.append(floats_for_ints(part))
        return {part: found}
    if len(items) != len(expected):
        return {part: Unread(f"expected {number_of(len(expected), 'item')}, got {len(items)}")}
    if len(expected) == 1:
        return plain(part, expected[0], items[0], flaws, any_float)
    parts = {}
    for i, (a, b) in enumerate(zip(expected, items), start=1):
        parts |= plain(f"{part}, item {i}" if part else f"item {i}", a, b, flaws, any_float)
    return parts


def items_of(got, n):
    """The items of a list, a tuple, ..., or the first of too many; None for what isn't a sequence of results."""
    if isinstance(got, (str, bytes, dict, set, frozenset, torch.Tensor, np.ndarray, type)) or not isinstance(
        got, Iterable
    ):
        return None
    return list(islice(got, 2 * n + 50))


def plain_dict(got, n):
    return {simple(key): simple(value) for key, value in islice(got.items(), n + 1)}


def simple(value):
    """A plain string or number for what is in a list or a dict."""
    if isinstance(value, str):
        return str.__str__(value)
    number = plain_number(value)
    return f"({describe(value)})" if number is None else number.value


def is_float(value):
    """Whether a number, or what a tensor or an array holds, has a floating-point type."""
    if isinstance(value, torch.Tensor):
        return value.is_floating_point()
    return isinstance(value, (float, np.floating)) or (isinstance(value, np.ndarray) and value.dtype.kind == "f")


def floats_for_ints(part):
    """3.0 equals 3, but nothing can be indexed with it."""
    return Flaw(f"the whole numbers in {part or 'its result'} are floats", WHOLE)


def unread(expected, got):
    if got is None:
        return Unread(f"expected {describe(expected)}, got nothing (None)", NO_RETURN)
    return Unread(f"expected {describe(expected)}, got {describe(got)}")


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


def close(a, b, rtol, atol):
    if (isinstance(a, int) and isinstance(b, int)) or a == b or (a != a and b != b):
        return a == b or a != a  # nan is no number, but two of them come from one mistake
    try:
        return math.isfinite(a) and math.isfinite(b) and abs(a - b) <= atol + rtol * abs(a)
    except OverflowError:  # an integer beyond all floats
        return False


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
    names = {str: "a string", dict: "a dictionary", int: "an integer", float: "a number", bool: "True or False"}
    name = type(value).__name__
    return names.get(type(value), f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}")
