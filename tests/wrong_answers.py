"""Wrong answers to the exercises, as learners write them: WRONG[exercise] is a list of (function, hint to expect)."""

import math
import re
from collections import Counter

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

WRONG = {}


def wrong(exercise, hint):
    """Register the decorated function as a wrong answer; `hint` is the end of the line that the check must print."""

    def register(function):
        WRONG.setdefault(exercise, []).append((function, hint))
        return function

    return register


# --- 00 ---


@wrong("normalise", "Are words glued together where something between them was removed?")
def _(text):
    result = ""
    for char in text.lower():
        if char in "abcdefghijklmnopqrstuvwxyz ":
            result += char
    return result.strip()


@wrong("normalise", "Are words glued together where something between them was removed?")
def _(text):
    lines = [re.sub("[^A-Za-z]+", " ", line).lower().strip() for line in text.split("\n")]
    return "".join(lines)


@wrong("normalise", "Are capitals lost instead of made lower case?")
def _(text):
    return re.sub("[^a-z]+", " ", text).lower().strip()


@wrong("normalise", "Do capitals stay?")
def _(text):
    return " ".join(re.findall("[A-Za-z]+", text))


@wrong("normalise", "Does every removed character leave a space, instead of every run of them?")
def _(text):
    return "".join(c if c in "abcdefghijklmnopqrstuvwxyz" else " " for c in text.lower())


@wrong("normalise", "Is a space left at the start or the end?")
def _(text):
    return re.sub(r"[^a-z]+", " ", text.lower())


@wrong("normalise", "Do letters outside a to z stay?")
def _(text):
    return " ".join("".join(c if c.isalpha() else " " for c in text.lower()).split())


def vocabulary(tokens, key):
    counts = Counter(tokens)
    idx_to_token = ["<unk>", *sorted(counts, key=lambda token: key(token, counts))]
    return idx_to_token, {token: idx for idx, token in enumerate(idx_to_token)}


@wrong("vocabulary", 'Is "<unk>" missing from idx_to_token?')
def _(tokens):
    idx_to_token = [token for token, _ in Counter(tokens).most_common()]
    return idx_to_token, {token: idx for idx, token in enumerate(idx_to_token)}


@wrong("vocabulary", 'Is "<unk>" at the end? It has id 0.')
def _(tokens):
    idx_to_token = [token for token, _ in Counter(tokens).most_common()] + ["<unk>"]
    return idx_to_token, {token: idx for idx, token in enumerate(idx_to_token)}


@wrong("vocabulary", "Is the order alphabetical, instead of most frequent first?")
def _(tokens):
    idx_to_token = ["<unk>", *sorted(set(tokens))]
    return idx_to_token, dict(zip(idx_to_token, range(len(idx_to_token))))


@wrong("vocabulary", "Is the order that of first appearance, instead of most frequent first?")
def _(tokens):
    idx_to_token = ["<unk>"]
    for token in tokens:
        if token not in idx_to_token:
            idx_to_token.append(token)
    return idx_to_token, {token: idx for idx, token in enumerate(idx_to_token)}


@wrong("vocabulary", "Is the rarest token first?")
def _(tokens):
    return vocabulary(tokens, lambda token, counts: counts[token])


@wrong("vocabulary", "Are ties in alphabetical order? They stay in order of first appearance.")
def _(tokens):
    return vocabulary(tokens, lambda token, counts: (-counts[token], token))


@wrong("vocabulary", "Is token_to_idx one off? idx_to_token[token_to_idx[token]] must be token.")
def _(tokens):
    idx_to_token = ["<unk>"] + [token for token, _ in Counter(tokens).most_common()]
    return idx_to_token, {token: idx + 1 for idx, token in enumerate(idx_to_token)}


@wrong("vocabulary", "Is token_to_idx the wrong way round? Its keys are the tokens.")
def _(tokens):
    idx_to_token, token_to_idx = vocabulary(tokens, lambda token, counts: -counts[token])
    return idx_to_token, {idx: token for token, idx in token_to_idx.items()}


@wrong("vocabulary", "Does a token that occurs twice get two ids?")
def _(tokens):
    idx_to_token = ["<unk>", *tokens]
    return idx_to_token, {token: idx for idx, token in enumerate(idx_to_token)}


def rows(tokens, batch_size):
    row_length = (len(tokens) - 1) // batch_size
    Xs = tokens[: batch_size * row_length].reshape(batch_size, row_length)
    Ys = tokens[1 : batch_size * row_length + 1].reshape(batch_size, row_length)
    return Xs, Ys, row_length


def windows(Xs, Ys, starts, num_steps):
    return [(Xs[:, i : i + num_steps], Ys[:, i : i + num_steps]) for i in starts]


@wrong("sequential_batches", "Are the targets Y the inputs themselves? Y is the text one token later.")
def _(tokens, batch_size, num_steps):
    Xs, _, row_length = rows(tokens, batch_size)
    return windows(Xs, Xs, range(0, row_length - num_steps + 1, num_steps), num_steps)


@wrong("sequential_batches", "Does row r go on where row r of the minibatch before ended? "
       "Cut the text into batch_size long rows first.")  # fmt: skip
def _(tokens, batch_size, num_steps):
    size = batch_size * num_steps
    result = []
    for i in range(0, len(tokens) - size, size):
        X = tokens[i : i + size].reshape(batch_size, num_steps)
        Y = tokens[i + 1 : i + size + 1].reshape(batch_size, num_steps)
        result.append((X, Y))
    return result


