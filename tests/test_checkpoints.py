"""checkpoints.py: what was saved comes back bit for bit, or there is a clear error and the good file is still there."""

import errno
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from d2lmini import (
    History,
    RandomBatches,
    RNNModel,
    RNNModelScratch,
    RNNModelByHand,
    SequentialBatches,
    Vocab,
    checkpoints,
    load_corpus,
    predict,
    sample,
    train,
)  # fmt: skip
from d2lmini.checkpoints import load_checkpoint, load_model, save_checkpoint, save_model
from d2lmini.files import write_atomically

TRAIN, HELD_OUT, VOCAB = load_corpus(num_train=1500)
TRAIN, HELD_OUT = TRAIN[:600], HELD_OUT[:100]


def scratch(**options):
    return RNNModelScratch(len(VOCAB), 8, **options)


def layer(cls, **options):
    torch.manual_seed(3)
    return RNNModel(cls(len(VOCAB), 8, **options), len(VOCAB))


MODELS = {
    "scratch": scratch,
    "RNN": lambda: layer(nn.RNN),
    "ReLU": lambda: layer(nn.RNN, nonlinearity="relu", bias=False),
    "GRU": lambda: layer(nn.GRU, num_layers=2),
    "LSTM": lambda: layer(nn.LSTM, bidirectional=True),
    "dropout": lambda: layer(nn.LSTM, num_layers=2, dropout=0.3),
    "double": lambda: layer(nn.GRU).double(),
    "by hand": lambda: RNNModelByHand(len(VOCAB), 8),
}


def run(model, batches, num_epochs, **options):
    """A short training with everything that a History can hold."""
    return train(
        model, batches, num_epochs, 1.0, held_out=HELD_OUT, vocab=VOCAB, prefixes=["time "], every=2, **options
    )


def results(model, history):
    """All that has to be equal after an interruption, as JSON text that keeps every bit of every number."""
    numbers = {name: value for name, value in asdict(history).items() if name != "speeds"}
    return json.dumps([numbers, [param.tolist() for param in model.parameters()]])


@pytest.fixture
def good(tmp_path):
    """A checkpoint after 2 epochs: path, its bytes."""
    path = tmp_path / "run.safetensors"
    run(scratch(), SequentialBatches(TRAIN, 4, 10), 2, checkpoint=path)
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
    path, data = good
    model = scratch()
    history = run(model, SequentialBatches(TRAIN, 4, 10), 2, checkpoint=path)
    assert len(history.train_ppl) == 2 and path.read_bytes() == data


def test_the_same_objects_can_be_used_to_resume(good):
    path, _ = good
    model, batches = scratch(), SequentialBatches(TRAIN, 4, 10)
    expected = results(model, run(model, batches, 4))
    assert results(model, run(model, batches, 4, checkpoint=path)) == expected


@pytest.mark.parametrize("name", [name for name in MODELS if name != "dropout"])
def test_a_saved_model_writes_the_same_text(name, tmp_path):
    model = MODELS[name]()
    run(model, SequentialBatches(TRAIN, 4, 10), 2)
    save_model(model, VOCAB, tmp_path / "model.safetensors")
    random_state = torch.get_rng_state()
    loaded, vocab = load_model(tmp_path / "model.safetensors")
    assert torch.equal(torch.get_rng_state(), random_state)
    assert type(loaded) is (RNNModelScratch if "by hand" in name else type(model))
    for prefix in ("time ", "a"):
        assert predict(loaded, vocab, prefix, 40) == predict(model, VOCAB, prefix, 40)
        assert sample(loaded, vocab, prefix, 40, seed=3) == sample(model, VOCAB, prefix, 40, seed=3)
    for param, expected in zip(loaded.parameters(), model.parameters(), strict=True):
        assert torch.equal(param, expected) and param.dtype == expected.dtype and param.requires_grad
    train(loaded, SequentialBatches(TRAIN, 4, 10), 1, 1.0)  # what was loaded can be trained further


