"""The recurrent language model, written out: H_t = tanh(X_t W_xh + H_{t-1} W_hh + b_h), logits = H_t W_hq + b_q.

Idea: J. L. Elman, Finding Structure in Time (1990); names as in Dive into Deep Learning.
"""

import warnings
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import nn

from .validate import as_ids, check_batch, check_ids, check_positive, check_seed, check_size, check_X

# PyTorch sets up its library for tanh in the very first call. When two threads share that call, now and then one of
# them computes with fewer digits, and no two runs are alike. So the first call is made here, by one thread.
torch.tanh(torch.zeros(8))


def try_gpu(i=0):
    """The i-th CUDA device if there is one, else an Apple GPU, else the CPU. Returns torch.device."""
    if 0 <= i < torch.cuda.device_count():
        return torch.device("cuda", i)
    if i == 0 and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def one_hot(ids, vocab_size):
    """Each id as a row of zeros, `vocab_size` long, with a single 1 at that id.

    ids: integer tensor (or list) of any shape; returns float32, shape (*ids.shape, vocab_size).
    Raises TypeError for ids that aren't integers and ValueError for an id outside 0 .. vocab_size - 1.
    """
    check_size("vocab_size", vocab_size)
    ids = as_ids(ids)
    check_ids(ids, vocab_size)
    return torch.zeros(*ids.shape, vocab_size, device=ids.device).scatter_(-1, ids.long().unsqueeze(-1), 1.0)


def get_params(vocab_size, num_hiddens, device=None, *, seed=0, input_std=1.0, orthogonal=False):
    """The five parameters of the network, each ready for gradients.

    input_std   standard deviation of W_xh: how much each character counts beside the state
    orthogonal  makes W_hh a random orthogonal matrix, which keeps the length of the state (Saxe et al., 2014);
                otherwise it's normal with standard deviation 0.01

    Returns [W_xh (vocab_size, num_hiddens), W_hh (num_hiddens, num_hiddens), b_h (num_hiddens),
    W_hq (num_hiddens, vocab_size), b_q (vocab_size)], float32. W_hq is normal with standard deviation 0.01, the biases
    are zero. Equal seeds give equal numbers on every device, and neither option changes the other matrices.
    Raises TypeError or ValueError unless sizes and seed are whole numbers, sizes and input_std above 0.
    """
    check_size("vocab_size", vocab_size)
    check_size("num_hiddens", num_hiddens)
    check_seed(seed)
    check_positive("input_std", input_std)
    rng = torch.Generator().manual_seed(int(seed))

    def normal(*shape, std=0.01):
        return torch.randn(*shape, generator=rng) * std

    W_xh = normal(vocab_size, num_hiddens, std=input_std)
    W_hh = normal(num_hiddens, num_hiddens)
    b_h = torch.zeros(num_hiddens)
    W_hq = normal(num_hiddens, vocab_size)
    b_q = torch.zeros(vocab_size)
    if orthogonal:  # drawn last: the other matrices are the same with and without it
        W_hh = nn.init.orthogonal_(W_hh, generator=rng)
    return [param.to(device).requires_grad_() for param in (W_xh, W_hh, b_h, W_hq, b_q)]


def init_rnn_state(batch_size, num_hiddens, device=None):
    """The state before the first token: a tuple with one tensor of zeros, (batch_size, num_hiddens)."""
    check_size("batch_size", batch_size)
    check_size("num_hiddens", num_hiddens)
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


class LanguageModel(Protocol):
    """What every function of this package expects of a model; RNNModelScratch, RNNModelByHand and RNNModel have it."""

    vocab_size: int  # the number of logits for each token
    device: torch.device

    def __call__(self, X, state):
        """Read X, ids (batch_size, num_steps), after `state`.

        Returns logits (num_steps * batch_size, vocab_size), time-major, and the new state.
        """

    def begin_state(self, batch_size):
        """The state before the first token: a tuple of tensors."""

    def parameters(self):
        """The tensors that training changes: a list, or another iterable that can be asked for again."""

    def to(self, device):
        """The model itself, with its parameters on `device`."""