@wrong("sequential_batches", "Is X transposed? It has shape (batch_size, num_steps).")
def _(tokens, batch_size, num_steps):
    Xs, Ys, row_length = rows(tokens, batch_size)
    return windows(Xs, Ys, range(0, row_length - num_steps + 1, num_steps), num_steps) and [
        (Xs[:, i : i + num_steps].T, Ys[:, i : i + num_steps].T)
        for i in range(0, row_length - num_steps + 1, num_steps)
    ]


@wrong("sequential_batches", "Is an incomplete minibatch kept at the end?")
def _(tokens, batch_size, num_steps):
    Xs, Ys, row_length = rows(tokens, batch_size)
    return windows(Xs, Ys, range(0, row_length, num_steps), num_steps)


@wrong("sequential_batches",
       "Is the last token kept for the last target? A row has (len(tokens) - 1) // batch_size tokens.")  # fmt: skip
def _(tokens, batch_size, num_steps):
    row_length = len(tokens) // batch_size
    Xs = tokens[: batch_size * row_length].reshape(batch_size, -1)
    Ys = tokens[1 : batch_size * row_length + 1].reshape(batch_size, row_length)
    return windows(Xs, Ys, range(0, row_length - num_steps + 1, num_steps), num_steps)


@wrong("sequential_batches", "Is the last minibatch left out?")
def _(tokens, batch_size, num_steps):
    Xs, Ys, row_length = rows(tokens, batch_size)
    num_batches = row_length // num_steps
    return [
        (Xs[:, n * num_steps : (n + 1) * num_steps], Ys[:, n * num_steps : (n + 1) * num_steps])
        for n in range(num_batches - 1)
    ]


@wrong("sequential_batches", "Is there an offset? Begin with the first token.")
def _(tokens, batch_size, num_steps):
    Xs, Ys, row_length = rows(tokens[1:], batch_size)
    return windows(Xs, Ys, range(0, row_length - num_steps + 1, num_steps), num_steps)


@wrong("sequential_batches", "Is the return missing?")
def _(tokens, batch_size, num_steps):
    rows(tokens, batch_size)


# --- 01 ---


@wrong("one_hot", "Is the new axis the first one? It is the last.")
def _(ids, vocab_size):
    return torch.stack([(ids == i).float() for i in range(vocab_size)])


@wrong("one_hot", "Are the time and batch axes swapped?")
def _(ids, vocab_size):
    result = torch.eye(vocab_size)[ids]
    return result.transpose(0, 1) if ids.dim() == 2 else result


@wrong("one_hot", "Is the one a place off? Id 0 has its one in column 0.")
def _(ids, vocab_size):
    return torch.eye(vocab_size)[ids - 1]


@wrong("one_hot", "Is the shape of ids lost?")
def _(ids, vocab_size):
    result = torch.zeros(ids.numel(), vocab_size)
    result[torch.arange(ids.numel()), ids.reshape(-1)] = 1
    return result


@wrong("one_hot", "Is the number of columns taken from the largest id, instead of vocab_size?")
def _(ids, vocab_size):
    return torch.eye(int(ids.max()) + 1)[ids]


@wrong("one_hot", "Are zeros and ones swapped?")
def _(ids, vocab_size):
    return (ids[..., None] != torch.arange(vocab_size)).float()


@wrong("one_hot", "Are these integers? .float() makes them numbers that weights can multiply.")
def _(ids, vocab_size):
    return F.one_hot(ids, vocab_size)


@wrong("one_hot", "Are these integers? .float() makes them numbers that weights can multiply.")
def _(ids, vocab_size):
    return ids.unsqueeze(-1) == torch.arange(vocab_size)


@wrong("one_hot", "Is it a tensor? Convert it with torch.as_tensor.")
def _(ids, vocab_size):
    return np.eye(vocab_size, dtype=np.float32)[ids.numpy()]


@wrong("one_hot", "Is it a tensor? Convert it with torch.as_tensor.")
def _(ids, vocab_size):
    return torch.eye(vocab_size)[ids].tolist()


@wrong("time_major", "Are the time and batch axes swapped?")
def _(X, vocab_size):
    return torch.eye(vocab_size)[X]


@wrong("time_major", "Is it reshaped? reshape keeps the order of the numbers; swapping axes needs a transpose.")
def _(X, vocab_size):
    return F.one_hot(X, vocab_size).float().reshape(X.shape[1], X.shape[0], vocab_size)


@wrong("time_major", "Is the vocabulary axis the last one?")
def _(X, vocab_size):
    return F.one_hot(X, vocab_size).float().permute(1, 2, 0)


@wrong("time_major", "Is the vocabulary axis the last one?")
def _(X, vocab_size):
    return torch.stack([torch.eye(vocab_size)[i][X] for i in range(vocab_size)]).transpose(1, 2)


@wrong("time_major", "Are the two axes of X flattened into one?")
def _(X, vocab_size):
    return torch.eye(vocab_size)[X.T.reshape(-1)]


@wrong("time_major", "Are these integers? .float() makes them numbers that weights can multiply.")
def _(X, vocab_size):
    return F.one_hot(X.T, vocab_size)


@wrong("lookup", "Are columns of W_xh taken, instead of rows?")
def _(ids, W_xh):
    return W_xh.t()[ids]


@wrong("lookup", "Are the time and batch axes swapped?")
def _(ids, W_xh):
    return F.embedding(ids, W_xh).transpose(0, 1) if ids.dim() == 2 else F.embedding(ids, W_xh)


@wrong("lookup", "Is the row one off?")
def _(ids, W_xh):
    return W_xh[ids - 1]


