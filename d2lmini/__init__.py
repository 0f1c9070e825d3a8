"""d2lmini: the helper package of the course "a recurrent neural network from scratch".

The public names, in the order in which the notebooks build them.
"""

import sys

try:
    from .text import Vocab, download_book, load_corpus, normalise, read_text, tokenize
    from .batches import RandomBatches, SequentialBatches
    from .model import RNNModel, RNNModelScratch, get_params, init_rnn_state, one_hot, rnn, try_gpu
    from .generate import predict, sample, samples
    from .baselines import KneserNey, baselines
    from .training import (
        History, TrainingDiverged, clip_gradients, evaluate, perplexity, sgd, train, train_epoch,
    )  # fmt: skip
    from .bptt import RNNModelNumPy, RNNModelTorch
    from .plotting import plot_matrix, plot_perplexities, plot_perplexity, subplots
except (ImportError, OSError) as error:  # OSError: a compiled library that does not load
    if sys.argv[1:] != ["doctor"]:  # the doctor lives on, to say what to do
        message = f"something that d2lmini needs is missing or broken ({error}): see python -m d2lmini doctor"
        raise ImportError(message) from error

__version__ = "0.1.0"
