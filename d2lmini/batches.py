"""Cut a text's token ids into minibatches (X, Y), where Y is X one token later.

Both samplers say whether the hidden state carries over from one minibatch to the next
(`carries_state`), and count the tokens that an epoch uses and drops.
Idea: Dive into Deep Learning, chapter on language models and sequence data.
"""

import torch


def check_size(name, value):
    """Raise TypeError or ValueError unless `value` is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, not {value!r} ({type(value).__name__}).")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}.")


class _Batches:
    """What both samplers share: sizes, counts, and the random offset of each epoch."""

    def __init__(self, tokens, batch_size, num_steps, seed=0):
        """
        tokens      1-D tensor (or list) of ids
        batch_size  rows in a minibatch
        num_steps   tokens in a row
        seed        epoch number e (`epoch`, which counts up) draws from a generator seeded with seed + e:
                    equal seeds give equal epochs

        Raises ValueError if the text is too short for one minibatch, TypeError for sizes that are no integers.
        """
        check_size("batch_size", batch_size)
        check_size("num_steps", num_steps)
        try:
            self.tokens = torch.as_tensor(tokens)
        except (TypeError, ValueError, RuntimeError):  # torch's three words for "these are no numbers"
            self.tokens = torch.zeros(1, 1)
        if self.tokens.dim() != 1 or (self.tokens.is_floating_point() and len(self.tokens)):
            raise TypeError("tokens must be a 1-D tensor or list of integer ids: encode the text with a Vocab first.")
        self.batch_size, self.num_steps, self.seed, self.epoch = batch_size, num_steps, seed, 0
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
        """Tokens that are no input in one epoch: the random offset at the front and the rest at the end."""
        return len(self.tokens) - self.tokens_used

    def __len__(self):
        return self.num_batches

    def __iter__(self):
        rng = torch.Generator().manual_seed(self.seed + self.epoch)
        self.epoch += 1
        yield from self._cut(self.tokens[self._offset(rng) :], rng)

    def _offset(self, rng):
        # A new one each epoch moves the cuts between rows, so that over time hardly a token is left out.
        return int(torch.randint(min(self.num_steps, self.tokens_dropped), (), generator=rng))


class SequentialBatches(_Batches):
    """Minibatches whose row r goes on where row r of the one before ended: the state carries over.

    Iterating once is one epoch: `num_batches` pairs X, Y of int64 tensors, both (batch_size, num_steps).
    """

    carries_state = True

    def _cut(self, tokens, rng):
        row_length = (len(tokens) - 1) // self.batch_size
        Xs = tokens[: self.batch_size * row_length].reshape(self.batch_size, row_length)
        Ys = tokens[1 : self.batch_size * row_length + 1].reshape(self.batch_size, row_length)
        for i in range(0, self.num_batches * self.num_steps, self.num_steps):
            yield Xs[:, i : i + self.num_steps], Ys[:, i : i + self.num_steps]


class RandomBatches(_Batches):
    """Minibatches whose rows come in random order from all over the text: each starts from a zero state.

    Iterating once is one epoch: `num_batches` pairs X, Y of int64 tensors, both (batch_size, num_steps).
    """

    carries_state = False

    def _cut(self, tokens, rng):
        num_rows = self.num_batches * self.batch_size
        starts = torch.randperm((len(tokens) - 1) // self.num_steps, generator=rng)[:num_rows] * self.num_steps
        for batch in starts.reshape(self.num_batches, self.batch_size):
            ids = batch[:, None] + torch.arange(self.num_steps)  # (batch_size, num_steps)
            yield tokens[ids], tokens[ids + 1]