@wrong("lookup", "Is the shape of ids lost?")
def _(ids, W_xh):
    return W_xh.index_select(0, ids.flatten())


@wrong("lookup", "Is the one-hot tensor built on the way? Take the rows of W_xh directly.")
def _(ids, W_xh):
    return F.one_hot(ids, len(W_xh)).float() @ W_xh


@wrong("lookup", "Is the one-hot tensor built on the way? Take the rows of W_xh directly.")
def _(ids, W_xh):
    return torch.eye(W_xh.shape[0])[ids] @ W_xh


# --- 02 ---


def params_from(draw, biases=torch.zeros, finish=lambda param: param.requires_grad_()):
    def get_params(n, h):
        return [finish(p) for p in (draw(n, h), draw(h, h), biases(h), draw(h, n), biases(n))]

    return get_params


small = params_from(lambda *shape: torch.randn(*shape) * 0.01)

wrong("get_params", "Is requires_grad missing?")(
    params_from(lambda *shape: torch.randn(*shape) * 0.01, finish=lambda param: param)
)
wrong("get_params", "Is the factor 0.01 missing?")(params_from(torch.randn))
wrong("get_params", "Is torch.rand used instead of torch.randn?")(params_from(lambda *s: torch.rand(*s) * 0.01))
wrong("get_params", "Do the biases start at zero?")(params_from(lambda *s: torch.randn(*s) * 0.01, torch.ones))
wrong("get_params", "Do the biases start at zero?")(
    params_from(lambda *s: torch.randn(*s) * 0.01, lambda *s: torch.randn(*s) * 0.01)
)


@wrong("get_params", "Is requires_grad set before the scaling by 0.01?")
def _(vocab_size, num_hiddens):
    n, h = vocab_size, num_hiddens
    shapes = [(n, h), (h, h), (h,), (h, n), (n,)]
    return [
        torch.randn(shape, requires_grad=True) * 0.01 if len(shape) == 2 else torch.zeros(shape, requires_grad=True)
        for shape in shapes
    ]


@wrong("get_params", "Are rows and columns swapped? X has vocab_size columns, H has num_hiddens.")
def _(vocab_size, num_hiddens):
    W_xh, W_hh, b_h, W_hq, b_q = small(vocab_size, num_hiddens)
    return [W_xh.detach().T.requires_grad_(), W_hh, b_h, W_hq.detach().T.requires_grad_(), b_q]


@wrong("get_params", "Are the matrices drawn from the same random numbers?")
def _(vocab_size, num_hiddens):
    def draw(*shape):
        return torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * 0.01

    return params_from(draw)(vocab_size, num_hiddens)


@wrong("get_params", "")
def _(vocab_size, num_hiddens):
    return small(vocab_size, num_hiddens)[:3]


wrong("num_params", "Are the biases forgotten?")(lambda n, h: n * h + h * h + h * n)
wrong("num_params", "Is W_hh forgotten?")(lambda n, h: n * h + h + h * n + n)
wrong("num_params", "Is the output layer, W_hq and b_q, forgotten?")(lambda n, h: n * h + h * h + h)
wrong("num_params", "Is one of the two biases forgotten?")(lambda n, h: n * h + h * h + h + h * n)
wrong("num_params", "Is b_h counted twice? nn.RNN has two of them, this network one.")(
    lambda n, h: sum(p.numel() for layer in (nn.RNN(n, h), nn.Linear(h, n)) for p in layer.parameters())
)
wrong("num_params", "Are shapes added instead of multiplied?")(lambda n, h: (n + h) + (h + h) + h + (h + n) + n)

wrong("spectral_radius", "Is it the largest singular value (the matrix norm)? Take the eigenvalues.")(
    lambda W: torch.linalg.svdvals(W)[0].item()
)
wrong("spectral_radius", "Are only the real parts used? The size of a complex number is abs().")(
    lambda W: max(np.linalg.eigvals(W.numpy()).real).item()
)
wrong("spectral_radius", "Is W taken for a symmetric matrix (eigvalsh)?")(
    lambda W: np.abs(np.linalg.eigvalsh(W.numpy())).max().item()
)
wrong("spectral_radius", "Is it the Frobenius norm, the root of the sum of squares?")(
    lambda W: math.sqrt((W * W).sum().item())
)
wrong("spectral_radius", "Are these all eigenvalues? One number is wanted, the largest.")(
    lambda W: torch.linalg.eigvals(W).abs()
)

# --- 03 ---


def step(X, H, params):
    W_xh, W_hh, b_h, _, _ = params
    return torch.tanh(torch.mm(X, W_xh) + torch.mm(H, W_hh) + b_h)


wrong("rnn_step", "Is tanh missing?")(lambda X, H, params: torch.addmm(params[2], X, params[0]) + H @ params[1])
wrong("rnn_step", "Is it sigmoid or ReLU, instead of tanh?")(
    lambda X, H, params: F.relu(X @ params[0] + H @ params[1] + params[2])
)
wrong("rnn_step", "Is the bias b_h forgotten?")(lambda X, H, params: (X @ params[0] + H @ params[1]).tanh())
wrong("rnn_step", "Is W_hh transposed?")(
    lambda X, H, params: (X @ params[0] + F.linear(H, params[1], params[2])).tanh()
)
wrong("rnn_step", "Is the term of the old state, H @ W_hh, forgotten?")(
    lambda X, H, params: torch.tanh(X @ params[0] + params[2])
)
wrong("rnn_step", "Is H added without being multiplied by W_hh?")(
    lambda X, H, params: torch.tanh(H + X @ params[0] + params[2])
)
wrong("rnn_step", "Is tanh taken before everything is added?")(
    lambda X, H, params: torch.tanh(X @ params[0] + H @ params[1]) + params[2]
)
wrong("rnn_step", "Are these the logits, H @ W_hq + b_q, instead of the new state?")(
    lambda X, H, params: step(X, H, params) @ params[3] + params[4]
)
wrong("rnn_step", "Do the shapes fit? Print them in front of the line that fails.")(
    lambda X, H, params: torch.tanh(params[0] @ X + params[1] @ H + params[2])
)


