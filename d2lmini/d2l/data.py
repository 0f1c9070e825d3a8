"""The Time Machine as lines, tokens, a vocabulary and minibatches, by the names of the book."""

import random
import re
from collections import Counter
from functools import cache

from .. import batches, book, text

DATA_URL = book.BOOK_URL
DATA_HUB = {"time_machine": (DATA_URL + book.BOOK_FILE, book.BOOK_SHA1)}


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
        print("The whole book couldn't be downloaded, so this is its first chapter, which ships with the course.")
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


def count_corpus(tokens):
    """How often each token occurs in a list of tokens or of lines. Returns collections.Counter."""
    return Counter(text.flatten(tokens))


class Vocab(text.Vocab):
    """The course's Vocab with the book's arguments; tokens may be tuples (n-grams)."""

    def __init__(self, tokens=None, min_freq=0, reserved_tokens=None):
        super().__init__(() if tokens is None else tokens, min_freq, reserved_tokens or ())


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
