"""d2lmini: the helper package of the course "a recurrent neural network from scratch".

The public names, in the order in which the notebooks build them. A module is imported when one of its names is first
used, so `import d2lmini` costs nothing, and python -m d2lmini doctor runs even if PyTorch doesn't.
"""

from importlib import import_module

PUBLIC = {
    "book": ("download_book",),
    "text": ("Vocab", "load_corpus", "normalise", "read_text", "tokenize"),
    "batches": ("RandomBatches", "SequentialBatches", "time_major"),
    "model": ("RNNModel", "RNNModelScratch", "get_params", "init_rnn_state", "one_hot", "rnn", "try_gpu"),
    "generate": ("predict", "sample", "samples"),
    "metrics": ("History", "evaluate", "perplexity"),
    "counting": ("KneserNey", "baselines"),
    "training": ("TrainingDiverged", "Watch", "clip_gradients", "sgd", "train", "train_epoch"),
    "bptt": ("RNNModelByHand",),
    "checkpoints": ("load_model", "save_model"),
    "guesses": ("compare_guesses", "guess", "saved_guesses"),
    "plotting": ("plot_matrix", "plot_perplexities", "plot_perplexity", "subplots"),
}
__all__ = [name for names in PUBLIC.values() for name in names]
__version__ = "0.1.0"


def __getattr__(name):
    """A public name, or a module above. Raises ImportError if something that it needs is missing or broken."""
    for module, names in PUBLIC.items():
        if name == module or name in names:
            try:
                found = import_module(f".{module}", __name__)
            except Exception as error:  # a library that is half there may raise anything
                message = f"something that d2lmini needs is missing or broken ({error}): run python -m d2lmini doctor"
                raise ImportError(message) from error
            return found if name == module else getattr(found, name)
    raise AttributeError(f"module 'd2lmini' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
