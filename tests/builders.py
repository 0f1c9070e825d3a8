"""What several test files need: models worth looking at, counters of what a computation costs, a cell's text."""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from d2lmini import RNNModelScratch

# All of torch's integers (the unsigned ones above 8 bits came with torch 2.3), by the names that NumPy uses, too.
INTEGERS = ["uint8", "int8", "int16", "int32", "int64"]
INTEGERS += [name for name in ("uint16", "uint32", "uint64") if hasattr(torch, name)]


def sharp_model(vocab_size, seed=0, Model=RNNModelScratch):
    """A model with large random weights, whose answer depends on everything it has read."""
    model = Model(vocab_size, 16, seed=seed, input_std=0.3, orthogonal=True)
    with torch.no_grad():
        model.params[3].mul_(100)
    return model


READS = {"item", "tolist", "numpy", "cpu", "equal", "nonzero", "__bool__", "__int__", "__float__", "__index__"}


class HostReads(TorchFunctionMode):
    """Inside, counts how often the program asks for a number: on a GPU each time waits for all work so far."""

    count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += func.__name__ in READS
        return func(*args, **(kwargs or {}))


class NewBytes(TorchDispatchMode):
    """Inside, counts the memory of all new tensors; a view, or a result in an argument's place, costs none."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = {arg.untyped_storage().data_ptr() for arg in args if isinstance(arg, torch.Tensor)}
        results = func(*args, **(kwargs or {}))
        for new in results if isinstance(results, (list, tuple)) else [results]:
            if isinstance(new, torch.Tensor) and new.untyped_storage().data_ptr() not in given:
                self.count += new.untyped_storage().nbytes()
        return results


def printed_text(cell):
    """What a cell has printed, unless it measures."""
    measures = "nbval-ignore-output" in cell.metadata.get("tags", [])
    return "" if measures else "".join(output.get("text", "") for output in cell.get("outputs", []))