class RNNModelScratch:
    """A language model (see LanguageModel) from three functions: its parameters, its first state, its forward pass.

    The functions default to the course's own; another network (a GRU, an LSTM) brings others with the same
    arguments. Further keyword arguments (seed, input_std, orthogonal) go to `get_params`.

    Calling it raises ValueError when X isn't (batch_size, num_steps) or has an id outside the vocabulary, when X and
    the model are on different devices, or when the state doesn't fit; TypeError when X isn't a tensor, the state
    isn't a tuple, or the ids aren't integers.
    """

    def __init__(self, vocab_size, num_hiddens, device=None, get_params=get_params,
                 init_state=init_rnn_state, forward_fn=rnn, **init):  # fmt: skip
        self.vocab_size, self.num_hiddens = vocab_size, num_hiddens
        self.params = list(get_params(vocab_size, num_hiddens, device, **init))
        self.init_state, self.forward_fn = init_state, forward_fn

    @property
    def device(self):
        return self.params[0].device

    def parameters(self):
        return self.params

    def to(self, device):
        """The model itself, on `device`. A parameter that's there already stays the same tensor: optimizers hold it."""
        for i, param in enumerate(self.params):
            moved = param.detach().to(device)
            if moved.device != param.device:
                self.params[i] = moved.requires_grad_(param.requires_grad)
        return self

    def begin_state(self, batch_size, device=None):
        """The state before the first token, for `batch_size` sequences: a tuple, in the parameters' precision."""
        state = self.init_state(batch_size, self.num_hiddens, device or self.device)
        if isinstance(state, torch.Tensor):  # its sequences would pass for the parts of a tuple
            raise TypeError("init_state must return a tuple of tensors, not a tensor: is a comma missing, (H,)?")
        return tuple(part.to(self.params[0].dtype) for part in state)

    def __call__(self, X, state):
        check_X(X)
        check_batch(X, state, self.begin_state(X.shape[0]))
        inputs = one_hot(X.T, self.vocab_size).to(self.params[0].dtype)
        return self.forward_fn(inputs, state, self.params)


class RNNModel(nn.Module):
    """The same language model (see LanguageModel) around a recurrent layer of torch.nn: nn.RNN, nn.GRU or nn.LSTM.

    The layer may be deep; it must take vocab_size inputs, time first. The state is a tuple of one tensor, or of two
    for an LSTM, each (num_directions * num_layers, batch_size, num_hiddens). A bidirectional layer is accepted with a
    warning: it reads the very characters that it is asked to predict.

    Raises TypeError or ValueError for a layer that doesn't fit; calling it, what RNNModelScratch raises.
    """

    def __init__(self, rnn_layer, vocab_size):
        super().__init__()
        check_size("vocab_size", vocab_size)
        if not isinstance(rnn_layer, (nn.RNN, nn.GRU, nn.LSTM)):
            raise TypeError(f"rnn_layer must be an nn.RNN, nn.GRU or nn.LSTM, not {type(rnn_layer).__name__}.")
        if rnn_layer.batch_first:
            raise ValueError("rnn_layer reads the batch first, but the course puts time first: drop batch_first=True.")
        if rnn_layer.input_size != vocab_size:
            raise ValueError(
                f"rnn_layer takes {rnn_layer.input_size} inputs, but the vocabulary has {vocab_size} tokens: "
                "make the layer with vocab_size as its input_size."
            )
        if rnn_layer.proj_size:
            raise ValueError("rnn_layer projects its states, which RNNModel can't read: drop proj_size.")
        if rnn_layer.bidirectional:
            warnings.warn(
                "a bidirectional layer sees what it is asked to predict: its perplexity means nothing.", stacklevel=2
            )
        self.rnn, self.vocab_size, self.num_hiddens = rnn_layer, vocab_size, rnn_layer.hidden_size
        self.num_directions = 2 if rnn_layer.bidirectional else 1
        weight = rnn_layer.weight_hh_l0
        self.linear = nn.Linear(
            self.num_directions * self.num_hiddens, vocab_size, device=weight.device, dtype=weight.dtype
        )

    @property
    def device(self):
        return self.linear.weight.device

    def forward(self, X, state):
        check_X(X)
        check_batch(X, state, self.zeros(X.shape[0]))
        inputs = one_hot(X.T, self.vocab_size).to(self.linear.weight.dtype)
        # hiddens (num_steps, batch_size, num_directions * num_hiddens)
        hiddens, state = self.rnn(inputs, state if isinstance(self.rnn, nn.LSTM) else state[0])
        return self.linear(hiddens.flatten(0, 1)), state if isinstance(self.rnn, nn.LSTM) else (state,)

    def begin_state(self, batch_size, device=None):
        """The state before the first token, for `batch_size` sequences: a tuple of zeros (see the class)."""
        return self.zeros(batch_size, device)

    def zeros(self, batch_size, device=None):
        check_size("batch_size", batch_size)
        shape = (self.num_directions * self.rnn.num_layers, batch_size, self.num_hiddens)
        parts = 2 if isinstance(self.rnn, nn.LSTM) else 1
        device, dtype = device or self.device, self.linear.weight.dtype
        return tuple(torch.zeros(shape, device=device, dtype=dtype) for _ in range(parts))


@contextmanager
def reading(model):
    """Inside, the model only reads: no graph is built and dropout is off. Afterwards its mode is as it was."""
    modules = list(model.modules()) if hasattr(model, "modules") else []
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        with torch.no_grad():
            yield
    finally:
        for module, mode in zip(modules, modes):
            module.training = mode
