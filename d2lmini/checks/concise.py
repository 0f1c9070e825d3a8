"""Checks of notebook 07: the same network as a layer of torch.nn, a GRU's step, a step of nn.LSTM, a fair choice."""

import math
from statistics import fmean, geometric_mean, median

import torch
from torch import nn

from .forward_pass import network
from .judge import Check, hot, ids, normal
from .reading import Flaw, Parts, Unread, describe
from .watching import with_gradients

NO_BIAS = "Did you forget the biases?"
GATES_TANH = "Did you use tanh for the gates? They take sigmoid."
GATES_LINEAR = "Did you forget the sigmoid of the gates?"
TANH_MISSING = "Did you forget tanh in the candidate?"
SIGMOID_CANDIDATE = "Did you use sigmoid for the candidate? It takes tanh."


def same_value(A):
    return A


def gated(rng, vocab_size, num_hiddens, num_gates):
    """Three parameters (from the input, from the state, bias) for every gate."""
    n, h = vocab_size, num_hiddens
    return [normal(rng, *shape, std=0.8) for _ in range(num_gates) for shape in [(n, h), (h, h), (h,)]]


SIZES = [  # of the inputs: in words, batch_size, vocab_size, num_hiddens, scale of the states
    ("", 1, 2, 3, 1.0), ("states of zeros, ", 2, 5, 4, 0.0), ("", 3, 5, 4, 1.0), ("large states, ", 2, 3, 4, 8.0),
    ("", 60, 17, 8, 1.0),
]  # fmt: skip


def triples(params, bias, transpose, old, new):
    """The parameters as one triple per gate."""
    for W_x, W_h, b in zip(params[0::3], params[1::3], params[2::3]):
        yield new * W_x, old * (W_h.T if transpose else W_h), bias * b


def gru(X, H, params, *, mix="Z keeps", reset="before", squash=torch.tanh, gates=torch.sigmoid, order=(0, 1), bias=1,
        transpose=False, old=1, new=1):  # fmt: skip
    """A step of a gated recurrent unit, with places to go wrong."""
    *first, (W_xh, W_hh, b_h) = triples(params, bias, transpose, old, new)
    Z, R = (gates(X @ first[i][0] + H @ first[i][1] + first[i][2]) for i in order)
    kept = {
        "before": (R * H) @ W_hh,
        "after": R * (H @ W_hh),
        "no": H @ W_hh,
        "1 - R": ((1 - R) * H) @ W_hh,
        "Z": (Z * H) @ W_hh,
    }[reset]
    candidate = squash(X @ W_xh + kept + b_h)
    return {"Z keeps": Z * H + (1 - Z) * candidate, "Z renews": (1 - Z) * H + Z * candidate, "candidate": candidate,
            "sum": Z * H + candidate, "both Z": Z * H + Z * candidate, "no H": (1 - Z) * candidate}[mix]  # fmt: skip


def reference_gru(X, H, params):
    """The same with every product written as a sum over indices, in float64."""
    X, H, *params = (a.double() for a in [X, H, *params])

    def linear(state, i):
        return torch.einsum("bi,ih->bh", X, params[i]) + torch.einsum("bj,jh->bh", state, params[i + 1]) + params[i + 2]

    Z, R = (1 / (1 + torch.exp(-linear(H, i))) for i in (0, 3))
    return torch.lerp(torch.tanh(linear(R * H, 6)), H, Z).float()


gru_step = Check(
    "gru_step",
    reference_gru,
    lambda rng: [
        (f"{what}X ({b}, {n}), H ({b}, {h})", (hot(ids(rng, n, b), n), scale * normal(rng, b, h), gated(rng, n, h, 3)))
        for what, b, n, h, scale in SIZES
    ],
    gru,
    {
        "Did you swap Z and 1 - Z? Z is the share of the old state that stays.": {"mix": "Z renews"},
        "Did you return the candidate only? Mix it with the old state.": {"mix": "candidate"},
        "Did you forget to multiply the candidate by 1 - Z?": [{"mix": "sum"}, {"mix": "both Z"}],
        "Did you forget Z * H, the part of the old state that stays?": {"mix": "no H"},
        "Did you apply R after W_hh, as nn.GRU does? Here it comes before.": {"reset": "after"},
        "Did you forget the reset gate R?": {"reset": "no"},
        "Did you multiply by 1 - R instead of R?": {"reset": "1 - R"},
        "Did you use Z again in the candidate? There, R multiplies H.": {"reset": "Z"},
        TANH_MISSING: {"squash": same_value},
        SIGMOID_CANDIDATE: {"squash": torch.sigmoid},
        GATES_TANH: {"gates": torch.tanh},
        GATES_LINEAR: {"gates": same_value},
        "Did you swap the gates Z and R? The parameters of Z come first.": {"order": (1, 0)},
        NO_BIAS: {"bias": 0},
        "Did you transpose the matrices W_hz, W_hr, W_hh?": {"transpose": True},
        "Did you leave out the state in the gates and the candidate?": {"old": 0},
        "Did you leave out the input in the gates and the candidate?": {"new": 0},
    },
    run=with_gradients,
)


