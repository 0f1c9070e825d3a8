"""Checks of notebook 07: a step of a GRU, a step of an LSTM, and the same network as a layer of torch.nn."""

from functools import partial

import numpy as np
import torch
from torch import nn

from .engine import Check, Problem, hot, ids, normal
from .forward_pass import network


def gated(rng, vocab_size, num_hiddens, num_gates):
    """Three parameters (from the input, from the state, bias) for every gate."""
    n, h = vocab_size, num_hiddens
    return [normal(rng, *shape, std=0.8) for _ in range(num_gates) for shape in [(n, h), (h, h), (h,)]]


def triples(params, bias=True, transpose=False):
    """The parameters as one triple per gate."""
    for W_x, W_h, b in zip(params[0::3], params[1::3], params[2::3]):
        yield W_x, W_h.T if transpose else W_h, b if bias else 0 * b


def gru(X, H, params, swap=False, reset="before", squash=torch.tanh, gates=torch.sigmoid, order=(0, 1), **mistake):
    """A step of a gated recurrent unit, with places to go wrong."""
    *first, (W_xh, W_hh, b_h) = triples(params, **mistake)
    Z, R = (gates(X @ first[i][0] + H @ first[i][1] + first[i][2]) for i in order)
    old = {"before": (R * H) @ W_hh, "after": R * (H @ W_hh), "no": H @ W_hh}[reset]
    candidate = squash(X @ W_xh + old + b_h)
    return Z * candidate + (1 - Z) * H if swap else Z * H + (1 - Z) * candidate


def reference_gru(X, H, params):
    """The same in NumPy, with every product written as a sum over indices."""
    X, H, *params = (a.double().numpy() for a in [X, H, *params])

    def linear(state, i):
        return np.einsum("bi,ih->bh", X, params[i]) + np.einsum("bj,jh->bh", state, params[i + 1]) + params[i + 2]

    Z, R = (1 / (1 + np.exp(-linear(H, i))) for i in (0, 3))
    return torch.tensor((1 - Z) * np.tanh(linear(R * H, 6)) + Z * H).float()


gru_step = Check(
    "gru_step",
    reference_gru,
    lambda rng: [
        ("X (3, 5), H (3, 4)", (hot(ids(rng, 5, 3), 5), normal(rng, 3, 4), gated(rng, 5, 4, 3))),
        ("a state of zeros", (hot(ids(rng, 5, 2), 5), torch.zeros(2, 4), gated(rng, 5, 4, 3))),
        ("a batch of 1, vocabulary 2", (hot(ids(rng, 2, 1), 2), normal(rng, 1, 3), gated(rng, 2, 3, 3))),
    ],
    {
        "Are Z and 1 - Z swapped? Z is the share of the old state that stays.": partial(gru, swap=True),
        "Is R applied after W_hh, as nn.GRU does it? Here it comes before.": partial(gru, reset="after"),
        "Is the reset gate R forgotten?": partial(gru, reset="no"),
        "Is tanh missing in the candidate state?": partial(gru, squash=lambda A: A),
        "Is sigmoid used for the candidate state? It takes tanh.": partial(gru, squash=torch.sigmoid),
        "Is tanh used for the gates? They take sigmoid.": partial(gru, gates=torch.tanh),
        "Is the sigmoid missing in the gates?": partial(gru, gates=lambda A: A),
        "Are the gates Z and R swapped? The parameters of Z come first.": partial(gru, order=(1, 0)),
        "Are the biases forgotten?": partial(gru, bias=False),
        "Are the matrices W_hz, W_hr, W_hh transposed?": partial(gru, transpose=True),
        "Is this the candidate state only? It is mixed with the old state.": lambda X, H, params: gru(
            X, H, [p if i != 2 else p - 1e9 for i, p in enumerate(params)]
        ),
    },
)


def lstm(X, H, C, params, order=(0, 1, 2, 3), squash=torch.tanh, out=torch.tanh, gates=torch.sigmoid,
         forget=True, old=False, **mistake):  # fmt: skip
    """A step of long short-term memory, with places to go wrong."""
    linear = [X @ W_x + H @ W_h + b for W_x, W_h, b in triples(params, **mistake)]
    I, F_, O = (gates(linear[i]) for i in order[:3])
    C_new = (F_ * C if forget else 0) + I * squash(linear[order[3]])
    return O * out(C if old else C_new), C_new


def reference_lstm(X, H, C, params):
    i, f, o, c = triples(params)
    W_x, W_h, b = (torch.cat([gate[k] for gate in (i, f, c, o)], dim=-1) for k in range(3))
    return torch.lstm_cell(X, (H, C), W_x.T, W_h.T, b, torch.zeros_like(b))


