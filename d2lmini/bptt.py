"""The same model with its gradients by hand: the fast engine.

Autograd records each small operation of the forward pass and plays the record back. Here the backward pass is derived
instead (notebook 08), and arranged so that the loop over time holds only what has to wait for the step before;
everything else is one large matrix product over all steps at once.

Idea: backpropagation through time, P. J. Werbos (1990); products hoisted out of the loop as in J. Appleyard
et al., Optimizing Performance of Recurrent Neural Networks on GPUs (2016).
"""

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from .batches import time_major
from .generate import decode_with
from .model import RNNModelScratch, get_params, init_rnn_state, rnn
from .validate import check_batch, check_ids, check_X

# With this many sequences or fewer the products in the loop are faster with each sequence's state in a row.
MAX_ROWS = 8
# Up to this many tokens in the vocabulary, a product with one-hot vectors is faster than picking columns one by one.
MAX_ONE_HOT = 100

# Linux's malloc returns a minibatch's arrays to the system after each step, and the next step waits while it gets them
# back, page by page. After one larger block (16 MB, never touched) was freed, malloc keeps arrays of this size.
torch.empty(2**22)


def softmax_gradient(logits, targets):
    """Gradient of the mean cross-entropy with respect to the logits: (softmax(logits) - one_hot(targets)) / n.

    NumPy arrays: logits (n, vocab_size), targets (n,) integers. Returns (n, vocab_size).
    """
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))  # the largest exponent is 0: no overflow
    probs /= probs.sum(axis=1, keepdims=True)
    probs[np.arange(len(targets)), targets] -= 1
    return probs / len(targets)


