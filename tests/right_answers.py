"""Right answers to the exercises in many styles: RIGHT[exercise] is a list of functions that the check must accept."""

import copy
import math
import re
from collections import Counter, defaultdict

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import d2lmini

RIGHT = defaultdict(list)


def right(exercise):
    """Register the decorated function as a right answer."""

    def register(function):
        RIGHT[exercise].append(function)
        return function

    return register


# --- 00 ---

right("normalise")(d2lmini.normalise)
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


@right("sequential_batches")
def _(tokens, batch_size, num_steps):
    row_length = (len(tokens) - 1) // batch_size
    X = tokens[: batch_size * row_length].reshape(batch_size, row_length)
    Y = tokens[1 : batch_size * row_length + 1].reshape(batch_size, row_length)
    num_batches = row_length // num_steps
    used = num_batches * num_steps
    return list(zip(X[:, :used].split(num_steps, dim=1), Y[:, :used].split(num_steps, dim=1)))


@right("sequential_batches")
def _(tokens, batch_size, num_steps):
    num_batches = (len(tokens) - 1) // (batch_size * num_steps)
    size = num_batches * batch_size * num_steps
    X = tokens[:size].view(batch_size, num_batches, num_steps)  # rows rounded down to whole minibatches
    Y = tokens[1 : size + 1].view(batch_size, num_batches, num_steps)
    return [(X[:, n], Y[:, n]) for n in range(num_batches)]


@right("sequential_batches")
def _(tokens, batch_size, num_steps):
    tokens = tokens.numpy()
    row_length = (len(tokens) - 1) // batch_size
    for start in range(0, row_length - num_steps + 1, num_steps):
        X = [tokens[r * row_length + start :][:num_steps].tolist() for r in range(batch_size)]
        Y = [tokens[r * row_length + start + 1 :][:num_steps].tolist() for r in range(batch_size)]
        yield X, Y


# --- 01 ---

right("one_hot")(d2lmini.one_hot)
right("one_hot")(lambda ids, vocab_size: (ids.unsqueeze(-1) == torch.arange(vocab_size)).float())
right("one_hot")(lambda ids, vocab_size: torch.from_numpy(np.eye(vocab_size, dtype=np.float32)[ids.numpy()]))
right("one_hot")(lambda ids, n: torch.zeros(*ids.shape, n).scatter_(-1, ids[..., None], 1.0))


@right("one_hot")
def _(ids, vocab_size):
    result = torch.zeros(ids.numel(), vocab_size)
    for row, id in enumerate(ids.flatten()):
        result[row, id] = 1
    ids *= 0  # spoils its input: the check must not suffer
    return result.reshape(*ids.shape, vocab_size)


right("time_major")(lambda X, vocab_size: d2lmini.one_hot(X.T, vocab_size))
right("time_major")(lambda X, vocab_size: torch.eye(vocab_size)[X].permute(1, 0, 2))
right("time_major")(lambda X, vocab_size: torch.einsum("btv->tbv", F.one_hot(X, vocab_size).float()))
right("time_major")(lambda X, vocab_size: torch.stack([torch.eye(vocab_size)[X[:, t]] for t in range(X.shape[1])]))

right("lookup")(lambda ids, W_xh: W_xh[ids])
right("lookup")(lambda ids, W_xh: torch.index_select(W_xh, 0, ids.reshape(-1)).reshape(*ids.shape, -1))
right("lookup")(lambda ids, W_xh: torch.as_tensor(W_xh.numpy()[ids.numpy()]))
right("lookup")(
    lambda ids, W_xh: torch.stack([W_xh[int(id)] for id in ids.flatten()]).reshape(*ids.shape, W_xh.shape[1])
)

# --- 02 ---

right("get_params")(d2lmini.get_params)


@right("get_params")
def _(vocab_size, num_hiddens):
    layer = [
        nn.Parameter(torch.normal(0.0, 0.01, shape))
        for shape in [(vocab_size, num_hiddens), (num_hiddens, num_hiddens), (num_hiddens, vocab_size)]
    ]
    b_h, b_q = nn.Parameter(torch.zeros(num_hiddens)), nn.Parameter(torch.zeros(vocab_size))
    return layer[0], layer[1], b_h, layer[2], b_q


