"""Answers to the exercises of notebook 07."""

import copy

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


def lstm(out=torch.tanh, squash=torch.tanh, gate=torch.sigmoid, bias=1, order="ifoc", keep=1, read_old=False,
         results=lambda H, C: (H, C)):  # fmt: skip
    def lstm_step(X, H, C, params):
        Z = {name: X @ params[3 * i] + H @ params[3 * i + 1] + bias * params[3 * i + 2] for i, name in enumerate(order)}
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
    C = C * f.sigmoid()
    C += i.sigmoid() * c.tanh()
    return C.tanh() * o.sigmoid(), C


@wrong("lstm_step", "The gradient must reach every argument: did you copy numbers, detach, or use no_grad?")
def _(X, H, C, params):
    cell = nn.LSTMCell(X.shape[1], H.shape[1])
    order = [0, 1, 3, 2]  # torch: i, f, c, o
    with torch.no_grad():
        cell.weight_ih.copy_(torch.cat([params[3 * i].T for i in order]))
        cell.weight_hh.copy_(torch.cat([params[3 * i + 1].T for i in order]))
        cell.bias_ih.copy_(torch.cat([params[3 * i + 2] for i in order]))
        cell.bias_hh.zero_()
    return cell(X, (H, C))


wrong("lstm_step", "Did you forget tanh in H = O * tanh(C)?")(lstm(out=lambda C: C))


wrong("lstm_step", "Did you use the old C for H? Take the new one.")(lstm(read_old=True))


wrong("lstm_step", "Did you swap the gates I and F? The parameters of I come first.")(lstm(order="fioc"))


wrong("lstm_step", "Did you take the parameters in another order? It is i, f, o, c; nn.LSTM has i, f, c, o.")(
    lstm(order="ifco")
)


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


wrong("to_nn_rnn", "Did you leave bias_hh_l0 at random? Set it to zero.")(to_layer(b_hh=None))


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
wrong("gru_step", "Did you multiply by 1 - R")(gru(old=lambda R, H, W: ((1 - R) * H) @ W))
wrong("gru_step", "Did you forget the factor 1 - Z")(gru(mix=lambda Z, H, candidate: Z * H + candidate))
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
    order = [0, 1, 3, 2]
    weights = [torch.cat([params[3 * i + k] for i in order], -1) for k in range(3)]
    return torch.lstm_cell(X, [H, C], weights[0].T, weights[1].T, weights[2])


right("lstm_step")(lambda *args: list(lstm()(*args)))
right("lstm_step")(lambda *args: (part for part in lstm()(*args)))


@wrong("lstm_step", changes("C"))
def _(X, H, C, params):
    I, F, O, A = (X @ params[i] + H @ params[i + 1] + params[i + 2] for i in (0, 3, 6, 9))
    C *= F.sigmoid()
    C += I.sigmoid() * A.tanh()
    return O.sigmoid() * C.tanh(), C


@wrong("lstm_step", "Did you feed C to the gates?")
def _(X, H, C, params):
    I, F, O, A = (X @ params[i] + C @ params[i + 1] + params[i + 2] for i in (0, 3, 6, 9))
    C = F.sigmoid() * C + I.sigmoid() * A.tanh()
    return O.sigmoid() * C.tanh(), C


wrong("lstm_step", "Did you forget tanh in the candidate?")(lstm(squash=lambda A: A))
wrong("lstm_step", "Did you forget tanh in H", "Did you forget the biases?")(lstm(out=lambda C: C, bias=0))
wrong("lstm_step", "Did you swap the results?", "Did you forget tanh in H")(
    lstm(out=lambda C: C, results=lambda H, C: (C, H))
)
wrong("lstm_step", "Did you use the old C for H?", "Did you forget the forget gate F")(lstm(read_old=True, keep=0))
wrong("lstm_step", "Did you swap the gates I and F?", "Did you forget tanh in H")(lstm(order="fioc", out=lambda C: C))
wrong("lstm_step", "Did you take the parameters in another order?", "Did you forget the biases?")(
    lstm(order="ifco", bias=0)
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
wrong("to_nn_rnn", "Copy numbers only.")(lambda params: to_layer()(params).requires_grad_(False))
wrong("to_nn_rnn", "Did you set batch_first?", "Did you make the layer with ReLU?")(
    to_layer(batch_first=True, nonlinearity="relu")
)
wrong("to_nn_rnn", "Did you forget to transpose W_hh?", "Did you leave bias_hh_l0 at random?")(
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
