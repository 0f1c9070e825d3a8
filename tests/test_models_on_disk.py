"""A model on disk (checkpoints.py): it comes back as what it was, and a file can't make the loader do anything else."""

import os

import pytest
import torch
from small_runs import MODELS, TRAIN, VOCAB, data, gru_params, layer, retouch, run, scratch
from torch import nn

from d2lmini import RNNModelByHand, RNNModelScratch, Vocab, evaluate, load_model, predict, sample, save_model, train


@pytest.mark.parametrize("name", [name for name in MODELS if name != "dropout"])
def test_a_saved_model_writes_the_same_text(name, tmp_path):
    model = MODELS[name]()
    run(model, data(), 2)
    save_model(model, VOCAB, tmp_path / "model.safetensors")
    random_state = torch.get_rng_state()
    loaded, vocab = load_model(tmp_path / "model.safetensors")
    assert torch.equal(torch.get_rng_state(), random_state)
    assert type(loaded) is type(model)
    for prefix in ("time ", "a"):
        assert predict(loaded, vocab, prefix, 40) == predict(model, VOCAB, prefix, 40)
        assert sample(loaded, vocab, prefix, 40, seed=3) == sample(model, VOCAB, prefix, 40, seed=3)
    for param, expected in zip(loaded.parameters(), model.parameters(), strict=True):
        assert torch.equal(param, expected) and param.dtype == expected.dtype and param.requires_grad
    train(loaded, data(), 1, 1.0)  # what was loaded can be trained further


def test_the_vocabulary_comes_back(tmp_path):
    vocab = Vocab(list("aabcé😀שלום\ud800\n"), reserved_tokens=["<pad>"])
    save_model(RNNModelScratch(len(vocab), 2), vocab, tmp_path / "m")
    _, loaded = load_model(tmp_path / "m")
    assert vars(loaded) == vars(vocab)


def test_functions_cannot_be_saved(tmp_path):
    def gru(inputs, state, params):
        raise AssertionError

    with pytest.raises(ValueError, match=r"function .*gru'.*save_model is for"):
        save_model(scratch(forward_fn=gru), VOCAB, tmp_path / "m")
    with pytest.raises(ValueError, match="save_model is for"):
        save_model(scratch(forward_fn=gru, get_params=gru_params), VOCAB, tmp_path / "m")
    with pytest.raises(ValueError, match=r"vocab_size 27.*has 2 tokens"):
        save_model(scratch(), Vocab(["a"]), tmp_path / "m")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("cls", [RNNModelScratch, RNNModelByHand])
def test_a_model_keeps_its_class_and_its_precision(tmp_path, cls, dtype):
    params = [param.detach().to(dtype).requires_grad_() for param in scratch(input_std=0.5).params]
    model = cls(len(VOCAB), 8)
    model.params = params
    save_model(model, VOCAB, tmp_path / "m")
    loaded, _ = load_model(tmp_path / "m")
    assert type(loaded) is cls and all(param.dtype == dtype for param in loaded.params)
    assert evaluate(loaded, TRAIN[:50]) == evaluate(model, TRAIN[:50])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_layer_keeps_its_precision(tmp_path, dtype):
    model = layer(nn.GRU).to(dtype)
    save_model(model, VOCAB, tmp_path / "m")
    loaded, _ = load_model(tmp_path / "m")
    assert all(map(torch.equal, loaded.parameters(), model.parameters()))
    assert all(param.dtype == dtype for param in loaded.parameters())


def test_an_own_subclass_comes_back_as_the_plain_model(tmp_path):
    class Mine(RNNModelScratch):
        pass

    save_model(Mine(len(VOCAB), 8), VOCAB, tmp_path / "m")
    assert type(load_model(tmp_path / "m")[0]) is RNNModelScratch


def test_a_file_of_before_classes_were_stored_is_read(tmp_path):
    save_model(scratch(), VOCAB, tmp_path / "m")
    retouch(tmp_path / "m", lambda tensors, description: description["model"].pop("class"))
    assert type(load_model(tmp_path / "m")[0]) is RNNModelScratch


def test_a_vocabulary_of_pairs_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match="whose tokens are all str"):
        save_model(RNNModelScratch(3, 2), Vocab([("a", "b"), ("b", "c")]), tmp_path / "m")
    assert not os.listdir(tmp_path)


