"""Checks of notebook 00: normalising a text, counting its tokens, cutting it into minibatches."""

import random
import re
from collections import Counter
from functools import partial

import torch

from .judge import Check, ids
from .reading import Parts, Unread, describe, items_of, unread


def cleaned(text, case=str.lower, keep="a-z", fill=" ", runs=True, strip=True, before=lambda text: text, lines=None):
    """A normalised text by regular expressions, with places to go wrong."""
    if lines is not None:
        return lines.join(cleaned(line, case, keep, fill, runs, strip, before) for line in text.split("\n"))
    text = re.sub(f"[^{keep}]" + "+" * runs, fill, case(before(text)))
    return text.strip() if strip else text


def long_text(seed):
    """A thousand characters with line breaks and punctuation."""
    return "".join(random.Random(seed).choices("aabcdeez  \n,.-A", k=1000)) + "x\n\nY!"


normalise = Check(
    "normalise",
    lambda text: " ".join("".join(c if "a" <= c <= "z" else " " for c in text.lower()).split()),
    lambda rng: [
        ("an empty text", ("",)),
        ("a line break between two words", ("and I saw\nthe laboratory",)),
        ("capitals", ("The Time Traveller",)),
        ("an empty line", ("so\n\nwe",)),
        ("a tab", ("far\taway",)),
        ("a line that ends with a full stop", ("We sat. \nHe spoke.",)),
        ("a run of punctuation", ("one--two, (three)",)),
        ("digits", ("in 1895 he",)),
        ("an apostrophe", ("don't",)),
        ("underscores", ("it _is_ so",)),
        ("spaces at both ends", ('  "I am not afraid." ',)),
        ("letters outside a to z", ("a café in Zürich",)),
        ("a letter that becomes two in capitals", ("Parkstraße 9",)),
        ("nothing but punctuation", ("...!\n",)),
        ("a long text", (long_text(1),)),
    ],
    cleaned,
    {
        "Did you glue words together by removing what is between them?": [
            {"before": lambda text: text.replace("\n", "")},
            {"keep": "a-z ", "fill": "", "runs": False},
            {"fill": ""},
            {"before": lambda text: re.sub("-+", "", text)},
            {"lines": ""},
        ],
        "Did you lose capitals instead of making them lower case?": {"case": lambda text: text},
        "Did you keep capitals?": {"case": lambda text: text, "keep": "A-Za-z"},
        "Did you make the text upper case?": [
            {"case": lambda text: re.sub("[^a-z]+", " ", text.lower()).upper(), "keep": "A-Z"},
            {"case": str.upper, "keep": "A-Z"},
        ],
        "Did you put a space for every removed character? A whole run of them becomes one space.": {"runs": False},
        "Did you leave a space at the start or at the end?": {"strip": False},
        "Did you keep letters outside a to z?": [
            {"keep": "a-zà-öø-ÿ"},
            lambda text: re.sub(r"[\W\d_]+", " ", text.lower()).strip(),
        ],
        "Did you give re.sub a flag as its fourth argument? The fourth argument is count: write flags=...": [
            lambda text, count=count: re.sub("[^a-z]+", " ", text.lower(), count=count).strip()
            for count in (2, 8, 10, 16, 24)
        ],
        "Did you keep digits?": {"keep": "a-z0-9"},
        "Did you keep apostrophes?": {"keep": "a-z'"},
        "Did you write A-z? Between Z and a there are other characters, such as _ and [.": {"keep": "A-z"},
        "Did you clean each line by itself? Empty lines and line ends leave double spaces.": {"lines": " "},
    },
)


def by_count(tokens, key=lambda token, count: -count):
    """Most frequent first; of equally frequent tokens, the one that came first."""
    return [token for token, _ in sorted(Counter(tokens).items(), key=lambda item: key(*item))]


def counted(tokens, order=by_count, unk="first", first_id=0, inverse=False, unk_in_dict=True):
    """A vocabulary, with places to go wrong."""
    found = order(tokens)
    idx_to_token = {"first": ["<unk>", *found], "last": [*found, "<unk>"], "missing": found}[unk]
    token_to_idx = {token: idx for idx, token in enumerate(idx_to_token, start=first_id)}
    if not unk_in_dict:
        token_to_idx.pop("<unk>", None)
    return idx_to_token, {idx: token for token, idx in token_to_idx.items()} if inverse else token_to_idx


vocabulary = Check(
    "vocabulary",
    counted,
    lambda rng: [
        ("a single token", (["z"],)),
        ("the characters of 'attic tea'", (list("attic tea"),)),
        ("a tie, b before a", (list("bac" + "cab" + "ddd"),)),
        ("words", (["the", "time", "a", "traveller", "the", "time", "the"],)),
        ("no tokens at all", ([],)),
        ("2,000 tokens", ([f"w{int(i)}" for i in torch.rand(2000, generator=rng) ** 3 * 300],)),
    ],
    counted,
    {
        'Did you leave "<unk>" out of idx_to_token?': {"unk": "missing"},
        'Did you put "<unk>" at the end? It has id 0.': {"unk": "last"},
        'Did you leave "<unk>" out of token_to_idx?': {"unk_in_dict": False},
        "Did you sort alphabetically, instead of most frequent first?": {"order": lambda tokens: sorted(set(tokens))},
        "Did you keep the order of first appearance, instead of most frequent first?": {
            "order": lambda tokens: list(dict.fromkeys(tokens))
        },
        "Did you put the rarest token first?": {"order": lambda tokens: by_count(tokens, lambda token, count: count)},
        "Did you sort ties alphabetically? They stay in order of first appearance.": [
            {"order": lambda tokens: by_count(tokens, lambda token, count: (-count, token))},
            {"order": lambda tokens: by_count(sorted(tokens, reverse=True))},
        ],
        "Did you reverse the order of ties? They stay in order of first appearance.": {
            "order": lambda tokens: by_count(tokens, lambda token, count: count)[::-1]
        },
        "Are the ids in token_to_idx off by one? idx_to_token[token_to_idx[token]] must be token.": [
            {"first_id": 1},
            {"first_id": -1},
        ],
        "Did you swap keys and values of token_to_idx? Its keys are the tokens.": {"inverse": True},
        "Did you give a token two ids because it occurs twice?": {"order": list},
    },
    parts=("idx_to_token", "token_to_idx"),
)


