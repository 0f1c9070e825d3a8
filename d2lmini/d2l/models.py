"""RNNModel by the book's arguments, and any model in the book's style as the course's own functions want it."""

import torch
from torch import Tensor, nn

from .. import generate, model, text
from ..model import try_gpu


def try_all_gpus():
    """All CUDA devices, or a list of the one device that try_gpu() finds."""
    return [torch.device("cuda", i) for i in range(torch.cuda.device_count())] or [try_gpu()]


class RNNModel(model.RNNModel):
    """The course's RNNModel, with the arguments of `begin_state` in the book's order and the states of the layers."""

    def begin_state(self, device=None, batch_size=1):
        if isinstance(device, int):
            raise TypeError(
                "the book's order is begin_state(device, batch_size); d2lmini's own functions take a d2lmini.RNNModel."
            )
        return layer_state(self.zeros(batch_size, device))

    def forward(self, inputs, state):
        logits, state = super().forward(inputs, (state,) if isinstance(state, Tensor) else state)
        return logits, layer_state(state)


def layer_state(state):
    """The course's state, a tuple, as torch's layers want it: a tensor, or for an LSTM a tuple of two."""
    return state[0] if len(state) == 1 else state


class BookModel:
    """Any model in the book's style as a LanguageModel: batch size first, the state a tuple."""

    def __init__(self, net, device, vocab_size=None):
        self.net, self.device, self.vocab_size = net, torch.device(device), vocab_size

    def parameters(self):
        return list(self.net.parameters() if isinstance(self.net, nn.Module) else self.net.params)

    def begin_state(self, batch_size):
        state = self.net.begin_state(batch_size=batch_size, device=self.device)
        self.bare = isinstance(state, Tensor)  # the book's states are tensors, tuples or lists of them
        return (state,) if self.bare else tuple(state)

    def __call__(self, X, state):
        logits, state = self.net(X, state[0] if self.bare else state)
        if self.vocab_size not in (None, logits.shape[1]):
            raise ValueError(
                f"the vocabulary has {self.vocab_size} tokens, but the model gives {logits.shape[1]} logits: use the "
                "vocabulary that it was made for."
            )
        return logits, (state,) if isinstance(state, Tensor) else tuple(state)

    def modules(self):
        return self.net.modules() if isinstance(self.net, nn.Module) else []


def as_vocab(vocab):
    """A learner's own Vocab as the course's; the book's has no `in`."""
    if isinstance(vocab, text.Vocab):
        return vocab
    result = text.Vocab(vocab.idx_to_token)
    if result.idx_to_token != list(vocab.idx_to_token):
        raise ValueError('the first entry of vocab.idx_to_token must be "<unk>", and no token may occur twice.')
    return result


def predict_ch8(prefix, num_preds, net, vocab, device):
    """Continue `prefix` by `num_preds` characters, the likeliest each time.

    Differs: no graph is built, "<unk>" is never generated, and an empty prefix or unknown characters raise ValueError.
    """
    return generate.predict(BookModel(net, device, len(vocab)), as_vocab(vocab), prefix, num_preds)
