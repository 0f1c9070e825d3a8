"""The names of Dive into Deep Learning (its package d2l 0.17, the PyTorch side) on top of this package's own functions.

    from d2lmini import d2l  # instead of: from d2l import torch as d2l

With that one line changed, the code of the chapters on text preprocessing, language-model data, recurrent
networks (from scratch and concise), GRU, LSTM and deep networks runs as printed. Names and arguments are
the book's; where a result differs from the book's, the docstring says so in a sentence that begins "Differs:".
"""

import random
import re
import warnings
from collections import Counter
from functools import cache, partial
from statistics import median

import numpy as np
import torch
from torch import (
    Tensor, abs, arange, cos, cosh, exp, eye, float32, int32, int64, linspace, log, matmul, nn, normal, ones,
    rand, randn, sin, sinh, stack, tanh, tensor, zeros,
)  # fmt: skip

from .. import batches, book, generate, metrics, model, text, training, validate
from ..model import RNNModelScratch, try_gpu
from .figures import Accumulator, Animator, Timer, plot, set_axes, set_figsize, use_svg_display

DATA_URL = book.BOOK_URL
DATA_HUB = {"time_machine": (DATA_URL + book.BOOK_FILE, book.BOOK_SHA1)}

# The names by which the chapters call the methods of tensors; torch's own functions are imported above.
concat, meshgrid = torch.cat, partial(torch.meshgrid, indexing="ij")
size, reshape, to, astype, transpose = Tensor.numel, Tensor.reshape, Tensor.to, Tensor.type, Tensor.t
reduce_sum, reduce_mean, argmax = Tensor.sum, Tensor.mean, Tensor.argmax


def numpy(x):
    """A tensor as a NumPy array, whether or not it takes part in a graph."""
    return x.detach().cpu().numpy()


def __getattr__(name):
    if name == "plt":  # loaded when first used, so that importing this module stays cheap
        import matplotlib.pyplot

        return matplotlib.pyplot
    raise AttributeError(f"d2lmini.d2l has no {name!r}: it covers the chapters on recurrent networks only.")


def download(name, cache_dir=None):
    """Path (str) of the book "time_machine", fetched once, checked, and kept in `cache_dir` (the user's cache folder).

    Differs: without a network it is the path of the chapter that ships with the course, and a line says so.
    Raises ValueError for any other name, or when DATA_HUB gives the book another address or hash.
    """
    if name != "time_machine" or DATA_HUB.get(name) != (DATA_URL + book.BOOK_FILE, book.BOOK_SHA1):
        raise ValueError(
            f"download serves only 'time_machine' from {DATA_URL + book.BOOK_FILE}, not {name!r} from "
            f"{DATA_HUB.get(name, ('nowhere',))[0]}: open other texts with d2lmini.read_text(path)."
        )
    return book_or_chapter(cache_dir)


@cache  # one answer a session: the text does not change under a program when the network comes or goes
def book_or_chapter(folder):
    """Path of the whole book, or without a network of the chapter that ships."""
    try:
        return str(book.download_book(folder))
    except ConnectionError:
        print("The whole book could not be downloaded: this is its first chapter, which ships with the course.")
        return str(book.data_path(book.CHAPTER_FILE))


def read_time_machine():
    """The Time Machine as a list of lines of lower-case letters and single spaces; empty lines stay, as ""."""
    lines = text.read_text(download("time_machine")).splitlines()
    return [text.normalise(line) if re.search("[A-Za-z]", line) else "" for line in lines]


def tokenize(lines, token="word"):
    """Each line as a list of its words ("word") or characters ("char"). Raises ValueError for any other kind."""
    if isinstance(lines, str):
        raise TypeError("tokenize takes a list of lines, not a str: use tokenize([text], token).")
    return [text.tokenize(line, token) for line in lines]


def flatten(tokens):
    """One list of tokens from a list of lines, or the tokens themselves. A tuple is a token (a pair of words)."""
    return [token for line in tokens for token in line] if tokens and isinstance(tokens[0], list) else list(tokens)


def count_corpus(tokens):
    """How often each token occurs in a list of tokens or of lines. Returns collections.Counter."""
    return Counter(flatten(tokens))


class Vocab(text.Vocab):
    """The course's Vocab with the book's arguments; tokens may be tuples (n-grams)."""

    def __init__(self, tokens=None, min_freq=0, reserved_tokens=None):
        if isinstance(tokens, str):
            raise TypeError("tokens must be a list of tokens or of lines, not a str: use tokenize([text]) first.")
        super().__init__([flatten(tokens or [])], min_freq, reserved_tokens or ())


def load_corpus_time_machine(max_tokens=-1):
    """The book as character ids (a list, at most `max_tokens` if that is above 0) and the Vocab of the whole text.

    Differs: a space stays between the last word of a line and the first of the next, so they are not glued together.
    """
    tokens = list(" ".join(line for line in read_time_machine() if line))
    vocab = Vocab(tokens)
    return vocab[tokens[:max_tokens] if max_tokens > 0 else tokens], vocab