@right("get_params")
def _(vocab_size, num_hiddens):
    rng = np.random.default_rng(7)

    def weights(rows, columns):
        return torch.tensor(rng.normal(scale=0.01, size=(rows, columns)), dtype=torch.float32)

    params = [weights(vocab_size, num_hiddens), weights(num_hiddens, num_hiddens), torch.zeros(num_hiddens)]
    params += [weights(num_hiddens, vocab_size), torch.zeros(vocab_size)]
    for param in params:
        param.requires_grad = True
    return params


right("num_params")(lambda n, h: h * (n + h + 1) + n * (h + 1))
right("num_params")(lambda vocab_size, num_hiddens: sum(p.numel() for p in d2lmini.get_params(vocab_size, num_hiddens)))
right("num_params")(lambda n, h: int(np.sum([n * h, h * h, h, h * n, n])))

right("spectral_radius")(lambda W: torch.linalg.eigvals(W).abs().max().item())
right("spectral_radius")(lambda W: max(abs(value) for value in np.linalg.eigvals(W.numpy()).tolist()))


@right("spectral_radius")
def _(W):
    log_norm, W = 0.0, W.double()  # the norm of W to the power n, to the power 1 / n
    for i in range(40):
        norm = W.norm()
        log_norm += math.log(norm) / 2**i
        W = W / norm
        W = W @ W
    return math.exp(log_norm)


# --- 03 ---

right("rnn_step")(lambda X, H, params: torch.tanh(X @ params[0] + H @ params[1] + params[2]))
right("rnn_step")(
    lambda X, H, params: torch.tanh(torch.cat([X, H], 1) @ torch.cat([params[0], params[1]], 0) + params[2])
)
right("rnn_step")(
    lambda X, H, params: torch.tensor(
        np.tanh(X.numpy() @ params[0].numpy() + H.numpy() @ params[1].numpy() + params[2].numpy())
    )
)


@right("rnn_step")
def _(X, H, params):
    W_xh, W_hh, b_h, *_ = params
    result = torch.einsum("bv,vh->bh", X, W_xh)
    result += torch.einsum("bi,ih->bh", H, W_hh)
    result += b_h
    H.copy_(result.tanh_())
    return H


right("rnn")(d2lmini.rnn)


@right("rnn")
def _(inputs, state, params):
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = torch.empty(inputs.shape[0], inputs.shape[1], len(b_q))
    projected = inputs @ W_xh + b_h  # all steps at once
    for t in range(len(inputs)):
        H = (projected[t] + H @ W_hh).tanh()
        outputs[t] = H @ W_hq + b_q
    return outputs.reshape(-1, outputs.shape[-1]), (H,)


@right("rnn")
def _(inputs, state, params):
    W_xh, W_hh, b_h, W_hq, b_q = [param.numpy() for param in params]
    H, rows = state[0].numpy(), []
    for X in inputs.numpy():
        H = np.tanh(X @ W_xh + H @ W_hh + b_h)
        rows.extend(H @ W_hq + b_q)
    return torch.tensor(np.array(rows)), (torch.tensor(H),)


def last_logits(X, params, one_hot):
    H = torch.zeros(len(X), len(params[1]))
    for column in X.T:
        H = torch.tanh(one_hot(column, params) + H @ params[1] + params[2])
    return H @ params[3] + params[4]


right("final_logits")(lambda X, params: last_logits(X, params, lambda ids, params: params[0][ids]))
right("final_logits")(
    lambda X, params: last_logits(X, params, lambda ids, params: torch.eye(len(params[0]))[ids] @ params[0])
)


@right("final_logits")
def _(X, params):
    inputs, state = d2lmini.one_hot(X.T, len(params[0])), d2lmini.init_rnn_state(len(X), len(params[1]))
    return d2lmini.rnn(inputs, state, params)[0][-len(X) :]


@right("final_logits")
def _(X, params):
    inputs, state = d2lmini.one_hot(X.T, len(params[0])), d2lmini.init_rnn_state(len(X), len(params[1]))
    return d2lmini.rnn(inputs, state, params)[0].reshape(X.shape[1], X.shape[0], -1)[-1]


# --- 04 ---


@right("predict")
def _(ids, num_preds, params):
    inputs = d2lmini.one_hot(torch.tensor([ids]).T, len(params[0]))
    logits, state = d2lmini.rnn(inputs, d2lmini.init_rnn_state(1, len(params[1])), params)
    result = []
    for _ in range(num_preds):
        result.append(int(logits[-1].argmax()))
        logits, state = d2lmini.rnn(d2lmini.one_hot(torch.tensor([result[-1:]]), len(params[0])), state, params)
    return result


