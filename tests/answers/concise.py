"""Answers to the exercises of notebook 07."""

import copy
import statistics

import numpy as np
import torch
from torch import nn

from . import NUMPY, changes, right, wrong


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


def lstm(out=torch.tanh, squash=torch.tanh, gate=torch.sigmoid, bias=1, order="ifco", keep=1, read_old=False,
         results=lambda H, C: (H, C), both=True):  # fmt: skip
    def lstm_step(X, H, C, params):
        weight_ih, weight_hh, bias_ih, bias_hh = params
        Z = X @ weight_ih.T + H @ weight_hh.T + bias * (bias_ih + bias_hh if both else bias_ih)
        Z = dict(zip(order, Z.chunk(4, dim=1)))
        C_new = keep * gate(Z["f"]) * C + gate(Z["i"]) * squash(Z["c"])
        return results(gate(Z["o"]) * out(C if read_old else C_new), C_new)

    return lstm_step


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


# --- gru_step ---


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


@wrong("gru_step", NUMPY)
def _(X, H, params):
    X, H, p = X.numpy(), H.numpy(), [param.numpy() for param in params]

    def sigmoid(A):
        return 1 / (1 + np.exp(-A))

    Z, R = sigmoid(X @ p[0] + H @ p[1] + p[2]), sigmoid(X @ p[3] + H @ p[4] + p[5])
    return torch.tensor(Z * H + (1 - Z) * np.tanh(X @ p[6] + (R * H) @ p[7] + p[8]))


wrong("gru_step", "Did you swap Z and 1 - Z? Z is the share of the old state that stays.")(
    gru(mix=lambda Z, H, candidate: (1 - Z) * H + Z * candidate)
)


wrong("gru_step", "Did you apply R after W_hh, as nn.GRU does? Here it comes before.")(
    gru(old=lambda R, H, W: R * (H @ W))
)


wrong("gru_step", "Did you forget the reset gate R?")(gru(old=lambda R, H, W: H @ W))


wrong("gru_step", "Did you forget tanh in the candidate?")(gru(squash=lambda A: A))


wrong("gru_step", "Did you use tanh for the gates? They take sigmoid.")(gru(gate=torch.tanh))


wrong("gru_step", "Did you swap the gates Z and R? The parameters of Z come first.")(gru(swap=True))


wrong("gru_step", "Did you forget the biases?")(gru(bias=0))


wrong("gru_step", "Did you return the candidate only? Mix it with the old state.")(
    gru(mix=lambda Z, H, candidate: candidate)
)


# --- lstm_step ---


@right("lstm_step")
def _(X, H, C, params):
    weight_ih, weight_hh, bias_ih, bias_hh = params
    h = H.shape[1]
    Z = X @ weight_ih.T + bias_ih + H @ weight_hh.T + bias_hh
    I = torch.sigmoid(Z[:, :h])
    F = torch.sigmoid(Z[:, h : 2 * h])
    G = torch.tanh(Z[:, 2 * h : 3 * h])
    O = torch.sigmoid(Z[:, 3 * h :])
    C = F * C + I * G
    return O * torch.tanh(C), C


@right("lstm_step")
def _(X, H, C, params):
    layers = [[block.chunk(4) for block in params][i] for i in range(4)]
    i, f, g, o = (X @ W.T + H @ U.T + b + c for W, U, b, c in zip(*layers))
    C = C * f.sigmoid()
    C += i.sigmoid() * g.tanh()
    return C.tanh() * o.sigmoid(), C


@wrong("lstm_step", "The gradient must reach every argument: did you copy numbers, detach, or use no_grad?")
def _(X, H, C, params):
    cell = nn.LSTMCell(X.shape[1], H.shape[1])
    with torch.no_grad():
        for param, numbers in zip(cell.parameters(), params):
            param.copy_(numbers)
    return cell(X, (H, C))


wrong("lstm_step", "Did you forget tanh in H = O * tanh(C)?")(lstm(out=lambda C: C))


wrong("lstm_step", "Did you use the old C for H? Take the new one.")(lstm(read_old=True))


wrong("lstm_step", "Did you swap the gates I and F? The block of I comes first.")(lstm(order="fico"))


wrong("lstm_step", "Did you take the blocks in another order? In nn.LSTM it is i, f, g, o.")(lstm(order="ifoc"))


wrong("lstm_step", "Did you forget the forget gate F in F * C?")(lstm(keep=0))


