"""checkpoints.py: a run goes on where it stopped, bit for bit, or an error says why not and nothing changes."""

import os
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import (
    HELD_OUT,
    MODELS,
    TRAIN,
    VOCAB,
    copies,
    data,
    gru_params,
    layer,
    results,
    retouch,
    run,
    scratch,
    watch,
)
from torch import nn

from d2lmini import (
    History,
    RandomBatches,
    RNNModel,
    RNNModelScratch,
    SequentialBatches,
    TrainingDiverged,
    Watch,
    evaluate,
    load_model,
    save_model,
    train,
)
from d2lmini.checkpoints import load_checkpoint, save_checkpoint


@pytest.fixture
def good(tmp_path):
    """A checkpoint after 2 epochs: path, its bytes."""
    path = tmp_path / "run.safetensors"
    run(scratch(), data(), 2, checkpoint=path)
    return path, path.read_bytes()


@pytest.mark.parametrize(
    ("name", "sampler"), [*((name, SequentialBatches) for name in MODELS), ("scratch", RandomBatches)]
)
def test_a_resumed_run_ends_with_the_numbers_of_an_uninterrupted_one(name, sampler, tmp_path):
    torch.manual_seed(1)
    model = MODELS[name]()
    expected = results(model, run(model, sampler(TRAIN, 4, 10, seed=5), 6))
    path = tmp_path / "run.safetensors"
    for num_epochs in (2, 4, 6):
        model = MODELS[name]()
        if num_epochs == 2:
            torch.manual_seed(1), MODELS[name]()
        history = run(model, sampler(TRAIN, 4, 10, seed=5), num_epochs, checkpoint=path)
        torch.manual_seed(99)  # the checkpoint brings the random state of its own run
    assert results(model, history) == expected
    assert len(history.speeds) == 6 and history.stopped is None
    assert os.listdir(tmp_path) == [path.name]


def test_a_finished_run_is_not_trained_again(good):
    path, content = good
    model = scratch()
    history = run(model, data(), 2, checkpoint=path)
    assert len(history.train_ppl) == 2 and path.read_bytes() == content


def test_the_same_objects_can_be_used_to_resume(good):
    path, _ = good
    model, batches = scratch(), data()
    expected = results(model, run(model, batches, 4))
    assert results(model, run(model, batches, 4, checkpoint=path)) == expected


def test_more_epochs_than_asked_for_are_refused(good):
    path, _ = good
    run(scratch(), data(), 4, checkpoint=path)
    model, batches = scratch(), data()
    before, random_state = copies(model.parameters()), torch.get_rng_state()
    with pytest.raises(ValueError, match="has 4 epochs of training, more than num_epochs = 3: ask for at least 4"):
        run(model, batches, 3, checkpoint=path)
    assert all(map(torch.equal, model.parameters(), before)) and batches.epoch == 1
    assert torch.equal(torch.get_rng_state(), random_state)


def test_an_interrupted_run_is_no_longer_stopped_when_it_goes_on(tmp_path):
    path = tmp_path / "c"
    history = History(stopped="interrupted after 2 of 9 epochs", train_ppl=[20.0, 19.0], speeds=[1.0, 2.0])
    batches, loaded = data(), History()
    batches.epoch = 2
    save_checkpoint(scratch(), batches, history, path)
    batches.epoch = 1
    assert load_checkpoint(scratch(), batches, loaded, path) is True
    assert loaded == History(train_ppl=[20.0, 19.0], speeds=[1.0, 2.0]) and batches.epoch == 2


def test_load_checkpoint_says_whether_there_was_a_file(tmp_path):
    assert load_checkpoint(scratch(), data(), History(), tmp_path / "c") is False
    assert not os.listdir(tmp_path)


def test_numbers_of_numpy_can_be_stored(tmp_path):
    size = np.int64
    batches = SequentialBatches(TRAIN, size(4), size(10), seed=size(1))
    model = RNNModelScratch(size(len(VOCAB)), size(8))
    run(model, batches, size(2), lr=np.float32(0.5), theta=np.float64(1), checkpoint=tmp_path / "c")
    save_model(model, VOCAB, tmp_path / "m")
    history = run(scratch(), data(seed=1), 4, lr=0.5, theta=1, checkpoint=tmp_path / "c")
    assert len(history.train_ppl) == 4