def test_the_vocabulary_comes_back(tmp_path):
    vocab = Vocab(list("aabcé😀שלום\ud800\n"), reserved_tokens=["<pad>"])
    save_model(tmp_path / "m", RNNModelScratch(len(vocab), 2), vocab)
    _, loaded = load_model(tmp_path / "m")
    assert vars(loaded) == vars(vocab)


def gru_params(vocab_size, num_hiddens, device):
    return [torch.zeros(num_hiddens, num_hiddens, requires_grad=True) for _ in range(9)]


def test_functions_cannot_be_saved(tmp_path):
    def gru(inputs, state, params):
        raise AssertionError

    with pytest.raises(ValueError, match=r"function .*gru'.*save_model is for"):
        save_model(tmp_path / "m", scratch(forward_fn=gru), VOCAB)
    with pytest.raises(ValueError, match="save_model is for"):
        save_model(tmp_path / "m", scratch(forward_fn=gru, get_params=gru_params), VOCAB)
    with pytest.raises(ValueError, match=r"vocab_size 27.*has 2 symbols"):
        save_model(tmp_path / "m", scratch(), Vocab(["a"]))
    assert not os.listdir(tmp_path)


# A checkpoint of something else


@pytest.mark.parametrize(
    ("model", "batches", "message"),
    [
        (lambda: RNNModelScratch(27, 9), lambda: SequentialBatches(TRAIN, 4, 10), "num_hiddens = 8, not 9"),
        (lambda: RNNModelScratch(28, 8), lambda: SequentialBatches(TRAIN, 4, 10), "vocab_size = 27, not 28"),
        (lambda: layer(nn.RNN), lambda: SequentialBatches(TRAIN, 4, 10), "network = rnn, not nn.RNN"),
        (lambda: scratch(forward_fn=max), lambda: SequentialBatches(TRAIN, 4, 10), "network = rnn, not builtins.max"),
        (lambda: scratch(get_params=gru_params), lambda: SequentialBatches(TRAIN, 4, 10), "param_0 = None, not "),
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
    before = [param.detach().clone() for param in model.parameters()]
    with pytest.raises(ValueError, match=f"run.safetensors was made with {message}.*use the same settings"):
        load_checkpoint(model, batches, history, path)
    assert all(map(torch.equal, model.parameters(), before))
    assert batches.epoch == 0 and history == History() and path.read_bytes() == data


def test_single_and_double_precision_are_not_mixed(tmp_path):
    path, batches = tmp_path / "c", SequentialBatches(TRAIN, 4, 10)
    save_checkpoint(path, layer(nn.GRU).double(), batches, History())
    with pytest.raises(ValueError, match=r"torch.float64, not .*torch.float32"):
        load_checkpoint(path, layer(nn.GRU), batches, History())


def test_models_and_checkpoints_are_not_mixed(good, tmp_path):
    with pytest.raises(ValueError, match="holds a checkpoint, not a model"):
        load_model(good[0])
    save_model(tmp_path / "m", scratch(), VOCAB)
    with pytest.raises(ValueError, match="holds a model, not a checkpoint"):
        load_checkpoint(tmp_path / "m", scratch(), SequentialBatches(TRAIN, 4, 10), History())


def test_other_samplers_are_named():
    with pytest.raises(TypeError, match="needs SequentialBatches or RandomBatches"):
        save_checkpoint("unused", scratch(), [], History())


# Damaged, tampered and hostile files


def refused(path):
    """The message with which both loaders refuse a file, and nothing changes."""
    model, batches, history = scratch(), SequentialBatches(TRAIN, 4, 10), History()
    before = [param.detach().clone() for param in model.parameters()]
    random_state = torch.get_rng_state()
    with pytest.raises(ValueError) as error:
        load_checkpoint(model, batches, history, path)
    assert all(map(torch.equal, model.parameters(), before)) and history == History() and batches.epoch == 0
    assert torch.equal(torch.get_rng_state(), random_state)
    with pytest.raises(ValueError):
        load_model(path)
    return str(error.value)


def test_a_truncated_file_is_refused(good):
    path, data = good
    for length in [0, 1, 7, 8, 9, 100, len(data) // 2, len(data) - 1]:
        path.write_bytes(data[:length])
        assert "not a file of d2lmini, or it is damaged" in refused(path)


def test_one_changed_bit_anywhere_is_refused(good):
    path, data = good
    rng = random.Random(0)
    for _ in range(60):
        place, bit = rng.randrange(len(data)), rng.randrange(8)
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :])
        assert "damaged" in (message := refused(path)) or "was changed" in message


def retouch(path, change, seal=True):
    """Let `change` alter tensors and description of a file; with `seal`, the SHA-256 is made right again."""
    data = path.read_bytes()
    tensors = safetensors.torch.load(data)
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    description = json.loads(metadata["d2lmini"])
    change(tensors, description)
    text = json.dumps(description)
    sha256 = checkpoints.checksum(tensors, text) if seal else metadata["sha256"]
    path.write_bytes(safetensors.torch.save(tensors, metadata={"d2lmini": text, "sha256": sha256}))


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
        lambda tensors, description: description.update(epoch="2"),
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
    ],
)
def test_a_model_that_makes_no_sense_is_refused(tmp_path, change):
    path = tmp_path / "model.safetensors"
    save_model(path, scratch(), VOCAB)
    retouch(path, change)
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"model.safetensors"):
        load_model(path)
    assert time.perf_counter() - start < 5


