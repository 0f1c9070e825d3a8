"""From a file on disk to token ids: read, normalise, tokenise, count."""

import re
import time
from collections import Counter
from pathlib import Path

import torch

BOOK_URL = "https://d2l-data.s3-accelerate.amazonaws.com/"
BOOK_FILE = "timemachine.txt"
BOOK_SHA1 = "090b5e7e70c295757f55df93cb0a180b9691891a"
CHAPTER_FILE = "time_machine_ch1.txt"
CHAPTER_SHA256 = "fe7129a2d24e3143b18f8336c5a474d4991988a46445ed395fdfced5702b35d0"
TIMEOUT = 30  # seconds without a byte from the server
PATIENCE = 120  # seconds for the whole book


def data_path(name):
    """Path of a file that ships with the course: inside the installed package, or in data/ of a checkout."""
    installed = Path(__file__).parent / "data" / name
    return installed if installed.exists() else Path(__file__).parents[1] / "data" / name


def read_text(path=None):
    """Read a text file; without a path, the chapter of The Time Machine that ships with the course.

    UTF-8 (with or without a byte-order mark) and UTF-16 with a mark are recognised; anything else is
    read as Latin-1. Line ends become "\\n". Returns str.

    Raises OSError (FileNotFoundError, IsADirectoryError, ...) if the file cannot be opened, and
    ValueError if it is empty or is not text.
    """
    path = Path(path) if path is not None else data_path(CHAPTER_FILE)
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
            f"{path} is not a text file: character {control.start()} is the control character {control.group()!r}. "
            "Choose a plain .txt file."
        )
    if not text or text.isspace():
        raise ValueError(f"{path} is empty: a language model needs at least a few thousand characters.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def book_cache(folder=None):
    """The pooch cache that holds the whole book: `folder`, or the user's cache folder."""
    import pooch  # loaded when first used: most learners never leave the chapter that ships

    pooch.get_logger().setLevel("WARNING")  # no red lines for a download that works, or that fails with one message
    registry = {BOOK_FILE: f"sha1:{BOOK_SHA1}"}
    return pooch.create(folder or pooch.os_cache("d2lmini"), BOOK_URL, registry=registry, retry_if_failed=2)


def download_book(folder=None):
    """Fetch the whole book (179 kB) once, check its SHA-1, and return the Path of the cached file.

    The file is downloaded beside its final place and moved there only after its hash was checked, so a
    broken connection never leaves half a book. A cached file that is not the book is fetched anew. `folder`
    defaults to the user's cache folder.

    Raises ConnectionError when the book cannot be fetched or is not the expected file.
    """
    try:
        return Path(book_cache(folder).fetch(BOOK_FILE, downloader=fetch))
    except Exception as error:  # requests and pooch raise many types for one thing: no book
        raise ConnectionError(
            f"The whole book could not be downloaded from {BOOK_URL}{BOOK_FILE} ({error}). "
            "The first chapter ships with the course: read_text() reads it without a network."
        ) from error


def fetch(url, path, cache):
    """Write what `url` holds to `path`. Raises requests' exceptions, Timeout also for a server that only drips."""
    import requests

    end = time.monotonic() + PATIENCE
    with requests.get(url, stream=True, timeout=TIMEOUT) as response, open(path, "wb") as file:
        response.raise_for_status()
        for chunk in response.iter_content(64):  # small, so that the clock is looked at often
            file.write(chunk)
            if time.monotonic() > end:
                raise requests.Timeout(f"not complete after {PATIENCE} s")


def normalise(text, form="letters"):
    """Reduce a text to few symbols.

    "letters": lower case, and every run of anything but a-z becomes one space (27 symbols at most).
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


class Vocab:
    """A two-way table between tokens and the integers 0 .. len(vocab) - 1.

    Id 0 is "<unk>", the token for everything unseen; then come `reserved_tokens`, then the tokens
    themselves, most frequent first. Tokens seen fewer than `min_freq` times are left out.
    `tokens` is a list of tokens, or a list of such lists (lines). `token_freqs` keeps the counts.
    Idea: Dive into Deep Learning, chapter on text preprocessing.
    """

    def __init__(self, tokens=(), min_freq=0, reserved_tokens=()):
        if isinstance(tokens, str):
            raise TypeError("tokens must be a list of tokens, not a str: use tokenize(text) first.")
        if tokens and isinstance(tokens[0], (list, tuple)):
            tokens = [token for line in tokens for token in line]
        self.token_freqs = Counter(tokens).most_common()
        self.reserved_tokens = ["<unk>", *reserved_tokens]
        kept = [token for token, freq in self.token_freqs if freq >= min_freq]
        self.idx_to_token = list(dict.fromkeys([*self.reserved_tokens, *kept]))
        self.token_to_idx = {token: idx for idx, token in enumerate(self.idx_to_token)}

    unk = 0

    def __len__(self):
        return len(self.idx_to_token)

    def __contains__(self, token):
        return token in self.token_to_idx

    def __getitem__(self, tokens):
        """Id of one token, or the list of ids of a list of tokens; unseen tokens have id 0."""
        if isinstance(tokens, (list, tuple)):
            return [self[token] for token in tokens]
        return self.token_to_idx.get(tokens, self.unk)

    def to_tokens(self, indices):
        """Token of one id, or the list of tokens of a list of ids. Raises IndexError for an unknown id."""
        if hasattr(indices, "tolist"):
            indices = indices.tolist()
        if isinstance(indices, (list, tuple)):
            return [self.to_tokens(index) for index in indices]
        if not 0 <= indices < len(self):
            raise IndexError(f"id {indices} is not in the vocabulary: ids run from 0 to {len(self) - 1}.")
        return self.idx_to_token[indices]


def load_corpus(text=None, form="letters", num_train=10_000):
    """From text to ids in one call: (train, held_out, vocab).

    `text` defaults to the chapter that ships. `train` holds the ids of the first `num_train` characters
    of the normalised text, `held_out` all that follow (two 1-D tensors of int64 that never overlap).
    The vocabulary is that of the training part; unseen characters of the rest have id 0.

    Raises ValueError if the text is shorter than `num_train`.
    """
    tokens = tokenize(normalise(read_text() if text is None else text, form))
    if not 0 < num_train <= len(tokens):
        raise ValueError(
            f"num_train is {num_train}, but the normalised text has {len(tokens)} characters: "
            f"choose num_train from 1 to {len(tokens)}, or a longer text."
        )
    vocab = Vocab(tokens[:num_train])
    ids = torch.tensor(vocab[tokens])
    return ids[:num_train], ids[num_train:], vocab
