"""Train a language model and say honestly how well it does: perplexity per epoch, on seen and unseen text."""

import math
import time
from dataclasses import dataclass, field
from statistics import median

import torch
from torch.nn import functional as F

from .baselines import baselines
from .batches import check_size
from .checkpoints import load_checkpoint, save_checkpoint
from .generate import predict
from .model import check_ids
from .plotting import LiveFigure, plot_perplexity


class TrainingDiverged(ArithmeticError):
    """The loss is not a number, or beyond all measure. `history` holds the epochs before it."""

    history = None


def perplexity(total_nll, num_tokens):
    """exp(total negative log-likelihood in nats / number of tokens): 1 is certainty, vocab_size is a blind guess.

    Raises ValueError for less than one token.
    """
    if num_tokens < 1:
        raise ValueError(f"perplexity needs at least one predicted token, not {num_tokens}: the text is too short.")
    mean = total_nll / num_tokens
    return math.exp(mean) if mean < 700 else math.inf


def clip_gradients(params, theta):
    """Scale all gradients together so that their joint norm is at most `theta`; their direction stays.

    Works in place on the gradients of `params` (those that have one) and returns the norm before clipping,
    a float. Idea: Pascanu et al., On the difficulty of training recurrent neural networks (2013).
    Raises ValueError if `theta` is not above 0.
    """
    if not theta > 0:
        raise ValueError(f"theta, the largest norm allowed, must be above 0, not {theta}.")
    grads = [param.grad for param in params if param.grad is not None]
    norm = math.sqrt(sum(float((grad**2).sum()) for grad in grads))
    if norm > theta:
        for grad in grads:
            grad *= theta / norm
    return norm


@torch.no_grad()
def sgd(params, lr):
    """One step of gradient descent, in place: every parameter moves by -lr times its gradient."""
    for param in params:
        if param.grad is not None:
            param -= lr * param.grad


def detach(state):
    """The same state, cut off from the graph of the minibatches before: a tensor or a tuple of tensors."""
    return tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()


@torch.no_grad()
def evaluate(model, tokens, batch_size=1, num_steps=256):
    """Perplexity of a text under a model: how many equally likely choices each next token amounts to.

    tokens: 1-D tensor of ids. The text is cut into `batch_size` rows, each read from a zero state without
    forgetting; with 1, the default, every token but the first is predicted from all that precede it.
    More rows are faster, and each adds one cold start. `num_steps` tokens are read per call of the model:
    it bounds the memory and does not change the result.

    Raises ValueError if the text has fewer than 2 tokens a row.
    """
    check_size("batch_size", batch_size)
    check_size("num_steps", num_steps)
    row_length = len(tokens) // batch_size
    if row_length < 2:
        raise ValueError(
            f"{len(tokens)} tokens in {batch_size} rows leave nothing to predict: each row needs at least 2."
        )
    rows = torch.as_tensor(tokens)[: batch_size * row_length].reshape(batch_size, row_length).to(model.device)
    state, total_nll = model.begin_state(batch_size=batch_size), 0.0
    for i in range(0, row_length - 1, num_steps):
        X, Y = rows[:, i : i + num_steps][:, : row_length - 1 - i], rows[:, i + 1 : i + 1 + num_steps]
        logits, state = model(X, state)
        check_ids(Y, logits.shape[1])
        total_nll += float(F.cross_entropy(logits, Y.T.reshape(-1), reduction="sum"))
    return perplexity(total_nll, batch_size * (row_length - 1))


def train_epoch(model, batches, lr, theta=1.0, updater=None, loss_fn=F.cross_entropy):
    """One pass over the minibatches; returns (training perplexity, tokens per second).

    The perplexity is that of the whole epoch: exp of the summed loss over the number of tokens, while the
    parameters move. The state starts from zero, carries over (detached) if the sampler says so, and
    starts anew with every minibatch if not. Gradients are clipped to the norm `theta` (None: not at all),
    then `updater()` changes the parameters; by default that is sgd with learning rate `lr`. `loss_fn(logits, targets)`
    stands for the mean negative log-likelihood in nats.

    Raises TrainingDiverged when the loss is not a number or its perplexity infinite (from 700 nats on); the
    parameters are then as they were before it.
    """
    params = list(model.parameters())
    updater = updater or (lambda: sgd(params, lr))
    state, total_nll, num_tokens, start = None, 0.0, 0, time.perf_counter()
    for X, Y in batches:
        X, Y = X.to(model.device), Y.to(model.device)
        if state is None or not batches.carries_state:
            state = model.begin_state(batch_size=X.shape[0])
        logits, state = model(X, detach(state))
        check_ids(Y, logits.shape[1])
        loss = loss_fn(logits, Y.T.reshape(-1)).mean()  # mean over num_steps * batch_size tokens
        nll = loss.item()  # asked for once: on a GPU it waits for all work so far
        # States that tanh bounds keep even a ruined model's loss finite: beyond all measure is an infinite perplexity.
        if perplexity(nll, 1) == math.inf:
            raise TrainingDiverged(
                f"the loss is {nll}: the updates have become too large (learning rate {lr}, "
                f"clipping radius {theta}). Use a smaller learning rate, or clip the gradients (theta=1)."
            )
        for param in params:
            param.grad = None
        loss.backward()
        if theta is not None:
            clip_gradients(params, theta)
        updater()
        total_nll += nll * Y.numel()
        num_tokens += Y.numel()
    return perplexity(total_nll, num_tokens), num_tokens / (time.perf_counter() - start)