class Bomb:
    """Unpickling it would make a file."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_loading_never_executes_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pickled").write_bytes(pickle.dumps(Bomb()))
    torch.save(Bomb(), "torched")
    for path in ("pickled", "torched"):
        assert "not a file of d2lmini" in refused(path)
    assert not os.path.exists("exploded")
    pickle.loads(Path("pickled").read_bytes())  # the bomb does work
    assert os.path.exists("exploded")


# Writing that fails


class FullDisk:
    """Stands in for a file on a disk with `room` bytes left."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()

    def write(self, data):
        self.file.write(data[: self.room])
        if len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fail_with(monkeypatch, fault):
    """Let the next writings fail in one of several ways; returns the type of error to expect."""

    def error(number):
        def fail(*args, **kwargs):
            raise OSError(number, os.strerror(number))

        return fail

    if fault == "full disk":
        monkeypatch.setattr(checkpoints, "open", lambda *args: FullDisk(open(*args), 100), raising=False)  # noqa: SIM115
    elif fault == "read-only folder":
        monkeypatch.setattr(checkpoints, "open", error(errno.EACCES), raising=False)
    elif fault == "disk error":
        monkeypatch.setattr(checkpoints.os, "fsync", error(errno.EIO))
    elif fault == "file in use":
        monkeypatch.setattr(checkpoints.os, "replace", error(errno.EACCES))


@pytest.mark.parametrize("fault", ["full disk", "read-only folder", "disk error", "file in use"])
def test_when_writing_fails_the_good_file_is_still_there(good, monkeypatch, fault):
    path, data = good
    fail_with(monkeypatch, fault)
    model = scratch()
    with pytest.raises(
        OSError, match=r"could not write run.safetensors.*the file that was there is unchanged"
    ) as error:
        run(model, SequentialBatches(TRAIN, 4, 10), 6, checkpoint=path)
    assert error.value.errno in (errno.ENOSPC, errno.EACCES, errno.EIO)
    assert len(error.value.history.train_ppl) == 4  # what was learnt is still in the model and the error
    monkeypatch.undo()
    assert path.read_bytes() == data and os.listdir(path.parent) == [path.name]
    history = run(model, SequentialBatches(TRAIN, 4, 10), 6, checkpoint=path)
    expected = scratch()
    assert results(model, history) == results(expected, run(expected, SequentialBatches(TRAIN, 4, 10), 6))


