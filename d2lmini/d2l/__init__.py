"""The names of Dive into Deep Learning (its package d2l 0.17, the PyTorch side) on top of this package's own functions.

    from d2lmini import d2l  # instead of: from d2l import torch as d2l

With that one line changed, the code of the chapters on text preprocessing, language-model data, recurrent
networks (from scratch and concise), GRU, LSTM and deep networks runs as printed. Names and arguments are
the book's; where a result differs from the book's, the docstring says so in a sentence that begins "Differs:".
"""

from functools import partial

import numpy as np
import torch
from torch import (
    Tensor, abs, arange, cos, cosh, exp, eye, float32, int32, int64, linspace, log, matmul, nn, normal, ones,
    rand, randn, sin, sinh, stack, tanh, tensor, zeros,
)  # fmt: skip

from ..model import RNNModelScratch, try_gpu
from .data import (
    DATA_HUB, DATA_URL, SeqDataLoader, Vocab, count_corpus, download, load_corpus_time_machine, load_data_time_machine,
    read_time_machine, seq_data_iter_random, seq_data_iter_sequential, tokenize,
)  # fmt: skip
from .figures import Accumulator, Animator, Timer, plot, set_axes, set_figsize, use_svg_display
from .models import RNNModel, predict_ch8, try_all_gpus
from .training import grad_clipping, sgd, train_ch8, train_epoch_ch8

# The names by which the chapters call the methods of tensors; torch's own functions are imported above.
concat, meshgrid = torch.cat, partial(torch.meshgrid, indexing="ij")
size, reshape, to, astype, transpose = Tensor.numel, Tensor.reshape, Tensor.to, Tensor.type, Tensor.t
reduce_sum, reduce_mean, argmax = Tensor.sum, Tensor.mean, Tensor.argmax


def numpy(x):
    """A tensor as a NumPy array, whether or not it takes part in a graph."""
    return x.detach().cpu().numpy()


def __getattr__(name):
    if name == "plt":  # loaded when first used, so that importing this module stays cheap
        import matplotlib.pyplot

        return matplotlib.pyplot
    raise AttributeError(f"d2lmini.d2l has no {name!r}: it covers the chapters on recurrent networks only.")
