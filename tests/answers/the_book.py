"""Answers to the exercises of notebook 00."""

import itertools
import re
import string
from collections import Counter

import torch

import d2lmini

from . import changes, right, wrong


def vocabulary(tokens, key):
    counts = Counter(tokens)
    idx_to_token = ["<unk>", *sorted(counts, key=lambda token: key(token, counts))]
    return idx_to_token, {token: idx for idx, token in enumerate(idx_to_token)}


def rows(tokens, batch_size):
    row_length = (len(tokens) - 1) // batch_size
    Xs = tokens[: batch_size * row_length].reshape(batch_size, row_length)
    Ys = tokens[1 : batch_size * row_length + 1].reshape(batch_size, row_length)
    return Xs, Ys, row_length


def windows(Xs, Ys, starts, num_steps):
    return [(Xs[:, i : i + num_steps], Ys[:, i : i + num_steps]) for i in starts]


# --- normalise ---


right("normalise")(lambda text: " ".join(re.findall("[a-z]+", text.lower())))


@right("normalise")
def _(text):
    result = []
    for char in text.lower():
        if char in "abcdefghijklmnopqrstuvwxyz":
            result.append(char)
        elif result and result[-1] != " ":
            result.append(" ")
    return "".join(result).rstrip()


@wrong("normalise", "Did you glue words together by removing what is between them?")
def _(text):
    result = ""
    for char in text.lower():
        if char in "abcdefghijklmnopqrstuvwxyz ":
            result += char
    return result.strip()


@wrong("normalise", "Did you glue words together by removing what is between them?")
def _(text):
    lines = [re.sub("[^A-Za-z]+", " ", line).lower().strip() for line in text.split("\n")]
    return "".join(lines)


@wrong("normalise", "Did you lose capitals instead of making them lower case?")
def _(text):
    return re.sub("[^a-z]+", " ", text).lower().strip()


@wrong("normalise", "Did you keep capitals?")
def _(text):
    return " ".join(re.findall("[A-Za-z]+", text))


@wrong(
    "normalise",
    "Did you put a space for every removed character? A whole run of them becomes one space.",
    "Did you leave a space at the start or at the end?",
)
def _(text):
    return "".join(c if c in "abcdefghijklmnopqrstuvwxyz" else " " for c in text.lower())


@wrong("normalise", "Did you leave a space at the start or at the end?")
def _(text):
    return re.sub(r"[^a-z]+", " ", text.lower())


@wrong("normalise", "Did you keep letters outside a to z?")
def _(text):
    return " ".join("".join(c if c.isalpha() else " " for c in text.lower()).split())


# --- vocabulary ---


@right("vocabulary")
def _(tokens):
    vocab = d2lmini.Vocab(tokens)
    return vocab.idx_to_token, vocab.token_to_idx


@right("vocabulary")
def _(tokens):
    counts = {}
    for token in tokens:
        counts[token] = counts.get(token, 0) + 1
    idx_to_token = ["<unk>"]
    while counts:
        best = max(counts, key=counts.get)
        idx_to_token.append(best)
        del counts[best]
    token_to_idx = {}
    for token in idx_to_token:
        token_to_idx[token] = len(token_to_idx)
    return idx_to_token, token_to_idx


@right("vocabulary")
def _(tokens):
    pairs = sorted(Counter(tokens).items(), key=lambda pair: pair[1], reverse=True)
    names = ("<unk>", *(token for token, _ in pairs))
    return names, dict(zip(names, range(len(names))))


@wrong("vocabulary", 'Did you leave "<unk>" out of idx_to_token?')
def _(tokens):
    idx_to_token = [token for token, _ in Counter(tokens).most_common()]
    return idx_to_token, {token: idx for idx, token in enumerate(idx_to_token)}


@wrong("vocabulary", 'Did you put "<unk>" at the end? It has id 0.')
def _(tokens):
    idx_to_token = [token for token, _ in Counter(tokens).most_common()] + ["<unk>"]
    return idx_to_token, {token: idx for idx, token in enumerate(idx_to_token)}


@wrong("vocabulary", "Did you sort alphabetically, instead of most frequent first?")
def _(tokens):
    idx_to_token = ["<unk>", *sorted(set(tokens))]
    return idx_to_token, dict(zip(idx_to_token, range(len(idx_to_token))))