def cut(tokens, batch_size, num_steps, *, offset=0, target=1, spare=1, left_out=0, ragged=False, rounded=False,
        order="rows", shift=None, results=lambda X, Y: (X, Y), early=0, stride=None, wrapped=False):  # fmt: skip
    """Sequential minibatches by plain indexing, with places to go wrong."""
    row_length = (len(tokens) - offset - spare) // batch_size
    if rounded:
        row_length = row_length // num_steps * num_steps
    stops = row_length if ragged else row_length - num_steps + 1 - early
    rows, steps = torch.arange(batch_size)[:, None], torch.arange(num_steps)
    for start in range(0, stops, stride or num_steps)[: -left_out or None]:
        at = {
            "rows": offset + row_length * rows + start + steps[: row_length - start],
            "neighbours": offset + batch_size * start + num_steps * rows + steps,
            "columns": offset + rows + batch_size * (start + steps[: row_length - start]),
        }[order]
        after = at + target
        if wrapped:
            after = torch.where(start + steps + 1 == row_length, offset + row_length * rows, after)
        X = tokens[at]
        yield results(X, shift(X) if shift else tokens[after])


def refilled(tokens, batch_size, num_steps):
    """One pair of tensors, filled again for each minibatch: in the end all minibatches are the last one."""
    batches = list(cut(tokens, batch_size, num_steps))
    return batches[-1:] * len(batches)


def observe_batches(function, tokens, batch_size, num_steps):
    """All that the minibatches hold, however they are handed out."""
    result = function(tokens, batch_size, num_steps)
    batches = items_of(result, 1000)
    if batches is None:
        return Parts({"result": unread([], result)})
    found = Parts({"number of minibatches": len(batches)})
    for i, batch in enumerate(batches, start=1):
        pair = items_of(batch, 2)
        if pair is None or len(pair) != 2:
            found[f"minibatch {i}"] = Unread(f"expected a pair (X, Y), got {describe(batch)}")
        else:
            found[f"X of minibatch {i}"], found[f"Y of minibatch {i}"] = pair
    return found


sequential_batches = Check(
    "sequential_batches",
    [cut, partial(cut, rounded=True)],  # rows may also be rounded down to whole minibatches
    lambda rng: [
        (f"{n} tokens, batch_size {batch_size}, num_steps {num_steps}", (ids(rng, 900, n), batch_size, num_steps))
        for n, batch_size, num_steps in [
            (7, 2, 3), (5, 1, 1), (6, 2, 3), (12, 2, 3), (17, 2, 3), (41, 3, 4), (49, 4, 3), (500, 3, 5), (500, 40, 3)
        ]
    ],
    cut,
    {
        "Did you use the inputs themselves as targets? Y is the text one token later.": {"target": 0},
        "Did you shift the targets by two tokens, instead of one?": {"target": 2},
        "Did you take the targets one token too early? Y is the text one token later.": {"target": -1},
        "Did you add 1 to the ids? Y holds the tokens that come next in the text.": {"shift": lambda X: X + 1},
        "Did you shift inside each minibatch? The last target of a sequence is in the next minibatch.": [
            {"shift": lambda X: X.roll(-1, 1)},
            {"shift": lambda X: X.roll(-1)},
            {"shift": lambda X: torch.cat([X[:, 1:], X[:, :1] * 0], dim=1)},
        ],
        "Does sequence r continue sequence r of the previous minibatch? First fold the text into batch_size rows.": [
            {"order": "neighbours"},
            {"order": "neighbours", "rounded": True},
            {"order": "columns"},
        ],
        "Did you transpose X and Y? They have shape (batch_size, num_steps).": {
            "results": lambda X, Y: (X.T, Y.T)
        },
        "Did you swap X and Y? X comes first, and Y is one token later.": {"results": lambda X, Y: (Y, X)},
        "Did you begin a minibatch at each token? The beginnings are num_steps apart.": {"stride": 1},
        "Did you stop too early? The last minibatch may begin at row_length - num_steps.": {"early": 1},
        "Did you use roll? It makes a row's first token the row's last target. Take the next token of the text.": {
            "wrapped": True
        },
        "Did you fill the same tensors again for each minibatch? Make new ones each time.": refilled,
        "Did you keep an incomplete minibatch at the end?": {"ragged": True},
        "Did you forget that the last target needs a token? A row has (len(tokens) - 1) // batch_size tokens.": {
            "spare": 0
        },
        "Did you leave out one token too many? Only the last token has no successor.": {"spare": 2},
        "Is the text too short for a minibatch? Then return an empty list.": lambda tokens, batch_size, num_steps: (
            list(cut(tokens, batch_size, num_steps)) or [(tokens[:0].reshape(batch_size, 0),) * 2]
        ),
        "Did you leave out the last minibatch?": {"left_out": 1},
        "Did you begin with an offset? Begin with the first token.": {"offset": 1},
    },
    run=observe_batches,
    shares=True,
)  # fmt: skip