# What the curves depend on besides model and minibatches


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.5}, "learning rate = 1.0, not 0.5"),
        ({"theta": None}, "clipping threshold = 1.0, not None"),
        ({"theta": 2}, "clipping threshold = 1.0, not 2.0"),
        ({"watch": watch(held_out=HELD_OUT[1:])}, "held-out text = [0-9a-f]{16}, not [0-9a-f]{16}"),
        ({"watch": watch(held_out=None)}, "held-out text = [0-9a-f]{16}, not None"),
        ({"watch": None}, "held-out text = [0-9a-f]{16}, not None"),
        ({"watch": watch(prefixes=["the "])}, r"prefixes = \['time '\], not \['the '\]"),
    ],
)
def test_a_run_with_other_settings_is_refused(good, options, message):
    path, data_then = good
    model = scratch()
    before = copies(model.parameters())
    with pytest.raises(ValueError, match=f"run.safetensors was made with {message}: use the same settings"):
        run(model, data(), 4, checkpoint=path, **options)
    assert all(map(torch.equal, model.parameters(), before)) and path.read_bytes() == data_then


def test_equal_settings_may_be_written_in_another_way(good):
    path, _ = good
    other = watch(held_out=HELD_OUT.tolist(), prefixes=("time ",), every=3)  # how often to look changes no number
    history = run(scratch(), data(), 4, lr=1, theta=1, watch=other, checkpoint=path)
    assert list(history.held_out_ppl) == [2, 3, 4]


def test_baselines_are_those_of_today(good):
    path, _ = good
    retouch(path, lambda tensors, description: description["history"]["baselines"].update(unigram=1.0))
    history = run(scratch(), data(), 2, checkpoint=path)
    assert history.baselines == run(scratch(), data(), 1).baselines


# A checkpoint is refused before the training


class Untouched(RNNModelScratch):
    """A model that must not be called."""

    def __call__(self, X, state):
        raise AssertionError("training began")


class OwnSampler:
    """Minibatches that a checkpoint can't describe."""

    carries_state, batch_size, tokens, epoch = True, 4, TRAIN, 1

    def __iter__(self):
        return iter(data())


def test_a_sampler_of_ones_own_is_refused_before_the_training(tmp_path):
    with pytest.raises(TypeError, match=r"a checkpoint needs SequentialBatches or RandomBatches, not .*OwnSampler"):
        run(Untouched(len(VOCAB), 8), OwnSampler(), 2, checkpoint=tmp_path / "c")


class OwnModel:
    vocab_size = len(VOCAB)

    def parameters(self):
        return scratch().params


def test_a_model_that_cannot_be_described_is_refused_before_the_training(tmp_path):
    with pytest.raises(TypeError, match=r"a file needs an RNNModelScratch or RNNModel, not .*OwnModel"):
        train(OwnModel(), data(), 2, 1.0, checkpoint=tmp_path / "c")


@pytest.mark.parametrize("content", [b"", b"notes of mine", None])
def test_what_is_no_checkpoint_is_not_replaced(tmp_path, content):
    path = tmp_path / "file"
    if content is None:
        save_model(scratch(), VOCAB, path)
        content = path.read_bytes()
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"holds a model, not a checkpoint|isn't a file of d2lmini"):
        run(Untouched(len(VOCAB), 8), data(), 2, checkpoint=path)
    assert path.read_bytes() == content


def test_a_write_protected_checkpoint_is_refused_before_the_training(good):
    path, content = good
    path.chmod(0o444)
    with pytest.raises(OSError, match="write-protected"):
        run(Untouched(len(VOCAB), 8), data(), 4, checkpoint=path)
    assert path.read_bytes() == content
    path.chmod(0o644)


def test_models_and_checkpoints_never_replace_each_other(good, tmp_path):
    path, content = good
    with pytest.raises(ValueError, match="holds a checkpoint, not a model: choose another path"):
        save_model(scratch(), VOCAB, path)
    assert path.read_bytes() == content
    save_model(scratch(), VOCAB, tmp_path / "m")
    with pytest.raises(ValueError, match="holds a model, not a checkpoint: choose another path"):
        save_checkpoint(scratch(), data(), History(), tmp_path / "m")