def seq_data_iter_random(corpus, batch_size, num_steps):
    """One epoch of RandomBatches; random.seed makes it repeatable. Differs: too short a corpus raises ValueError."""
    return iter(batches.RandomBatches(corpus, batch_size, num_steps, seed=random.getrandbits(32)))


def seq_data_iter_sequential(corpus, batch_size, num_steps):
    """One epoch of SequentialBatches; random.seed makes it repeatable.

    Differs: the random start never costs a minibatch, and too short a corpus raises ValueError.
    """
    return iter(batches.SequentialBatches(corpus, batch_size, num_steps, seed=random.getrandbits(32)))


class SeqDataLoader:
    """Minibatches of The Time Machine; `held_out` has the ids that follow the first `max_tokens`.

    Differs: every new loader starts from the same seed, so that runs can be repeated.
    """

    def __init__(self, batch_size, num_steps, use_random_iter, max_tokens):
        corpus, self.vocab = load_corpus_time_machine()
        end = max_tokens if max_tokens > 0 else len(corpus)
        self.corpus, self.held_out = corpus[:end], corpus[end:]
        self.batch_size, self.num_steps = batch_size, num_steps
        sampler = batches.RandomBatches if use_random_iter else batches.SequentialBatches
        self.batches = sampler(self.corpus, batch_size, num_steps)
        self.carries_state = self.batches.carries_state

    def __iter__(self):
        pairs = iter(list(self.batches))
        self.batches.epoch += 1  # the book's loops don't count epochs: each iteration is the next one
        return pairs

    def __len__(self):
        return len(self.batches)


def load_data_time_machine(batch_size, num_steps, use_random_iter=False, max_tokens=10000):
    """The minibatches and the vocabulary of The Time Machine: (SeqDataLoader, Vocab)."""
    data_iter = SeqDataLoader(batch_size, num_steps, use_random_iter, max_tokens)
    return data_iter, data_iter.vocab


def try_all_gpus():
    """All CUDA devices, or a list of the one device that try_gpu() finds."""
    return [torch.device("cuda", i) for i in range(torch.cuda.device_count())] or [try_gpu()]


class RNNModel(model.RNNModel):
    """The course's RNNModel, with the arguments of `begin_state` in the book's order and the states of the layers."""

    def begin_state(self, device=None, batch_size=1):
        if isinstance(device, int):
            raise TypeError(
                "the book's order is begin_state(device, batch_size); d2lmini's own functions take a d2lmini.RNNModel."
            )
        return layer_state(self.zeros(batch_size, device))

    def forward(self, inputs, state):
        logits, state = super().forward(inputs, (state,) if isinstance(state, Tensor) else state)
        return logits, layer_state(state)


def layer_state(state):
    """The course's state, a tuple, as torch's layers want it: a tensor, or for an LSTM a tuple of two."""
    return state[0] if len(state) == 1 else state


class BookModel:
    """Any model in the book's style as a LanguageModel: batch size first, the state a tuple."""

    def __init__(self, net, device, vocab_size=None):
        self.net, self.device, self.vocab_size = net, torch.device(device), vocab_size

    def parameters(self):
        return list(self.net.parameters() if isinstance(self.net, nn.Module) else self.net.params)

    def begin_state(self, batch_size):
        state = self.net.begin_state(batch_size=batch_size, device=self.device)
        self.bare = isinstance(state, Tensor)  # the book's states are tensors, tuples or lists of them
        return (state,) if self.bare else tuple(state)

    def __call__(self, X, state):
        logits, state = self.net(X, state[0] if self.bare else state)
        return logits, (state,) if isinstance(state, Tensor) else tuple(state)

    def modules(self):
        return self.net.modules() if isinstance(self.net, nn.Module) else []


class BookBatches:
    """Any iterable of minibatches with the word of its sampler, or else of `use_random_iter`, on the state."""

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


def as_vocab(vocab):
    """A learner's own Vocab as the course's; the book's has no `in`."""
    if isinstance(vocab, text.Vocab):
        return vocab
    result = text.Vocab(vocab.idx_to_token)
    if result.idx_to_token != list(vocab.idx_to_token):
        raise ValueError('the first entry of vocab.idx_to_token must be "<unk>", and no token may occur twice.')
    return result


def predict_ch8(prefix, num_preds, net, vocab, device):
    """Continue `prefix` by `num_preds` characters, the likeliest each time.

    Differs: no graph is built, "<unk>" is never written, and an empty prefix or unknown characters raise ValueError.
    """
    return generate.predict(BookModel(net, device, len(vocab)), as_vocab(vocab), prefix, num_preds)


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

    Differs: the sampler's own word on the state wins over `use_random_iter` (with a warning), and a loss that is
    infinite or not a number raises TrainingDiverged.
    """
    step = updater.step if isinstance(updater, torch.optim.Optimizer) else lambda: updater(batch_size=1)
    data = BookBatches(train_iter, use_random_iter)
    return training.train_epoch(BookModel(net, device), data, "of the updater", updater=step, loss_fn=loss)


def train_ch8(net, train_iter, vocab, lr, num_epochs, device, use_random_iter=False):
    """Train with sgd and clipping at 1; plot the perplexity, and print what the model writes on the way and at the end.

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
