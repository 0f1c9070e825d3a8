"""The same model with every gradient written by hand: the fast engine.

Autograd records each small operation of the forward pass and plays the record back. Here the backward pass
is derived instead (notebook 08), and so arranged that only what must wait for the step before stands
inside the loop over time; everything else is one large matrix product over all steps at once. One
pair of functions does it in NumPy, one in torch; RNNModelNumPy and RNNModelTorch put
them under the interface of RNNModelScratch, so that `train`, `predict` and `sample` take either.

Idea: back-propagation through time, P. J. Werbos (1990); products hoisted out of the loop as in J. Appleyard
et al., Optimizing Performance of Recurrent Neural Networks on GPUs (2016).
"""

import math
from collections import defaultdict
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from .batches import time_major
from .model import RNNModelScratch
from .validate import check_batch, check_ids, check_X


def softmax_gradient(logits, targets):
    """Gradient of the mean cross-entropy with respect to the logits: (softmax(logits) - one_hot(targets)) / n.

    NumPy arrays: logits (n, vocab_size), targets (n,) integers. Returns (n, vocab_size).
    """
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))  # the largest exponent is 0: no overflow
    probs /= probs.sum(axis=1, keepdims=True)
    probs[np.arange(len(targets)), targets] -= 1
    return probs / len(targets)


class Buffers:
    """Arrays that are made once (by `empty`) and lent again and again, by shape and dtype.

    The system hands out fresh memory in pages of 4 kB, each with a small delay. Whoever takes an array owns it
    until giving it back, so that a second forward pass never overwrites what the backward pass of the first
    still needs.
    """

    def __init__(self, empty):
        self.empty, self.free = empty, defaultdict(list)

    def take(self, shape, dtype):
        arrays = self.free[tuple(shape), dtype]
        return arrays.pop() if arrays else self.empty(shape, dtype=dtype)

    def give(self, *arrays):
        for array in arrays:
            self.free[tuple(array.shape), array.dtype].append(array)


