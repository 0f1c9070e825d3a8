"""What the tests of training, files and checkpoints share: a short text, small models, and a training run of seconds."""

import json
from dataclasses import asdict

import torch
from torch import nn

from d2lmini import (
    RNNModel,
    RNNModelNumPy,
    RNNModelScratch,
    RNNModelTorch,
    SequentialBatches,
    Watch,
    load_corpus,
    train,
)

TRAIN, HELD_OUT, VOCAB = load_corpus(num_train=1500)
TRAIN, HELD_OUT = TRAIN[:600], HELD_OUT[:100]


def scratch(**options):
    return RNNModelScratch(len(VOCAB), 8, **options)


def layer(cls, **options):
    torch.manual_seed(3)
    return RNNModel(cls(len(VOCAB), 8, **options), len(VOCAB))


MODELS = {
    "scratch": scratch,
    "RNN": lambda: layer(nn.RNN),
    "ReLU": lambda: layer(nn.RNN, nonlinearity="relu", bias=False),
    "GRU": lambda: layer(nn.GRU, num_layers=2),
    "LSTM": lambda: layer(nn.LSTM, bidirectional=True),
    "dropout": lambda: layer(nn.LSTM, num_layers=2, dropout=0.3),
    "double": lambda: layer(nn.GRU).double(),
    "torch by hand": lambda: RNNModelTorch(len(VOCAB), 8),
    "NumPy by hand": lambda: RNNModelNumPy(len(VOCAB), 8),
}


def data(**options):
    return SequentialBatches(TRAIN, 4, 10, **options)


def watch(**options):
    """A Watch for everything that a History can hold."""
    return Watch(**{"held_out": HELD_OUT, "vocab": VOCAB, "prefixes": ["time "], "every": 2, **options})


def run(model, batches, num_epochs, **options):
    """A short training run."""
    return train(model, batches, num_epochs, **{"lr": 1.0, "watch": watch(), **options})


def results(model, history):
    """All that has to be equal after an interruption, as JSON text that keeps every bit of every number."""
    numbers = {name: value for name, value in asdict(history).items() if name != "speeds"}
    return json.dumps([numbers, [param.tolist() for param in model.parameters()]])


def copies(params):
    """The numbers of parameters now, to compare with later."""
    return [param.detach().clone() for param in params]
