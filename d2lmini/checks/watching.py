"""What a function does besides returning a result: to its arguments, to gradients, to memory, to settings."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from .reading import Flaw, Parts

NO_GRADIENT = "Did you detach something, use no_grad, or go through NumPy?"
SHARED = "Return a copy (.clone()): otherwise, changing the result changes the argument, too."


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
                self.flaws.append(Flaw(text, f"Work on a copy, or avoid in-place operations: {name} must not change."))
            elif not self.shares and memory(arg) & memory(result):
                self.flaws.append(Flaw(f"its result shares memory with the argument `{name}`", SHARED))
        return result


def frozen(value):
    """A copy that can be compared with ==."""
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.detach().numpy().tobytes()
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: frozen(item) for key, item in value.items()}
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
        return found | {"gradients": Flaw(text, "Make new tensors instead of changing old ones (H[:] = ..., *=).")}
    return found | {"gradients": torch.cat([gradient.flatten() for gradient in gradients])}


class Calls(TorchFunctionMode):
    """Remembers which of PyTorch's functions were called, and how many numbers the largest result stores."""

    def __init__(self):
        super().__init__()
        self.functions, self.largest = [], 0

    @property
    def names(self):
        return {getattr(function, "__name__", "") for function in self.functions}

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.functions.append(function)
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            with suppress(RuntimeError, NotImplementedError):  # not every kind of tensor has a storage
                self.largest = max(self.largest, result.untyped_storage().nbytes() // result.element_size())
        return result


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
    """Whatever happens inside, the caller's random numbers and settings are the same afterwards."""
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
