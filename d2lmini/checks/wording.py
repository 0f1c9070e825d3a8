"""How a difference or an exception is put into words, in a line or two."""

import linecache
import math
import os
import traceback
from pathlib import Path

import numpy as np
import torch

from .reading import FLOAT_IDS, Number, Unread, number_of

SHORT = 12  # at most this many numbers are shown; of more, only the first wrong one
# What error messages of PyTorch, NumPy and Python mean here: {hint: parts of messages}; the first that fits counts.
HINTS = {
    "Did you change a parameter outside of torch.no_grad()? Move the line inside.": [
        "leaf Variable that requires grad"
    ],
    "Did you put a tensor in the place of a layer's parameter? Under torch.no_grad(), parameter.copy_(numbers) "
    "overwrites the parameter's numbers.": ["as parameter"],
    "Did you forget to detach the incoming state?": ["backward through the graph a second time"],
    "Did you change a tensor that backward still needs? Make a new one instead.": ["modified by an inplace operation"],
    "Did you call backward on many losses? Call it on one number, their mean.": ["created only for scalar outputs"],
    "Stay with PyTorch's operations: NumPy doesn't track gradients.": ["call numpy() on Tensor that requires grad"],
    "Did you detach something on the way to the loss, or compute it under torch.no_grad()?": ["does not require grad"],
    "Did you use a tensor of several numbers where one number belongs? Choose one, or take their sum, mean or max.": [
        "converted to"
    ],
    "Did you use a whole tensor as one yes or no? Reduce it with .all() or .any(), or use torch.equal.": [
        "is ambiguous"
    ],
    "Use reshape: view needs numbers that are contiguous in memory.": ["view size is not compatible"],
    "Write the formula yourself: no backward, no autograd.": ["saved tensor hooks"],
    "Where does None come from: a function without return, or .grad before backward?": ["NoneType"],
    "Did you use a tuple where its tensor belongs? Take the tensor out first, as in (H,) = state.": [
        "'tuple' object has no attribute", "must be Tensor, not tuple", "'tuple' and 'Tensor'", "'Tensor' and 'tuple'",
    ],
    "Did you use a list where one of its items belongs? Take the items one at a time.": [
        "'list' object has no attribute", "must be Tensor, not list", "'list' and 'Tensor'", "'Tensor' and 'list'",
    ],
    "Did you pass a plain number? math.exp takes numbers, torch.exp takes tensors.": [
        "must be Tensor, not float", "must be Tensor, not int",
    ],
    FLOAT_IDS: ["used as indices must be"],
    "Do the ids have the type int64? .long() converts them.": [
        "tensor of type LongTensor", "scalar types: Long", "dtype to be Long", "scalar type Long",
    ],
    "Are there integers where floats are needed? .float() converts them.": [
        "not implemented for 'Long'", "could not infer output dtype",
    ],
    "Are there too few or too many names on the left of the = sign? Each item on the right needs one.": [
        "values to unpack", "cannot unpack",
    ],
    "Complex numbers have no order: take abs() first.": ["'complex'", "'ComplexFloat'"],
    "Did you leave out the axis? dim=-1 is the last one.": ['"dim"'],
    "Does the tensor have that axis? dim=-1 is always the last one.": ["Dimension out of range"],
    "Is an index or an id too large? The largest is the length minus 1.": [
        "index out of range", "is out of bounds", "smaller than num_classes",
    ],
    "Do both tensors have the same number type? .float() makes float32.": ["same dtype", "scalar type Float"],
    "Are there brackets after something that isn't a function, as in X.T()? Leave them out.": [
        "object is not callable"
    ],
    "Did you forget the brackets after a method's name, as in X.sum()?": ["'builtin_function_or_method'"],
    "Is the name spelled right? If another cell defines it, run that cell first.": ["is not defined"],
    "Do the shapes fit? Print them before the line that fails.": ["shape", "size", "imension", "operands"],
}  # fmt: skip
# Lines of these files aren't the learner's: this package, Python's own library, NumPy, PyTorch.
FOREIGN = (
    str(Path(__file__).parents[1]), os.path.dirname(os.__file__), "<frozen", "<__array_function__",
    str(Path(torch.__file__).parents[1]), str(Path(np.__file__).parents[1]),
)  # fmt: skip


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
                return title, f"{key!r} is {'missing' if key not in got else 'not an expected key'}"
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


def learner_frames(error):
    """The frames of an exception that are in the learner's own code."""
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    return [(code, line) for code, line in frames if not code.co_filename.startswith(FOREIGN)]


def is_stub(error):
    """Whether the function itself says `raise NotImplementedError`, not another function that it calls."""
    return type(error) is NotImplementedError and not error.args and len(learner_frames(error)) == 1


def message_of(error):
    """What was raised, and in which line of the learner's code."""
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
    return next((hint for hint, parts in HINTS.items() if any(part in message for part in parts)), "")
