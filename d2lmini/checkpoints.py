"""Models and training runs on disk: what has to be stored, and what has to be equal for it to be used again."""

import hashlib
import json
import math
import os
from dataclasses import asdict

import torch
from torch import nn

from .bptt import RNNModelByHand
from .files import check_writable, read_file, write_file
from .model import RNNModel, RNNModelScratch, rnn
from .text import Vocab

SCRATCH_NAMES = ("W_xh", "W_hh", "b_h", "W_hq", "b_q")  # users' files have them: they stay forever
CLASSES = {"RNNModelScratch": RNNModelScratch, "RNNModelByHand": RNNModelByHand}
LAYERS = {"nn.RNN": nn.RNN, "nn.GRU": nn.GRU, "nn.LSTM": nn.LSTM}
LAYER_OPTIONS = {"input_size": int, "hidden_size": int, "num_layers": int, "nonlinearity": str, "bias": bool,
                 "batch_first": bool, "dropout": float, "bidirectional": bool}  # fmt: skip
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def named_tensors(model):
    """The model's parameters by name, as the very tensors that it uses: {name: tensor}."""
    if isinstance(model, nn.Module):
        return dict(model.state_dict(keep_vars=True))
    names = SCRATCH_NAMES if len(model.params) == 5 else [f"param_{i}" for i in range(len(model.params))]
    return dict(zip(names, model.params))


def architecture(model):
    """What has to be equal for one model's numbers to mean the same in another: a dict for JSON."""
    try:
        sizes = {"vocab_size": int(model.vocab_size), "num_hiddens": int(model.num_hiddens)}
        named_tensors(model)
    except AttributeError as error:
        raise TypeError(f"a file needs an RNNModelScratch or RNNModel, not {type(model)} ({error}).") from error
    if isinstance(model, nn.Module):
        layer = getattr(model, "rnn", model)
        options = {name: kind(getattr(layer, name)) for name, kind in LAYER_OPTIONS.items() if hasattr(layer, name)}
        return {"network": f"nn.{type(layer).__name__}", **sizes, "options": options}
    forward = getattr(model, "forward_fn", rnn)
    named = forward if hasattr(forward, "__qualname__") else type(forward)
    return {"network": "rnn" if forward is rnn else f"{named.__module__}.{named.__qualname__}", **sizes}


def sampler(batches):
    """What has to be equal for the same minibatches to come out: a dict for JSON."""
    try:
        numbers = {name: int(getattr(batches, name)) for name in ("batch_size", "num_steps", "seed")}
        return {"sampler": type(batches).__name__, **numbers, "training text": fingerprint(batches.tokens)}
    except AttributeError as error:
        raise TypeError(f"a checkpoint needs SequentialBatches or RandomBatches, not {type(batches)}.") from error


def fingerprint(ids):
    """A short text that two tensors of ids have in common only if they are equal."""
    return hashlib.sha256(torch.as_tensor(ids).to("cpu", torch.int64).numpy().tobytes()).hexdigest()[:16]


def conditions(model, batches, settings):
    """What has to be equal for a training run to go on: a dict of dicts, as JSON gives it back."""
    parts = {"model": architecture(model), "batches": sampler(batches)}
    return json.loads(json.dumps(parts if settings is None else {**parts, "settings": settings}))


def save_checkpoint(model, batches, history, path, settings=None):
    """Write all that training needs to go on: parameters, History, the sampler's epoch, PyTorch's random state.

    settings: a dict for JSON of whatever else the curves depend on, by the names that an error would show. The file
    at `path` is replaced in one step. Raises OSError if it can't be written, ValueError if there is a model
    at `path`; the old file then stays as it was.
    """
    tensors = {**named_tensors(model), "rng_state": torch.get_rng_state()}
    parts = {**conditions(model, batches, settings), "epoch": int(batches.epoch), "history": asdict(history)}
    write_file(path, tensors, {"kind": "checkpoint", **parts})


def load_checkpoint(model, batches, history, path, settings=None, num_epochs=math.inf):
    """Put the state that save_checkpoint wrote into `model`, `batches` and `history`. Returns whether there was a file.

    Raises OSError if the file can't be read, or couldn't be written later; ValueError if it's damaged, was made with
    another network, other sizes, seed, sampler, training text or settings (None: any), or is more than `num_epochs`
    epochs on; TypeError for your own samplers. After an error, nothing has changed.
    """
    expected = conditions(model, batches, settings)
    own = named_tensors(model)
    if not os.path.exists(path):
        check_writable(path)
        return False
    tensors, saved = read_file(path, "checkpoint")
    check_writable(path)
    for part, present in expected.items():
        compare(path, saved.get(part), present)
    check_shapes(path, {name: tensor for name, tensor in tensors.items() if name != "rng_state"}, own)
    past = read_history(path, saved, asdict(history).keys())
    if saved["epoch"] > num_epochs:
        raise ValueError(
            f"{path} already has {saved['epoch']} epochs of training, more than num_epochs = {num_epochs}: "
            f"ask for at least {saved['epoch']}, or use another file."
        )
    try:
        torch.set_rng_state(tensors["rng_state"])
    except (KeyError, RuntimeError, TypeError) as error:
        raise ValueError(
            f"{path} has no random state that this version of PyTorch can read: choose another file, and train anew."
        ) from error
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
        past, epoch = saved["history"], saved["epoch"]
        for name in ("held_out_ppl", "samples"):
            past[name] = {int(number): value for number, value in past[name].items()}
        numbers = [*past["train_ppl"], *past["speeds"], *past["held_out_ppl"].values(), *past["baselines"].values()]
        if past.keys() != names or type(epoch) is not int or not all(type(n) in (int, float) for n in numbers):
            raise ValueError("unknown fields")
        if len(past["train_ppl"]) != epoch:
            raise ValueError(f"{len(past['train_ppl'])} perplexities after {epoch} epochs")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} has no history that this version of d2lmini can read ({error}): "
            "choose another file, and train anew."
        ) from error
    return {**past, "stopped": None}