def network(inputs, state, params):
    (H,) = state
    states = []
    for X in inputs:
        H = step(X, H, params)
        states.append(H)
    return states


def logits(H, params):
    return H @ params[3] + params[4]


@wrong("rnn", "Is the state carried from step to step?")
def _(inputs, state, params):
    states = [step(X, state[0], params) for X in inputs]
    return logits(torch.cat(states), params), (states[-1],)


@wrong("rnn", "Is the incoming state ignored?")
def _(inputs, state, params):
    states = network(inputs, (torch.zeros_like(state[0]),), params)
    return logits(torch.cat(states), params), (states[-1],)


@wrong("rnn", "Is tanh missing?")
def _(inputs, state, params):
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,), outputs = state, []
    for X in inputs:
        H = X @ W_xh + H @ W_hh + b_h
        outputs.append(H @ W_hq + b_q)
    return torch.cat(outputs), (H,)


@wrong("rnn", "Is W_hh transposed?")
def _(inputs, state, params):
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,), outputs = state, []
    for X in inputs:
        H = torch.tanh(X @ W_xh + H @ W_hh.T + b_h)
        outputs.append(H @ W_hq + b_q)
    return torch.cat(outputs), (H,)


@wrong("rnn", "Are the rows in the wrong order? All rows of the first step come first.")
def _(inputs, state, params):
    states = network(inputs, state, params)
    return logits(torch.stack(states, dim=1), params).reshape(-1, len(params[4])), (states[-1],)


@wrong("rnn", "Are the steps stacked? Join them to (num_steps * batch_size, vocab_size), as torch.cat does.")
def _(inputs, state, params):
    states = network(inputs, state, params)
    return torch.stack([logits(H, params) for H in states]), (states[-1],)


@wrong("rnn", "Are only the last step's logits returned?")
def _(inputs, state, params):
    H = network(inputs, state, params)[-1]
    return logits(H, params), (H,)


@wrong("rnn", "Is the bias b_q forgotten?")
def _(inputs, state, params):
    states = network(inputs, state, params)
    return torch.cat(states) @ params[3], (states[-1],)


@wrong("rnn", "Is the old state returned? The new one is the H of the last step.")
def _(inputs, state, params):
    return logits(torch.cat(network(inputs, state, params)), params), state


@wrong("rnn", "Is the state a tuple with one tensor, (H,)?")
def _(inputs, state, params):
    states = network(inputs, state, params)
    return logits(torch.cat(states), params), states[-1]


@wrong("rnn", "Is the state a tuple with one tensor, (H,)?")
def _(inputs, state, params):
    states = network(inputs, state, params)
    return logits(torch.cat(states), params), [states[-1]]


def states_of(X, params):
    H = torch.zeros(X.shape[0], params[1].shape[0])
    return network(torch.eye(params[0].shape[0])[X.T], (H,), params)


wrong("final_logits", "Are the time and batch axes swapped?")(
    lambda X, params: logits(
        network(torch.eye(len(params[0]))[X], (torch.zeros(X.shape[1], len(params[1])),), params)[-1], params
    )
)
wrong("final_logits", "Are these the logits of all steps? Only the last step's are wanted.")(
    lambda X, params: logits(torch.cat(states_of(X, params)), params)
)
wrong("final_logits", "Is it the last row only? The last step has batch_size rows.")(
    lambda X, params: logits(torch.cat(states_of(X, params)), params)[-1]
)
wrong("final_logits", "Are these the logits of the first step?")(
    lambda X, params: logits(torch.cat(states_of(X, params)), params)[: len(X)]
)
wrong("final_logits", "Is the mean over the steps taken, instead of the last one?")(
    lambda X, params: logits(torch.stack(states_of(X, params)).mean(0), params)
)
wrong("final_logits", "Is the state carried from step to step?")(
    lambda X, params: logits(states_of(X[:, -1:], params)[-1], params)
)
wrong("final_logits", "Are these probabilities? Logits have no softmax.")(
    lambda X, params: torch.softmax(logits(states_of(X, params)[-1], params), dim=1)
)
wrong("final_logits", "Is the text read backwards?")(lambda X, params: logits(states_of(X.flip(1), params)[-1], params))
wrong("final_logits", "Are these the hidden states instead of the logits?")(lambda X, params: states_of(X, params)[-1])

# --- 04 ---


def greedy(ids, num_preds, params, H=None):
    H = torch.zeros(1, len(params[1])) if H is None else H
    for id in ids:
        H = step(torch.eye(len(params[0]))[[id]], H, params)
    result = []
    for _ in range(num_preds):
        result.append(logits(H, params).argmax().item())
        H = step(torch.eye(len(params[0]))[result[-1:]], H, params)
    return result, H


@wrong("predict", "Is the warm-up skipped? The whole prefix must pass through the network first.")
def _(ids, num_preds, params):
    return greedy(ids[-1:], num_preds, params)[0]


