"""The checks of the exercises: `from d2lmini import checks as check`, then `check.one_hot(my_one_hot)`.

A check takes the learner's function, compares it with a reference made of torch's or NumPy's own parts, prints
one line, and returns None. There is one file per notebook, and it gives solutions away: a check knows
the mistakes that it can recognise. How it judges stands in engine.py.
"""

from .concise import gru_step, lstm_step, to_nn_rnn
from .forward_pass import final_logits, rnn, rnn_step
from .gradient_clipping import clip, cosine, grad_norm
from .gradients_by_hand import backward_through_time, softmax_gradient, tanh_backward
from .one_hot_encoding import lookup, one_hot, time_major
from .parameters import get_params, num_params, spectral_radius
from .prediction import predict, temperature, top_k
from .the_book import normalise, sequential_batches, vocabulary
from .training import epoch_perplexity, perplexity, train_step

# ruff: noqa: RUF022  (in course order)
__all__ = [
    "normalise", "vocabulary", "sequential_batches",
    "one_hot", "time_major", "lookup",
    "get_params", "num_params", "spectral_radius",
    "rnn_step", "rnn", "final_logits",
    "predict", "temperature", "top_k",
    "grad_norm", "clip", "cosine",
    "perplexity", "epoch_perplexity", "train_step",
    "gru_step", "lstm_step", "to_nn_rnn",
    "softmax_gradient", "tanh_backward", "backward_through_time",
]  # fmt: skip