# A ruined model


def ruining(model, at, bad):
    """Minibatches during which the model is ruined after minibatch number `at`, as a too large update would do it."""

    class Ruining(SequentialBatches):
        count = 0

        def __iter__(self):
            for pair in super().__iter__():
                yield pair
                self.count += 1
                if self.count == at:
                    with torch.no_grad():
                        model.params[4][0] = bad

    batches = Ruining(TRAIN, 4, 10)
    batches.__class__.__name__ = "SequentialBatches"  # what the checkpoint goes by
    return batches


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e5])
def test_a_ruined_model_never_replaces_a_good_checkpoint(good, bad):
    """The update after an epoch's last minibatch ruins it, where no other minibatch would notice."""
    path, content = good
    model = scratch()
    batches = ruining(model, at=2 * len(data()), bad=bad)  # in the epoch that writes the next checkpoint
    with pytest.raises(TrainingDiverged) as info:
        run(model, batches, 4, checkpoint=path)
    assert path.read_bytes() == content
    assert info.value.history.stopped == "diverged in epoch 4" and len(info.value.history.train_ppl) == 3


@pytest.mark.parametrize("seed", range(4))
def test_what_a_diverging_run_has_stored_is_alive(tmp_path, seed):
    """ReLU, learning rate 10, no threshold, and a checkpoint after each single minibatch."""

    def relu():
        torch.manual_seed(seed)
        return RNNModel(nn.RNN(len(VOCAB), 64, nonlinearity="relu"), len(VOCAB))

    path, batches = tmp_path / "c", SequentialBatches(TRAIN[:561], 16, 35)
    with pytest.raises(TrainingDiverged) as info:
        train(relu(), batches, 200, 10.0, None, watch=Watch(every=1), checkpoint=path)
    model, history = relu(), History()
    assert load_checkpoint(model, batches, history, path)
    assert history.train_ppl == info.value.history.train_ppl
    assert evaluate(model, TRAIN[:561], 16) < 1e46  # in sequences as long as those of the training


# A checkpoint of something else


@pytest.mark.parametrize(
    ("model", "batches", "message"),
    [
        (lambda: RNNModelScratch(27, 9), data, "num_hiddens = 8, not 9"),
        (lambda: RNNModelScratch(28, 8), data, "vocab_size = 27, not 28"),
        (lambda: layer(nn.RNN), data, "network = rnn, not nn.RNN"),
        (lambda: scratch(forward_fn=max), data, "network = rnn, not builtins.max"),
        (lambda: scratch(get_params=gru_params), data, "param_0 = None, not "),
        (scratch, lambda: RandomBatches(TRAIN, 4, 10), "sampler = SequentialBatches, not RandomBatches"),
        (scratch, lambda: SequentialBatches(TRAIN, 5, 10), "batch_size = 4, not 5"),
        (scratch, lambda: SequentialBatches(TRAIN, 4, 11), "num_steps = 10, not 11"),
        (scratch, lambda: SequentialBatches(TRAIN, 4, 10, seed=1), "seed = 0, not 1"),
        (scratch, lambda: SequentialBatches(TRAIN[1:], 4, 10), "training text = "),
        (scratch, lambda: SequentialBatches((TRAIN + 1) % 27, 4, 10), "training text = "),  # another vocabulary
    ],
)
def test_a_checkpoint_of_something_else_is_refused(good, model, batches, message):
    path, data = good
    model, batches, history = model(), batches(), History()
    before = copies(model.parameters())
    with pytest.raises(ValueError, match=f"run.safetensors was made with {message}.*use the same settings"):
        load_checkpoint(model, batches, history, path)
    assert all(map(torch.equal, model.parameters(), before))
    assert batches.epoch == 1 and history == History() and path.read_bytes() == data


def test_single_and_double_precision_are_not_mixed(tmp_path):
    path, batches = tmp_path / "c", data()
    save_checkpoint(layer(nn.GRU).double(), batches, History(), path)
    with pytest.raises(ValueError, match=r"torch.float64, not .*torch.float32"):
        load_checkpoint(layer(nn.GRU), batches, History(), path)