def test_a_vocabulary_too_large_to_be_read_again_cannot_be_saved(tmp_path):
    vocab = Vocab(['"' * 17_000_000])  # each takes four bytes in the file, and it's there twice
    with pytest.raises(ValueError, match=r"takes 136,\d{3},\d{3} bytes, but a file can hold only 99,000,000"):
        save_model(RNNModelScratch(2, 2), vocab, tmp_path / "m")
    assert not os.listdir(tmp_path)
    vocab = Vocab(['"' * 12_000_000])
    save_model(RNNModelScratch(2, 2), vocab, tmp_path / "m")
    assert load_model(tmp_path / "m")[1].idx_to_token == vocab.idx_to_token


# Hostile files


def nonsense(**changes):
    return lambda tensors, description: description["model"].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        nonsense(num_hiddens=10**12),
        nonsense(num_hiddens=-1),
        nonsense(num_hiddens="8"),
        nonsense(vocab_size=None),
        nonsense(network="os.system"),
        nonsense(network="nn.GRU"),
        nonsense(**{"class": "os.system"}),
        nonsense(network="nn.GRU", options={"input_size": 27, "hidden_size": 8, "num_layers": True}),
        nonsense(network="nn.GRU", options={"input_size": 27, "hidden_size": 8, "num_layers": 1, "dtype": "float32"}),
        nonsense(network="nn.GRU", options={"input_size": 27, "hidden_size": 8, "num_layers": 1, "bias": "no"}),
        nonsense(network="nn.GRU", options={"input_size": 27, "hidden_size": 8, "num_layers": 1, "batch_first": True}),
        nonsense(network="nn.GRU", options={"input_size": 27, "hidden_size": 8, "num_layers": 10**12}),
        nonsense(network="nn.GRU", options={"input_size": 10**12, "hidden_size": 8, "num_layers": 1}),
        nonsense(network="nn.GRU", options={"input_size": 27, "hidden_size": 8, "num_layers": 1, "proj_size": 4}),
        lambda tensors, description: description.pop("vocab"),
        lambda tensors, description: description["vocab"].update(tokens=[1]),
        lambda tensors, description: description["vocab"].update(tokens=["a"] * 27),
        lambda tensors, description: description["vocab"].update(tokens=[["a"]] * 27),
        lambda tensors, description: description["vocab"].update(freqs=[1]),
        lambda tensors, description: tensors.clear(),
        lambda tensors, description: tensors.update({name: t.int() for name, t in tensors.items()}),
        lambda tensors, description: tensors.update({name: t.to(torch.float8_e5m2) for name, t in tensors.items()}),
    ],
)
def test_a_model_that_makes_no_sense_is_refused(tmp_path, change):
    path = tmp_path / "model.safetensors"
    save_model(scratch(), VOCAB, path)
    retouch(path, change)
    random_state = torch.get_rng_state()
    with pytest.raises(ValueError, match=r"model.safetensors"):
        load_model(path)
    assert torch.equal(torch.get_rng_state(), random_state)


def sizes(**options):
    return {"input_size": 27, "hidden_size": 60_000, "num_layers": 1, **options}


@pytest.mark.parametrize("options", [sizes(device="cpu"), sizes(), sizes(bias=1), sizes(hidden_size=8, device="cpu")])
def test_a_small_file_cannot_ask_for_much_memory(tmp_path, options, monkeypatch):
    """No layer is made outside of the device that holds shapes only: `device` among the options would do that."""
    path, devices = tmp_path / "m", []
    save_model(layer(nn.LSTM), VOCAB, path)

    class Seen(nn.LSTM):
        def reset_parameters(self):
            devices.extend(param.device.type for param in self.parameters())

    monkeypatch.setitem(load_model.__globals__["LAYERS"], "nn.LSTM", Seen)
    retouch(path, nonsense(options=options, num_hiddens=options["hidden_size"]))
    assert path.stat().st_size < 10_000
    with pytest.raises(ValueError):
        load_model(path)
    assert set(devices) <= {"meta"}


def test_loading_a_layer_makes_no_second_copy_of_it(tmp_path, monkeypatch):
    save_model(layer(nn.LSTM), VOCAB, tmp_path / "m")
    devices = []
    monkeypatch.setattr(nn.Linear, "reset_parameters", lambda self: devices.append(self.weight.device.type))
    load_model(tmp_path / "m")
    assert devices == ["meta"]
