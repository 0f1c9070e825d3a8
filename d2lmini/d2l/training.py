"""Training by the names of the book, through the course's own train_epoch."""

import warnings
from statistics import median

import torch

from .. import metrics, training, validate
from .figures import Animator
from .models import BookModel, predict_ch8


class BookBatches:
    """Any iterable of minibatches; its sampler says whether the state carries over, or else `use_random_iter` does."""

    def __init__(self, train_iter, use_random_iter):
        self.train_iter, self.carries_state = train_iter, getattr(train_iter, "carries_state", not use_random_iter)
        if self.carries_state == bool(use_random_iter):
            kind, fate = ("sequential", "carries over") if self.carries_state else ("random", "starts anew each time")
            warnings.warn(
                f"use_random_iter={use_random_iter}, but these minibatches are {kind}: the state {fate}, as they need. "
                f"Say use_random_iter={not use_random_iter} here, or {use_random_iter} where they are made "
                "(load_data_time_machine).",
                stacklevel=3,
            )

    def __iter__(self):
        found = False
        for X, Y in self.train_iter:
            found = True
            yield X, Y.long()
        if not found:
            raise ValueError(
                "train_iter gave no minibatch: the text is too short for one, or it is a generator that an epoch "
                "has used up already (give an object that can be iterated over again)."
            )


def grad_clipping(net, theta):
    """Scale the gradients of a model in place so that their joint norm is at most `theta`."""
    training.clip_gradients(BookModel(net, "cpu").parameters(), theta)


def sgd(params, lr, batch_size):
    """One step of minibatch gradient descent, in place; then the gradients are zero."""
    params = list(params)
    training.sgd(params, lr / batch_size)
    for param in params:
        if param.grad is not None:
            param.grad.zero_()


def train_epoch_ch8(net, train_iter, loss, updater, device, use_random_iter):
    """One epoch; returns (perplexity, tokens per second). `updater`: a torch optimizer or updater(batch_size=1).

    Differs: what the sampler says about the state wins over `use_random_iter` (with a warning), and a loss that isn't
    a number or is above 104 raises TrainingDiverged.
    """
    step = updater.step if isinstance(updater, torch.optim.Optimizer) else lambda: updater(batch_size=1)
    data = BookBatches(train_iter, use_random_iter)
    return training.train_epoch(BookModel(net, device), data, "of the updater", updater=step, loss_fn=loss)


def train_ch8(net, train_iter, vocab, lr, num_epochs, device, use_random_iter=False):
    """Train with sgd and clipping at 1; plot the perplexity, and print what it generates on the way and at the end.

    Differs: as train_epoch_ch8; it also prints the perplexity on the text that follows the training text
    (`train_iter.held_out`), the speed is the median over the epochs, and a prefix that has characters outside
    the vocabulary is left out.
    """
    validate.check_size("num_epochs", num_epochs)
    runner, data = BookModel(net, device, len(vocab)), BookBatches(train_iter, use_random_iter)
    prefixes = [prefix for prefix in ("time traveller", "traveller") if set(prefix) <= set(vocab.token_to_idx)]
    animator = Animator(xlabel="epoch", ylabel="perplexity", legend=["train"], xlim=[0, num_epochs])
    speeds, every = [], max(10, num_epochs // 10)
    for epoch in range(1, num_epochs + 1):
        ppl, speed = training.train_epoch(runner, data, lr)
        animator.add(epoch, ppl)
        speeds.append(speed)
        if epoch % every == 0 and prefixes:
            print(predict_ch8(prefixes[0], 50, net, vocab, device))
    print(f"perplexity {ppl:.1f}, {median(speeds):.1f} tokens/sec on {device}")
    held_out = getattr(train_iter, "held_out", ())
    if len(held_out) > 1:
        unseen = metrics.evaluate(runner, torch.tensor(held_out), min(32, len(held_out) // 2))
        print(f"perplexity {unseen:.1f} on the text that follows, which it has never seen")
    for prefix in prefixes:
        print(predict_ch8(prefix, 50, net, vocab, device))
