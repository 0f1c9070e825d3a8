"""Answers to the exercises, as learners write them; a file for each notebook, right and wrong ones side by side.

RIGHT[exercise] is a list of functions that the check must accept in any style. WRONG[exercise] is a list of
(function, hints): how the hints begin that the check must give, one for each mistake; no hints where the check only
has to see that something is wrong. Every file here is found by itself.
"""

from collections import defaultdict
from importlib import import_module
from pkgutil import iter_modules

RIGHT, WRONG = defaultdict(list), defaultdict(list)

NUMPY = "Stay with PyTorch's operations: NumPy doesn't track gradients."
OVERWRITTEN = "Make new tensors instead of changing old ones (H[:] = ..., *=)."


def changes(argument):
    """The hint for a function that changes an argument."""
    return f"Work on a copy, or avoid in-place operations: {argument} must not change."


def right(exercise):
    """Register the decorated function as a right answer."""

    def register(function):
        RIGHT[exercise].append(function)
        return function

    return register


def wrong(exercise, *hints):
    """Register the decorated function as a wrong answer."""

    def register(function):
        WRONG[exercise].append((function, hints))
        return function

    return register


for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
