"""What a learner writes by the chapters of Dive into Deep Learning: models, modules, vocabularies and their parts."""

import collections
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from d2lmini import book, d2l
from d2lmini.d2l import data

CPU = torch.device("cpu")
CHAPTER = book.data_path(book.CHAPTER_FILE).read_text(encoding="ascii")


@pytest.fixture
def without_a_network(monkeypatch):
    """The book can't be had, and that is known at once: the chapter that ships is used."""

    def no_book(folder=None):
        raise ConnectionError("no network")

    monkeypatch.setattr(book, "download_book", no_book)
    data.book_or_chapter.cache_clear()
    yield
    data.book_or_chapter.cache_clear()


def tiny_data(use_random_iter=False, max_tokens=1500):
    return d2l.load_data_time_machine(8, 10, use_random_iter, max_tokens)


def parameters(net):
    return list(net.parameters() if isinstance(net, nn.Module) else net.params)


class OwnModel:
    """A learner's model as the chapter writes it: no `device`, no `vocab_size`, gradients in `params`."""

    def __init__(self, vocab_size, num_hiddens, device, get_params, init_state, forward_fn):
        self.size, self.num_hiddens = vocab_size, num_hiddens
        self.params = get_params(vocab_size, num_hiddens, device)
        self.init_state, self.forward_fn = init_state, forward_fn

    def __call__(self, X, state):
        return self.forward_fn(F.one_hot(X.T, self.size).type(torch.float32), state, self.params)

    def begin_state(self, batch_size, device):
        return self.init_state(batch_size, self.num_hiddens, device)


class OwnModule(nn.Module):
    """A learner's module: `begin_state` in the other order, a state that is a tensor (GRU) or a tuple (LSTM)."""

    def __init__(self, rnn_layer, vocab_size, **kwargs):
        super().__init__(**kwargs)
        self.rnn, self.size = rnn_layer, vocab_size
        self.linear = nn.Linear(rnn_layer.hidden_size, vocab_size)

    def forward(self, inputs, state):
        Y, state = self.rnn(F.one_hot(inputs.T.long(), self.size).to(torch.float32), state)
        return self.linear(Y.reshape((-1, Y.shape[-1]))), state

    def begin_state(self, device, batch_size=1):
        zeros = torch.zeros((self.rnn.num_layers, batch_size, self.rnn.hidden_size), device=device)
        return (zeros, zeros.clone()) if isinstance(self.rnn, nn.LSTM) else zeros


class OwnVocab:
    """A learner's vocabulary as the chapter writes it: no `in`, and ids looked up by token."""

    def __init__(self, tokens):
        self.idx_to_token = ["<unk>", *(token for token, _ in collections.Counter(tokens).most_common())]
        self.token_to_idx = {token: idx for idx, token in enumerate(self.idx_to_token)}

    def __len__(self):
        return len(self.idx_to_token)

    def __getitem__(self, tokens):
        if not isinstance(tokens, (list, tuple)):
            return self.token_to_idx.get(tokens, 0)
        return [self.__getitem__(token) for token in tokens]


def rnn_params(vocab_size, num_hiddens, device):
    def normal(shape):
        return d2l.normal(0, 1, shape) * 0.01

    params = [
        normal((vocab_size, num_hiddens)), normal((num_hiddens, num_hiddens)), d2l.zeros(num_hiddens, device=device),
        normal((num_hiddens, vocab_size)), d2l.zeros(vocab_size, device=device),
    ]  # fmt: skip
    for param in params:
        param.requires_grad_(True)
    return params


def rnn_state(batch_size, num_hiddens, device):
    return (d2l.zeros((batch_size, num_hiddens), device=device),)


def rnn_forward(inputs, state, params):
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:
        H = d2l.tanh(d2l.matmul(X, W_xh) + d2l.matmul(H, W_hh) + b_h)
        outputs.append(d2l.matmul(H, W_hq) + b_q)
    return d2l.concat(outputs, 0), (H,)


def own_rnn(vocab_size, num_hiddens=16, seed=0):
    torch.manual_seed(seed)
    return OwnModel(vocab_size, num_hiddens, CPU, rnn_params, rnn_state, rnn_forward)


def greedy(prefix, num_preds, net, vocab):
    """The continuation, one character a call: the independent reference of predict_ch8."""
    state, ids = net.begin_state(batch_size=1, device=CPU), [vocab[char] for char in prefix]
    for id in ids[:-1]:
        _, state = net(torch.tensor([[id]]), state)
    for _ in range(num_preds):
        logits, state = net(torch.tensor([[ids[-1]]]), state)
        logits = logits.detach().clone()
        logits[:, 0] = -math.inf  # "<unk>" is never written
        ids.append(int(logits.argmax()))
    return "".join(vocab.idx_to_token[id] for id in ids)


def gates(vocab_size, num_hiddens, device, count):
    """`count` triples (W_x, W_h, b), then W_hq and b_q, as the GRU and LSTM chapters make them."""

    def normal(shape):
        return torch.randn(size=shape, device=device) * 0.01

    params = []
    for _ in range(count):
        params += [normal((vocab_size, num_hiddens)), normal((num_hiddens, num_hiddens)), d2l.zeros(num_hiddens)]
    params += [normal((num_hiddens, vocab_size)), d2l.zeros(vocab_size, device=device)]
    for param in params:
        param.requires_grad_(True)
    return params


def gru_forward(inputs, state, params):
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:
        Z = torch.sigmoid((X @ W_xz) + (H @ W_hz) + b_z)
        R = torch.sigmoid((X @ W_xr) + (H @ W_hr) + b_r)
        candidate = d2l.tanh((X @ W_xh) + ((R * H) @ W_hh) + b_h)
        H = Z * H + (1 - Z) * candidate
        outputs.append(H @ W_hq + b_q)
    return d2l.concat(outputs, 0), (H,)


def lstm_forward(inputs, state, params):
    W_xi, W_hi, b_i, W_xf, W_hf, b_f, W_xo, W_ho, b_o, W_xc, W_hc, b_c, W_hq, b_q = params
    (H, C) = state
    outputs = []
    for X in inputs:
        gate_i = torch.sigmoid((X @ W_xi) + (H @ W_hi) + b_i)
        gate_f = torch.sigmoid((X @ W_xf) + (H @ W_hf) + b_f)
        gate_o = torch.sigmoid((X @ W_xo) + (H @ W_ho) + b_o)
        C = gate_f * C + gate_i * d2l.tanh((X @ W_xc) + (H @ W_hc) + b_c)
        H = gate_o * d2l.tanh(C)
        outputs.append((H @ W_hq) + b_q)
    return d2l.concat(outputs, 0), (H, C)


def lstm_state(batch_size, num_hiddens, device):
    zeros = d2l.zeros((batch_size, num_hiddens), device=device)
    return (zeros, zeros.clone())


SCRATCH = {
    "rnn": (rnn_params, rnn_state, rnn_forward),
    "gru": (lambda v, h, d: gates(v, h, d, 3), rnn_state, gru_forward),
    "lstm": (lambda v, h, d: gates(v, h, d, 4), lstm_state, lstm_forward),
    "lstm, its state a list": (
        lambda v, h, d: gates(v, h, d, 4),
        lambda *sizes: list(lstm_state(*sizes)),
        lambda inputs, state, params: (lambda out, new: (out, list(new)))(*lstm_forward(inputs, state, params)),
    ),
}
