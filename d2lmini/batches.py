"""Cut a text's token ids into minibatches (X, Y), where Y is X one token later.

Both samplers say whether the hidden state carries over from one minibatch to the next
(`carries_state`), and count the tokens that an epoch uses and drops.
Idea: Dive into Deep Learning, chapter on language models and sequence data.
"""

import random
from typing import Protocol

import torch

from .validate import as_ids, check_seed, check_size


def time_major(ids):
    """Ids (batch_size, num_steps) in the order of the logits: (num_steps * batch_size,), the first step's ids first."""
    return ids.T.reshape(-1)


class Sampler(Protocol):
    """What `train` expects of minibatches; SequentialBatches and RandomBatches have it."""

    tokens: torch.Tensor  # the ids of the training text, 1-D
    batch_size: int
    carries_state: bool  # whether sequence r of a minibatch continues sequence r of the previous minibatch
    epoch: int  # which epoch the next iteration gives, from 1; `train` counts it up, iterating doesn't

    def __iter__(self):
        """The pairs X, Y of one epoch: int64 tensors on the CPU, both (batch_size, num_steps)."""


class Batches:
    """What both samplers share: sizes, counts, and the random offset of each epoch."""

    def __init__(self, tokens, batch_size, num_steps, seed=0):
        """
        tokens      1-D tensor (or list) of ids
        batch_size  sequences in a minibatch
        num_steps   tokens in a sequence
        seed        equal seeds give equal epochs; every pair of seed and epoch has random numbers of its own

        Iterating gives epoch number `epoch` (at first 1), and gives it again each time. Add 1 to `epoch` to go on.

        Raises ValueError if the text is too short for one minibatch, or a size is below 1; TypeError for ids or sizes
        that aren't integers, or for `tokens` that aren't 1-D.
        """
        check_size("batch_size", batch_size)
        check_size("num_steps", num_steps)
        check_seed(seed)
        self.tokens = as_ids(tokens).to("cpu", torch.int64)
        if self.tokens.dim() != 1:
            raise TypeError(f"tokens must be 1-D, ids one after another, not of shape {tuple(self.tokens.shape)}.")
        self.batch_size, self.num_steps, self.seed, self.epoch = batch_size, num_steps, seed, 1
        self.num_batches = (len(self.tokens) - 1) // (batch_size * num_steps)
        if self.num_batches < 1:
            raise ValueError(
                f"a minibatch of {batch_size} x {num_steps} needs {batch_size * num_steps + 1} tokens "
                f"(its inputs and one more target), but the text has {len(self.tokens)}: "
                "use a smaller batch_size or num_steps, or a longer text."
            )

    @property
    def tokens_used(self):
        """Tokens that are an input X in one epoch (each of them has one target)."""
        return self.num_batches * self.batch_size * self.num_steps

    @property
    def tokens_dropped(self):
        """Tokens that aren't an input in one epoch: the random offset, and all that doesn't fill a minibatch."""
        return len(self.tokens) - self.tokens_used

    def __len__(self):
        return self.num_batches

    def random_numbers(self):
        """A torch.Generator with the random numbers of this seed and epoch, at their beginning."""
        # Hashed together, because with seed + epoch, seed 1 would begin with the second epoch of seed 0.
        return torch.Generator().manual_seed(random.Random(f"{self.seed}, {self.epoch}").getrandbits(63))

    def __iter__(self):
        rng = self.random_numbers()
        # A new offset each epoch moves the cuts between sequences, so that over time hardly any token is left out.
        offset = int(torch.randint(min(self.num_steps, self.tokens_dropped), (), generator=rng))
        yield from self.cut(self.tokens[offset:], rng)


class SequentialBatches(Batches):
    """Sequence r goes on where sequence r of the previous minibatch ended, so the state carries over.

    Iterating once is one epoch: `num_batches` pairs X, Y of int64 tensors, both (batch_size, num_steps).
    """

    carries_state = True

    def cut(self, tokens, rng):
        row_length = (len(tokens) - 1) // self.batch_size
        Xs = tokens[: self.batch_size * row_length].reshape(self.batch_size, row_length)
        Ys = tokens[1 : self.batch_size * row_length + 1].reshape(self.batch_size, row_length)
        for i in range(0, self.num_batches * self.num_steps, self.num_steps):
            # Copies: whoever writes into X changes neither Y nor the text.
            yield Xs[:, i : i + self.num_steps].clone(), Ys[:, i : i + self.num_steps].clone()


class RandomBatches(Batches):
    """Sequences in random order from all over the text, so each starts from a zero state.

    Iterating once is one epoch: `num_batches` pairs X, Y of int64 tensors, both (batch_size, num_steps).
    """

    carries_state = False

    def cut(self, tokens, rng):
        num_rows = self.num_batches * self.batch_size
        starts = torch.randperm((len(tokens) - 1) // self.num_steps, generator=rng)[:num_rows] * self.num_steps
        for batch in starts.reshape(self.num_batches, self.batch_size):
            ids = batch[:, None] + torch.arange(self.num_steps)  # (batch_size, num_steps)
            yield tokens[ids], tokens[ids + 1]