@right("predict")
def _(ids, num_preds, params):
    outputs, H = [ids[0]], torch.zeros(1, len(params[1]))
    for t in range(len(ids) + num_preds - 1):
        H = torch.tanh(params[0][outputs[-1]] + H @ params[1] + params[2])
        outputs.append(ids[t + 1] if t + 1 < len(ids) else int((H @ params[3] + params[4]).argmax(dim=1)))
    return outputs[len(ids) :]


@right("predict")
def _(ids, num_preds, params):
    W_xh, W_hh, b_h, W_hq, b_q = [param.numpy() for param in params]
    h, written = np.zeros(len(W_hh), dtype=np.float32), []
    while len(written) < num_preds:
        for id in ids:
            h = np.tanh(W_xh[id] + h @ W_hh + b_h)
        logits = h @ W_hq + b_q
        logits[0] = -np.inf  # "<unk>" is never written
        ids = [logits.argmax()]
        written.append(ids[0])
    return written


right("temperature")(lambda logits, temperature: torch.softmax(logits / temperature, dim=-1))
right("temperature")(lambda logits, temperature: F.log_softmax(logits / temperature, -1).exp())


@right("temperature")
def _(logits, temperature):
    logits /= temperature
    logits -= logits.max(dim=-1, keepdim=True).values
    logits.exp_()
    logits /= logits.sum(-1, keepdim=True)
    return logits


@right("temperature")
def _(logits, temperature):
    scores = logits.numpy() / temperature
    exp = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return torch.from_numpy(exp / exp.sum(axis=-1, keepdims=True))


@right("top_k")
def _(logits, k):
    values, indices = logits.topk(k)
    return torch.zeros_like(logits).scatter(-1, indices, values.softmax(-1))


@right("top_k")
def _(logits, k):
    smallest = logits.sort(dim=-1, descending=True).values[..., k - 1, None]
    logits[logits < smallest] = -math.inf
    return logits.softmax(-1)


@right("top_k")
def _(logits, k):
    probs = torch.softmax(logits, -1).reshape(-1, logits.shape[-1])
    for row in probs:
        for i in row.argsort()[: len(row) - k]:
            row[i] = 0
        row /= row.sum()
    return probs.reshape(logits.shape)


# --- 05 ---

right("grad_norm")(lambda grads: math.sqrt(sum(float((grad**2).sum()) for grad in grads)))
right("grad_norm")(lambda grads: torch.cat([grad.flatten() for grad in grads]).norm().item())
right("grad_norm")(lambda grads: float(np.linalg.norm([np.linalg.norm(grad.numpy()) for grad in grads])))
right("grad_norm")(lambda grads: torch.sqrt(sum((grad * grad).sum() for grad in grads)))


def joint(grads):
    return math.sqrt(sum(float((grad**2).sum()) for grad in grads))


right("clip")(lambda grads, theta: [grad * min(1, theta / joint(grads)) for grad in grads])


@right("clip")
def _(grads, theta):
    norm, grads = joint(grads), [grad.clone() for grad in grads]
    if norm > theta:
        for grad in grads:
            grad[:] *= theta / norm
    return grads


@right("clip")
def _(grads, theta):
    params = [nn.Parameter(torch.zeros_like(grad)) for grad in grads]
    for param, grad in zip(params, grads):
        param.grad = grad.clone()
    d2lmini.clip_gradients(params, theta)
    return tuple(param.grad for param in params)


@right("clip")
def _(grads, theta):
    whole = torch.cat([grad.reshape(-1) for grad in grads])
    whole = whole / max(1.0, whole.norm().item() / theta)
    return [part.reshape(grad.shape) for part, grad in zip(whole.split([grad.numel() for grad in grads]), grads)]


right("cosine")(lambda a, b: sum(float((x * y).sum()) for x, y in zip(a, b)) / (joint(a) * joint(b)))
right("cosine")(
    lambda a, b: F.cosine_similarity(
        torch.cat([x.flatten() for x in a]), torch.cat([y.flatten() for y in b]), dim=0
    ).item()
)


@right("cosine")
def _(a, b):
    a, b = (np.concatenate([grad.numpy().ravel() for grad in grads]) for grads in (a, b))
    return a @ b / np.sqrt((a @ a) * (b @ b))


# --- 06 ---

