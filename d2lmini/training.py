"""Train a language model: one epoch, and a whole run that is measured on the way."""

import math
import sys
import time
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from .batches import time_major
from .checkpoints import fingerprint, load_checkpoint, save_checkpoint
from .counting import baselines
from .generate import check_prefix, predict
from .metrics import History, evaluate, perplexity
from .plotting import LiveFigure
from .threads import pace
from .validate import as_ids, check_ids, check_positive, check_size, check_vocab, check_vocab_size

PREDICTED = 50  # characters that continue each prefix
PROBED = 64  # tokens of each sequence that tell whether a model is alive
# Nats per token: the probability e^-104 is 0 in single precision. States that tanh bounds keep even a ruined model's
# loss finite, so the line is drawn here and not at infinity.
LARGEST_LOSS = 104.0


class TrainingDiverged(ArithmeticError):
    """The loss isn't a number, or is too large for the model to recover. `history` holds the epochs before it."""

    history = None


def clip_gradients(params, theta):
    """Scale all gradients together so that their joint norm is at most `theta`; their direction stays.

    Works in place on the gradients of `params` (those that have one) and returns the norm before clipping, a tensor
    without dimensions. It stays on the device, because reading its value would wait for all work so far. Whatever
    number type the gradients have, the norm is added up in single precision at least. Idea: Pascanu, Mikolov and
    Bengio, On the difficulty of training recurrent neural networks (2013).
    Raises ValueError if `theta` isn't above 0.
    """
    if not theta > 0:
        raise ValueError(f"theta, the largest norm allowed, must be above 0, not {theta}.")
    grads = [param.grad for param in params if param.grad is not None]
    if not grads:
        return torch.zeros(())
    dtypes = [torch.promote_types(grad.dtype, torch.float32) for grad in grads]
    norms = [torch.linalg.vector_norm(grad, dtype=dtype) for grad, dtype in zip(grads, dtypes)]
    norm = torch.linalg.vector_norm(torch.stack(norms))
    factor = torch.where(norm > theta, theta / norm, 1.0)
    for grad in grads:
        grad *= factor
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

    The perplexity is measured over the whole epoch, while the parameters move: exp of the summed loss divided by the
    number of tokens. The state starts from zero, carries over (detached) if the sampler says so, and
    starts anew with every minibatch if not. Gradients are clipped to the norm `theta` (None: not at all),
    then `updater()` changes the parameters; by default that is sgd with learning rate `lr`. `loss_fn(logits, targets)`
    stands for the mean negative log-likelihood in nats.

    Raises TrainingDiverged when the loss isn't a number or above 104 nats per token, where the probability of the
    true token is 0 in single precision; the parameters are then as they were before that minibatch.
    """
    params = list(model.parameters())
    updater = updater or (lambda: sgd(params, lr))
    state, total_nll, num_tokens, start = None, 0.0, 0, time.perf_counter()
    for X, Y in batches:
        pace.keep()
        if state is None or not batches.carries_state:
            state = model.begin_state(X.shape[0])
        loss, state = minibatch_loss(model, X, Y, detach(state), loss_fn)
        nll = check_loss(loss.item(), lr, theta)  # asked for once: on a GPU it waits for all work so far
        for param in params:
            param.grad = None
        loss.backward()
        if theta is not None:
            clip_gradients(params, theta)
        updater()
        total_nll += nll * Y.numel()
        num_tokens += Y.numel()
    return perplexity(total_nll, num_tokens), num_tokens / (time.perf_counter() - start)


def check_loss(nll, lr, theta):
    """The loss `nll` (a float, nats per token). Raises TrainingDiverged if it isn't a number or above LARGEST_LOSS."""
    if not nll <= LARGEST_LOSS:
        raise TrainingDiverged(
            f"the loss is {nll}: the updates have become too large (learning rate {lr}, clipping threshold {theta}). "
            "Use a smaller learning rate, or clip so that learning rate times threshold is at most 1."
        )
    return nll


