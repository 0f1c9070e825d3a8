"""What the tests of training, files and checkpoints share: a short text, small models, a training run of seconds."""

import json
from dataclasses import asdict

import safetensors.torch
import torch
from torch import nn

from d2lmini import (
    RNNModel,
    RNNModelByHand,
    RNNModelScratch,
    SequentialBatches,
    Watch,
    load_corpus,
    train,
)
from d2lmini.files import checksum

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
    "by hand": lambda: RNNModelByHand(len(VOCAB), 8),
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


def gru_params(vocab_size, num_hiddens, device):
    """Nine parameters, as a network of one's own may have."""
    return [torch.zeros(num_hiddens, num_hiddens, requires_grad=True) for _ in range(9)]


def copies(params):
    """The numbers of parameters now, to compare with later."""
    return [param.detach().clone() for param in params]


def retouch(path, change, seal=True):
    """Let `change` alter tensors and description of a file; with `seal`, the SHA-256 is made right again."""
    data = path.read_bytes()
    tensors = safetensors.torch.load(data)
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    description = json.loads(metadata["d2lmini"])
    change(tensors, description)
    text = json.dumps(description)
    sha256 = checksum(tensors, text) if seal else metadata["sha256"]
    path.write_bytes(safetensors.torch.save(tensors, metadata={"d2lmini": text, "sha256": sha256}))