def forward(ids, H, params):
    """The forward pass.

    ids: (num_steps * batch_size,), the first step's ids first; H: the state before, (batch_size, num_hiddens);
    params: the five tensors. Returns logits (num_steps * batch_size, vocab_size) and all states,
    (num_steps + 1, batch_size, num_hiddens), the state before included.
    """
    W_xh, W_hh, b_h, W_hq, b_q = params
    states = empty_states(len(ids) // len(H) + 1, len(H), W_hh)
    states[0] = H
    hiddens = states[1:].flatten(0, 1)  # (num_steps * batch_size, num_hiddens), the same memory
    if one_hot_is_faster(states, W_xh):
        torch.addmm(b_h, one_hot(ids, W_xh), W_xh, out=hiddens)
    else:
        torch.add(W_xh.index_select(0, ids), b_h, out=hiddens)
    if columns(states):
        W_hh = W_hh.T.contiguous().T  # the same matrix, in the memory order in which the products are fast
    steps = states.unbind()
    for t in range(1, len(steps)):
        tanh_(steps[t].addmm_(steps[t - 1], W_hh))
    return torch.addmm(b_q, hiddens, W_hq), states


def backward(d_logits, d_H, ids, states, params):
    """The backward pass.

    d_logits, d_H: gradients of the loss with respect to the logits and the last state; ids, states and params as in
    forward. Returns the gradients of the five parameters, and dZ, the gradient before tanh, shaped as states[1:].
    """
    W_xh, W_hh, _, W_hq, _ = params
    hiddens = states[1:].flatten(0, 1)
    dZ = empty_states(len(states) - 1, len(d_H), W_hh)  # dH at first; each step becomes dZ in the loop
    torch.mm(d_logits, W_hq.T, out=dZ.flatten(0, 1))  # what reaches each state from its own logits
    dZ[-1] += d_H
    slope = torch.addcmul(dZ.new_ones(()), states[1:], states[1:], value=-1)  # 1 - H^2, the derivative of tanh
    dZ[-1] *= slope[-1]
    steps, slopes = dZ.unbind(), slope.unbind()
    for t in reversed(range(len(steps) - 1)):
        steps[t].addmm_(steps[t + 1], W_hh.T).mul_(slopes[t])
    rows = dZ.flatten(0, 1)
    if one_hot_is_faster(states, W_xh):
        dW_xh = one_hot(ids, W_xh).T @ rows
    else:
        dW_xh = torch.zeros_like(W_xh).index_add_(0, ids, rows)
    dW_hh = states[:-1].flatten(0, 1).T @ rows  # the sum over all steps is one product
    return (dW_xh, dW_hh, rows.sum(0), hiddens.T @ d_logits, d_logits.sum(0)), dZ


def empty_states(num_steps, batch_size, W_hh):
    """Room for states, (num_steps, batch_size, num_hiddens), of which each step is a view.

    The layout in memory follows the products in the loop. With many sequences a state is stored in columns,
    num_hiddens x batch_size, and W_hh is on the left, where its rows are shared out among the cores.
    """
    if batch_size <= MAX_ROWS:
        return W_hh.new_empty(num_steps, batch_size, len(W_hh))
    return W_hh.new_empty(len(W_hh), num_steps, batch_size).permute(1, 2, 0)


def columns(states):
    """Whether empty_states chose columns."""
    return states.shape[1] > MAX_ROWS


def one_hot_is_faster(states, W_xh):
    return columns(states) and len(W_xh) <= MAX_ONE_HOT


def one_hot(ids, W_xh):
    return W_xh.new_zeros(len(ids), len(W_xh)).scatter_(1, ids[:, None], 1)


def tanh_(H):
    """tanh in place. NumPy's is faster than PyTorch's on a slice as small as one step."""
    if H.device.type == "cpu" and H.dtype in (torch.float32, torch.float64):
        array = H.numpy()
        np.tanh(array, out=array)
    else:
        H.tanh_()


class ByHand(torch.autograd.Function):
    """Tells autograd: this is one operation, and here is its derivative."""

    @staticmethod
    def forward(ctx, ids, H, *params):
        logits, states = forward(ids, H, params)
        ctx.save_for_backward(ids, states, *params)  # notices parameters that change before the backward pass
        return logits, states[-1].clone(memory_format=torch.contiguous_format)

    @staticmethod
    @once_differentiable
    def backward(ctx, d_logits, d_H):
        ids, states, *params = ctx.saved_tensors
        grads, dZ = backward(d_logits, d_H, ids, states, params)
        d_H_before = dZ[0] @ params[1].T if ctx.needs_input_grad[1] else None
        return None, d_H_before, *grads


class RNNModelByHand(RNNModelScratch):
    """RNNModelScratch with its gradients by hand: the same numbers up to rounding, and faster on a CPU.

    Calls and errors are those of RNNModelScratch, and `fast.params = readable.params` lets both use the
    same five parameters. Keyword arguments (seed, input_std, orthogonal) go to get_params; the functions of
    RNNModelScratch are built in and can't be replaced.
    """

    def __init__(self, vocab_size, num_hiddens, device=None, **init):
        super().__init__(vocab_size, num_hiddens, device, get_params, init_rnn_state, rnn, **init)

    def __call__(self, X, state):
        check_X(X)
        check_batch(X, state, self.begin_state(X.shape[0]))
        check_ids(X, self.vocab_size)
        logits, H = ByHand.apply(time_major(X).long(), *state, *self.params)
        return logits, (H,)

    def decode(self, scores, state, num_preds, choose, num_reserved):
        """What `predict` and `sample` call for each text (see generate.decode_with), without tensors or checks."""
        if self.device.type != "cpu" or self.params[0].dtype not in (torch.float32, torch.float64):
            return decode_with(self, scores, state, num_preds, choose, num_reserved)
        W_xh, W_hh, b_h, W_hq, b_q = (param.detach() for param in self.params)
        num_sequences, num_hiddens = state[0].shape
        # Both products read the same state, so they are one. The state's last column is 1: its row of `both` is b_q.
        both = W_hh.new_zeros(num_hiddens + 1, num_hiddens + self.vocab_size)
        both[:-1, :num_hiddens], both[:-1, num_hiddens:], both[-1, num_hiddens:] = W_hh, W_hq, b_q
        both[-1, num_hiddens : num_hiddens + num_reserved] = -torch.inf
        inputs = (W_xh + b_h).numpy()  # (vocab_size, num_hiddens)
        H = torch.cat([state[0], state[0].new_ones(num_sequences, 1)], dim=1)
        product = H @ both
        arrays = [tensor.numpy() for tensor in (H, both, product)]
        hiddens, (to_state, scores) = arrays[0][:, :-1], np.split(arrays[2], [num_hiddens], axis=1)
        generated = np.empty((num_preds, num_sequences), dtype=np.int64)
        for ids in generated:
            ids[:] = choose(scores)
            np.add(to_state, inputs[ids], out=hiddens)
            np.tanh(hiddens, out=hiddens)
            if num_sequences == 1:
                np.matmul(*arrays[:2], out=arrays[2])
            else:
                torch.mm(H, both, out=product)
        return torch.from_numpy(generated.T)