@dataclass
class Watch:
    """What `train` looks at every `every` epochs, and after the last. Looking changes no bit of the weights.

    held_out  ids that aren't in the training text: their perplexity is measured, and the baselines are counted
    vocab     needed for `prefixes`
    prefixes  list of str: the model continues each of them by 50 characters
    """

    held_out: object = None
    vocab: object = None
    prefixes: tuple = ()
    every: int = 10

    def __post_init__(self):
        if isinstance(self.prefixes, str):
            raise TypeError(f"prefixes must be a list of str, not a str: prefixes=[{self.prefixes!r}].")
        self.prefixes = tuple(self.prefixes)

    def check(self, model):
        """Raise TypeError or ValueError if anything in here would fail in the middle of a training run."""
        check_size("every", self.every)
        if self.prefixes and self.vocab is None:
            raise ValueError("to continue the prefixes, Watch needs the vocab, too: Watch(vocab=vocab, prefixes=...).")
        if self.vocab is not None:
            check_vocab_size(self.vocab, model)
        if self.prefixes:
            check_vocab(self.vocab)
        for prefix in self.prefixes:
            check_prefix(prefix, self.vocab)
        if self.held_out is not None:
            check_text("held_out", self.held_out, model.vocab_size)

    def look(self, model, epoch, history, batch_size):
        """Add to the history what the model does after `epoch` epochs."""
        if self.held_out is not None:
            history.held_out_ppl[epoch] = evaluate(model, self.held_out, min(batch_size, len(self.held_out) // 2))
        if self.prefixes:
            history.samples[epoch] = {prefix: predict(model, self.vocab, prefix, PREDICTED) for prefix in self.prefixes}

    def settings(self, lr, theta):
        """What the curves of a training run depend on besides its model and its minibatches, for its checkpoint."""
        return {
            "learning rate": float(lr),
            "clipping threshold": theta if theta is None else float(theta),
            "held-out text": None if self.held_out is None else fingerprint(self.held_out),
            "prefixes": self.prefixes,
        }


def train(model, batches, num_epochs, lr, theta=1.0, *, updater=None, watch=None, show=None, checkpoint=None):
    """Train for `num_epochs` epochs and return the History.

    lr, theta   learning rate and clipping threshold (see train_epoch); `updater` replaces sgd
    watch       a Watch: what to measure on the way
    show        "figure" redraws the perplexity figure while training (notebooks), "bar" shows a progress bar (scripts)
    checkpoint  path of a file: written whenever `watch` looks; if it exists, training goes on from there,
                with the same numbers as a run that was never interrupted (plain sgd only). It must have been made
                with the same model, minibatches, lr, theta, held-out text and prefixes, in at most `num_epochs` epochs

    All arguments are checked before the first epoch. Ctrl-C (the stop button) ends the training run early and returns
    the History so far; its `stopped` says why. Any later exception carries the History so far as its `.history`.
    Raises TrainingDiverged for a loss that isn't a number or is too large.
    """
    watch = Watch() if watch is None else watch
    check_run(model, batches, num_epochs, lr, theta, updater, show, checkpoint)
    if not isinstance(watch, Watch):
        raise TypeError(f"watch must be a Watch, not {type(watch).__name__}: watch=Watch(held_out=...).")
    watch.check(model)
    history = History()
    if checkpoint is not None:
        load_checkpoint(model, batches, history, checkpoint, watch.settings(lr, theta), num_epochs)
    if watch.held_out is not None:
        history.baselines = baselines(batches.tokens, watch.held_out, model.vocab_size)
    pace.start()
    try:
        with closing(LiveFigure(history, num_epochs)) if show == "figure" else nullcontext() as figure:
            for epoch in epoch_numbers(len(history.train_ppl) + 1, num_epochs, show == "bar"):
                batches.epoch = epoch
                ppl, speed = train_epoch(model, batches, lr, theta, updater)
                looks = epoch % watch.every == 0 or epoch == num_epochs
                if looks:
                    check_alive(model, batches, lr, theta)
                history.train_ppl.append(ppl)
                history.speeds.append(speed)
                if looks:
                    watch.look(model, epoch, history, batches.batch_size)
                    if checkpoint is not None:
                        save_checkpoint(model, batches, history, checkpoint, watch.settings(lr, theta))
                if figure:
                    figure.update()
    except KeyboardInterrupt:
        history.stopped = f"interrupted after {len(history.train_ppl)} of {num_epochs} epochs"
    except TrainingDiverged as error:
        history.stopped = f"diverged in epoch {len(history.train_ppl) + 1}"
        error.history = history
        raise
    except BaseException as error:
        history.stopped = f"{type(error).__name__} after {len(history.train_ppl)} of {num_epochs} epochs"
        with suppress(Exception):  # an exception that takes no attribute is still the one to see
            error.history = history
        raise
    finally:
        pace.stop()
    return history


def check_run(model, batches, num_epochs, lr, theta, updater, show, checkpoint):
    """Raise TypeError or ValueError for arguments of `train` that would fail, or ruin the model, later on."""
    check_size("num_epochs", num_epochs)
    if updater is None:
        check_positive("lr", lr)
        if not lr < math.inf:
            raise ValueError(f"lr must be finite, not {lr}.")
    elif not callable(updater):
        raise TypeError(f"updater must be a function without arguments (optimizer.step), not {updater!r}.")
    if theta is not None:
        check_positive("theta", theta)
    if show not in (None, "figure", "bar"):
        raise ValueError(f'show must be None, "figure" or "bar", not {show!r}.')
    if checkpoint is not None and updater is not None:
        raise ValueError("a checkpoint holds no optimizer state: leave out `updater`, or `checkpoint`.")
    for name in ("vocab_size", "parameters"):
        if not hasattr(model, name):
            raise TypeError(
                f"model must be an RNNModelScratch, RNNModelByHand or RNNModel; {type(model).__name__} has no {name}."
            )
    missing = [
        name for name in ("tokens", "batch_size", "carries_state", "epoch", "__iter__") if not hasattr(batches, name)
    ]
    if missing:
        raise TypeError(
            f"batches must be SequentialBatches or RandomBatches; {type(batches).__name__} has no {missing[0]}."
        )
    check_text("the training text", batches.tokens, model.vocab_size)
    params = list(model.parameters())
    if not any(param.requires_grad for param in params):
        raise ValueError(
            "none of the model's parameters has requires_grad=True, so there is nothing to train: set it first."
        )
    if not all(param.isfinite().all() for param in params):
        raise ValueError(
            "the model's parameters aren't all finite numbers: an earlier run has ruined them. Make a new model."
        )


def check_text(name, tokens, vocab_size):
    """Raise TypeError or ValueError unless `tokens` are at least 2 ids, one after another, that the model knows."""
    tokens = as_ids(tokens)
    if tokens.dim() != 1:
        raise ValueError(f"{name} must be 1-D, ids one after another, not of shape {tuple(tokens.shape)}.")
    if len(tokens) < 2:
        raise ValueError(f"{name} needs at least 2 tokens, not {len(tokens)}: use a longer text.")
    check_ids(tokens, vocab_size)


def check_alive(model, batches, lr, theta):
    """Raise TrainingDiverged if the last update has ruined the model, which is then neither measured nor stored.

    It reads the beginning of the training text and takes nothing from `batches`, so the training run isn't affected.
    """
    tokens = batches.tokens[: PROBED * batches.batch_size]
    ppl = evaluate(model, tokens, min(batches.batch_size, len(tokens) // 2), PROBED)
    check_loss(math.log(ppl), lr, theta)


class Unheard:
    """A stream whose reader may go away: a progress bar that nobody sees must not end a training run."""

    def __init__(self, stream):
        self.stream = stream

    def write(self, text):
        with suppress(OSError, ValueError):  # a closed pipe, a full device, a closed file
            self.stream.write(text)

    def flush(self):
        with suppress(OSError, ValueError):
            self.stream.flush()

    def __getattr__(self, name):
        return getattr(self.stream, name)


def epoch_numbers(first, last, progress):
    """The numbers first .. last, with a progress bar on stderr if wanted."""
    if not progress or sys.stderr is None:
        return range(first, last + 1)
    from tqdm import tqdm  # loaded when first used

    bar = {"initial": first - 1, "total": last, "unit": "epoch", "dynamic_ncols": True}
    return tqdm(range(first, last + 1), file=Unheard(sys.stderr), **bar)
