"""What arguments must be, and what to do when they aren't: an error at once, before anything is computed.

Whole numbers may also be NumPy's, and ids of any integer type.
"""

import operator

import numpy as np
import torch


def check_size(name, value):
    """Raise TypeError or ValueError unless `value` is a whole number of at least 1."""
    check_whole(name, value)
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}.")


def check_seed(seed):
    """Raise TypeError or ValueError unless `seed` is a whole number from 0 to 2**63 - 1, as PyTorch requires."""
    check_whole("seed", seed)
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be a whole number from 0 to 2**63 - 1, not {seed}.")


def check_positive(name, value):
    """Raise TypeError or ValueError unless `value` is a number above 0 that PyTorch can use (infinity is one)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, not {value!r} ({type(value).__name__}).")
    if not value > 0:
        raise ValueError(f"{name} must be above 0, not {value}.")
    if isinstance(value, (int, np.integer)) and value >= 2**63:
        raise ValueError(f"{name} must be below 2**63 if it's an integer, as PyTorch requires: use a float, like 1e30.")


def check_whole(name, value):
    """Raise TypeError unless `value` is a whole number (a bool isn't)."""
    try:
        operator.index(value)
        whole = not isinstance(value, bool)
    except TypeError:
        whole = False
    if not whole:
        raise TypeError(f"{name} must be an integer, not {value!r} ({type(value).__name__}).")


def as_ids(ids):
    """Ids in a tensor, an array or a list as a tensor. Raises TypeError unless they are integers."""
    try:
        tensor = torch.as_tensor(ids)
    except (TypeError, ValueError, RuntimeError) as error:  # PyTorch raises any of the three for what isn't numbers
        raise TypeError(f"ids must be a tensor or a list of integers, not {type(ids).__name__} ({error}).") from None
    if not isinstance(ids, torch.Tensor) and not tensor.numel():
        return tensor.long()  # an empty list has no type of its own
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise TypeError(f"ids must be integers, not {tensor.dtype}: encode the text with a Vocab first.")
    return tensor


def check_ids(ids, vocab_size):
    """Raise TypeError or ValueError unless all ids are integers from 0 to vocab_size - 1.

    It reads from the device once.
    """
    ids = as_ids(ids)
    if not ids.numel():
        return
    low, high = torch.stack(ids.long().aminmax()).tolist()  # long: PyTorch finds no minimum of uint16
    if not 0 <= low <= high < vocab_size:
        raise ValueError(
            f"ids run from {low} to {high}, but the vocabulary has {vocab_size} tokens "
            f"(ids 0 to {vocab_size - 1}): were text and model made with the same Vocab?"
        )


def check_vocab(vocab):
    """Raise TypeError or ValueError unless `vocab` is a Vocab whose tokens can be joined to a text."""
    if not hasattr(vocab, "idx_to_token") or not hasattr(vocab, "reserved_tokens"):
        raise TypeError(f"vocab must be a Vocab, not {type(vocab).__name__}.")
    if len(vocab) == len(vocab.reserved_tokens):
        raise ValueError(
            "the vocabulary holds nothing but reserved tokens, which are never generated: make it from a text."
        )
    if not all(isinstance(token, str) for token in vocab.idx_to_token):
        raise TypeError(
            "the vocabulary has tokens that aren't str, so they can't be joined: make it from tokenize(text)."
        )


def check_vocab_size(vocab, model):
    """Raise ValueError unless the vocabulary has as many tokens as the model has logits."""
    if len(vocab) != model.vocab_size:
        raise ValueError(
            f"the vocabulary has {len(vocab)} tokens, but the model has {model.vocab_size}: "
            "use the Vocab that it was made for."
        )


def check_batch(X, state, expected):
    """Raise TypeError or ValueError unless X fits the model's state.

    `expected` is the state that the model itself begins with for X, which is (batch_size, num_steps). `state` must be
    a tuple of tensors with the shapes, number type and device of `expected`.
    """
    device, dtype = expected[0].device, expected[0].dtype
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
    for part in state:
        if (part.device, part.dtype) != (device, dtype):
            raise ValueError(
                f"the state is {part.dtype} on {part.device}, but the model is {dtype} on {device}: "
                f"use begin_state({X.shape[0]})."
            )


def check_X(X):
    """Raise TypeError or ValueError unless X is a minibatch: a tensor (batch_size, num_steps) of at least one token."""
    if not isinstance(X, torch.Tensor):
        raise TypeError(f"X must be a tensor of ids, not {type(X).__name__}: use torch.tensor(X).")
    if X.dim() != 2 or X.numel() == 0:
        raise ValueError(f"X must have shape (batch_size, num_steps), not {tuple(X.shape)}.")
