"""Ctrl-C and kill -9 in the middle of a training run: nothing that was learned is lost."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_runs import TRAIN, VOCAB, run, scratch

from d2lmini import SequentialBatches, predict
from d2lmini.files import read_file, write_atomically

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
from small_runs import *
model, batches = RNNModelScratch(len(VOCAB), 200), SequentialBatches(TRAIN, 4, 25)
fsync = os.fsync
os.fsync = lambda file: time.sleep(0.01) or fsync(file)  # a slow disk: half-written files are there to be seen
print("ready", flush=True)
history = run(model, batches, 40, watch=watch(every=1), checkpoint={path!r})
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
            read_file(path, "checkpoint")  # whatever the moment, the file is whole
        if process.returncode == 0:  # it was quicker than the executioner: begin again
            for name in names:
                (path.parent / name).unlink()
    assert outcome(start_victim(path, result), result) == expected
    for name in os.listdir(path.parent):  # a day later, what the killed ones left behind goes with the next write
        os.utime(path.parent / name, (0, 0))
    write_atomically(path, path.read_bytes())
    assert os.listdir(path.parent) == [path.name]
    print(f"{kills} kills, {leftovers} of them left a half-written file behind")