@dataclass
class History:
    """What a training run left behind: a number per epoch, and what the model wrote on the way.

    train_ppl      training perplexity of epochs 1, 2, ...
    held_out_ppl   {epoch: perplexity on text that the model never trained on}
    speeds         tokens per second of each epoch
    samples        {epoch: {prefix: its continuation}}
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
        """Median training speed over the epochs."""
        return median(self.speeds)

    def first_epoch_below(self, ppl):
        """Number of the first epoch whose training perplexity is at most `ppl`, or None."""
        return next((epoch for epoch, value in enumerate(self.train_ppl, start=1) if value <= ppl), None)

    def plot(self, ax=None):
        """Draw perplexity per epoch, training and held-out, with the baselines. Returns the matplotlib figure."""
        return plot_perplexity(self, ax)


def train(model, batches, num_epochs, lr, theta=1.0, *, held_out=None, vocab=None, prefixes=(), every=10,
          updater=None, live=False, progress=False, checkpoint=None):  # fmt: skip
    """Train for `num_epochs` epochs and return the History.

    lr, theta    learning rate and clipping radius (see train_epoch; `updater` replaces sgd)
    held_out     ids that are not in the training text: their perplexity is measured every `every` epochs,
                 and the baselines are counted
    vocab        needed to write out the continuation of each of `prefixes` every `every` epochs, too
    live         redraw the perplexity figure while training (notebooks)
    progress     show a progress bar (scripts)
    checkpoint   path of a file: written every `every` epochs; if it exists, training goes on from there,
                 with the same numbers as a run that was never interrupted (plain sgd only)

    Ctrl-C (the stop button) ends the training early; the History so far is returned, `stopped` says so.
    Raises TrainingDiverged (with `.history`) for a loss that is not a number or beyond all measure.
    """
    check_size("num_epochs", num_epochs)
    check_size("every", every)
    if prefixes and vocab is None:
        raise ValueError("to continue the prefixes, train needs the vocab, too: train(..., vocab=vocab).")
    if checkpoint is not None and updater is not None:
        raise ValueError("a checkpoint holds no optimizer state: leave out `updater`, or `checkpoint`.")
    history = History()
    if held_out is not None:
        history.baselines = baselines(batches.tokens, held_out, model.vocab_size)
    if checkpoint is not None:
        load_checkpoint(checkpoint, model, batches, history)
    figure = LiveFigure(history) if live else None
    try:
        for epoch in epoch_numbers(len(history.train_ppl) + 1, num_epochs, progress):
            ppl, speed = train_epoch(model, batches, lr, theta, updater)
            history.train_ppl.append(ppl)
            history.speeds.append(speed)
            if epoch % every == 0 or epoch == num_epochs:
                if held_out is not None:
                    history.held_out_ppl[epoch] = evaluate(model, held_out, min(batches.batch_size, len(held_out) // 2))
                if prefixes:
                    history.samples[epoch] = {prefix: predict(prefix, 50, model, vocab) for prefix in prefixes}
                if checkpoint is not None:
                    save_checkpoint(checkpoint, model, batches, history)
                if figure:
                    figure.update()
    except KeyboardInterrupt:
        history.stopped = f"interrupted after {len(history.train_ppl)} of {num_epochs} epochs"
    except TrainingDiverged as error:
        history.stopped = f"diverged in epoch {len(history.train_ppl) + 1}"
        error.history = history
        raise
    except OSError as error:  # the checkpoint could not be written
        history.stopped = f"no checkpoint after epoch {len(history.train_ppl)}"
        error.history = history
        raise
    finally:
        if figure:
            figure.close()
    return history


def epoch_numbers(first, last, progress):
    """The numbers first .. last, with a progress bar on stderr if wanted."""
    if not progress:
        return range(first, last + 1)
    from tqdm import tqdm  # loaded when first used

    return tqdm(range(first, last + 1), initial=first - 1, total=last, unit="epoch")