def numpy_forward(ids, H, params, buffers):
    """The forward pass in NumPy.

    ids: (num_steps * batch_size,), the first step's ids first; H: the state before, (batch_size, num_hiddens);
    params: the five arrays. Returns logits (num_steps * batch_size, vocab_size) and all
    states, (num_steps + 1, batch_size, num_hiddens), the one before included; these are lent from `buffers`.
    """
    W_xh, W_hh, b_h, W_hq, b_q = params
    states = buffers.take((len(ids) // len(H) + 1, *H.shape), W_hh.dtype)
    product = buffers.take(H.shape, W_hh.dtype)
    states[0] = H
    hiddens = states[1:].reshape(len(ids), -1)
    np.take(W_xh, ids, axis=0, out=hiddens, mode="clip")  # a row of W_xh is its product with a one-hot vector
    hiddens += b_h
    for H_before, H in pairwise(states):
        np.matmul(H_before, W_hh, out=product)
        H += product
        np.tanh(H, out=H)
    logits = hiddens @ W_hq  # all steps at once
    logits += b_q
    buffers.give(product)
    return logits, states


def numpy_backward(d_logits, d_H, ids, states, params, buffers):
    """The backward pass in NumPy.

    d_logits, d_H: gradients of the loss with respect to the logits and the last state; ids, states and
    params as in numpy_forward (`states` goes back to `buffers`). Returns the gradients of the five parameters, and that
    of the state before.
    """
    W_xh, W_hh, _, W_hq, _ = params
    num_steps, batch_size, num_hiddens = states[1:].shape
    hiddens = states[1:].reshape(len(ids), num_hiddens)
    dH, slope = (buffers.take((num_steps, batch_size, num_hiddens), W_hh.dtype) for _ in range(2))
    product, W_hh_T = buffers.take(d_H.shape, W_hh.dtype), buffers.take(W_hh.shape, W_hh.dtype)

    np.matmul(d_logits, W_hq.T, out=dH.reshape(hiddens.shape))  # what reaches each state from its own logits
    dH[-1] += d_H
    np.multiply(states[1:], states[1:], out=slope)
    np.subtract(1, slope, out=slope)  # the derivative of tanh, 1 - H^2
    W_hh_T[:] = W_hh.T  # one copy, after which every product in the loop reads memory in order
    for t in reversed(range(num_steps)):
        dZ = dH[t]
        dZ *= slope[t]  # from behind tanh to before it, in place: dH becomes dZ
        np.matmul(dZ, W_hh_T, out=product)  # what goes on to the state before
        if t > 0:
            dH[t - 1] += product
    dZ = dH.reshape(hiddens.shape)
    dW_hh = states[:-1].reshape(hiddens.shape).T @ dZ  # the sum over all steps is one product
    grads = gather_backward(ids, dZ, W_xh), dW_hh, dZ.sum(axis=0), hiddens.T @ d_logits, d_logits.sum(axis=0)
    d_H_before = product.copy()
    buffers.give(states, dH, slope, product, W_hh_T)
    return grads, d_H_before


def gather_backward(ids, dZ, W_xh):
    """Gradient of W_xh: row v is the sum of the rows of dZ whose id is v.

    It is a one-hot product over the ids that occur, so its cost does not grow with the vocabulary.
    """
    distinct, position = np.unique(ids, return_inverse=True)
    occurs = np.equal.outer(np.arange(len(distinct)), position.reshape(-1)).astype(dZ.dtype)
    dW_xh = np.zeros_like(W_xh)
    dW_xh[distinct] = occurs @ dZ
    return dW_xh


def blocks(array):
    """The steps of `array`, (num_steps, batch_size, num_hiddens), each cut into one block of rows for each core.

    Rows do not depend on one another, and two cores with a product each are done sooner than two that share one.
    Returns a view of each step, (num_blocks, batch_size / num_blocks, num_hiddens).
    """
    num_blocks = math.gcd(array.shape[1], torch.get_num_threads()) if array.device.type == "cpu" else 1
    return array.unflatten(1, (num_blocks, -1)).unbind()


def torch_forward(ids, H, params, buffers):
    """The forward pass in torch: arguments and results as numpy_forward, tensors on any device."""
    W_xh, W_hh, b_h, W_hq, b_q = params
    states = buffers.take((len(ids) // len(H) + 1, *H.shape), W_hh.dtype)
    states[0] = H
    hiddens = states[1:].flatten(0, 1)
    torch.index_select(W_xh + b_h, 0, ids, out=hiddens)
    steps = blocks(states)
    matrix = W_hh.expand(len(steps[0]), -1, -1)  # the same one for each block
    for H_before, H in pairwise(steps):
        H.baddbmm_(H_before, matrix).tanh_()  # the sum with the product is one operation here
    return torch.addmm(b_q, hiddens, W_hq), states


def torch_backward(d_logits, d_H, ids, states, params, buffers):
    """The backward pass in torch: arguments and results as numpy_backward."""
    W_xh, W_hh, _, W_hq, _ = params
    hiddens = states[1:].flatten(0, 1)
    dH, slope = (buffers.take(states[1:].shape, W_hh.dtype) for _ in range(2))
    W_hh_T = buffers.take(W_hh.shape, W_hh.dtype)

    torch.mm(d_logits, W_hq.T, out=dH.view_as(hiddens))
    dH[-1] += d_H
    torch.addcmul(dH.new_ones(()), states[1:], states[1:], value=-1, out=slope)  # 1 - H^2, in one pass
    W_hh_T.copy_(W_hh.T)
    dH[-1] *= slope[-1]
    steps = blocks(dH)
    matrix = W_hh_T.expand(len(steps[0]), -1, -1)
    for (dZ_after, _), (dH_t, slope_t) in pairwise(reversed(list(zip(steps, blocks(slope))))):
        dH_t.baddbmm_(dZ_after, matrix).mul_(slope_t)  # dH_t becomes dZ_t
    dZ = dH.view_as(hiddens)
    dW_xh = torch.zeros_like(W_xh).index_add_(0, ids, dZ)
    db_h = dW_xh.sum(dim=0)  # every row of dZ is in one row of dW_xh, so both have the same sum
    dW_hh = states[:-1].flatten(0, 1).T @ dZ
    dW_hq = (d_logits.T @ hiddens).T  # the product with the short side in front is the faster one
    grads = dW_xh, dW_hh, db_h, dW_hq, d_logits.sum(dim=0)
    d_H_before = dH[0] @ W_hh_T
    buffers.give(states, dH, slope, W_hh_T)
    return grads, d_H_before


class ByHand(torch.autograd.Function):
    """Tells autograd: this is one operation, and here is its derivative."""

    @staticmethod
    def forward(ctx, model, ids, H, *params):
        logits, states = model.forward(ids, H, params)
        ctx.model, ctx.states = model, states
        ctx.save_for_backward(ids, *params)  # notices parameters that change before the backward pass
        return logits, states[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, d_logits, d_H):
        ids, *params = ctx.saved_tensors
        if ctx.states is None:
            raise RuntimeError(
                "the states of this minibatch are gone after its first backward pass: run the model again."
            )
        states, ctx.states = ctx.states, None
        grads, d_H_before = ctx.model.backward(d_logits, d_H, ids, states, params)
        return None, None, d_H_before, *grads


class RNNModelTorch(RNNModelScratch):
    """RNNModelScratch with its gradients by hand, in torch, on any device.

    Arguments, call, errors and results are those of RNNModelScratch, and `fast.params = readable.params` lets both
    use the same five parameters. The forward function is built in: `forward_fn` does not apply.
    """

    def __init__(self, vocab_size, num_hiddens, device=None, **options):
        super().__init__(vocab_size, num_hiddens, device, **options)
        self.buffers = Buffers(partial(torch.empty, device=self.device))

    def __call__(self, X, state):
        check_X(X)
        check_batch(X, state, self.begin_state(X.shape[0]))
        check_ids(X, self.vocab_size)
        ids = time_major(X).long()  # (num_steps * batch_size,), time-major
        if torch.is_grad_enabled():
            logits, H = ByHand.apply(self, ids, *state, *self.params)
        else:
            logits, states = self.forward(ids, *state, self.params)
            H = states[-1].clone()
        return logits, (H,)

    def forward(self, ids, H, params):
        return torch_forward(ids, H, params, self.buffers)

    def backward(self, d_logits, d_H, ids, states, params):
        return torch_backward(d_logits, d_H, ids, states, params, self.buffers)


class RNNModelNumPy(RNNModelTorch):
    """RNNModelScratch with its gradients by hand, in NumPy, on the CPU.

    The parameters are tensors, and NumPy works on the same memory: nothing is copied between the two. Otherwise
    as RNNModelTorch. NumPy and torch keep a pool of threads each, which wait for work by spinning and so hold
    each other up: train this model inside `with bptt.one_torch_thread():`.
    Raises ValueError for any other device than the CPU.
    """

    def __init__(self, vocab_size, num_hiddens, device=None, **options):
        super().__init__(vocab_size, num_hiddens, device, **options)
        if self.device.type != "cpu":
            raise ValueError(f"NumPy works on the CPU only, not on {self.device}: use RNNModelTorch there.")
        self.buffers = Buffers(np.empty)

    def forward(self, ids, H, params):
        logits, states = numpy_forward(*arrays(ids, H), arrays(*params), self.buffers)
        return torch.from_numpy(logits), torch.from_numpy(states)

    def backward(self, d_logits, d_H, ids, states, params):
        d_logits, d_H, ids, states = arrays(d_logits, d_H, ids, states)
        grads, d_H_before = numpy_backward(d_logits, d_H, ids, states, arrays(*params), self.buffers)
        return [torch.from_numpy(grad) for grad in grads], torch.from_numpy(d_H_before)

    def decode(self, scores, state, num_preds, choose, num_reserved):
        """What `predict` and `sample` call for each text (see generate.write_on): a loop without tensors or checks."""
        W_xh, W_hh, b_h, W_hq, b_q = arrays(*self.params)
        H, scores = arrays(*state, scores)
        inputs = W_xh + b_h  # (vocab_size, num_hiddens)
        allowed = np.where(np.arange(len(b_q)) < num_reserved, -np.inf, 0).astype(b_q.dtype)
        b_q, scores = b_q + allowed, scores + allowed
        both = np.concatenate([W_hh, W_hq], axis=1)  # both products read the same state: one product
        written = np.empty((num_preds, len(H)), dtype=np.int64)
        with one_torch_thread():
            product = H @ both
            for ids in written:
                ids[:] = choose(scores)
                H = np.tanh(inputs[ids] + product[:, : len(W_hh)])
                product = H @ both
                scores = product[:, len(W_hh) :] + b_q
        return torch.from_numpy(written.T)


@contextmanager
def one_torch_thread():
    """Leave the cores to NumPy's threads: torch's wait for work by spinning, and so take them away.

    For the whole of a training with RNNModelNumPy, or any other time in which NumPy and torch take turns.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def arrays(*tensors):
    """The tensors' memory as NumPy arrays."""
    return [tensor.detach().numpy() for tensor in tensors]