def save_model(model, vocab, path):
    """Write a model and its vocabulary as one file, which load_model reads.

    model: RNNModelScratch with the course's own functions, one with gradients by hand, or RNNModel.
    Raises ValueError for a network of other functions or layers, a vocabulary that doesn't fit it, takes over 99 MB or
    has tokens that aren't str, or if there is a checkpoint at `path`; TypeError for anything but a model; OSError if
    the file can't be written.
    """
    description = architecture(model)
    if description["network"] not in ("rnn", *LAYERS):
        raise ValueError(
            f"a file can't hold the function {description['network']!r}: save_model is for the course's own rnn "
            "and for RNNModel with nn.RNN, nn.GRU or nn.LSTM."
        )
    if description["network"] == "rnn":
        names = {cls: name for name, cls in CLASSES.items()}
        description["class"] = names.get(type(model), "RNNModelScratch")
    if not all(isinstance(token, str) for token in vocab.idx_to_token):
        raise ValueError("a file can hold only a vocabulary whose tokens are all str: make it from tokenize(text).")
    if len(vocab) != model.vocab_size:
        raise ValueError(
            f"the model has vocab_size {model.vocab_size}, but the vocabulary has {len(vocab)} tokens: "
            "save the Vocab that the model was trained with."
        )
    words = {"reserved": vocab.reserved_tokens, "tokens": vocab.idx_to_token, "freqs": vocab.token_freqs}
    write_file(path, named_tensors(model), {"kind": "model", "model": description, "vocab": words})


def load_model(path):
    """The (model, vocab) that save_model wrote, on the CPU: of the same class, with parameters of the same type.

    Loading runs no code from the file, and takes no more memory than the file's own tensors. Raises OSError if it
    can't be read, ValueError if it's damaged, was changed, or isn't a model.
    """
    tensors, saved = read_file(path, "model")
    try:
        model, vocab = build_model(path, saved["model"], tensors), build_vocab(saved["vocab"])
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} doesn't describe a model that this version of d2lmini knows ({error}): "
            "update d2lmini, or choose another file."
        ) from error
    if len(vocab) != model.vocab_size:
        raise ValueError(
            f"{path} has a vocabulary of {len(vocab)} tokens, but its model has {model.vocab_size}: "
            "choose another file."
        )
    return model, vocab


def build_model(path, description, tensors):
    """The model of a description, with the given tensors as its parameters."""
    network, vocab_size, num_hiddens = (description[name] for name in ("network", "vocab_size", "num_hiddens"))
    dtype = next(iter(tensors.values())).dtype if tensors else None
    if dtype not in DTYPES:
        raise TypeError(f"parameters of type {dtype}")
    if network == "rnn":
        shapes = ((vocab_size, num_hiddens), (num_hiddens, num_hiddens), (num_hiddens,),
                  (num_hiddens, vocab_size), (vocab_size,))  # fmt: skip
        with torch.device("meta"):  # shapes without memory: a file that claims absurd sizes costs nothing
            expected = {name: torch.empty(shape, dtype=dtype) for name, shape in zip(SCRATCH_NAMES, shapes)}
        check_shapes(path, tensors, expected)
        cls = CLASSES[description.get("class", "RNNModelScratch")]  # the first files had no class
        model = cls(vocab_size, num_hiddens)
        model.params = [tensors[name].requires_grad_() for name in SCRATCH_NAMES]
        return model
    options = description["options"]
    check_options(options, len(tensors))
    with torch.device("meta"):
        model = RNNModel(LAYERS[network](**options), vocab_size).to(dtype)
    check_shapes(path, tensors, named_tensors(model))
    model.load_state_dict(tensors, assign=True)
    return model


def check_options(options, num_tensors):
    """Raise TypeError or ValueError unless these are options that save_model writes for a layer of torch.nn."""
    for name, value in options.items():
        if type(value) is not LAYER_OPTIONS.get(name):
            raise TypeError(f"the option {name} = {value!r}")
    if options["num_layers"] > num_tensors:  # each costs time, even without memory
        raise ValueError(f"{options['num_layers']} layers in {num_tensors} tensors")


def build_vocab(description):
    """The Vocab with these tokens in this order."""
    reserved, tokens = description["reserved"], description["tokens"]
    vocab = Vocab(tokens[len(reserved) :], reserved_tokens=reserved[1:])
    vocab.token_freqs = [(token, freq) for token, freq in description["freqs"]]
    return vocab