@wrong("predict", "Is the prefix part of the result? Only the continuation is wanted.")
def _(ids, num_preds, params):
    return list(ids) + greedy(ids, num_preds, params)[0]


@wrong("predict", "Is the state carried from step to step?")
def _(ids, num_preds, params):
    result = greedy(ids, 1, params)[0]
    while len(result) < num_preds:
        result += greedy(result[-1:], 1, params)[0]
    return result


@wrong("predict", "Is the last id of the prefix read twice?")
def _(ids, num_preds, params):
    return greedy([*ids, ids[-1]], num_preds, params)[0]


@wrong("predict", "Is the number of predictions one off?")
def _(ids, num_preds, params):
    return greedy(ids, num_preds + 1, params)[0]


@wrong("predict", "Is the first prediction lost? It comes from the prefix's last logits.")
def _(ids, num_preds, params):
    return greedy(ids, num_preds + 1, params)[0][1:]


@wrong("predict", "Is it the least likely symbol? Take the argmax.")
def _(ids, num_preds, params):
    W_xh, W_hh, _, W_hq, b_q = params
    H, result = torch.zeros(1, len(W_hh)), []
    for t in range(len(ids) + num_preds):
        id = ids[t] if t < len(ids) else int((H @ W_hq + b_q).argmin())
        if t >= len(ids):
            result.append(id)
        H = step(torch.eye(len(W_xh))[[id]], H, params)
    return result


wrong("temperature", "Are the logits multiplied by the temperature? They are divided by it.")(
    lambda logits, temperature: F.softmax(temperature * logits, dim=-1)
)
wrong("temperature", "Is the softmax over the wrong axis? It belongs to the last one (dim=-1).")(
    lambda logits, temperature: F.softmax(logits / temperature, dim=0)
)
wrong("temperature", "Is the softmax over the wrong axis? It belongs to the last one (dim=-1).")(
    lambda logits, temperature: F.softmax(logits / temperature, dim=1)
)
wrong("temperature", "Is the temperature ignored?")(lambda logits, temperature: logits.softmax(-1))
wrong("temperature", "Is the softmax taken before the division? Divide the logits first.")(
    lambda logits, temperature: F.softmax(logits, dim=-1) / temperature
)
wrong("temperature", "Is the softmax missing?")(lambda logits, temperature: logits / temperature)
wrong("temperature", "Is exp not divided by its sum?")(lambda logits, temperature: torch.exp(logits / temperature))
wrong("temperature", "Does exp overflow? torch.softmax is safe for large numbers.")(
    lambda logits, temperature: (
        torch.exp(logits / temperature) / torch.exp(logits / temperature).sum(dim=-1, keepdim=True)
    )
)


def cut(logits, k):
    return logits >= logits.topk(k, dim=-1).values[..., -1:]


wrong("top_k", "Do the probabilities not sum to 1? Renormalise after the cut.")(
    lambda logits, k: torch.where(cut(logits, k), logits.softmax(-1), 0)
)
wrong("top_k", "Are these the k smallest?")(
    lambda logits, k: torch.where(logits <= logits.sort(-1).values[..., k - 1 : k], logits, -math.inf).softmax(-1)
)
wrong("top_k", "Is k one off?")(
    lambda logits, k: torch.where(cut(logits, min(k + 1, logits.shape[-1])), logits, -math.inf).softmax(-1)
)
wrong("top_k", "Are the logits outside set to 0? exp(0) is 1; -inf gives the probability 0.")(
    lambda logits, k: (logits * cut(logits, k)).softmax(-1)
)
wrong("top_k", "Are only k probabilities returned? The shape stays that of the logits.")(
    lambda logits, k: F.softmax(torch.topk(logits, k)[0], dim=-1)
)
wrong("top_k", "Is the softmax over the wrong axis? It belongs to the last one (dim=-1).")(
    lambda logits, k: logits.masked_fill(~cut(logits, k), -math.inf).softmax(0)
)

# --- 05 ---

wrong("grad_norm", "Are the norms of the parts added? Add the squares, and take one root.")(
    lambda grads: sum((grad**2).sum().sqrt().item() for grad in grads)
)
wrong("grad_norm", "Is the square root missing?")(lambda grads: sum((grad**2).sum().item() for grad in grads))
wrong("grad_norm", "Is it the norm of the largest part only?")(lambda grads: max(grad.norm().item() for grad in grads))
wrong("grad_norm", "Is it the norm of the first part only?")(lambda grads: torch.linalg.norm(grads[0]).item())
wrong("grad_norm", "Are absolute values added, instead of squares?")(
    lambda grads: sum(grad.abs().sum().item() for grad in grads)
)
wrong("grad_norm", "Is it the mean of the squares? The norm takes their sum.")(
    lambda grads: math.sqrt(sum((grad**2).mean().item() for grad in grads))
)


def joint(grads):
    return math.sqrt(sum(float((grad**2).sum()) for grad in grads))


@wrong("clip", "Is each gradient clipped by its own norm? They share one norm.")
def _(grads, theta):
    for grad in grads:
        if grad.norm() > theta:
            grad *= theta / grad.norm()
    return grads


