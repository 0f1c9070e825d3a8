"""Models and training runs on disk: what has to be stored, and what has to be equal for it to be used again."""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from .files import read_file, write_file
from .model import RNNModel, RNNModelScratch, rnn
from .text import Vocab

SCRATCH_NAMES = ("W_xh", "W_hh", "b_h", "W_hq", "b_q")
LAYERS = {"nn.RNN": nn.RNN, "nn.GRU": nn.GRU, "nn.LSTM": nn.LSTM}
LAYER_OPTIONS = ("input_size", "hidden_size", "num_layers", "nonlinearity", "bias", "batch_first", "dropout",
                 "bidirectional")  # fmt: skip


def named_tensors(model):
    """The model's parameters by name, as the very tensors that it uses: {name: tensor}."""
    if isinstance(model, nn.Module):
        return dict(model.state_dict(keep_vars=True))
    names = SCRATCH_NAMES if len(model.params) == 5 else [f"param_{i}" for i in range(len(model.params))]
    return dict(zip(names, model.params))


def architecture(model):
    """What has to be equal for one model's numbers to mean the same in another: a dict for JSON."""
    sizes = {"vocab_size": model.vocab_size, "num_hiddens": model.num_hiddens}
    if isinstance(model, nn.Module):
        layer = getattr(model, "rnn", model)
        options = {name: getattr(layer, name) for name in LAYER_OPTIONS if hasattr(layer, name)}
        return {"network": f"nn.{type(layer).__name__}", **sizes, "options": options}
    forward = getattr(model, "forward_fn", rnn)
    named = forward if hasattr(forward, "__qualname__") else type(forward)
    return {"network": "rnn" if forward is rnn else f"{named.__module__}.{named.__qualname__}", **sizes}


def sampler(batches):
    """What has to be equal for the same minibatches to come out: a dict for JSON."""
    try:
        numbers = {name: getattr(batches, name) for name in ("batch_size", "num_steps", "seed")}
        ids = batches.tokens.to(torch.int64).cpu().numpy().tobytes()
    except AttributeError as error:
        raise TypeError(f"a checkpoint needs SequentialBatches or RandomBatches, not {type(batches)}.") from error
    return {"sampler": type(batches).__name__, **numbers, "training text": hashlib.sha256(ids).hexdigest()[:16]}


def save_checkpoint(model, batches, history, path):
    """Write all that training needs to go on: parameters, History, the sampler's epoch, torch's random state.

    The file at `path` is replaced in one step. Raises OSError if it cannot be written; the old file then
    stays as it was.
    """
    tensors = {**named_tensors(model), "rng_state": torch.get_rng_state()}
    description = {
        "kind": "checkpoint",
        "model": architecture(model),
        "batches": sampler(batches),
        "epoch": batches.epoch,
        "history": asdict(history),
    }
    write_file(path, tensors, description)


def load_checkpoint(model, batches, history, path):
    """Put the state that save_checkpoint wrote into `model`, `batches` and `history`. Returns whether there was a file.

    Raises OSError if the file cannot be read or its folder not written to; ValueError if it is damaged, or
    was made with another network, other sizes, seed, sampler or training text. Nothing is changed then.
    """
    if not os.path.exists(path):
        folder = Path(path).absolute().parent
        if not os.access(folder, os.W_OK):  # better said now than after hours of training
            raise OSError(
                f"no checkpoint can be written to {folder}: make that folder, or choose one that is writable."
            )
        return False
    tensors, saved = read_file(path, "checkpoint")
    present = {"model": architecture(model), "batches": sampler(batches)}
    for part, expected in present.items():
        compare(path, saved.get(part), json.loads(json.dumps(expected)))
    own = named_tensors(model)
    check_shapes(path, {name: tensor for name, tensor in tensors.items() if name != "rng_state"}, own)
    past = read_history(path, saved, asdict(history).keys())
    try:
        torch.set_rng_state(tensors["rng_state"])
    except (KeyError, RuntimeError, TypeError) as error:
        raise ValueError(f"{path} has no random state that this version of torch can read.") from error
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
    for name, value in past.items():
        setattr(history, name, value)
    batches.epoch = saved["epoch"]
    return True