@pytest.mark.parametrize("fault", ["full disk", "read-only folder", "disk error", "file in use"])
def test_a_first_file_is_whole_or_not_there(tmp_path, monkeypatch, fault):
    fail_with(monkeypatch, fault)
    with pytest.raises(OSError, match="nothing was written"):
        save_model(tmp_path / "m", scratch(), VOCAB)
    assert not os.listdir(tmp_path)


@pytest.fixture
def disk(tmp_path):
    """64 kB of memory as a disk: needs Linux and the right to mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk here")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_disk_that_is_really_full(disk):
    path = disk / "model.safetensors"
    save_model(path, RNNModelScratch(len(VOCAB), 16), VOCAB)
    data = path.read_bytes()
    with pytest.raises(OSError, match=r"No space left.*the file that was there is unchanged") as error:
        save_model(path, RNNModelScratch(len(VOCAB), 256), VOCAB)
    assert error.value.errno == errno.ENOSPC
    assert path.read_bytes() == data and os.listdir(disk) == [path.name]
    load_model(path)


def test_a_disk_that_is_really_read_only(disk):
    path = disk / "run.safetensors"
    run(scratch(), SequentialBatches(TRAIN, 4, 10), 2, checkpoint=path)
    data = path.read_bytes()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(OSError, match=r"Read-only.*the file that was there is unchanged"):
        run(scratch(), SequentialBatches(TRAIN, 4, 10), 4, checkpoint=path)
    with pytest.raises(OSError, match="no checkpoint can be written"):
        run(scratch(), SequentialBatches(TRAIN, 4, 10), 4, checkpoint=disk / "another")
    assert path.read_bytes() == data and os.listdir(disk) == [path.name]


def test_a_read_only_folder_is_noticed_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints.os, "access", lambda *args: False)
    model, batches = scratch(), SequentialBatches(TRAIN, 4, 10)
    with pytest.raises(OSError, match="no checkpoint can be written to"):
        run(model, batches, 2, checkpoint=tmp_path / "c")
    assert batches.epoch == 0


def test_odd_paths(tmp_path, good):
    with pytest.raises(OSError, match="make that folder"):
        run(scratch(), SequentialBatches(TRAIN, 4, 10), 2, checkpoint=tmp_path / "no" / "such" / "folder")
    with pytest.raises(OSError):
        run(scratch(), SequentialBatches(TRAIN, 4, 10), 2, checkpoint=tmp_path)
    with pytest.raises(OSError, match="could not write"):
        save_model(tmp_path, scratch(), VOCAB)
    with pytest.raises(OSError):
        load_model(tmp_path / "missing")
    name = "модель 模型 [1] *"
    if sys.platform != "win32":
        save_model(tmp_path / name, scratch(), VOCAB)
        load_model(str(tmp_path / name))


@pytest.mark.skipif(sys.platform == "win32", reason="links need special rights on Windows")
def test_a_link_keeps_its_place(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link, target = tmp_path / "link", tmp_path / "elsewhere" / "file"
    link.symlink_to(target)
    write_atomically(link, b"one")
    write_atomically(link, b"two")
    assert link.is_symlink() and target.read_bytes() == b"two" and os.listdir(target.parent) == ["file"]


def test_leftovers_of_a_killed_process_are_cleaned(tmp_path):
    for name in (".m.0123abcd.partial", ".other.0123abcd.partial", "m.partial"):
        (tmp_path / name).write_bytes(b"half")
    write_atomically(tmp_path / "m", b"whole")
    assert sorted(os.listdir(tmp_path)) == [".other.0123abcd.partial", "m", "m.partial"]


def test_ctrl_c_while_writing_leaves_no_leftover(good, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    path, data = good
    monkeypatch.setattr(checkpoints.os, "fsync", interrupt)
    history = run(scratch(), SequentialBatches(TRAIN, 4, 10), 6, checkpoint=path)
    assert history.stopped == "interrupted after 4 of 6 epochs"
    assert path.read_bytes() == data and os.listdir(path.parent) == [path.name]


# Ctrl-C in training


class InterruptedBatches(SequentialBatches):
    """Ctrl-C in the middle of the third epoch."""

    def __iter__(self):
        for i, batch in enumerate(super().__iter__()):
            if self.epoch == 3 and i == 5:
                raise KeyboardInterrupt
            yield batch


def test_ctrl_c_keeps_history_and_model():
    model = scratch()
    history = run(model, InterruptedBatches(TRAIN, 4, 10), 6)
    assert history.stopped == "interrupted after 2 of 6 epochs"
    assert len(history.train_ppl) == len(history.speeds) == 2 and 2 in history.held_out_ppl
    assert len(predict(model, VOCAB, "time ", 10)) == 15


# A process that is killed, again and again. The same program is both the parent's reference and the victim.

VICTIM = """
import json, os, sys, time
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
from test_checkpoints import *
model, batches = RNNModelScratch(len(VOCAB), 200), SequentialBatches(TRAIN, 4, 25)
fsync = os.fsync
os.fsync = lambda file: time.sleep(0.01) or fsync(file)  # a slow disk: half-written files are there to be seen
print("ready", flush=True)
options = dict(held_out=HELD_OUT, vocab=VOCAB, prefixes=["time "], every=1, checkpoint={path!r})
history = train(model, batches, 40, 1.0, **options)
with open({result!r}, "w") as file:
    json.dump([history.stopped, len(history.speeds), results(model, history)], file)