@wrong("vocabulary", "Did you keep the order of first appearance, instead of most frequent first?")
def _(tokens):
    idx_to_token = ["<unk>"]
    for token in tokens:
        if token not in idx_to_token:
            idx_to_token.append(token)
    return idx_to_token, {token: idx for idx, token in enumerate(idx_to_token)}


@wrong("vocabulary", "Did you put the rarest token first?")
def _(tokens):
    return vocabulary(tokens, lambda token, counts: counts[token])


@wrong("vocabulary", "Did you sort ties alphabetically? They stay in order of first appearance.")
def _(tokens):
    return vocabulary(tokens, lambda token, counts: (-counts[token], token))


@wrong("vocabulary", "Are the ids in token_to_idx off by one? idx_to_token[token_to_idx[token]] must be token.")
def _(tokens):
    idx_to_token = ["<unk>"] + [token for token, _ in Counter(tokens).most_common()]
    return idx_to_token, {token: idx + 1 for idx, token in enumerate(idx_to_token)}


@wrong("vocabulary", "Did you swap keys and values of token_to_idx? Its keys are the tokens.")
def _(tokens):
    idx_to_token, token_to_idx = vocabulary(tokens, lambda token, counts: -counts[token])
    return idx_to_token, {idx: token for token, idx in token_to_idx.items()}


@wrong("vocabulary", "Did you give a token two ids because it occurs twice?")
def _(tokens):
    idx_to_token = ["<unk>", *tokens]
    return idx_to_token, {token: idx for idx, token in enumerate(idx_to_token)}


# --- sequential_batches ---


@right("sequential_batches")
def _(tokens, batch_size, num_steps):
    row_length = (len(tokens) - 1) // batch_size
    X = tokens[: batch_size * row_length].reshape(batch_size, row_length)
    Y = tokens[1 : batch_size * row_length + 1].reshape(batch_size, row_length)
    num_batches = row_length // num_steps
    if num_batches == 0:
        return []
    used = num_batches * num_steps
    return list(zip(X[:, :used].split(num_steps, dim=1), Y[:, :used].split(num_steps, dim=1)))


@right("sequential_batches")
def _(tokens, batch_size, num_steps):
    num_batches = (len(tokens) - 1) // (batch_size * num_steps)
    size = num_batches * batch_size * num_steps
    X = tokens[:size].view(batch_size, num_batches, num_steps)  # rows rounded down to whole minibatches
    Y = tokens[1 : size + 1].view(batch_size, num_batches, num_steps)
    return [(X[:, n], Y[:, n]) for n in range(num_batches)]


@wrong("sequential_batches", "Did you return something other than a tensor? torch.as_tensor converts it.")
def _(tokens, batch_size, num_steps):
    tokens = tokens.numpy()
    row_length = (len(tokens) - 1) // batch_size
    for start in range(0, row_length - num_steps + 1, num_steps):
        X = [tokens[r * row_length + start :][:num_steps].tolist() for r in range(batch_size)]
        Y = [tokens[r * row_length + start + 1 :][:num_steps].tolist() for r in range(batch_size)]
        yield X, Y


@wrong("sequential_batches", "Did you use the inputs themselves as targets? Y is the text one token later.")
def _(tokens, batch_size, num_steps):
    Xs, _, row_length = rows(tokens, batch_size)
    return windows(Xs, Xs, range(0, row_length - num_steps + 1, num_steps), num_steps)


@wrong("sequential_batches", "Does sequence r continue sequence r of the previous minibatch? "
       "First fold the text into batch_size rows.")  # fmt: skip
def _(tokens, batch_size, num_steps):
    size = batch_size * num_steps
    result = []
    for i in range(0, len(tokens) - size, size):
        X = tokens[i : i + size].reshape(batch_size, num_steps)
        Y = tokens[i + 1 : i + size + 1].reshape(batch_size, num_steps)
        result.append((X, Y))
    return result


@wrong("sequential_batches", "Did you transpose X and Y? They have shape (batch_size, num_steps).")
def _(tokens, batch_size, num_steps):
    Xs, Ys, row_length = rows(tokens, batch_size)
    return windows(Xs, Ys, range(0, row_length - num_steps + 1, num_steps), num_steps) and [
        (Xs[:, i : i + num_steps].T, Ys[:, i : i + num_steps].T)
        for i in range(0, row_length - num_steps + 1, num_steps)
    ]