def packed(rng, num_inputs, num_hiddens):
    """The parameters of a layer nn.LSTM: weight_ih, weight_hh, bias_ih, bias_hh."""
    n, h = num_inputs, num_hiddens
    return [normal(rng, *shape, std=0.8) for shape in [(4 * h, n), (4 * h, h), (4 * h,), (4 * h,)]]


def blocks(params, order, split):
    """Weights from the input, weights from the state and bias of the blocks i, f, g and o, in a given order."""
    h = params[1].shape[1]
    for k in order:
        rows = slice(k * h, (k + 1) * h) if split == "blocks" else slice(k, None, 4)
        yield [param[rows] for param in params]


def lstm(X, H, C, params, *, order=(0, 1, 2, 3), split="blocks", squash=torch.tanh, out=torch.tanh,
         gates=torch.sigmoid, forget="F", write="I", shown="new", fed="H", results=lambda H, C: (H, C), bias=(1, 1),
         old=1, new=1):  # fmt: skip
    """A step of long short-term memory with the parameters of nn.LSTM, with places to go wrong."""
    fed_state = C if fed == "C" else H
    linear = [
        X @ (new * W_x).T + fed_state @ (old * W_h).T + bias[0] * b_x + bias[1] * b_h
        for W_x, W_h, b_x, b_h in blocks(params, order, split)
    ]
    I, F_, candidate, O = gates(linear[0]), gates(linear[1]), squash(linear[2]), gates(linear[3])
    stays = {"F": F_ * C, "no": 0 * C, "all": C, "1 - F": (1 - F_) * C, "1 - I": (1 - I) * C}[forget]
    C_new = stays + (candidate if write == "all" else I * candidate)
    return results(O * out(C if shown == "old" else C_new), C_new)


def reference_lstm(X, H, C, params):
    return torch.lstm_cell(X, (H, C), *params)


lstm_step = Check(
    "lstm_step",
    reference_lstm,
    lambda rng: [
        (
            f"{what}X ({b}, {n}), H and C ({b}, {h})",
            (hot(ids(rng, n, b), n), scale * normal(rng, b, h), scale * normal(rng, b, h), packed(rng, n, h)),
        )
        for what, b, n, h, scale in SIZES
    ],
    lstm,
    {
        "Did you forget tanh in H = O * tanh(C)?": {"out": same_value},
        "Did you use the old C for H? Take the new one.": {"shown": "old"},
        "Did you swap the gates I and F? The block of I comes first.": {"order": (1, 0, 2, 3)},
        "Did you take the blocks in another order? In nn.LSTM it is i, f, g, o.": [
            {"order": (0, 1, 3, 2)},
            {"order": (0, 2, 1, 3)},
            {"order": (2, 1, 0, 3)},
            {"order": (3, 1, 2, 0)},
            {"order": (0, 3, 2, 1)},
            {"order": (1, 2, 0, 3)},
            {"order": (2, 0, 1, 3)},
            {"order": (1, 0, 3, 2)},
        ],
        "Did you take every fourth row? Each block is num_hiddens consecutive rows.": {"split": "every fourth"},
        "Did you forget the forget gate F in F * C?": [{"forget": "no"}, {"forget": "all"}],
        "Did you multiply C by 1 - F or by 1 - I? It is multiplied by F.": [{"forget": "1 - F"}, {"forget": "1 - I"}],
        "Did you forget to multiply the candidate by the input gate I?": {"write": "all"},
        "Did you feed C to the gates? They read X and H.": {"fed": "C"},
        SIGMOID_CANDIDATE: {"squash": torch.sigmoid},
        TANH_MISSING: {"squash": same_value},
        GATES_TANH: {"gates": torch.tanh},
        GATES_LINEAR: {"gates": same_value},
        "Did you swap the results? The order is (H, C).": {"results": lambda H, C: (C, H)},
        NO_BIAS: {"bias": (0, 0)},
        "Did you leave out one of the two biases? Both are added.": [{"bias": (1, 0)}, {"bias": (0, 1)}],
        "Did you leave out the state in the gates and the candidate?": {"old": 0},
        "Did you leave out the input in the gates and the candidate?": {"new": 0},
    },
    run=with_gradients,
    parts=("H", "C"),
)


