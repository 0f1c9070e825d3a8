"""Checks of notebook 00: normalising a text, counting its symbols, cutting it into minibatches."""

import re
from collections import Counter
from functools import partial
from itertools import pairwise

import torch

from .engine import Check

normalise = Check(
    "normalise",
    lambda text: " ".join("".join(c if "a" <= c <= "z" else " " for c in text.lower()).split()),
    lambda rng: [
        ("a line break between two words", ("and I saw\nthe laboratory",)),
        ("capitals", ("The Time Traveller",)),
        ("a run of punctuation and digits", ("one--two, 3 (three)",)),
        ("a text that ends with a full stop", ('  "I am afraid not." ',)),
        ("letters outside a to z", ("a café in Zürich",)),
    ],
    {
        "Are words glued together where something between them was removed?": [
            lambda text: re.sub("[^a-z]+", " ", text.lower().replace("\n", "")).strip(),
            lambda text: re.sub("[^a-z ]", "", text.lower()).strip(),
            lambda text: re.sub("[^a-z ]+", "", text.lower()).strip(),
            lambda text: re.sub("[^a-z]+", "", text.lower()),
        ],
        "Are capitals lost instead of made lower case?": lambda text: re.sub("[^a-z]+", " ", text).strip(),
        "Do capitals stay?": lambda text: re.sub("[^A-Za-z]+", " ", text).strip(),
        "Does every removed character leave a space, instead of every run of them?": [
            lambda text: re.sub("[^a-z]", " ", text.lower()).strip(),
            lambda text: re.sub("[^a-z]", " ", text.lower()),
        ],
        "Is a space left at the start or the end?": lambda text: re.sub("[^a-z]+", " ", text.lower()),
        "Do letters outside a to z stay?": lambda text: re.sub(r"[\W\d_]+", " ", text.lower()).strip(),
    },
)  # fmt: skip


def counted(tokens, order=lambda item: -item[1], unk_at=0, first_id=0):
    """A vocabulary, with places to go wrong."""
    idx_to_token = [token for token, _ in sorted(Counter(tokens).items(), key=order)]
    if unk_at is not None:
        idx_to_token.insert(unk_at if unk_at >= 0 else len(idx_to_token), "<unk>")
    return idx_to_token, {token: idx for idx, token in enumerate(idx_to_token, start=first_id)}


vocabulary = Check(
    "vocabulary",
    counted,
    lambda rng: [
        ("the tokens of 'attic tea'", (list("attic tea"),)),
        ("tokens with a tie, b before a", (list("bac" + "cab" + "ddd"),)),
        ("a single token", (["z"],)),
        ("words", (["the", "time", "the", "traveller", "the", "time"],)),
    ],
    {
        'Is "<unk>" missing from idx_to_token?': partial(counted, unk_at=None),
        'Is "<unk>" at the end? It has id 0.': partial(counted, unk_at=-1),
        "Is the order alphabetical, instead of most frequent first?": partial(counted, order=lambda item: item[0]),
        "Is the order that of first appearance, instead of most frequent first?": partial(counted, order=lambda _: 0),
        "Is the rarest token first?": partial(counted, order=lambda item: item[1]),
        "Are ties in alphabetical order? They stay in order of first appearance.": partial(
            counted, order=lambda item: (-item[1], item[0])
        ),
        "Is token_to_idx one off? idx_to_token[token_to_idx[token]] must be token.": [
            partial(counted, first_id=1),
            partial(counted, first_id=-1),
        ],
        "Is token_to_idx the wrong way round? Its keys are the tokens.": lambda tokens: (
            counted(tokens)[0],
            dict(enumerate(counted(tokens)[0])),
        ),
        "Does a token that occurs twice get two ids?": lambda tokens: (
            ["<unk>", *tokens],
            {token: idx for idx, token in enumerate(["<unk>", *tokens])},
        ),
    },
    parts=("idx_to_token", "token_to_idx"),
)