@wrong("sequential_batches", "Did you keep an incomplete minibatch at the end?")
def _(tokens, batch_size, num_steps):
    Xs, Ys, row_length = rows(tokens, batch_size)
    return windows(Xs, Ys, range(0, row_length, num_steps), num_steps)


@wrong(
    "sequential_batches",
    "Did you forget that the last target needs a token? A row has (len(tokens) - 1) // batch_size tokens.",
)
def _(tokens, batch_size, num_steps):
    row_length = len(tokens) // batch_size
    Xs = tokens[: batch_size * row_length].reshape(batch_size, -1)
    Ys = tokens[1 : batch_size * row_length + 1].reshape(batch_size, row_length)
    return windows(Xs, Ys, range(0, row_length - num_steps + 1, num_steps), num_steps)


@wrong("sequential_batches", "Did you leave out the last minibatch?")
def _(tokens, batch_size, num_steps):
    Xs, Ys, row_length = rows(tokens, batch_size)
    num_batches = row_length // num_steps
    return [
        (Xs[:, n * num_steps : (n + 1) * num_steps], Ys[:, n * num_steps : (n + 1) * num_steps])
        for n in range(num_batches - 1)
    ]


@wrong("sequential_batches", "Did you begin with an offset? Begin with the first token.")
def _(tokens, batch_size, num_steps):
    Xs, Ys, row_length = rows(tokens[1:], batch_size)
    return windows(Xs, Ys, range(0, row_length - num_steps + 1, num_steps), num_steps)


@wrong("sequential_batches", "Did you forget the return?")
def _(tokens, batch_size, num_steps):
    rows(tokens, batch_size)


# --- normalise, more ---

right("normalise")(lambda text: re.sub("[^a-z]+", " ", text.lower()).strip())
right("normalise")(lambda text: " ".join(word for word in re.split("[^a-z]", text.lower()) if word))
right("normalise")(
    lambda text: " ".join("".join(g) for k, g in itertools.groupby(text.lower(), key=string.ascii_lowercase.count) if k)
)


@right("normalise")
def _(text):
    text = "".join(c if c in string.ascii_lowercase else " " for c in text.lower())
    while "  " in text:
        text = text.replace("  ", " ")
    return text.removeprefix(" ").removesuffix(" ")


wrong("normalise", "Did you clean each line")(
    lambda text: " ".join(re.sub("[^a-z]+", " ", line.lower()).strip() for line in text.split("\n"))
)
wrong("normalise", "Did you keep digits?")(lambda text: re.sub("[^a-z0-9]+", " ", text.lower()).strip())
wrong("normalise", "Did you keep apostrophes?")(lambda text: " ".join(re.findall("[a-z']+", text.lower())))
wrong("normalise", "Did you make the text upper case?")(lambda text: re.sub("[^A-Z]+", " ", text.upper()).strip())
wrong("normalise")(lambda text: " ".join(re.findall("[a-z]+", text.lower()[:500])))  # a limit
wrong("normalise")(lambda text: re.findall("[a-z]+", text.lower()))
wrong("normalise", "Did you keep digits?", "Did you leave a space")(
    lambda text: re.sub("[^a-z0-9]+", " ", text.lower())
)
wrong("normalise", "Did you lose capitals", "Did you leave a space")(lambda text: re.sub("[^a-z]+", " ", text))
wrong("normalise", "Did you keep capitals?", "Did you leave a space")(lambda text: re.sub("[^A-Za-z]+", " ", text))
wrong("normalise", "Did you keep capitals?", "Did you put a space for every")(
    lambda text: re.sub("[^A-Za-z]", " ", text).strip()
)
wrong("normalise", "Did you glue words", "Did you leave a space")(
    lambda text: re.sub("[^a-z]+", " ", text.lower().replace("\n", ""))
)

wrong("normalise", "Did you give re.sub a flag as its fourth argument?")(
    lambda text: re.sub("[^a-z]+", " ", text.lower(), re.IGNORECASE).strip()  # noqa: B034
)
wrong("normalise", "Did you write A-z?")(lambda text: re.sub("[^A-z]+", " ", text).lower().strip())
wrong("normalise", "Did you write A-z?", "Did you leave a space")(lambda text: re.sub("[^A-z]+", " ", text).lower())
wrong("normalise")(lambda text: re.sub("[^a-z]+", " ", text.casefold()).strip())  # makes two letters of ß

# --- vocabulary, more ---