wrong("clip", "Are small gradients scaled up? Without min(1, ...) the norm always becomes theta.")(
    lambda grads, theta: [theta / joint(grads) * grad for grad in grads]
)
wrong("clip", "Is each number cut to -theta .. theta? That changes the direction.")(
    lambda grads, theta: [torch.clamp(grad, min=-theta, max=theta) for grad in grads]
)
wrong("clip", "Is the fraction upside down? The factor is theta / norm.")(
    lambda grads, theta: [grad * (joint(grads) / theta if joint(grads) > theta else 1) for grad in grads]
)
wrong("clip", "Is theta forgotten in the factor? It is theta / norm.")(
    lambda grads, theta: [grad / joint(grads) if joint(grads) > theta else grad for grad in grads]
)
wrong("clip", "Is the square root missing in the norm?")(
    lambda grads, theta: [grad * min(1, theta / joint(grads) ** 2) for grad in grads]
)


@wrong("clip", "Are the gradients changed in place? Return new tensors.")
def _(grads, theta):
    norm = joint(grads)
    for grad in grads:
        grad *= min(1, theta / norm)
    return grads


wrong("clip", "Is nothing clipped?")(lambda grads, theta: [grad.clone() for grad in grads])
wrong("clip", "Is the return missing?")(
    lambda grads, theta: [grad.mul_(theta / joint(grads)) for grad in grads] and None
)


def product(a, b):
    return sum(float((x * y).sum()) for x, y in zip(a, b))


wrong("cosine", "Is it a mean of the parts' cosines? All parts are one long vector.")(
    lambda a, b: np.mean([product([x], [y]) / (joint([x]) * joint([y]) + 1e-12) for x, y in zip(a, b)]).item()
)
wrong("cosine", "Is the division by the two norms missing?")(product)
wrong("cosine", "Is only one of the two norms divided by?")(lambda a, b: product(a, b) / joint(a))
wrong("cosine", "Are the square roots missing in the norms?")(
    lambda a, b: product(a, b) / product(a, a) / product(b, b)
)
wrong("cosine", "Is the sign lost? Opposite directions have the cosine -1.")(
    lambda a, b: abs(product(a, b)) / joint(a) / joint(b)
)
wrong("cosine", "Is it the distance, 1 minus the cosine?")(lambda a, b: 1 - product(a, b) / joint(a) / joint(b))

# --- 06 ---

wrong("perplexity", "Is it the mean of exponentials, instead of the exponential of the mean?")(
    lambda probs: torch.exp(-torch.log(probs)).mean().item()
)
wrong("perplexity", "Is it the mean of exponentials, instead of the exponential of the mean?")(
    lambda probs: (1 / probs).mean().item()
)
wrong("perplexity", "Is it the inverse of the arithmetic mean of the probabilities?")(
    lambda probs: len(probs) / probs.sum().item()
)
wrong("perplexity", "Is the loss summed instead of averaged?")(lambda probs: torch.exp(-probs.log().sum()).item())
wrong("perplexity", "Is the minus sign missing?")(lambda probs: torch.exp(torch.mean(torch.log(probs))).item())
wrong("perplexity", "Is the exponential missing?")(lambda probs: -probs.log().mean().item())
wrong("perplexity", "Do logarithm and exponential have different bases?")(lambda probs: 2 ** -probs.log().mean().item())
wrong("perplexity", "Does the product of many probabilities become zero? Add their logarithms.")(
    lambda probs: (torch.prod(probs) ** (-1 / len(probs))).item()
)

wrong("epoch_perplexity", "Is it the mean of exponentials, instead of the exponential of the mean?")(
    lambda mean_losses, num_tokens: np.exp(mean_losses).mean().item()
)
wrong("epoch_perplexity", "Is it the mean of exponentials, instead of the exponential of the mean?")(
    lambda mean_losses, num_tokens: sum(math.exp(x) * n for x, n in zip(mean_losses, num_tokens)) / sum(num_tokens)
)
wrong("epoch_perplexity", "Does every minibatch count the same? Weigh each loss by its tokens.")(
    lambda mean_losses, num_tokens: np.exp(np.mean(mean_losses)).item()
)
wrong("epoch_perplexity", "Is the exponential missing?")(
    lambda mean_losses, num_tokens: sum(x * n for x, n in zip(mean_losses, num_tokens)) / sum(num_tokens)
)
wrong("epoch_perplexity", "Is the loss summed instead of averaged?")(
    lambda mean_losses, num_tokens: math.exp(sum(x * n for x, n in zip(mean_losses, num_tokens)))
)
wrong(
    "epoch_perplexity", "Are the losses divided by the tokens without being multiplied first? They are means already."
)(lambda mean_losses, num_tokens: np.exp(np.sum(mean_losses) / np.sum(num_tokens)).item())
wrong("epoch_perplexity", "Is the sum divided by the number of minibatches, instead of tokens?")(
    lambda mean_losses, num_tokens: math.exp(sum(x * n for x, n in zip(mean_losses, num_tokens)) / len(num_tokens))
)


def training_step(detach=True, targets=lambda X, Y: Y.T, reduction="mean", clip="joint", clear=True, sign=-1,
                  update=True, start=lambda H: H, new=lambda H, old: (H,)):  # fmt: skip
    """A learner's training step, with something left out."""

    def train_step(X, Y, state, params, lr, theta):
        (H,) = state
        if detach:
            H = H.detach()
        states = network(torch.eye(len(params[0]))[X.T], (start(H),), params)
        loss = F.cross_entropy(logits(torch.cat(states), params), targets(X, Y).reshape(-1), reduction=reduction)
        if clear:
            for param in params:
                param.grad = None
        loss.backward()
        with torch.no_grad():
            grads = [param.grad for param in params]
            for group in {"joint": [grads], "each": [[grad] for grad in grads], "no": [], "always": [grads]}[clip]:
                factor = theta / joint(group)
                for grad in group:
                    grad *= factor if clip == "always" else min(1, factor)
            for param in params if update else []:
                param += sign * lr * param.grad
        return loss.item(), new(states[-1], H)

    return train_step