wrong("lstm_step", "Did you use sigmoid for the candidate? It takes tanh.")(lstm(squash=torch.sigmoid))


wrong("lstm_step", "Did you swap the results? The order is (H, C).")(lstm(results=lambda H, C: (C, H)))


wrong("lstm_step", "Did you forget the biases?")(lstm(bias=0))


wrong("lstm_step", "Return a tuple: H, C")(lstm(results=lambda H, C: torch.stack([H, C])))


# --- to_nn_rnn ---


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


wrong("to_nn_rnn", "Did you forget to transpose W_hh? nn.RNN multiplies by weight_hh_l0.T.")(to_layer(W_hh=lambda W: W))


wrong("to_nn_rnn", "Did you leave random numbers in bias_hh_l0? Set it to zero.")(to_layer(b_hh=None))


wrong("to_nn_rnn", "Is b_h in both biases? nn.RNN adds bias_ih_l0 and bias_hh_l0.")(to_layer(b_hh=torch.clone))


wrong("to_nn_rnn", "Did you set batch_first? The model from scratch has time first.")(to_layer(batch_first=True))


wrong("to_nn_rnn", "Did you make the layer with ReLU? The model from scratch has tanh.")(to_layer(nonlinearity="relu"))


wrong("to_nn_rnn")(to_layer(layer=nn.GRU))


@wrong("to_nn_rnn", "Did you forget to copy the parameters into the layer?")
def _(params):
    return nn.RNN(params[0].shape[0], params[0].shape[1])


@wrong("to_nn_rnn", "Did you reshape W_xh? It must be transposed.")
def _(params):
    layer = nn.RNN(*params[0].shape)
    layer.weight_ih_l0.data.copy_(params[0].reshape(layer.weight_ih_l0.shape))
    layer.weight_hh_l0.data.copy_(params[1].T)
    layer.bias_ih_l0.data.copy_(params[2])
    layer.bias_hh_l0.data.zero_()
    return layer


# --- gru_step, more ---


@right("gru_step")
def _(X, H, params):
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h = params
    Z = 0.5 * (1 + torch.tanh(0.5 * (X @ W_xz + H @ W_hz + b_z)))
    R = 1 / (1 + torch.exp(-(X @ W_xr + H @ W_hr + b_r)))
    candidate = torch.tanh(torch.cat([X, R * H], 1) @ torch.cat([W_xh, W_hh]) + b_h)
    return candidate + Z * (H - candidate)


@right("gru_step")
def _(X, H, params):
    gates = [X @ params[i] + params[i + 2] for i in (0, 3, 6)]
    Z, R = (torch.special.expit(gate + H.mm(W)) for gate, W in zip(gates, [params[1], params[4]]))
    return torch.where(Z > 2, Z, Z * H + (1 - Z) * (gates[2] + torch.einsum("bi,bi,ih->bh", R, H, params[7])).tanh())


right("gru_step")(gru(mix=lambda Z, H, candidate: torch.lerp(candidate, H, Z)))
wrong("gru_step", "Did you detach something")(torch.no_grad()(gru()))


@wrong("gru_step", "Did you use Z again in the candidate?")
def _(X, H, params):
    Z = torch.sigmoid(X @ params[0] + H @ params[1] + params[2])
    return Z * H + (1 - Z) * torch.tanh(X @ params[6] + (Z * H) @ params[7] + params[8])


wrong("gru_step", "Did you multiply by 1 - R")(gru(old=lambda R, H, W: ((1 - R) * H) @ W))
wrong("gru_step", "Did you forget to multiply the candidate by 1 - Z?")(
    gru(mix=lambda Z, H, candidate: Z * H + candidate)
)
wrong("gru_step", "Did you use sigmoid for the candidate?")(gru(squash=torch.sigmoid))
wrong("gru_step", "Did you swap Z and 1 - Z?", "Did you forget the biases?")(
    gru(mix=lambda Z, H, candidate: (1 - Z) * H + Z * candidate, bias=0)
)
wrong("gru_step", "Did you apply R after W_hh", "Did you swap the gates Z and R?")(
    gru(old=lambda R, H, W: R * (H @ W), swap=True)
)
wrong("gru_step", "Did you apply R after W_hh", "Did you swap Z and 1 - Z?")(
    gru(mix=lambda Z, H, candidate: (1 - Z) * H + Z * candidate, old=lambda R, H, W: R * (H @ W))
)
wrong("gru_step", "Did you use tanh for the gates?", "Did you forget tanh in the candidate?")(
    gru(gate=torch.tanh, squash=lambda A: A)
)
wrong("gru_step", "Did you forget the reset gate R?", "Did you forget the biases?")(
    gru(old=lambda R, H, W: H @ W, bias=0)
)