def observe_layer(function, inputs, H, params):
    """What is in the layer, and what it computes."""
    layer = function([param.clone().requires_grad_() for param in params])  # as the model's own are
    if not isinstance(layer, nn.RNN):
        hint = "Did you forget the return?" if layer is None else ""
        return Parts({"result": Unread(f"expected an nn.RNN, got {describe(layer)}", hint)})
    found = Parts({"batch_first": str(layer.batch_first), "nonlinearity": layer.nonlinearity, "biases": str(layer.bias),
                   "layers": f"{layer.num_layers}{', both directions' * layer.bidirectional}"})  # fmt: skip
    found |= {name: getattr(layer, name) for name in ("weight_ih_l0", "weight_hh_l0")}
    if layer.bias:
        found["bias_ih_l0 + bias_hh_l0"] = layer.bias_ih_l0 + layer.bias_hh_l0
    if not all(param.requires_grad for param in layer.parameters()):
        found["requires_grad"] = Flaw(
            "the layer can't be trained: a parameter takes no gradients", "Copy numbers only, with copy_ under no_grad."
        )
    if found["layers"] == "1" and layer.input_size == inputs.shape[2] and layer.hidden_size == H.shape[1]:
        found["outputs"] = layer(inputs.transpose(0, 1) if layer.batch_first else inputs, H[None])[0]
        if layer.batch_first:
            found["outputs"] = found["outputs"].transpose(0, 1)
    return found


def layer_from(params, *, copy="W_xh W_hh b_ih b_hh", ih=lambda W: W.T, hh=lambda W: W.T, bias_ih=1.0, bias_hh=0.0,
               **options):  # fmt: skip
    """An nn.RNN with the parameters of the model from scratch, with places to go wrong."""
    W_xh, W_hh, b_h, *_ = params
    layer = nn.RNN(*W_xh.shape, **options)
    with torch.no_grad():
        if "W_xh" in copy:
            layer.weight_ih_l0.copy_(ih(W_xh))
        if "W_hh" in copy:
            layer.weight_hh_l0.copy_(hh(W_hh))
        if layer.bias and "b_ih" in copy:
            layer.bias_ih_l0.copy_(bias_ih * b_h)
        if layer.bias and "b_hh" in copy:
            layer.bias_hh_l0.copy_(bias_hh * b_h)
    return layer


to_nn_rnn = Check(
    "to_nn_rnn",
    lambda params: layer_from(params),
    lambda rng: [
        (
            f"vocabulary {n}, {h} hidden units",
            (hot(ids(rng, n, steps, b), n), normal(rng, b, h), network(rng, n, h)),
        )
        for n, h, steps, b in [(2, 3, 1, 1), (5, 4, 6, 3), (4, 4, 3, 2), (29, 17, 9, 5)]
    ],
    layer_from,
    {
        "Is b_h in both biases? nn.RNN adds bias_ih_l0 and bias_hh_l0.": {"bias_hh": 1.0},
        "Did you set both biases to zero? One of them takes b_h.": {"bias_ih": 0.0},
        "Did you leave random numbers in bias_hh_l0? Set it to zero.": {"copy": "W_xh W_hh b_ih"},
        "Did you leave out b_h, or both biases?": {"copy": "W_xh W_hh"},
        "Did you make the layer without biases? One of its two takes b_h.": {"bias": False},
        "Did you forget to copy the parameters into the layer?": {"copy": ""},
        "Did you forget to copy W_hh?": {"copy": "W_xh b_ih b_hh"},
        "Did you forget to copy W_xh?": {"copy": "W_hh b_ih b_hh"},
        "Did you forget to transpose W_hh? nn.RNN multiplies by weight_hh_l0.T.": {"hh": lambda W: W},
        "Did you reshape W_xh? It must be transposed.": {"ih": lambda W: W.reshape(W.shape[::-1])},
        "Did you set batch_first? The model from scratch has time first.": {"batch_first": True},
        "Did you make the layer with ReLU? The model from scratch has tanh.": {"nonlinearity": "relu"},
    },
    run=observe_layer,
    about={
        "layers": "One layer in one direction is enough.",
        "weight_ih_l0": "Did you transpose W_xh? nn.RNN keeps weight_ih_l0 as (num_hiddens, vocab_size).",
        "weight_hh_l0": "Did you copy all of W_hh.T?",
        "bias_ih_l0 + bias_hh_l0": "Do the two biases add up to b_h?",
    },
)


