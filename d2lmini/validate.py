"""What arguments must be, and what to do when they aren't: an error at once, before anything is computed.

Each function returns nothing when all is well. Whole numbers may also be NumPy's.
"""

import operator
from numbers import Real

import torch


def check_size(name, value):
    """Raise TypeError or ValueError unless `value` is a whole number of at least 1."""
    check_whole(name, value)
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}.")


def check_seed(seed):
    """Raise TypeError or ValueError unless `seed` is a whole number from 0 to 2**63 - 1, as torch wants it."""
    check_whole("seed", seed)
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be a whole number from 0 to 2**63 - 1, not {seed}.")


def check_positive(name, value):
    """Raise TypeError or ValueError unless `value` is a number above 0 (infinity is one)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {value!r} ({type(value).__name__}).")
    if not value > 0:
        raise ValueError(f"{name} must be above 0, not {value}.")


def check_whole(name, value):
    """Raise TypeError unless `value` is a whole number (a bool isn't)."""
    try:
        operator.index(value)
        whole = not isinstance(value, bool)
    except TypeError:
        whole = False
    if not whole:
        raise TypeError(f"{name} must be an integer, not {value!r} ({type(value).__name__}).")


def check_ids(ids, vocab_size):
    """Raise TypeError or ValueError unless all ids are integers from 0 to vocab_size - 1.

    It reads from the device once.
    """
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise TypeError(f"ids must be integers, not {ids.dtype}: encode the text with a Vocab first.")
    if not ids.numel():
        return
    low, high = torch.stack(ids.aminmax()).tolist()
    if not 0 <= low <= high < vocab_size:
        raise ValueError(
            f"ids run from {low} to {high}, but the vocabulary has {vocab_size} tokens "
            f"(ids 0 to {vocab_size - 1}): were text and model made with the same Vocab?"
        )


def check_batch(X, state, expected):
    """Raise TypeError or ValueError unless X fits the model's state.

    X: (batch_size, num_steps); state: a tuple of tensors; expected: the state that the model itself begins with
    for this many sequences, from which shapes, number type and device are read.
    """
    device = expected[0].device
    if X.device != device:
        raise ValueError(f"X is on {X.device}, but the model is on {device}: move it with X.to({str(device)!r}).")
    if not isinstance(state, tuple) or not all(isinstance(part, torch.Tensor) for part in state):
        raise TypeError(
            f"the state must be a tuple of tensors, not {type(state).__name__}: use begin_state(batch_size)."
        )
    shapes = [[tuple(part.shape) for part in parts] for parts in (state, expected)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"the state has shape {', '.join(map(str, shapes[0])) or '()'}, but the model needs "
            f"{', '.join(map(str, shapes[1]))} for an X of {X.shape[0]} sequences: use begin_state({X.shape[0]})."
        )


def check_X(X):
    """Raise ValueError unless X has the shape of a minibatch, (batch_size, num_steps), with at least one token."""
    if X.dim() != 2 or X.numel() == 0:
        raise ValueError(f"X must have shape (batch_size, num_steps), not {tuple(X.shape)}.")