def test_models_and_checkpoints_are_not_mixed(good, tmp_path):
    with pytest.raises(ValueError, match="holds a checkpoint, not a model"):
        load_model(good[0])
    save_model(scratch(), VOCAB, tmp_path / "m")
    with pytest.raises(ValueError, match="holds a model, not a checkpoint"):
        load_checkpoint(scratch(), data(), History(), tmp_path / "m")


def test_other_samplers_are_named():
    with pytest.raises(TypeError, match="needs SequentialBatches or RandomBatches"):
        save_checkpoint(scratch(), [], History(), "unused")


# Damaged, tampered and hostile files


def refused(path):
    """The message with which both loaders refuse a file, and nothing changes."""
    model, batches, history = scratch(), data(), History()
    before = copies(model.parameters())
    random_state = torch.get_rng_state()
    with pytest.raises(ValueError) as error:
        load_checkpoint(model, batches, history, path)
    assert all(map(torch.equal, model.parameters(), before)) and history == History() and batches.epoch == 1
    assert torch.equal(torch.get_rng_state(), random_state)
    with pytest.raises(ValueError):
        load_model(path)
    return str(error.value)


def test_a_truncated_file_is_refused(good):
    path, data = good
    for length in [0, 1, 7, 8, 9, 100, len(data) // 2, len(data) - 1]:
        path.write_bytes(data[:length])
        assert "isn't a file of d2lmini, or it's damaged" in refused(path)


def test_one_changed_bit_anywhere_is_refused(good):
    path, data = good
    rng = random.Random(0)
    for _ in range(60):
        place, bit = rng.randrange(len(data)), rng.randrange(8)
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :])
        assert "damaged" in (message := refused(path)) or "was changed" in message


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, description: tensors["W_hh"].mul_(1.0001),
        lambda tensors, description: description["history"]["train_ppl"].append(1.0),
        lambda tensors, description: tensors.update(W_hh=tensors["W_hh"].T.contiguous()),
        lambda tensors, description: description.update(epoch=3),
    ],
)
def test_a_tampered_file_is_refused(good, change):
    retouch(good[0], change, seal=False)
    assert "was changed after it was written" in refused(good[0])


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, description: description.pop("history"),
        lambda tensors, description: description.update(history=[1]),
        lambda tensors, description: description["history"].update(unknown=1),
        lambda tensors, description: description["history"].update(samples={"x": 1}),
        lambda tensors, description: description["history"].update(train_ppl="1"),
        lambda tensors, description: description["history"].update(train_ppl=["1", "2"]),
        lambda tensors, description: description["history"].update(held_out_ppl={"2": None}),
        lambda tensors, description: description["history"].update(speeds=[[1], [2]]),
        lambda tensors, description: description["history"]["train_ppl"].append(1.0),
        lambda tensors, description: description.update(epoch="2"),
        lambda tensors, description: description.update(epoch=3),
        lambda tensors, description: description.update(model=[]),
        lambda tensors, description: description.pop("batches"),
        lambda tensors, description: tensors.pop("rng_state"),
        lambda tensors, description: tensors.update(rng_state=torch.zeros(3)),
        lambda tensors, description: tensors.pop("b_h"),
        lambda tensors, description: tensors.update(extra=torch.zeros(3)),
        lambda tensors, description: tensors.update(b_h=torch.zeros(8, dtype=torch.int32)),
        lambda tensors, description: description.clear(),
    ],
)
def test_a_wrong_file_with_a_right_checksum_is_refused(good, change):
    retouch(good[0], change)
    refused(good[0])


class Bomb:
    """Unpickling it would make a file."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_loading_never_executes_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pickled").write_bytes(pickle.dumps(Bomb()))
    torch.save(Bomb(), "torched")
    for path in ("pickled", "torched"):
        assert "isn't a file of d2lmini" in refused(path)
    assert not os.path.exists("exploded")
    pickle.loads(Path("pickled").read_bytes())  # the bomb does work
    assert os.path.exists("exploded")