# --- lstm_step, more ---


@right("lstm_step")
def _(X, H, C, params):
    cell = nn.LSTMCell(X.shape[1], H.shape[1])
    names = [name for name, _ in cell.named_parameters()]
    return torch.func.functional_call(cell, dict(zip(names, params)), (X, (H, C)))


right("lstm_step")(lambda *args: list(lstm()(*args)))
right("lstm_step")(lambda *args: (part for part in lstm()(*args)))


@wrong("lstm_step", changes("C"))
def _(X, H, C, params):
    I, F, A, O = (X @ params[0].T + H @ params[1].T + params[2] + params[3]).chunk(4, 1)
    C *= F.sigmoid()
    C += I.sigmoid() * A.tanh()
    return O.sigmoid() * C.tanh(), C


@wrong("lstm_step", "Did you feed C to the gates?")
def _(X, H, C, params):
    I, F, A, O = (X @ params[0].T + C @ params[1].T + params[2] + params[3]).chunk(4, 1)
    C = F.sigmoid() * C + I.sigmoid() * A.tanh()
    return O.sigmoid() * C.tanh(), C


@wrong("lstm_step", "Did you take every fourth row?")
def _(X, H, C, params):
    Z = X @ params[0].T + H @ params[1].T + params[2] + params[3]
    I, F, A, O = Z.reshape(len(Z), -1, 4).unbind(2)
    C = F.sigmoid() * C + I.sigmoid() * A.tanh()
    return O.sigmoid() * C.tanh(), C


wrong("lstm_step", "Did you leave out one of the two biases?")(lstm(both=False))
wrong("lstm_step", "Did you leave out one of the two biases?", "Did you swap the results?")(
    lstm(both=False, results=lambda H, C: (C, H))
)
wrong("lstm_step", "Did you forget tanh in the candidate?")(lstm(squash=lambda A: A))
wrong("lstm_step", "Did you forget tanh in H", "Did you forget the biases?")(lstm(out=lambda C: C, bias=0))
wrong("lstm_step", "Did you swap the results?", "Did you forget tanh in H")(
    lstm(out=lambda C: C, results=lambda H, C: (C, H))
)
wrong("lstm_step", "Did you use the old C for H?", "Did you forget the forget gate F")(lstm(read_old=True, keep=0))
wrong("lstm_step", "Did you swap the gates I and F?", "Did you forget tanh in H")(lstm(order="fico", out=lambda C: C))
wrong("lstm_step", "Did you take the blocks in another order?", "Did you forget the biases?")(
    lstm(order="ifoc", bias=0)
)
wrong("lstm_step", "Did you use sigmoid for the candidate?", "Did you swap the results?")(
    lstm(squash=torch.sigmoid, results=lambda H, C: (C, H))
)

# --- to_nn_rnn, more ---

right("to_nn_rnn")(to_layer())
right("to_nn_rnn")(to_layer(num_layers=1, bidirectional=False, dropout=0.0))
wrong("to_nn_rnn", "Did you set both biases to zero?")(
    lambda params: to_layer()([params[0], params[1], torch.zeros_like(params[2])])
)
wrong("to_nn_rnn", "Did you make the layer without biases?")(lambda params: layer_without_biases(params))
wrong("to_nn_rnn", "One layer in one direction is enough.")(to_layer(num_layers=2))
wrong("to_nn_rnn", "Return a copy")(lambda params: shared_layer(params))
wrong("to_nn_rnn", "Copy numbers only")(lambda params: to_layer()(params).requires_grad_(False))
wrong("to_nn_rnn", "Did you set batch_first?", "Did you make the layer with ReLU?")(
    to_layer(batch_first=True, nonlinearity="relu")
)
wrong("to_nn_rnn", "Did you forget to transpose W_hh?", "Did you leave random numbers in bias_hh_l0?")(
    to_layer(W_hh=lambda W: W, b_hh=None)
)
wrong("to_nn_rnn", "Did you forget to transpose W_hh?", "Did you set batch_first?")(
    to_layer(W_hh=lambda W: W, batch_first=True)
)


