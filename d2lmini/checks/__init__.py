"""The checks of the exercises: `from d2lmini import checks as check`, then `check.one_hot(my_one_hot)`.

A check takes the learner's function, compares it with a reference that doesn't use the course's own code, prints a
verdict, and returns None. There is one file per notebook. Each gives solutions away, because it lists the mistakes
that its checks recognise. How a check judges is in judge.py. Every Check in a file of this folder is found by itself.
"""

from importlib import import_module
from pkgutil import iter_modules

from .judge import Check

_found = [vars(import_module(f"{__name__}.{module.name}")) for module in iter_modules(__path__)]
_checks = {value.name: value for values in _found for value in values.values() if isinstance(value, Check)}
globals().update(_checks)
__all__ = list(_checks)