def compare(path, saved, expected):
    """Raise ValueError naming the first entry in which two descriptions differ."""
    saved = saved if isinstance(saved, dict) else {}
    for name in {**expected, **saved}:
        if saved.get(name) != expected.get(name):
            raise ValueError(
                f"{path} was made with {name} = {saved.get(name)}, not {expected.get(name)}: "
                "use the same settings and text, or another file."
            )


def check_shapes(path, tensors, expected):
    """Raise ValueError unless the tensors of a file have the names, shapes and types of `expected`."""

    def table(tensors):
        return {name: f"{tuple(tensor.shape)} {tensor.dtype}" for name, tensor in tensors.items()}

    compare(path, table(tensors), table(expected))


def read_history(path, saved, names):
    """The fields of a History from a checkpoint's description; JSON has made its epoch numbers strings."""
    try:
        past = saved["history"]
        for name in ("held_out_ppl", "samples"):
            past[name] = {int(epoch): value for epoch, value in past[name].items()}
        if past.keys() != names or type(saved["epoch"]) is not int or not isinstance(past["train_ppl"], list):
            raise ValueError("unknown fields")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} has no history that this version of d2lmini can read ({error}).") from error
    return {**past, "stopped": None}


def save_model(model, vocab, path):
    """Write a model and its vocabulary as one file, which load_model reads.

    model: RNNModelScratch with the course's own functions (or the fast engine), or RNNModel.
    Raises ValueError for a network of other functions or layers, or one that does not fit the vocabulary;
    OSError if the file cannot be written.
    """
    description = architecture(model)
    if description["network"] not in ("rnn", *LAYERS):
        raise ValueError(
            f"a file cannot hold the function {description['network']!r}: save_model is for the course's own rnn "
            "and for RNNModel with nn.RNN, nn.GRU or nn.LSTM."
        )
    if len(vocab) != model.vocab_size:
        raise ValueError(f"the model has vocab_size {model.vocab_size}, but the vocabulary has {len(vocab)} symbols.")
    words = {"reserved": vocab.reserved_tokens, "tokens": vocab.idx_to_token, "freqs": vocab.token_freqs}
    write_file(path, named_tensors(model), {"kind": "model", "model": description, "vocab": words})


def load_model(path):
    """The (model, vocab) that save_model wrote, on the CPU. The model is RNNModelScratch or RNNModel.

    Loading runs no code from the file. Raises OSError if it cannot be read, ValueError if it is damaged, was
    changed, or is no model.
    """
    tensors, saved = read_file(path, "model")
    try:
        model, vocab = build_model(path, saved["model"], tensors), build_vocab(saved["vocab"])
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} describes no model that this version of d2lmini knows ({error}).") from error
    if len(vocab) != model.vocab_size:
        raise ValueError(f"{path} has a vocabulary of {len(vocab)} for a model of {model.vocab_size} symbols.")
    return model, vocab


def build_model(path, description, tensors):
    """The model of a description, with the given tensors as its parameters."""
    network, vocab_size, num_hiddens = (description[name] for name in ("network", "vocab_size", "num_hiddens"))
    dtype = next(iter(tensors.values())).dtype if tensors else None
    with torch.device("meta"):  # shapes without memory: a file that claims absurd sizes costs nothing
        if network == "rnn":
            square, wide, tall = (num_hiddens, num_hiddens), (vocab_size, num_hiddens), (num_hiddens, vocab_size)
            shapes = (wide, square, (num_hiddens,), tall, (vocab_size,))
            expected = {name: torch.empty(shape, dtype=dtype) for name, shape in zip(SCRATCH_NAMES, shapes)}
        else:
            options = description["options"]
            if options["num_layers"] > len(tensors):
                raise KeyError("a tensor for each layer")
            model = RNNModel(LAYERS[network](**options), vocab_size).to(dtype)
            expected = named_tensors(model)
    check_shapes(path, tensors, expected)
    if network == "rnn":
        params = [tensors[name].requires_grad_() for name in SCRATCH_NAMES]
        return RNNModelScratch(vocab_size, num_hiddens, get_params=lambda *_: params)
    model.load_state_dict(tensors, assign=True)
    return model


def build_vocab(description):
    """The Vocab with these tokens in this order."""
    reserved, tokens = description["reserved"], description["tokens"]
    vocab = Vocab(tokens[len(reserved) :], reserved_tokens=reserved[1:])
    vocab.token_freqs = [(token, freq) for token, freq in description["freqs"]]
    return vocab