def cut(tokens, batch_size, num_steps, offset=0, target=1, spare=1, extra=0):
    """Sequential minibatches by plain indexing, with places to go wrong."""
    row_length = (len(tokens) - spare) // batch_size
    starts = [offset + row * row_length for row in range(batch_size)]
    for step in range(0, (row_length // num_steps + extra) * num_steps, num_steps):
        X = [tokens[start + step : start + step + num_steps] for start in starts]
        Y = [tokens[start + step + target : start + step + target + num_steps] for start in starts]
        yield torch.stack(X), torch.stack(Y)


def shuffled_rows(tokens, batch_size, num_steps):
    """Minibatches whose rows are neighbours in the text: row r does not go on in the next minibatch."""
    num_batches = (len(tokens) - 1) // (batch_size * num_steps)
    Xs = tokens[: num_batches * batch_size * num_steps].reshape(num_batches, batch_size, num_steps)
    return [(X, X + 1) for X in Xs]


def ragged(tokens, batch_size, num_steps):
    row_length = (len(tokens) - 1) // batch_size
    Xs = tokens[: batch_size * row_length].reshape(batch_size, row_length)
    return [(X, X + 1) for X in Xs.split(num_steps, dim=1)]


def without_spare(tokens, batch_size, num_steps):
    row_length = len(tokens) // batch_size
    Xs = tokens[: batch_size * row_length].reshape(batch_size, row_length)
    Ys = tokens[1 : batch_size * row_length + 1].reshape(batch_size, row_length)
    starts = range(0, row_length // num_steps * num_steps, num_steps)
    return [(Xs[:, i : i + num_steps], Ys[:, i : i + num_steps]) for i in starts]


def observe_batches(function, tokens, batch_size, num_steps):
    """The tokens are 0, 1, 2, ...: so each id says where in the text it comes from."""
    batches = function(tokens, batch_size, num_steps)
    if batches is None:
        return None
    batches = [(torch.as_tensor(X), torch.as_tensor(Y)) for X, Y in batches]
    return {
        "number of minibatches": len(batches),
        "shapes of X": [str(tuple(X.shape)) for X, _ in batches],
        "shapes of Y": [str(tuple(Y.shape)) for _, Y in batches],
        "distances from X to Y in the text": [int(d) for X, Y in batches for d in (Y - X).unique()],
        "distances between neighbours in a row": [int(d) for X, _ in batches for d in X.diff(dim=1).unique()],
        "distances from a row's end to its next minibatch": [
            int(d) for (X, _), (X_next, _) in pairwise(batches) for d in (X_next[:, 0] - X[:, -1]).unique()
        ],
        "first token": int(batches[0][0][0, 0]),
        "number of different tokens in X": len(torch.cat([X.flatten() for X, _ in batches]).unique()),
    }


sequential_batches = Check(
    "sequential_batches",
    cut,
    lambda rng: [
        ("24 tokens, batch_size 2, num_steps 3", (torch.arange(24), 2, 3)),
        ("37 tokens, batch_size 3, num_steps 4", (torch.arange(37), 3, 4)),
        ("batch_size 1 and num_steps 1", (torch.arange(5), 1, 1)),
        ("exactly one minibatch", (torch.arange(7), 2, 3)),
    ],
    {
        "Are the targets Y the inputs themselves? Y is the text one token later.": partial(cut, target=0),
        "Are the targets two tokens later?": partial(cut, target=2, spare=2),
        "Does row r go on where row r of the minibatch before ended? Cut the text into batch_size long rows first.": (
            shuffled_rows
        ),
        "Is X transposed? It has shape (batch_size, num_steps).": lambda tokens, b, s: [
            (X.T, Y.T) for X, Y in cut(tokens, b, s)
        ],
        "Is an incomplete minibatch kept at the end?": ragged,
        "Is the last token kept for the last target? A row has (len(tokens) - 1) // batch_size tokens.": [
            partial(cut, spare=0),
            without_spare,
        ],
        "Is the last minibatch left out?": partial(cut, extra=-1),
        "Is there an offset? Begin with the first token.": partial(cut, offset=1, spare=2),
    },
    run=observe_batches,
)