def choice(runs, *, by="validation", report="test", mean=fmean, best=min, pool=False, results=lambda *all: all):
    """A learning rate, and what to say about it, with places to go wrong."""
    lr = best(runs, key=lambda lr: mean(runs[lr][by]))
    ppl = [p for run in runs.values() for p in run[report]] if pool else runs[lr][report]
    return results(lr, (mean if mean in (fmean, geometric_mean, median) else fmean)(ppl), min(ppl), max(ppl))


def reference_choice(runs):
    """The same with sums and sorted lists."""
    totals = sorted((sum(run["validation"]) / len(run["validation"]), lr) for lr, run in runs.items())
    test = sorted(runs[totals[0][1]]["test"])
    return totals[0][1], sum(test) / len(test), test[0], test[-1]


def table(*rows):
    return ({lr: {"validation": validation, "test": test} for lr, validation, test in rows},)


def random_table(rng):
    rows = [(lr, (5 + 3 * torch.rand(2, 5, generator=rng)).double().round(decimals=1)) for lr in (8, 0.5, 2, 0.25, 4)]
    return table(*((lr, *numbers.tolist()) for lr, numbers in rows))


choose_lr = Check(
    "choose_lr",
    reference_choice,
    lambda rng: [
        ("one learning rate, one seed", table((0.5, [7.0], [6.5]))),
        ("two learning rates", table((0.5, [7.0, 7.5, 8.0], [6.0, 6.4, 6.8]), (2, [6.9, 7.1, 7.3], [6.5, 7.0, 6.9]))),
        ("a lucky seed", table((1, [5.0, 9.0, 9.1], [5.5, 8.0, 8.1]), (0.25, [7.0, 6.9, 7.6], [7.7, 7.2, 6.1]),
                               (4, [7.3, 7.4, 7.2], [5.0, 5.1, 5.2]))),
        ("one run diverged", table((4, [5.0, math.inf, 5.1], [5.2, math.inf, 5.0]), (1, [6.5, 6.3, 6.1],
                                   [6.6, 6.9, 6.2]), (0.5, [6.7, 6.8, 6.6], [6.0, 6.1, 6.3]))),
        ("skewed learning rates", table((2, [5.0, 5.0, 9.2], [7.0, 6.0, 9.0]), (1, [6.3, 6.4, 6.2], [6.9, 6.4, 7.7]),
                               (8, [6.35, 6.45, 6.25], [6.3, 5.4, 6.1]))),
        ("five learning rates, five seeds", random_table(rng)),
    ],
    choice,
    {
        "Did you choose by the test half? It's only for the report.": {"by": "test"},
        "Did you report the validation half? The choice has made it look better than it is.": {
            "report": "validation"
        },
        "Did you choose the learning rate with the best single seed? Compare the means over the seeds.": {"mean": min},
        "Did you choose by the worst seed? Compare the means over the seeds.": {"mean": max},
        "Did you look at one seed only? Compare the means over the seeds.": [
            {"mean": lambda ppl: ppl[0]}, {"mean": lambda ppl: ppl[-1]},
        ],
        "Did you choose the highest mean? Low perplexities are good.": {"best": max},
        "Did you take the geometric mean? Take the ordinary mean, sum / number.": {"mean": geometric_mean},
        "Did you take the median instead of the mean?": {"mean": median},
        "Did you report all learning rates together? Report only the chosen one.": {"pool": True},
        "Did you swap the lowest and the highest?": {"results": lambda lr, mean, low, high: (lr, mean, high, low)},
    },
    parts=("lr", "mean", "lowest", "highest"),
)  # fmt: skip