right("perplexity")(lambda probs: math.exp(-probs.log().mean()))
right("perplexity")(lambda probs: d2lmini.perplexity(float(-probs.log().sum()), len(probs)))
right("perplexity")(lambda probs: 1 / np.exp(np.log(probs.numpy()).mean()))
right("perplexity")(lambda probs: torch.exp(-torch.log(probs).sum() / probs.numel()))
right("perplexity")(lambda probs: 2 ** (-probs.log2().mean().item()))
right("perplexity")(lambda probs: math.prod(float(p) ** (-1 / len(probs)) for p in probs))


@right("epoch_perplexity")
def _(mean_losses, num_tokens):
    total = 0.0
    for loss, n in zip(mean_losses, num_tokens):
        total += loss * n
    return math.exp(total / sum(num_tokens))


right("epoch_perplexity")(lambda losses, tokens: np.exp(np.dot(losses, tokens) / np.sum(tokens)))
right("epoch_perplexity")(
    lambda losses, tokens: torch.exp((torch.tensor(losses) * torch.tensor(tokens)).sum() / sum(tokens)).item()
)


@right("train_step")
def _(X, Y, state, params, lr, theta):
    inputs, state = d2lmini.one_hot(X.T, len(params[0])), tuple(s.detach() for s in state)
    logits, state = d2lmini.rnn(inputs, state, params)
    loss = F.cross_entropy(logits, Y.T.reshape(-1))
    for param in params:
        param.grad = None
    loss.backward()
    d2lmini.clip_gradients(params, theta)
    d2lmini.sgd(params, lr)
    return loss.item(), state


@right("train_step")
def _(X, Y, state, params, lr, theta):
    state = (state[0].detach().clone(),)
    optimizer = torch.optim.SGD(params, lr=lr)
    logits, state = d2lmini.rnn(F.one_hot(X.t(), len(params[0])).float(), state, params)
    loss = nn.CrossEntropyLoss()(logits, Y.t().flatten())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(params, theta)
    optimizer.step()
    return loss, (state[0].detach(),)


@right("train_step")
def _(X, Y, state, params, lr, theta):
    logits, (H,) = d2lmini.rnn(d2lmini.one_hot(X.T, len(params[0])), (state[0].data,), params)
    loss = -logits.log_softmax(-1)[torch.arange(Y.numel()), Y.T.flatten()].mean()
    grads = torch.autograd.grad(loss, params)
    factor = min(1, theta / joint(grads))
    with torch.no_grad():
        for param, grad in zip(params, grads):
            param.sub_(lr * factor * grad)
    return float(loss.detach()), (H,)


# --- 07 ---


@right("gru_step")
def _(X, H, params):
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h = params
    Z = torch.sigmoid(X @ W_xz + H @ W_hz + b_z)
    R = torch.sigmoid(X @ W_xr + H @ W_hr + b_r)
    candidate = torch.tanh(X @ W_xh + (R * H) @ W_hh + b_h)
    return Z * H + (1 - Z) * candidate


@right("gru_step")
def _(X, H, params):
    both = X @ torch.cat([params[0], params[3]], 1) + H @ torch.cat([params[1], params[4]], 1)
    Z, R = (both + torch.cat([params[2], params[5]])).sigmoid().chunk(2, dim=1)
    H_new = (X @ params[6]).add_((R * H) @ params[7]).add_(params[8]).tanh_()
    return torch.lerp(H_new, H, Z)


@right("gru_step")
def _(X, H, params):
    X, H, p = X.numpy(), H.numpy(), [param.numpy() for param in params]

    def sigmoid(A):
        return 1 / (1 + np.exp(-A))

    Z, R = sigmoid(X @ p[0] + H @ p[1] + p[2]), sigmoid(X @ p[3] + H @ p[4] + p[5])
    return torch.tensor(Z * H + (1 - Z) * np.tanh(X @ p[6] + (R * H) @ p[7] + p[8]))


@right("lstm_step")
def _(X, H, C, params):
    W_xi, W_hi, b_i, W_xf, W_hf, b_f, W_xo, W_ho, b_o, W_xc, W_hc, b_c = params
    I = torch.sigmoid(X @ W_xi + H @ W_hi + b_i)
    F = torch.sigmoid(X @ W_xf + H @ W_hf + b_f)
    O = torch.sigmoid(X @ W_xo + H @ W_ho + b_o)
    C = F * C + I * torch.tanh(X @ W_xc + H @ W_hc + b_c)
    return O * torch.tanh(C), C


