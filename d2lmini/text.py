"""From a file on disk to token ids: read, normalise, tokenize, count."""

import re
from collections import Counter
from pathlib import Path

import torch

from .book import CHAPTER_FILE, data_path
from .validate import check_whole


def read_text(path=None):
    """Read a text file; without a path, the chapter of The Time Machine that ships with the course.

    UTF-8 (with or without a byte-order mark) and UTF-16 with a mark are recognised; anything else is
    read as Latin-1. Line ends become "\\n". Returns str.

    Raises OSError (FileNotFoundError, IsADirectoryError, ...) if the file can't be opened, and
    ValueError if it's empty or isn't text.
    """
    path = Path(path) if path is not None else data_path(CHAPTER_FILE)
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe or a device would block, or never end
        raise OSError(f"{path} isn't a regular file: choose a plain .txt file.")
    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    control = re.search(r"[\x00-\x08\x0e-\x19\x1b-\x1f]", text)
    if control:
        raise ValueError(
            f"{path} isn't a text file: character {control.start()} is the control character {control.group()!r}. "
            "Choose a plain .txt file."
        )
    if not text or text.isspace():
        raise ValueError(f"{path} is empty: choose a text of at least a few thousand characters.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def normalise(text, form="letters"):
    """Reduce a text to a small set of characters.

    "letters": lower case, and every run of anything but a-z becomes one space (27 characters at most).
    "characters": lower case, every line break becomes a space, punctuation stays.

    A line break always leaves a space behind, so words at line ends stay apart.
    Raises TypeError for anything but str, ValueError for an unknown form or when nothing is left.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, not {type(text).__name__}; read a file with read_text(path).")
    if form == "letters":
        result = re.sub("[^a-z]+", " ", text.lower()).strip()
    elif form == "characters":
        result = re.sub(r"\r\n|\r|\n", " ", text.lower())
    else:
        raise ValueError(f'unknown form {form!r}: use "letters" or "characters".')
    if not result.strip():
        raise ValueError(
            f'nothing is left of the text after normalising it to "{form}": is it empty, or in another alphabet? '
            '"letters" keeps a-z only, "characters" keeps every alphabet.'
        )
    return result


def tokenize(text, token="char"):
    """Split a normalised text into a list of tokens: its characters ("char") or its words ("word").

    Raises ValueError for any other kind of token.
    """
    if token not in ("char", "word"):
        raise ValueError(f'unknown token {token!r}: use "char" or "word".')
    return list(text) if token == "char" else text.split()


TOKENS = (str, bytes, int, tuple)  # what can be a token


class Vocab:
    """A two-way table between tokens and the integers 0 .. len(vocab) - 1.

    tokens           list (or other iterable) of tokens, or of lists of them (lines); a tuple is one token (an n-gram)
    min_freq         tokens seen less often are left out
    reserved_tokens  list of tokens that get the ids right after "<unk>"

    Id 0 is "<unk>", the token for everything unseen; then come `reserved_tokens`, then the tokens
    themselves, most frequent first. `token_freqs` keeps the counts.
    Raises TypeError for a str where a list of tokens is meant.
    Idea: Dive into Deep Learning, chapter on text preprocessing.
    """

    unk = 0

    def __init__(self, tokens=(), min_freq=0, reserved_tokens=()):
        for name, value in (("tokens", tokens), ("reserved_tokens", reserved_tokens)):
            if isinstance(value, (str, bytes, torch.Tensor)):
                kind = type(value).__name__
                raise TypeError(f"{name} must be a list of tokens, not a {kind}: tokenize(text) makes one.")
        self.token_freqs = Counter(flatten(tokens)).most_common()
        self.reserved_tokens = list(dict.fromkeys(["<unk>", *reserved_tokens]))
        for token in (*self.reserved_tokens, *dict(self.token_freqs)):
            if not isinstance(token, TOKENS):
                raise TypeError(f"a token must be a str or a tuple, not a {type(token).__name__}: see tokenize(text).")
        kept = [token for token, freq in self.token_freqs if freq >= min_freq]
        self.idx_to_token = list(dict.fromkeys([*self.reserved_tokens, *kept]))
        self.token_to_idx = {token: idx for idx, token in enumerate(self.idx_to_token)}

    def __len__(self):
        return len(self.idx_to_token)

    def __contains__(self, token):
        return token in self.token_to_idx

    def __getitem__(self, tokens):
        """Id of one token, or the list of ids of a list of tokens; unseen tokens have id 0.

        Raises TypeError for what can't be a token: a tensor, for example, holds ids already.
        """
        if isinstance(tokens, list):
            return [self[token] for token in tokens]
        if not isinstance(tokens, TOKENS):
            raise TypeError(
                f"vocab[...] takes a token or a list of tokens, not a {type(tokens).__name__}: "
                "list(tokens) makes a list, and to_tokens(ids) turns ids back into tokens."
            )
        return self.token_to_idx.get(tokens, self.unk)

    def to_tokens(self, indices):
        """Token of one id, or the list of tokens of a list or tensor of ids.

        Raises IndexError for an id that the vocabulary doesn't have, TypeError for anything but integers.
        """
        if hasattr(indices, "tolist"):
            indices = indices.tolist()
        if isinstance(indices, (list, tuple)):
            return [self.to_tokens(index) for index in indices]
        check_whole("an id", indices)
        if not 0 <= indices < len(self):
            raise IndexError(f"id {indices} isn't in the vocabulary: ids run from 0 to {len(self) - 1}.")
        return self.idx_to_token[indices]


def flatten(tokens):
    """The tokens themselves, one after another, whether they come in one list or in a list for each line."""
    for item in tokens:
        if isinstance(item, list):
            yield from item
        else:
            yield item


def load_corpus(text=None, form="letters", num_train=10_000):
    """From text to ids in one call: (train, held_out, vocab).

    `text` defaults to the chapter that ships. `train` holds the ids of the first `num_train` characters
    of the normalised text, `held_out` all that follow (two 1-D tensors of int64 that never overlap).
    The vocabulary is made from the training part, and characters that occur only in the rest have id 0.

    Raises ValueError unless `num_train` is from 1 to the length of the normalised text, or if `form` is unknown;
    TypeError if `text` isn't a str, or `num_train` isn't an integer.
    """
    tokens = tokenize(normalise(read_text() if text is None else text, form))
    check_whole("num_train", num_train)
    if not 0 < num_train <= len(tokens):
        raise ValueError(
            f"num_train is {num_train}, but the normalised text has {len(tokens)} characters: "
            f"choose num_train from 1 to {len(tokens)}, or a longer text."
        )
    vocab = Vocab(tokens[:num_train])
    ids = torch.tensor(vocab[tokens])
    return ids[:num_train], ids[num_train:], vocab
