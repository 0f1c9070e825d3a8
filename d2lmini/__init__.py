"""d2lmini: the helper package of the course "a recurrent neural network from scratch".

The public names, in the order in which the notebooks build them.
"""

from .book import download_book
from .text import Vocab, load_corpus, normalise, read_text, tokenize
from .batches import RandomBatches, SequentialBatches, time_major
from .model import RNNModel, RNNModelScratch, get_params, init_rnn_state, one_hot, rnn, try_gpu
from .generate import predict, sample, samples
from .metrics import History, evaluate, perplexity
from .baselines import KneserNey, baselines
from .training import TrainingDiverged, Watch, clip_gradients, sgd, train, train_epoch
from .bptt import RNNModelByHand
from .checkpoints import load_model, save_model
from .plotting import plot_matrix, plot_perplexities, plot_perplexity, subplots

__version__ = "0.1.0"