lstm_step = Check(
    "lstm_step",
    reference_lstm,
    lambda rng: [
        (
            "X (3, 5), H and C (3, 4)",
            (hot(ids(rng, 5, 3), 5), normal(rng, 3, 4), normal(rng, 3, 4), gated(rng, 5, 4, 4)),
        ),
        ("states of zeros", (hot(ids(rng, 5, 2), 5), torch.zeros(2, 4), torch.zeros(2, 4), gated(rng, 5, 4, 4))),
        (
            "a batch of 1, vocabulary 2",
            (hot(ids(rng, 2, 1), 2), normal(rng, 1, 3), normal(rng, 1, 3), gated(rng, 2, 3, 4)),
        ),
    ],
    {
        "Is tanh missing in H = O * tanh(C)?": partial(lstm, out=lambda C: C),
        "Is the old C used for H? Take the new one.": partial(lstm, old=True),
        "Are the gates I and F swapped? The parameters of I come first.": partial(lstm, order=(1, 0, 2, 3)),
        "Are the parameters taken in another order? It is i, f, o, c; nn.LSTM has i, f, c, o.": [
            partial(lstm, order=(0, 1, 3, 2)),
            partial(lstm, order=(0, 2, 1, 3)),
            partial(lstm, order=(2, 1, 0, 3)),
        ],
        "Is the forget gate F forgotten, F * C?": [
            partial(lstm, forget=False),
            lambda X, H, C, params: (lambda O, new: (O * torch.tanh(new + C), new + C))(
                *(lambda H_, new: (H_ / torch.tanh(new), new))(*lstm(X, H, C, params, forget=False))
            ),
        ],
        "Is sigmoid used for the candidate cell? It takes tanh.": partial(lstm, squash=torch.sigmoid),
        "Is tanh missing in the candidate cell?": partial(lstm, squash=lambda A: A),
        "Is tanh used for the gates? They take sigmoid.": partial(lstm, gates=torch.tanh),
        "Is the order of the results C, H? It is (H, C).": lambda X, H, C, params: lstm(X, H, C, params)[::-1],
        "Are the biases forgotten?": partial(lstm, bias=False),
        "Are the matrices W_hi, W_hf, W_ho, W_hc transposed?": partial(lstm, transpose=True),
    },
    parts=("H", "C"),
)


def observe_layer(function, inputs, H, params):
    layer = function(params)
    if not isinstance(layer, nn.RNN):
        return None if layer is None else Problem("", "type", f"expected an nn.RNN, got {type(layer).__name__}")
    if layer.batch_first:
        return Problem("batch_first", "value", "expected False, got True")
    found = {
        "nonlinearity": layer.nonlinearity,
        "number of layers": layer.num_layers,
        "bidirectional": str(layer.bidirectional),
    }
    found |= {"weight_ih_l0": layer.weight_ih_l0, "weight_hh_l0": layer.weight_hh_l0}
    found["bias_ih_l0 + bias_hh_l0"] = layer.bias_ih_l0 + layer.bias_hh_l0 if layer.bias else "no biases at all"
    return {**found, "outputs": layer(inputs, H[None])[0]}


def layer_from(params, bias_hh=0.0, transpose_hh=True, copy=True, **options):
    """An nn.RNN with the parameters of the model from scratch, with places to go wrong."""
    W_xh, W_hh, b_h, *_ = params
    layer = nn.RNN(*W_xh.shape, **options)
    with torch.no_grad():
        if copy:
            layer.weight_ih_l0.copy_(W_xh.T)
            layer.weight_hh_l0.copy_(W_hh.T if transpose_hh else W_hh)
            layer.bias_ih_l0.copy_(b_h)
            layer.bias_hh_l0.copy_(bias_hh * b_h)
    return layer


to_nn_rnn = Check(
    "to_nn_rnn",
    layer_from,
    lambda rng: [
        ("vocabulary 5, 4 hidden units", (hot(ids(rng, 5, 6, 3), 5), normal(rng, 3, 4), network(rng, 5, 4))),
        ("as many symbols as hidden units", (hot(ids(rng, 4, 3, 2), 4), normal(rng, 2, 4), network(rng, 4, 4))),
        ("vocabulary 2, one step, a batch of 1", (hot(ids(rng, 2, 1, 1), 2), normal(rng, 1, 3), network(rng, 2, 3))),
    ],
    {
        "Is b_h in both biases? nn.RNN adds bias_ih_l0 and bias_hh_l0.": partial(layer_from, bias_hh=1.0),
        "Are the parameters not copied into the layer?": partial(layer_from, copy=False),
    },
    run=observe_layer,
    about={
        "batch_first": "Is batch_first set? The model from scratch has time first.",
        "nonlinearity": "Is the layer made with ReLU? The model from scratch has tanh.",
        "weight_ih_l0": "Is W_xh transposed? nn.RNN keeps weight_ih_l0 as (num_hiddens, vocab_size).",
        "weight_hh_l0": "Is W_hh transposed? nn.RNN multiplies by weight_hh_l0.T.",
        "bias_ih_l0 + bias_hh_l0": "Is the second bias, bias_hh_l0, set to zero?",
    },
)
