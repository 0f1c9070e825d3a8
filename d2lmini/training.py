"""Train a language model: one epoch, and a whole run that is measured on the way."""

import math
import time
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from .baselines import baselines
from .batches import time_major
from .checkpoints import load_checkpoint, save_checkpoint
from .generate import check_prefix, predict
from .metrics import History, evaluate, perplexity
from .model import reading
from .plotting import LiveFigure
from .validate import check_ids, check_size

PREDICTED = 50  # characters that continue each prefix


class TrainingDiverged(ArithmeticError):
    """The loss isn't a number, or is too large for a perplexity. `history` holds the epochs before it."""

    history = None


def clip_gradients(params, theta):
    """Scale all gradients together so that their joint norm is at most `theta`; their direction stays.

    Works in place on the gradients of `params` (those that have one) and returns the norm before clipping,
    a float. Idea: Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks (2013).
    Raises ValueError if `theta` isn't above 0.
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
    """The same state, cut off from the graph of the minibatches before: a tuple of tensors."""
    return tuple(part.detach() for part in state)


def minibatch_loss(model, X, Y, state, loss_fn=F.cross_entropy):
    """Mean loss (nats per token) of one minibatch, and the state after it."""
    logits, state = model(X.to(model.device), state)
    check_ids(Y, logits.shape[1])  # before the move: on a GPU, looking would wait for all work so far
    return loss_fn(logits, time_major(Y).long().to(model.device)).mean(), state


def train_epoch(model, batches, lr, theta=1.0, updater=None, loss_fn=F.cross_entropy):
    """One pass over the minibatches; returns (training perplexity, tokens per second).

    The perplexity is that of the whole epoch: exp of the summed loss over the number of tokens, while the
    parameters move. The state starts from zero, carries over (detached) if the sampler says so, and
    starts anew with every minibatch if not. Gradients are clipped to the norm `theta` (None: not at all),
    then `updater()` changes the parameters; by default that is sgd with learning rate `lr`. `loss_fn(logits, targets)`
    stands for the mean negative log-likelihood in nats.

    Raises TrainingDiverged when the loss isn't a number or its perplexity infinite (from 700 nats on); the
    parameters are then as they were before it.
    """
    params = list(model.parameters())
    updater = updater or (lambda: sgd(params, lr))
    state, total_nll, num_tokens, start = None, 0.0, 0, time.perf_counter()
    for X, Y in batches:
        if state is None or not batches.carries_state:
            state = model.begin_state(X.shape[0])
        loss, state = minibatch_loss(model, X, Y, detach(state), loss_fn)
        nll = check_loss(loss, lr, theta)
        for param in params:
            param.grad = None
        loss.backward()
        if theta is not None:
            clip_gradients(params, theta)
        updater()
        total_nll += nll * Y.numel()
        num_tokens += Y.numel()
    return perplexity(total_nll, num_tokens), num_tokens / (time.perf_counter() - start)


def check_loss(loss, lr, theta):
    """The loss (nats per token) as a float. Raises TrainingDiverged unless it has a finite perplexity."""
    nll = loss.item()  # asked for once: on a GPU it waits for all work so far
    # States that tanh bounds keep even a ruined model's loss finite, so the line is drawn at an infinite perplexity.
    if perplexity(nll, 1) == math.inf or nll != nll:
        raise TrainingDiverged(
            f"the loss is {nll}: the updates have become too large (learning rate {lr}, clipping threshold {theta}). "
            "Use a smaller learning rate, or clip so that learning rate times threshold is at most 1."
        )
    return nll


@dataclass
class Watch:
    """What `train` looks at every `every` epochs. Looking changes nothing: the weights stay the same bit for bit.

    held_out  ids that aren't in the training text: their perplexity is measured, and the baselines are counted
    vocab     needed for `prefixes`
    prefixes  list of str: the model continues each of them by 50 characters
    """

    held_out: object = None
    vocab: object = None
    prefixes: tuple = ()
    every: int = 10

    def check(self, model):
        """Raise TypeError or ValueError if anything in here would fail in the middle of a training run."""
        check_size("every", self.every)
        if isinstance(self.prefixes, str):
            raise TypeError(f"prefixes must be a list of str, not a str: prefixes=[{self.prefixes!r}].")
        if self.prefixes and self.vocab is None:
            raise ValueError("to continue the prefixes, Watch needs the vocab, too: Watch(vocab=vocab, prefixes=...).")
        if self.vocab is not None and len(self.vocab) != model.vocab_size:
            raise ValueError(f"the vocabulary has {len(self.vocab)} tokens, but the model {model.vocab_size}.")
        for prefix in self.prefixes:
            check_prefix(prefix, self.vocab)
        if self.held_out is not None:
            if len(self.held_out) < 2:
                raise ValueError(f"held_out needs at least 2 tokens, not {len(self.held_out)}.")
            check_ids(torch.as_tensor(self.held_out), model.vocab_size)

    def look(self, model, epoch, history, batch_size):
        """Add to the history what the model does after `epoch` epochs."""
        if self.held_out is not None:
            history.held_out_ppl[epoch] = evaluate(model, self.held_out, min(batch_size, len(self.held_out) // 2))
        if self.prefixes:
            history.samples[epoch] = {prefix: predict(model, self.vocab, prefix, PREDICTED) for prefix in self.prefixes}


def train(model, batches, num_epochs, lr, theta=1.0, *, updater=None, watch=None, show=None, checkpoint=None):
    """Train for `num_epochs` epochs and return the History.

    lr, theta   learning rate and clipping threshold (see train_epoch); `updater` replaces sgd
    watch       a Watch: what to measure on the way
    show        "figure" redraws the perplexity figure while training (notebooks), "bar" shows a progress bar (scripts)
    checkpoint  path of a file: written whenever `watch` looks; if it exists, training goes on from there,
                with the same numbers as a run that was never interrupted (plain sgd only)

    All of it is checked before the first epoch. Ctrl-C (the stop button) ends the training run early; the History so
    far is returned, `stopped` says so. Any exception later carries the History so far as its `.history`.
    Raises TrainingDiverged for a loss that isn't a number or is too large.
    """
    check_size("num_epochs", num_epochs)
    watch = watch or Watch()
    watch.check(model)
    if show not in (None, "figure", "bar"):
        raise ValueError(f'show must be None, "figure" or "bar", not {show!r}.')
    if checkpoint is not None and updater is not None:
        raise ValueError("a checkpoint holds no optimizer state: leave out `updater`, or `checkpoint`.")
    check_ids(batches.tokens, model.vocab_size)
    history = History()
    if watch.held_out is not None:
        history.baselines = baselines(batches.tokens, watch.held_out, model.vocab_size)
    if checkpoint is not None:
        load_checkpoint(model, batches, history, checkpoint)
    figure = LiveFigure(history, num_epochs) if show == "figure" else None
    try:
        for epoch in epoch_numbers(len(history.train_ppl) + 1, num_epochs, show == "bar"):
            batches.epoch = epoch
            ppl, speed = train_epoch(model, batches, lr, theta, updater)
            if epoch % watch.every == 0 or epoch == num_epochs:
                check_alive(model, batches, lr, theta)
            history.train_ppl.append(ppl)
            history.speeds.append(speed)
            if epoch % watch.every == 0 or epoch == num_epochs:
                watch.look(model, epoch, history, batches.batch_size)
                if checkpoint is not None:
                    save_checkpoint(model, batches, history, checkpoint)
            if figure:
                figure.update()
    except KeyboardInterrupt:
        history.stopped = f"interrupted after {len(history.train_ppl)} of {num_epochs} epochs"
    except TrainingDiverged as error:
        history.stopped = f"diverged in epoch {len(history.train_ppl) + 1}"
        error.history = history
        raise
    except Exception as error:
        history.stopped = f"{type(error).__name__} in epoch {len(history.train_ppl) + 1}"
        error.history = history
        raise
    finally:
        if figure:
            figure.close()
    return history


def check_alive(model, batches, lr, theta):
    """Raise TrainingDiverged if the last update has ruined the model: nothing of it is measured or stored then."""
    X, Y = next(iter(batches))
    with reading(model):
        check_loss(minibatch_loss(model, X, Y, model.begin_state(X.shape[0]))[0], lr, theta)


def epoch_numbers(first, last, progress):
    """The numbers first .. last, with a progress bar on stderr if wanted."""
    if not progress:
        return range(first, last + 1)
    from tqdm import tqdm  # loaded when first used

    return tqdm(range(first, last + 1), initial=first - 1, total=last, unit="epoch")