@right("lstm_step")
def _(X, H, C, params):
    gates = X @ torch.cat(params[0::3], 1) + H @ torch.cat(params[1::3], 1) + torch.cat(params[2::3])
    i, f, o, c = gates.chunk(4, dim=1)
    C *= f.sigmoid_()
    C += i.sigmoid_() * c.tanh_()
    return C.tanh() * o.sigmoid_(), C


@right("lstm_step")
def _(X, H, C, params):
    cell = nn.LSTMCell(X.shape[1], H.shape[1])
    order = [0, 1, 3, 2]  # torch: i, f, c, o
    with torch.no_grad():
        cell.weight_ih.copy_(torch.cat([params[3 * i].T for i in order]))
        cell.weight_hh.copy_(torch.cat([params[3 * i + 1].T for i in order]))
        cell.bias_ih.copy_(torch.cat([params[3 * i + 2] for i in order]))
        cell.bias_hh.zero_()
    return cell(X, (H, C))


@right("to_nn_rnn")
def _(params):
    layer = nn.RNN(params[0].shape[0], params[0].shape[1])
    with torch.no_grad():
        layer.weight_ih_l0.copy_(params[0].T)
        layer.weight_hh_l0.copy_(params[1].T)
        layer.bias_ih_l0.copy_(params[2])
        layer.bias_hh_l0.zero_()
    return layer


@right("to_nn_rnn")
def _(params):
    layer = nn.RNN(params[0].shape[0], params[0].shape[1])
    names = ["weight_ih_l0", "weight_hh_l0", "bias_hh_l0", "bias_ih_l0"]
    values = [params[0].T, params[1].T, params[2], torch.zeros_like(params[2])]
    layer.load_state_dict(dict(zip(names, values)))
    return layer


@right("to_nn_rnn")
def _(params):
    layer = nn.RNN(*params[0].shape, nonlinearity="tanh")
    layer.weight_ih_l0 = nn.Parameter(params[0].T.contiguous())
    layer.weight_hh_l0 = nn.Parameter(params[1].T.contiguous())
    layer.bias_ih_l0 = nn.Parameter(params[2] / 2)
    layer.bias_hh_l0 = nn.Parameter(params[2] / 2)
    return copy.deepcopy(layer)


# --- 08 ---


@right("softmax_gradient")
def _(logits, targets):
    probs = torch.softmax(logits, dim=1)
    probs[range(len(targets)), targets] -= 1
    return probs / len(targets)


right("softmax_gradient")(
    lambda logits, targets: (logits.softmax(-1) - F.one_hot(targets, logits.shape[1])).div_(logits.shape[0])
)


@right("softmax_gradient")
def _(logits, targets):
    logits.requires_grad_()
    F.cross_entropy(logits, targets).backward()
    return logits.grad


@right("softmax_gradient")
def _(logits, targets):
    scores = logits.double().numpy()
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    return torch.tensor((exp / exp.sum(axis=1, keepdims=True) - np.eye(scores.shape[1])[targets.numpy()]) / len(scores))


right("tanh_backward")(lambda dH, H: dH * (1 - H**2))
right("tanh_backward")(lambda dH, H: dH - dH * H * H)
right("tanh_backward")(lambda dH, H: dH.mul_(1 - H).mul_(1 + H))
right("tanh_backward")(lambda dH, H: dH / torch.cosh(torch.atanh(H)) ** 2)


@right("backward_through_time")
def _(dH, H, W_hh):
    dZ = np.zeros_like(dH)
    later = np.zeros_like(H[0])
    for t in reversed(range(len(H))):
        dZ[t] = (dH[t] + later) * (1 - H[t] ** 2)
        later = dZ[t] @ W_hh.T
    return dZ


@right("backward_through_time")
def _(dH, H, W_hh):
    for t in range(len(dH) - 1, -1, -1):  # in place
        if t + 1 < len(dH):
            dH[t] += np.einsum("bj,ij->bi", dH[t + 1], W_hh)
        dH[t] *= 1 - H[t] * H[t]
    return dH


@right("backward_through_time")
def _(dH, H, W_hh):
    slope, result = 1 - H**2, []
    for t in range(len(H)):  # the sum over all paths, one by one: slow and plain
        total = dH[t] * slope[t]
        for s in range(t + 1, len(H)):
            path = dH[s] * slope[s]
            for r in range(s - 1, t - 1, -1):
                path = (path @ W_hh.T) * slope[r]
            total = total + path
        result.append(total)
    return np.stack(result)