wrong("train_step", "Is the incoming state not detached? Its history belongs to the minibatch before.")(
    training_step(detach=False)
)
wrong("train_step", "Are the targets in the wrong order? The logits are time-major, so Y must be Y.T.")(
    training_step(targets=lambda X, Y: Y)
)
wrong("train_step", "Are the inputs X used as targets? The targets are Y.")(training_step(targets=lambda X, Y: X.T))
wrong("train_step", "Is the loss summed instead of averaged?")(training_step(reduction="sum"))
wrong("train_step", "Is the clipping missing?")(training_step(clip="no"))
wrong("train_step", "Is each gradient clipped by its own norm? They share one norm.")(training_step(clip="each"))
wrong("train_step", "Are small gradients scaled up? Without min(1, ...) the norm always becomes theta.")(
    training_step(clip="always")
)
wrong("train_step", "Are the gradients of the step before still there? Set every grad to None first.")(
    training_step(clear=False)
)
wrong("train_step", "Are the parameters unchanged? The step must change them in place.")(training_step(update=False))
wrong("train_step", "Does the step go uphill? The sign of the update is minus.")(training_step(sign=1))
wrong("train_step", "Is the incoming state ignored?")(training_step(start=torch.zeros_like))
wrong("train_step", "Is the old state returned? The new one is the H of the last step.")(
    training_step(new=lambda H, old: (old,))
)
wrong("train_step", "Is the new state a tuple, (H,)?")(training_step(new=lambda H, old: H))

# --- 07 ---


def gru(mix=lambda Z, H, candidate: Z * H + (1 - Z) * candidate, old=lambda R, H, W: (R * H) @ W,
        squash=torch.tanh, gate=torch.sigmoid, bias=1, swap=False):  # fmt: skip
    def gru_step(X, H, params):
        W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h = params
        Z = gate(X @ W_xz + H @ W_hz + bias * b_z)
        R = gate(X @ W_xr + H @ W_hr + bias * b_r)
        if swap:
            Z, R = R, Z
        candidate = squash(X @ W_xh + old(R, H, W_hh) + bias * b_h)
        return mix(Z, H, candidate)

    return gru_step


wrong("gru_step", "Are Z and 1 - Z swapped? Z is the share of the old state that stays.")(
    gru(mix=lambda Z, H, candidate: (1 - Z) * H + Z * candidate)
)
wrong("gru_step", "Is R applied after W_hh, as nn.GRU does it? Here it comes before.")(
    gru(old=lambda R, H, W: R * (H @ W))
)
wrong("gru_step", "Is the reset gate R forgotten?")(gru(old=lambda R, H, W: H @ W))
wrong("gru_step", "Is tanh missing in the candidate state?")(gru(squash=lambda A: A))
wrong("gru_step", "Is tanh used for the gates? They take sigmoid.")(gru(gate=torch.tanh))
wrong("gru_step", "Are the gates Z and R swapped? The parameters of Z come first.")(gru(swap=True))
wrong("gru_step", "Are the biases forgotten?")(gru(bias=0))
wrong("gru_step", "Is this the candidate state only? It is mixed with the old state.")(
    gru(mix=lambda Z, H, candidate: candidate)
)


def lstm(out=torch.tanh, squash=torch.tanh, gate=torch.sigmoid, bias=1, order="ifoc", keep=1, read_old=False,
         results=lambda H, C: (H, C)):  # fmt: skip
    def lstm_step(X, H, C, params):
        Z = {name: X @ params[3 * i] + H @ params[3 * i + 1] + bias * params[3 * i + 2] for i, name in enumerate(order)}
        C_new = keep * gate(Z["f"]) * C + gate(Z["i"]) * squash(Z["c"])
        return results(gate(Z["o"]) * out(C if read_old else C_new), C_new)

    return lstm_step


wrong("lstm_step", "Is tanh missing in H = O * tanh(C)?")(lstm(out=lambda C: C))
wrong("lstm_step", "Is the old C used for H? Take the new one.")(lstm(read_old=True))
wrong("lstm_step", "Are the gates I and F swapped? The parameters of I come first.")(lstm(order="fioc"))
wrong("lstm_step", "Are the parameters taken in another order? It is i, f, o, c; nn.LSTM has i, f, c, o.")(
    lstm(order="ifco")
)
wrong("lstm_step", "Is the forget gate F forgotten, F * C?")(lstm(keep=0))
wrong("lstm_step", "Is sigmoid used for the candidate cell? It takes tanh.")(lstm(squash=torch.sigmoid))
wrong("lstm_step", "Is the order of the results C, H? It is (H, C).")(lstm(results=lambda H, C: (C, H)))
wrong("lstm_step", "Are the biases forgotten?")(lstm(bias=0))
wrong("lstm_step", "Is it a tuple?")(lstm(results=lambda H, C: torch.stack([H, C])))


def to_layer(W_ih=lambda W: W.T, W_hh=lambda W: W.T, b_hh=torch.zeros_like, layer=nn.RNN, **options):
    def to_nn_rnn(params):
        result = layer(*params[0].shape, **options)
        result.weight_ih_l0.data = W_ih(params[0]).clone()
        result.weight_hh_l0.data = W_hh(params[1]).clone()
        result.bias_ih_l0.data = params[2].clone()
        if b_hh:
            result.bias_hh_l0.data = b_hh(params[2])
        return result

    return to_nn_rnn