"""


def start_victim(path, result):
    """Start the program: its checkpoint goes to `path`, and what it ends with (more than a pipe holds) to `result`."""
    program = VICTIM.format(tests=str(Path(__file__).parent), path=str(path), result=str(result))
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def outcome(process, result, timeout=300):
    """What the program wrote to `result` when it ended by itself."""
    assert process.wait(timeout) == 0
    return json.loads(result.read_text(encoding="utf-8"))


def test_a_real_ctrl_c_keeps_history_and_model(tmp_path):
    if sys.platform == "win32":
        pytest.skip("Windows has no SIGINT for one child process")
    path, result = tmp_path / "run.safetensors", tmp_path / "result.json"
    process = start_victim(path, result)
    while not path.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stopped, num_speeds, results_then = outcome(process, result, timeout=60)
    history, params = json.loads(results_then)
    assert stopped.startswith("interrupted after ") and 1 <= len(history["train_ppl"]) < 40
    assert abs(num_speeds - len(history["train_ppl"])) <= 1 and len(params) == 5


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a killed process is the same there, but has no SIGKILL")
def test_killed_twenty_times_it_ends_with_the_same_numbers(tmp_path):
    """20 kills: 10 at random moments of training, 10 during writes (while a half-written file is seen)."""
    path, result = tmp_path / "run" / "run.safetensors", tmp_path / "result.json"
    path.parent.mkdir()
    expected = outcome(start_victim(tmp_path / path.name, result), result)
    assert expected[:2] == [None, 40]
    rng, kills, leftovers = random.Random(time.time_ns()), 0, 0
    while kills < 20:
        before = os.listdir(path.parent)
        process = start_victim(path, result)
        if kills % 2 == 0:
            time.sleep(rng.uniform(0, 0.25))
        else:  # wait for a half-written file
            while process.poll() is None and all(name in (*before, path.name) for name in os.listdir(path.parent)):
                time.sleep(0.001)
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        names = os.listdir(path.parent)
        leftovers += any(name.endswith(".partial") for name in names)
        if path.name in names:
            checkpoints.read_file(path, "checkpoint")  # whatever the moment, the file is whole
        if process.returncode == 0:  # it was quicker than the executioner: begin again
            for name in names:
                (path.parent / name).unlink()
    assert outcome(start_victim(path, result), result) == expected
    assert os.listdir(path.parent) == [path.name]
    print(f"{kills} kills, {leftovers} of them left a half-written file behind")