@right("vocabulary")
def _(tokens):
    names = ["<unk>", *sorted(dict.fromkeys(tokens), key=tokens.count, reverse=True)]
    return (name for name in [names, {name: names.index(name) for name in names}])


@right("vocabulary")
def _(tokens):
    counts, names = Counter(tokens), ["<unk>"]
    for n in sorted(set(counts.values()), reverse=True):
        names += [token for token in counts if counts[token] == n]
    return [names, dict(map(reversed, enumerate(names)))]


@wrong("vocabulary", 'Did you leave "<unk>" out of token_to_idx?')
def _(tokens):
    names = [token for token, _ in Counter(tokens).most_common()]
    return ["<unk>", *names], {token: i + 1 for i, token in enumerate(names)}


@wrong("vocabulary", "Did you reverse the order of ties?")
def _(tokens):
    counts = Counter(tokens)
    names = ["<unk>", *sorted(counts, key=counts.get)[::-1]]
    return names, {token: i for i, token in enumerate(names)}


@wrong("vocabulary", 'Did you leave "<unk>" out of idx_to_token?', "Did you sort alphabetically")
def _(tokens):
    names = sorted(set(tokens))
    return names, {token: i for i, token in enumerate(names)}


@wrong("vocabulary", 'Did you put "<unk>" at the end?', "Did you put the rarest token first?")
def _(tokens):
    counts = Counter(tokens)
    names = [*sorted(counts, key=counts.get), "<unk>"]
    return names, {token: i for i, token in enumerate(names)}


@wrong("vocabulary", "Did you sort ties alphabetically?", "Are the ids in token_to_idx off by one?")
def _(tokens):
    names, token_to_idx = vocabulary(tokens, lambda token, counts: (-counts[token], token))
    return names, {token: idx + 1 for token, idx in token_to_idx.items()}


@wrong("vocabulary", "Did you keep the order of first appearance", "Did you swap keys and values")
def _(tokens):
    names = ["<unk>", *dict.fromkeys(tokens)]
    return names, dict(enumerate(names))


@wrong("vocabulary", "Do you keep something between the calls")
def _(tokens, counts=Counter()):  # noqa: B006
    counts.update(tokens)
    names = ["<unk>", *(token for token, _ in counts.most_common())]
    return names, {token: i for i, token in enumerate(names)}


@wrong("vocabulary")
def _(tokens):
    names = ["<unk>", *(token for token, _ in Counter(tokens).most_common(50))]  # a limit
    return names, {token: i for i, token in enumerate(names)}


@wrong("vocabulary", "int(...) makes them whole numbers.")
def _(tokens):
    names = ["<unk>", *(token for token, _ in Counter(tokens).most_common())]
    return names, dict(zip(names, torch.arange(len(names)).float().tolist()))


@wrong("vocabulary", "Did you sort ties alphabetically?")
def _(tokens):
    names = ["<unk>", *(t for _, t in sorted(((n, t) for t, n in Counter(tokens).items()), reverse=True))]
    return names, {token: i for i, token in enumerate(names)}


@wrong("vocabulary", changes("tokens"), "Did you sort alphabetically")
def _(tokens):
    tokens.sort()
    names = ["<unk>", *dict.fromkeys(tokens)]
    return names, {token: i for i, token in enumerate(names)}


# --- sequential_batches, more ---


def fold(tokens, batch_size, num_steps, shift=1):
    Xs, _, row_length = rows(tokens, batch_size)
    Ys = tokens[shift:][: batch_size * row_length].reshape(batch_size, row_length)
    return windows(Xs, Ys, range(0, row_length - num_steps + 1, num_steps), num_steps)


right("sequential_batches")(lambda *args: tuple([X, Y] for X, Y in fold(*args)))
right("sequential_batches")(lambda *args: iter([torch.stack([X, Y]).unbind() for X, Y in fold(*args)]))
right("sequential_batches")(lambda tokens, b, s: ((X.clone(), Y.int()) for X, Y in fold(tokens.clone(), b, s)))
wrong("sequential_batches", "Did you add 1 to the ids?")(lambda *args: [(X, X + 1) for X, _ in fold(*args)])
wrong("sequential_batches", "Did you turn the ids into floats?")(
    lambda *args: [(X.float(), Y.float()) for X, Y in fold(*args)]
)
wrong("sequential_batches", "Did you return something other than a tensor?")(
    lambda *args: [(X.tolist(), Y.tolist()) for X, Y in fold(*args)]
)
wrong("sequential_batches", "Did you shift inside each minibatch?")(
    lambda *args: [(X, X.roll(-1, 1)) for X, _ in fold(*args)]
)
wrong("sequential_batches")(lambda *args: [X for X, _ in fold(*args)])
wrong("sequential_batches")(lambda *args: fold(*args)[:10])  # a limit
wrong("sequential_batches")(lambda *args: [])
wrong("sequential_batches")(lambda *args: fold(*args)[:-1] + [(X, Y[:, :-1]) for X, Y in fold(*args)[-1:]])


