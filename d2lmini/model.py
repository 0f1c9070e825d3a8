"""The recurrent language model, written out: H_t = tanh(X_t W_xh + H_{t-1} W_hh + b_h), logits = H_t W_hq + b_q.

Idea: J. L. Elman, Finding Structure in Time (1990); names as in Dive into Deep Learning.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .batches import check_size

# torch sets up its library for tanh in the very first call. When two threads share that call, now and then one of them
# computes with fewer digits, and no two runs are alike. So the first call is made here, by one thread.
torch.tanh(torch.zeros(8))


def try_gpu(i=0):
    """The i-th CUDA device if there is one, else an Apple GPU, else the CPU. Returns torch.device."""
    if torch.cuda.device_count() > i:
        return torch.device("cuda", i)
    if i == 0 and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def one_hot(ids, vocab_size):
    """Each id as a row of `vocab_size` zeros with a single one at that id.

    ids: integer tensor of any shape; returns float32, shape (*ids.shape, vocab_size).
    Raises TypeError for ids that are no integers and ValueError for an id outside 0 .. vocab_size - 1.
    """
    check_size("vocab_size", vocab_size)
    check_ids(ids, vocab_size)
    return torch.eye(vocab_size, device=ids.device)[ids.long()]


def check_ids(ids, vocab_size):
    """Raise a clear error unless all ids are integers from 0 to vocab_size - 1."""
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise TypeError(f"ids must be integers, not {ids.dtype}.")
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < vocab_size:
        raise ValueError(
            f"ids run from {int(ids.min())} to {int(ids.max())}, but the vocabulary has {vocab_size} symbols "
            f"(ids 0 to {vocab_size - 1}): were text and model made with the same Vocab?"
        )


def get_params(vocab_size, num_hiddens, device=None, *, seed=0, orthogonal=False):
    """The five parameters of the network, each ready for gradients.

    Returns [W_xh (vocab_size, num_hiddens), W_hh (num_hiddens, num_hiddens), b_h (num_hiddens),
    W_hq (num_hiddens, vocab_size), b_q (vocab_size)], float32. Weights are normal with standard
    deviation 0.01, biases zero. With `orthogonal`, W_hh is a random orthogonal matrix, which keeps the
    length of the state from step to step, and W_xh has standard deviation 0.3, so that the inputs
    stand their ground beside it (Saxe et al., 2014). Equal seeds give equal numbers on every device.
    """
    check_size("vocab_size", vocab_size)
    check_size("num_hiddens", num_hiddens)
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape, std=0.01):
        return torch.randn(*shape, generator=rng) * std

    W_xh = normal(vocab_size, num_hiddens, std=0.3 if orthogonal else 0.01)
    W_hh = normal(num_hiddens, num_hiddens)
    if orthogonal:
        W_hh = nn.init.orthogonal_(W_hh, generator=rng)
    b_h = torch.zeros(num_hiddens)
    W_hq = normal(num_hiddens, vocab_size)
    b_q = torch.zeros(vocab_size)
    return [param.to(device).requires_grad_() for param in (W_xh, W_hh, b_h, W_hq, b_q)]


def init_rnn_state(batch_size, num_hiddens, device=None):
    """The state before the first token: a tuple with one tensor of zeros, (batch_size, num_hiddens)."""
    check_size("batch_size", batch_size)
    return (torch.zeros(batch_size, num_hiddens, device=device),)


def rnn(inputs, state, params):
    """Run the network over a minibatch, one time step after the other.

    inputs: one-hot, (num_steps, batch_size, vocab_size); state: a tuple (H,), H (batch_size, num_hiddens).
    Returns logits, (num_steps * batch_size, vocab_size) with the first step's rows first, and the new state.
    """
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    hiddens = []
    for X in inputs:  # (batch_size, vocab_size)
        H = torch.tanh(X @ W_xh + H @ W_hh + b_h)  # (batch_size, num_hiddens)
        hiddens.append(H)
    logits = torch.cat(hiddens) @ W_hq + b_q  # (num_steps * batch_size, vocab_size)
    return logits, (H,)


class RNNModelScratch:
    """A language model from three functions: its parameters, its first state, its forward pass.

    Calling it with X, ids (batch_size, num_steps), and a state returns logits (num_steps * batch_size,
    vocab_size), time-major, and the new state. The functions default to the course's own; another network (a GRU, an
    LSTM) brings others with the same arguments. Further keyword arguments (seed, orthogonal) go to `get_params`.

    Raises ValueError when X is not (batch_size, num_steps), when X and the model are on different
    devices, or when the state has another batch size than X; TypeError when the state is no tuple.
    """

    def __init__(self, vocab_size, num_hiddens, device=None, get_params=get_params,
                 init_state=init_rnn_state, forward_fn=rnn, **init):  # fmt: skip
        self.vocab_size, self.num_hiddens = vocab_size, num_hiddens
        self.params = get_params(vocab_size, num_hiddens, device, **init)
        self.init_state, self.forward_fn = init_state, forward_fn

    @property
    def device(self):
        return self.params[0].device

    def parameters(self):
        return self.params

    def begin_state(self, batch_size, device=None):
        """The state before the first token, for `batch_size` rows."""
        return self.init_state(batch_size, self.num_hiddens, device or self.device)

    def __call__(self, X, state):
        check_batch(X, state, self.device)
        return self.forward_fn(one_hot(X.T, self.vocab_size), state, self.params)


def check_batch(X, state, device):
    """Raise a clear error unless X (batch_size, num_steps), the state tuple and the model fit together."""
    if X.dim() != 2 or X.numel() == 0:
        raise ValueError(f"X must have shape (batch_size, num_steps), not {tuple(X.shape)}.")
    if X.device != device:
        raise ValueError(f"X is on {X.device}, but the model is on {device}: move it with X.to({str(device)!r}).")
    if not isinstance(state, tuple):
        raise TypeError(
            f"the state must be a tuple of tensors, not {type(state).__name__}: use begin_state(batch_size)."
        )
    if state[0].shape[0] != X.shape[0]:
        raise ValueError(
            f"the state has {state[0].shape[0]} rows, but X has {X.shape[0]}: begin with begin_state({X.shape[0]})."
        )


class RNNModel(nn.Module):
    """The same language model around a recurrent layer of torch.nn (nn.RNN, nn.GRU, nn.LSTM; deep, bidirectional).

    `rnn_layer` must take vocab_size inputs, time first. Arguments, results and errors are those of
    RNNModelScratch; the state is the layer's own, a tensor or (LSTM) a tuple of two.
    """

    def __init__(self, rnn_layer, vocab_size):
        super().__init__()
        self.rnn, self.vocab_size, self.num_hiddens = rnn_layer, vocab_size, rnn_layer.hidden_size
        self.num_directions = 2 if rnn_layer.bidirectional else 1
        self.linear = nn.Linear(self.num_directions * self.num_hiddens, vocab_size)

    @property
    def device(self):
        return self.linear.weight.device

    def forward(self, X, state):
        layers = state if isinstance(self.rnn, nn.LSTM) else (state,)
        if not isinstance(layers, tuple) or not all(isinstance(layer, torch.Tensor) for layer in layers):
            raise TypeError(f"the state is not that of {type(self.rnn).__name__}: use begin_state(batch_size).")
        check_batch(X, (layers[0][0],), self.device)  # layers[0]: (directions * layers, batch_size, num_hiddens)
        check_ids(X, self.vocab_size)
        inputs = F.one_hot(X.T.long(), self.vocab_size).to(self.linear.weight.dtype)
        hiddens, state = self.rnn(inputs, state)  # hiddens (num_steps, batch_size, num_directions * num_hiddens)
        return self.linear(hiddens.flatten(0, 1)), state

    def begin_state(self, batch_size, device=None):
        """Zeros, (num_directions * num_layers, batch_size, num_hiddens); for an LSTM a tuple of two of them."""
        shape = (self.num_directions * self.rnn.num_layers, batch_size, self.num_hiddens)
        zeros = torch.zeros(shape, device=device or self.device, dtype=self.linear.weight.dtype)
        return (zeros, zeros.clone()) if isinstance(self.rnn, nn.LSTM) else zeros