wrong("to_nn_rnn", "Is W_hh transposed? nn.RNN multiplies by weight_hh_l0.T.")(to_layer(W_hh=lambda W: W))
wrong("to_nn_rnn", "Is the second bias, bias_hh_l0, set to zero?")(to_layer(b_hh=None))
wrong("to_nn_rnn", "Is b_h in both biases? nn.RNN adds bias_ih_l0 and bias_hh_l0.")(to_layer(b_hh=torch.clone))
wrong("to_nn_rnn", "Is batch_first set? The model from scratch has time first.")(to_layer(batch_first=True))
wrong("to_nn_rnn", "Is the layer made with ReLU? The model from scratch has tanh.")(to_layer(nonlinearity="relu"))
wrong("to_nn_rnn", "")(to_layer(layer=nn.GRU))


@wrong("to_nn_rnn", "Are the parameters not copied into the layer?")
def _(params):
    return nn.RNN(params[0].shape[0], params[0].shape[1])


@wrong("to_nn_rnn", "Is W_xh transposed? nn.RNN keeps weight_ih_l0 as (num_hiddens, vocab_size).")
def _(params):
    layer = nn.RNN(*params[0].shape)
    layer.weight_ih_l0.data.copy_(params[0].reshape(layer.weight_ih_l0.shape))
    layer.weight_hh_l0.data.copy_(params[1].T)
    layer.bias_ih_l0.data.copy_(params[2])
    layer.bias_hh_l0.data.zero_()
    return layer


# --- 08 ---


def gradient(logits, targets):
    probs = torch.softmax(logits, dim=1)
    probs[torch.arange(len(targets)), targets] -= 1
    return probs


wrong("softmax_gradient", "Is the division by the number of rows missing? The loss is a mean.")(gradient)
wrong("softmax_gradient", "Is the one at the target not subtracted?")(
    lambda logits, targets: torch.softmax(logits, dim=1) / logits.shape[0]
)
wrong("softmax_gradient", "Is the sign the wrong way round?")(
    lambda logits, targets: (F.one_hot(targets, logits.shape[1]) - logits.softmax(1)) / len(logits)
)
wrong("softmax_gradient", "Is it divided by all entries? Only the number of rows counts.")(
    lambda logits, targets: gradient(logits, targets) / logits.numel()
)
wrong("softmax_gradient", "Is the softmax over the wrong axis? It belongs to the last one (dim=-1).")(
    lambda logits, targets: (torch.softmax(logits, dim=0) - torch.eye(logits.shape[1])[targets]) / len(logits)
)
wrong("softmax_gradient",
      "Is 1 subtracted after the division by the number of rows, or the other way round? Divide both.")(
    lambda logits, targets: torch.softmax(logits, 1) / len(logits) - torch.eye(logits.shape[1])[targets]
)  # fmt: skip
wrong("softmax_gradient", "Does exp overflow? torch.softmax is safe for large numbers.")(
    lambda logits, targets: (
        (logits.exp() / logits.exp().sum(1, keepdim=True) - torch.eye(logits.shape[1])[targets]) / len(logits)
    )
)


@wrong("softmax_gradient", "Is only the target's column changed in all rows? Pair each row with its own target.")
def _(logits, targets):
    probs = torch.softmax(logits, dim=1)
    probs[:, targets] -= 1
    return probs / len(logits)


wrong("tanh_backward", "Is tanh taken a second time? H is tanh(Z) already.")(lambda dH, H: dH * (1 - H.tanh().pow(2)))
wrong("tanh_backward", "Is H not squared?")(lambda dH, H: dH - dH * H)
wrong("tanh_backward", "Is it the derivative of sigmoid?")(lambda dH, H: dH * (H - H * H))
wrong("tanh_backward", "Is dH forgotten?")(lambda dH, H: 1 - H * H)
wrong("tanh_backward", "Are dH and H swapped?")(lambda dH, H: (1 - dH**2) * H)
wrong("tanh_backward", "Is the sign of the square wrong?")(lambda dH, H: dH + dH * H * H)


def through_time(
    order=reversed, W=lambda W_hh: W_hh.T, join=lambda dH, later, slope: (dH + later) * slope, pass_on="dZ"
):
    def backward_through_time(dH, H, W_hh):
        dZ = np.empty_like(dH)
        later = np.zeros(dH.shape[1:])
        for t in order(range(len(dH))):
            slope = 1 - H[t] * H[t]
            dZ[t] = join(dH[t], later, slope)
            later = (dZ[t] if pass_on == "dZ" else dH[t] * slope) @ W(W_hh)
        return dZ

    return backward_through_time


wrong("backward_through_time", "Is W_hh transposed? Backwards, the gradient is multiplied by W_hh.T.")(
    through_time(W=lambda W_hh: W_hh)
)
wrong("backward_through_time", "Are the paths through later steps forgotten? Each step also changes the next state.")(
    through_time(join=lambda dH, later, slope: dH * slope)
)
wrong(
    "backward_through_time",
    "Does the gradient reach back one step only? Pass on the dZ of the step after, not its dH.",
)(through_time(pass_on="dH"))
wrong("backward_through_time", "Is the derivative of tanh missing on the way from the later steps?")(
    through_time(join=lambda dH, later, slope: dH * slope + later)
)
wrong("backward_through_time", "Is the derivative of tanh missing?")(
    through_time(join=lambda dH, later, slope: dH + later)
)
wrong("backward_through_time", "Does the loop run forwards? Gradients flow from the last step to the first.")(
    through_time(order=list)
)
