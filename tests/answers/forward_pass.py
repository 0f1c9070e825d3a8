"""Answers to the exercises of notebook 03."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import d2lmini

from . import NUMPY, OVERWRITTEN, changes, right, wrong


def last_logits(X, params, one_hot):
    H = torch.zeros(len(X), len(params[1]))
    for column in X.T:
        H = torch.tanh(one_hot(column, params) + H @ params[1] + params[2])
    return H @ params[3] + params[4]


def step(X, H, params):
    W_xh, W_hh, b_h, _, _ = params
    return torch.tanh(torch.mm(X, W_xh) + torch.mm(H, W_hh) + b_h)


def network(inputs, state, params):
    (H,) = state
    states = []
    for X in inputs:
        H = step(X, H, params)
        states.append(H)
    return states


def logits(H, params):
    return H @ params[3] + params[4]


def states_of(X, params):
    H = torch.zeros(X.shape[0], params[1].shape[0])
    return network(torch.eye(params[0].shape[0])[X.T], (H,), params)


# --- rnn_step ---


right("rnn_step")(lambda X, H, params: torch.tanh(X @ params[0] + H @ params[1] + params[2]))


right("rnn_step")(
    lambda X, H, params: torch.tanh(torch.cat([X, H], 1) @ torch.cat([params[0], params[1]], 0) + params[2])
)


wrong("rnn_step", NUMPY)(
    lambda X, H, params: torch.tensor(
        np.tanh(X.numpy() @ params[0].numpy() + H.numpy() @ params[1].numpy() + params[2].numpy())
    )
)


@wrong(
    "rnn_step",
    changes("H"),
    OVERWRITTEN,
)
def _(X, H, params):
    W_xh, W_hh, b_h, *_ = params
    result = torch.einsum("bv,vh->bh", X, W_xh)
    result += torch.einsum("bi,ih->bh", H, W_hh)
    result += b_h
    H.copy_(result.tanh_())
    return H


wrong("rnn_step", "Did you forget tanh?")(lambda X, H, params: torch.addmm(params[2], X, params[0]) + H @ params[1])


wrong("rnn_step", "Did you use sigmoid or ReLU, instead of tanh?")(
    lambda X, H, params: F.relu(X @ params[0] + H @ params[1] + params[2])
)


wrong("rnn_step", "Did you forget the bias b_h?")(lambda X, H, params: (X @ params[0] + H @ params[1]).tanh())


wrong("rnn_step", "Did you transpose W_hh?")(
    lambda X, H, params: (X @ params[0] + F.linear(H, params[1], params[2])).tanh()
)


wrong("rnn_step", "Did you forget the term of the old state, H @ W_hh?")(
    lambda X, H, params: torch.tanh(X @ params[0] + params[2])
)


wrong("rnn_step", "Did you add H without multiplying it by W_hh?")(
    lambda X, H, params: torch.tanh(H + X @ params[0] + params[2])
)


wrong("rnn_step", "Did you apply tanh before everything is added?")(
    lambda X, H, params: torch.tanh(X @ params[0] + H @ params[1]) + params[2]
)


wrong("rnn_step", "Did you return the logits, H @ W_hq + b_q, instead of the new state?")(
    lambda X, H, params: step(X, H, params) @ params[3] + params[4]
)


wrong("rnn_step", "Do the shapes fit? Print them before the line that fails.")(
    lambda X, H, params: torch.tanh(params[0] @ X + params[1] @ H + params[2])
)


# --- rnn ---


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


@wrong("rnn", NUMPY)
def _(inputs, state, params):
    W_xh, W_hh, b_h, W_hq, b_q = [param.numpy() for param in params]
    H, rows = state[0].numpy(), []
    for X in inputs.numpy():
        H = np.tanh(X @ W_xh + H @ W_hh + b_h)
        rows.extend(H @ W_hq + b_q)
    return torch.tensor(np.array(rows)), (torch.tensor(H),)


@wrong("rnn", "Did you forget to carry the state from step to step?")
def _(inputs, state, params):
    states = [step(X, state[0], params) for X in inputs]
    return logits(torch.cat(states), params), (states[-1],)


@wrong("rnn", "Did you ignore the incoming state?")
def _(inputs, state, params):
    states = network(inputs, (torch.zeros_like(state[0]),), params)
    return logits(torch.cat(states), params), (states[-1],)


@wrong("rnn", "Did you forget tanh?")
def _(inputs, state, params):
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,), outputs = state, []
    for X in inputs:
        H = X @ W_xh + H @ W_hh + b_h
        outputs.append(H @ W_hq + b_q)
    return torch.cat(outputs), (H,)


@wrong("rnn", "Did you transpose W_hh?")
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


@wrong("rnn", "Did you stack the steps? Join them to (num_steps * batch_size, vocab_size), as torch.cat does.")
def _(inputs, state, params):
    states = network(inputs, state, params)
    return torch.stack([logits(H, params) for H in states]), (states[-1],)


@wrong("rnn", "Did you return only the last step's logits?")
def _(inputs, state, params):
    H = network(inputs, state, params)[-1]
    return logits(H, params), (H,)


@wrong("rnn", "Did you forget the bias b_q?")
def _(inputs, state, params):
    states = network(inputs, state, params)
    return torch.cat(states) @ params[3], (states[-1],)


@wrong("rnn", "Did you return the old state? The new state is the H of the last step.")
def _(inputs, state, params):
    return logits(torch.cat(network(inputs, state, params)), params), state


@wrong("rnn", "Is the state a tuple with one tensor, (H,)? The comma makes the tuple.")
def _(inputs, state, params):
    states = network(inputs, state, params)
    return logits(torch.cat(states), params), states[-1]


@right("rnn")
def _(inputs, state, params):
    states = network(inputs, state, params)
    return [logits(torch.cat(states), params), [states[-1]]]


# --- final_logits ---


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


wrong("final_logits", "Did you swap the time and batch axes?")(
    lambda X, params: logits(
        network(torch.eye(len(params[0]))[X], (torch.zeros(X.shape[1], len(params[1])),), params)[-1], params
    )
)


@wrong("final_logits", "Did you swap the time and batch axes?")
def _(X, params):
    state = d2lmini.init_rnn_state(len(X), len(params[1]))
    return d2lmini.rnn(d2lmini.one_hot(X, len(params[0])), state, params)[0][-len(X) :]


@wrong("final_logits", "Did you swap the time and batch axes?")
def _(X, params):
    H = torch.zeros(len(X), len(params[1]))
    for x in X:
        H = step(torch.eye(len(params[0]))[x], H, params)
    return logits(H, params)


wrong("final_logits", "Did you return the logits of all steps? Return only the last step's.")(
    lambda X, params: logits(torch.cat(states_of(X, params)), params)
)


wrong("final_logits", "Did you take the last row only? The last step has batch_size rows.")(
    lambda X, params: logits(torch.cat(states_of(X, params)), params)[-1]
)


wrong("final_logits", "Did you return the logits of the first step?")(
    lambda X, params: logits(torch.cat(states_of(X, params)), params)[: len(X)]
)


wrong("final_logits", "Did you average over the steps, instead of taking the last one?")(
    lambda X, params: logits(torch.stack(states_of(X, params)).mean(0), params)
)


wrong("final_logits", "Did you forget to carry the state from step to step?")(
    lambda X, params: logits(states_of(X[:, -1:], params)[-1], params)
)


wrong("final_logits", "Did you apply softmax? Logits are the scores before it.")(
    lambda X, params: torch.softmax(logits(states_of(X, params)[-1], params), dim=1)
)


wrong("final_logits", "Did you read the text backwards?")(
    lambda X, params: logits(states_of(X.flip(1), params)[-1], params)
)


wrong("final_logits", "Did you return the hidden states instead of the logits?")(
    lambda X, params: states_of(X, params)[-1]
)


# --- rnn_step, more ---


def wrong_step(activation=torch.tanh, bias=1, W=lambda W_hh: W_hh, old=1, new=1):
    return lambda X, H, params: activation(new * X @ params[0] + old * H @ W(params[1]) + bias * params[2])


right("rnn_step")(lambda X, H, params: torch.rnn_tanh_cell(X, H, params[0].T, params[1].T, params[2], 0 * params[2]))
right("rnn_step")(lambda X, H, params: 2 * torch.sigmoid(2 * (X @ params[0] + H @ params[1] + params[2])) - 1)
right("rnn_step")(lambda X, H, params: torch.addmm(params[2], X, params[0]).add_(H.mm(params[1])).tanh())
wrong("rnn_step", "Did you detach something")(torch.no_grad()(step))
wrong("rnn_step", "Did you detach something")(lambda *args: step(*args).detach())
wrong("rnn_step", "Did you detach the result?")(lambda X, H, params: step(X, H.detach(), params))
wrong("rnn_step", "Did you apply tanh twice?")(lambda *args: step(*args).tanh())
wrong("rnn_step")(lambda X, H, params: step(X, H, params)[:32])
wrong("rnn_step", "Did you forget the bias b_h?", "Did you forget tanh?")(wrong_step(lambda Z: Z, bias=0))
wrong("rnn_step", "Did you forget the bias b_h?", "Did you transpose W_hh?")(wrong_step(bias=0, W=torch.t))
wrong("rnn_step", "Did you forget the bias b_h?", "Did you use sigmoid")(wrong_step(torch.sigmoid, bias=0))
wrong("rnn_step", "Did you transpose W_hh?", "Did you use sigmoid")(wrong_step(torch.relu, W=torch.t))
wrong("rnn_step", "Did you transpose W_hh?", "Did you forget tanh?")(wrong_step(lambda Z: Z, W=torch.t))
wrong("rnn_step", "Did you forget the term of the old state", "Did you forget the bias b_h?")(wrong_step(bias=0, old=0))
wrong("rnn_step", "Did you forget the bias b_h?", "Did you detach something")(torch.no_grad()(wrong_step(bias=0)))

# --- rnn, more ---


@wrong("rnn", "Did you detach the state inside the loop?")
def _(inputs, state, params):
    (H,), outputs = state, []
    for X in inputs:
        H = step(X, H.detach(), params)
        outputs.append(logits(H, params))
    return torch.cat(outputs), (H,)


def cut_every(n):
    """A network whose gradients go back at most n steps."""

    def rnn(inputs, state, params):
        (H,), outputs = state, []
        for t, X in enumerate(inputs):
            H = step(X, H if t % n else H.detach(), params)
            outputs.append(logits(H, params))
        return torch.cat(outputs), (H,)

    return rnn


for n in (5, 16, 64):
    wrong("rnn", "Did you detach the state inside the loop?")(cut_every(n))


@wrong("rnn", "Did you overwrite one H")
def _(inputs, state, params):
    H, states = state[0].clone(), []
    for X in inputs:
        H[:] = step(X, H.clone(), params)
        states.append(H)
    return logits(torch.cat(states), params), (H,)


@right("rnn")
def _(inputs, state, params):
    hiddens, _ = nn.RNN(*params[0].shape), None
    weights = {
        "weight_ih_l0": params[0].T,
        "weight_hh_l0": params[1].T,
        "bias_ih_l0": params[2],
        "bias_hh_l0": 0 * params[2],
    }
    hiddens, H = torch.func.functional_call(hiddens, weights, (inputs, state[0].unsqueeze(0)))
    return logits(hiddens.flatten(0, 1), params), tuple(H)


@right("rnn")
def _(inputs, state, params):
    states = network(inputs, state, params)
    return (part for part in (torch.vstack([logits(H, params) for H in states]), states[-1:]))


wrong("rnn", "Did you detach something")(torch.no_grad()(d2lmini.rnn))


def wrong_rnn(one=step, join=torch.cat, out=logits, new=lambda H, old: (H,)):
    def rnn(inputs, state, params):
        H, states = state[0], []
        for X in inputs:
            H = one(X, H, params)
            states.append(H)
        return out(join(states), params), new(H, state[0])

    return rnn


def batch_major(states):
    return torch.stack(states, 1).flatten(0, 1)


def no_b_q(H, params):
    return H @ params[3]


wrong("rnn", "Are the rows in the wrong order?", "Did you return the old state?")(
    wrong_rnn(join=batch_major, new=lambda H, old: (old,))
)
wrong("rnn", "Are the rows in the wrong order?", "Did you forget the bias b_q?")(
    wrong_rnn(join=batch_major, out=no_b_q)
)
wrong("rnn", "Are the rows in the wrong order?", "Is the state a tuple")(
    wrong_rnn(join=batch_major, new=lambda H, old: H)
)
wrong("rnn", "Did you forget the bias b_h?", "Did you forget the bias b_q?")(wrong_rnn(wrong_step(bias=0), out=no_b_q))
wrong("rnn", "Did you forget tanh?", "Did you forget the bias b_q?")(wrong_rnn(wrong_step(lambda Z: Z), out=no_b_q))
wrong("rnn", "Did you transpose W_hh?", "Did you return the old state?")(
    wrong_rnn(wrong_step(W=torch.t), new=lambda H, old: (old,))
)
wrong("rnn", "Did you stack the steps?", "Did you forget the bias b_h?")(wrong_rnn(wrong_step(bias=0), torch.stack))
wrong("rnn", "Did you transpose W_hh?", "Did you apply softmax?")(
    wrong_rnn(wrong_step(W=torch.t), out=lambda H, params: logits(H, params).softmax(-1))
)
wrong("rnn", "Did you return the hidden states", "Did you forget tanh?")(
    wrong_rnn(wrong_step(lambda Z: Z), out=lambda H, params: H)
)

# --- final_logits, real parameters ---


def with_numpy(X, params, numbers):
    W_xh, W_hh, b_h, W_hq, b_q = [numbers(param) for param in params]
    H = np.zeros((len(X), len(W_hh)), dtype=np.float32)
    for ids in X.T.numpy():
        H = np.tanh(W_xh[ids] + H @ W_hh + b_h)
    return torch.from_numpy(H @ W_hq + b_q)


right("final_logits")(lambda X, params: with_numpy(X, params, lambda param: param.detach().numpy()))
wrong("final_logits", NUMPY)(lambda X, params: with_numpy(X, params, lambda param: param.numpy()))


# --- final_logits, more ---

right("final_logits")(torch.no_grad()(lambda X, params: logits(states_of(X, params)[-1], params)))
wrong("final_logits", "Did you take the last rows of batch-major logits?")(
    lambda X, params: logits(torch.stack(states_of(X, params), 1).flatten(0, 1), params)[-len(X) :]
)
wrong("final_logits", "Did you forget the bias b_q?")(lambda X, params: states_of(X, params)[-1] @ params[3])
wrong("final_logits", "Did you skip the last step?")(lambda X, params: logits(states_of(X[:, :-1], params)[-1], params))
wrong("final_logits")(lambda X, params: logits(states_of(X[:, -30:], params)[-1], params))
wrong("final_logits", "Did you apply softmax?", "Did you forget the bias b_q?")(
    lambda X, params: (states_of(X, params)[-1] @ params[3]).softmax(-1)
)
wrong("final_logits", "Did you return the logits of the first step?", "Did you apply softmax?")(
    lambda X, params: logits(states_of(X, params)[0], params).softmax(-1)
)
wrong("final_logits", "Did you read the text backwards?", "Did you forget the bias b_q?")(
    lambda X, params: states_of(X.flip(1), params)[-1] @ params[3]
)
wrong("final_logits", "Did you return the logits of all steps?", "Did you apply softmax?")(
    lambda X, params: logits(torch.cat(states_of(X, params)), params).softmax(-1)
)
wrong("final_logits", "Did you take the last row only?", "Did you forget the bias b_q?")(
    lambda X, params: states_of(X, params)[-1][-1:] @ params[3]
)