wrong("sequential_batches", "Did you swap X and Y?")(lambda *args: [(Y, X) for X, Y in fold(*args)])
wrong("sequential_batches", "Did you leave out the last minibatch?", "Did you swap X and Y?")(
    lambda *args: [(Y, X) for X, Y in fold(*args)[:-1]]
)


def long_rows(tokens, batch_size):
    length = (len(tokens) - 1) // batch_size
    return tokens[: batch_size * length].reshape(batch_size, length)


@wrong("sequential_batches", "Did you stop too early?")
def _(tokens, batch_size, num_steps):
    X = long_rows(tokens, batch_size)
    Y = tokens[1:][: X.numel()].reshape(X.shape)
    return [(X[:, i : i + num_steps], Y[:, i : i + num_steps]) for i in range(0, X.shape[1] - num_steps, num_steps)]


@wrong("sequential_batches", "Did you begin a minibatch at each token?")
def _(tokens, batch_size, num_steps):
    X = long_rows(tokens, batch_size)
    Y = tokens[1:][: X.numel()].reshape(X.shape)
    return [(X[:, i : i + num_steps], Y[:, i : i + num_steps]) for i in range(X.shape[1] - num_steps + 1)]


@wrong("sequential_batches", "Did you use roll?")
def _(tokens, batch_size, num_steps):
    X = long_rows(tokens, batch_size)
    pairs = zip(X.split(num_steps, 1), X.roll(-1, 1).split(num_steps, 1))
    return [(x, y) for x, y in pairs if x.shape[1] == num_steps]


@wrong("sequential_batches", "Does sequence r continue sequence r of the previous minibatch?")
def _(tokens, batch_size, num_steps):
    length = (len(tokens) - 1) // batch_size
    X, Y = (tokens[i:][: batch_size * length].reshape(length, batch_size).T for i in (0, 1))
    return [(X[:, i : i + num_steps], Y[:, i : i + num_steps]) for i in range(0, length - num_steps + 1, num_steps)]


@wrong("sequential_batches", "Did you fill the same tensors again")
def _(tokens, batch_size, num_steps):
    X, Y = torch.zeros(2, batch_size, num_steps, dtype=torch.long)
    result = []
    for x, y in fold(tokens, batch_size, num_steps):
        X[:], Y[:] = x, y
        result.append((X, Y))
    return result


wrong("sequential_batches")(lambda *args: [(X.to(torch.int8), Y.to(torch.int8)) for X, Y in fold(*args)])


@wrong("sequential_batches", changes("tokens"))
def _(tokens, batch_size, num_steps):
    result = [(X.clone(), Y.clone()) for X, Y in fold(tokens, batch_size, num_steps)]
    tokens += 1
    return result


wrong("sequential_batches", "Did you transpose X and Y?", "Did you use the inputs themselves")(
    lambda *args: [(X.T, X.T) for X, _ in fold(*args)]
)
wrong("sequential_batches", "Did you transpose X and Y?", "Did you add 1 to the ids?")(
    lambda *args: [(X.T, X.T + 1) for X, _ in fold(*args)]
)
wrong("sequential_batches", "Did you leave out the last minibatch?", "Did you add 1 to the ids?")(
    lambda *args: [(X, X + 1) for X, _ in fold(*args)[:-1]]
)
wrong("sequential_batches", "Did you leave out the last minibatch?", "Did you use the inputs themselves")(
    lambda *args: [(X, X) for X, _ in fold(*args)[:-1]]
)
wrong("sequential_batches", "Did you begin with an offset?", "Did you transpose X and Y?")(
    lambda tokens, b, s: [(X.T, Y.T) for X, Y in fold(tokens[1:], b, s)]
)
wrong("sequential_batches", "Did you use the inputs themselves", "Did you turn the ids into floats?")(
    lambda *args: [(X.float(), X.float()) for X, _ in fold(*args)]
)