def layer_without_biases(params):
    layer = nn.RNN(*params[0].shape, bias=False)
    layer.weight_ih_l0.data, layer.weight_hh_l0.data = params[0].T.clone(), params[1].T.clone()
    return layer


def shared_layer(params):
    layer = to_layer()(params)
    layer.weight_hh_l0.data = params[1].T
    return layer


# --- choose_lr ---


def chooser(by="validation", report="test", mean=np.mean, best=min, results=lambda lr, ppl, mean: (
        lr, mean(ppl), min(ppl), max(ppl))):  # fmt: skip
    """A learner's choice, with something wrong."""

    def choose_lr(runs):
        means = {lr: mean(run[by]) for lr, run in runs.items()}
        lr = best(means, key=means.get)
        return results(lr, runs[lr][report], np.mean)

    return choose_lr


@right("choose_lr")
def _(runs):
    best, lowest = None, None
    for lr in runs:
        mean = sum(runs[lr]["validation"]) / len(runs[lr]["validation"])
        if lowest is None or mean < lowest:
            best, lowest = lr, mean
    test = runs[best]["test"]
    return best, sum(test) / len(test), min(test), max(test)


right("choose_lr")(chooser())
right("choose_lr")(chooser(mean=statistics.mean))
right("choose_lr")(chooser(results=lambda lr, ppl, mean: [lr, float(mean(ppl)), sorted(ppl)[0], sorted(ppl)[-1]]))
right("choose_lr")(chooser(mean=lambda ppl: torch.tensor(ppl).mean().item()))


@right("choose_lr")
def _(runs):
    rates = list(runs)
    lr = rates[np.argmin([np.mean(runs[lr]["validation"]) for lr in rates])]
    test = torch.tensor(runs[lr]["test"], dtype=torch.float64)
    return lr, test.mean(), test.min(), test.max()


wrong("choose_lr", "Did you choose by the test half?")(chooser(by="test"))
wrong("choose_lr", "Did you report the validation half?")(chooser(report="validation"))
wrong("choose_lr", "Did you choose the learning rate with the best single seed?")(chooser(mean=min))
wrong("choose_lr", "Did you choose by the worst seed?")(chooser(mean=max))
wrong("choose_lr", "Did you look at one seed only?")(chooser(mean=lambda ppl: ppl[0]))
wrong("choose_lr", "Did you look at one seed only?")(chooser(mean=lambda ppl: ppl[-1]))
wrong("choose_lr", "Did you choose the highest mean?")(chooser(best=max))
wrong("choose_lr", "Did you take the median")(
    chooser(mean=np.median, results=lambda lr, ppl, mean: (lr, np.median(ppl), min(ppl), max(ppl)))
)
wrong("choose_lr", "Did you take the geometric mean?")(
    chooser(
        mean=lambda ppl: np.exp(np.mean(np.log(ppl))),
        results=lambda lr, ppl, mean: (lr, np.exp(np.mean(np.log(ppl))), min(ppl), max(ppl)),
    )
)
wrong("choose_lr", "Did you swap the lowest and the highest?")(
    chooser(results=lambda lr, ppl, mean: (lr, mean(ppl), max(ppl), min(ppl)))
)
wrong("choose_lr", "Return a tuple")(chooser(results=lambda lr, ppl, mean: (lr, mean(ppl))))
wrong("choose_lr", "Did you choose by the test half?", "Did you choose the learning rate with the best single seed?")(
    chooser(by="test", mean=min)
)
wrong(
    "choose_lr", "Did you report the validation half?", "Did you choose the learning rate with the best single seed?"
)(chooser(report="validation", mean=min))
wrong("choose_lr", "Did you choose by the test half?", "Did you report the validation half?")(
    chooser(by="test", report="validation")
)
wrong("choose_lr")(chooser(results=lambda lr, ppl, mean: (lr, mean(ppl), mean(ppl) - np.std(ppl), np.std(ppl))))


@wrong("choose_lr", "Did you report all learning rates together?")
def _(runs):
    lr = min(runs, key=lambda lr: np.mean(runs[lr]["validation"]))
    test = np.concatenate([run["test"] for run in runs.values()])
    return lr, test.mean(), test.min(), test.max()


@wrong("choose_lr", changes("runs"))
def _(runs):
    lr = min(runs, key=lambda lr: np.mean(runs[lr]["validation"]))
    runs[lr]["test"].sort()
    return lr, np.mean(runs[lr]["test"]), runs[lr]["test"][0], runs[lr]["test"][-1]
