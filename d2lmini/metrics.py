"""How well a model does: perplexity of a text, and what a training run leaves behind."""

import math
from dataclasses import dataclass, field
from statistics import median

from torch.nn import functional as F

from .batches import time_major
from .model import reading
from .validate import as_ids, check_ids, check_size


def perplexity(total_nll, num_tokens):
    """exp(total negative log-likelihood in nats / number of tokens): 1 is certainty, vocab_size is a blind guess.

    Infinite from 700 nats a token on. Raises ValueError for less than one token.
    """
    if num_tokens < 1:
        raise ValueError(f"perplexity needs at least one predicted token, not {num_tokens}: the text is too short.")
    mean = total_nll / num_tokens
    return math.exp(mean) if mean < 700 else math.inf


def evaluate(model, tokens, batch_size=1, num_steps=256):
    """Perplexity of a text under a model: how many equally likely choices each next token amounts to.

    tokens: 1-D tensor of ids. The text is cut into `batch_size` sequences. Each begins with a zero state and keeps
    its state to the end; with 1 sequence, the default, every token but the first is predicted from all tokens before
    it. More sequences are faster, and each adds a cold start. `num_steps` tokens are read per call of the model,
    which bounds the memory and doesn't change the result. The model only reads: dropout is off meanwhile.

    Raises ValueError if the text isn't 1-D, has fewer than 2 tokens for a sequence, or ids that the model doesn't
    know; TypeError if the ids aren't integers.
    """
    check_size("batch_size", batch_size)
    check_size("num_steps", num_steps)
    tokens = as_ids(tokens)
    if tokens.dim() != 1:
        raise ValueError(f"tokens must be 1-D, ids one after another, not of shape {tuple(tokens.shape)}.")
    length = len(tokens) // batch_size
    if length < 2:
        raise ValueError(
            f"{len(tokens)} tokens in {batch_size} sequences leave nothing to predict: each needs at least 2. "
            "Use a smaller batch_size, or a longer text."
        )
    tokens = tokens[: batch_size * length].reshape(batch_size, length)
    check_ids(tokens, model.vocab_size)
    tokens, total_nll = tokens.to(model.device), 0.0
    with reading(model):
        state = model.begin_state(batch_size)
        for i in range(0, length - 1, num_steps):
            X, Y = tokens[:, i : i + num_steps][:, : length - 1 - i], tokens[:, i + 1 : i + 1 + num_steps]
            logits, state = model(X, state)
            total_nll += float(F.cross_entropy(logits, time_major(Y).long(), reduction="sum"))
    return perplexity(total_nll, batch_size * (length - 1))


@dataclass
class History:
    """What a training run left behind: a number per epoch, and what the model generated on the way.

    train_ppl      training perplexity of epochs 1, 2, ...
    held_out_ppl   {epoch: perplexity on text that the model never trained on}
    speeds         tokens per second of each epoch
    samples        {epoch: {prefix: the prefix and its continuation}}
    baselines      {name: perplexity}, drawn as lines
    stopped        None, or why the run ended before its last epoch
    """

    train_ppl: list = field(default_factory=list)
    held_out_ppl: dict = field(default_factory=dict)
    speeds: list = field(default_factory=list)
    samples: dict = field(default_factory=dict)
    baselines: dict = field(default_factory=dict)
    stopped: str = None

    @property
    def tokens_per_second(self):
        """Median training speed over the epochs; None before the first one."""
        return median(self.speeds) if self.speeds else None

    def first_epoch_below(self, ppl):
        """Number of the first epoch whose training perplexity is at most `ppl`, or None."""
        return next((epoch for epoch, value in enumerate(self.train_ppl, start=1) if value <= ppl), None)
