"""Training beside other programs: fewer threads when they only wait for one another, and all of them again later."""

import io

import pytest
import torch

from d2lmini import RNNModelByHand, SequentialBatches, threads, train
from d2lmini.threads import FIRST_LOOK, SHARE, Pace, products_per_second


class Machine:
    """A clock that moves when it's told to, and products at the speeds that it's given."""

    def __init__(self, monkeypatch):
        self.now, self.speeds, self.looks, self.num_threads = 100.0, {4: 10.0, 2: 6.0}, [], 4
        monkeypatch.setattr(threads.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(threads, "products_per_second", self.measure)
        monkeypatch.setattr(torch, "get_num_threads", lambda: self.num_threads)
        monkeypatch.setattr(torch, "set_num_threads", lambda number: setattr(self, "num_threads", number))

    def measure(self, number):
        self.now += 0.01
        self.looks.append(number)
        return self.speeds[number]

    def train(self, pace, seconds):
        """Minibatches of a tenth of a second each. Returns the numbers of threads that were used."""
        used = set()
        for _ in range(round(10 * seconds)):
            pace.keep()
            used.add(self.num_threads)
            self.now += 0.1
        return used


def started():
    pace = Pace()
    pace.start()
    return pace


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


def test_a_quiet_machine_keeps_all_threads_and_hears_nothing(machine, capsys):
    assert machine.train(started(), 60) == {4}
    assert capsys.readouterr() == ("", "")


def test_looking_costs_at_most_its_share_of_the_time(machine):
    machine.train(started(), 600)
    assert len(machine.looks) > 100 and 0.01 * len(machine.looks) <= 1.1 * SHARE * 600


def test_a_short_run_is_not_looked_at(machine):
    machine.train(started(), 0.9 * FIRST_LOOK)
    assert machine.looks == []


def test_beside_another_program_half_the_threads_until_it_has_gone(machine, capsys):
    pace = started()
    machine.speeds = {4: 2.0, 2: 6.0}
    machine.train(pace, 10)
    assert machine.train(pace, 30) == {2}
    assert capsys.readouterr().err == (
        "other programs keep the processor busy: training goes on with 2 of 4 threads.\n"
    )
    machine.speeds = {4: 10.0, 2: 6.0}
    machine.train(pace, 10)
    assert machine.train(pace, 30) == {4}
    assert capsys.readouterr().err == "the processor is free again: training goes on with 4 of 4 threads.\n"


@pytest.mark.parametrize("ratio", [0.9, 1.0, 1.05])
def test_a_small_difference_is_no_reason_to_change(machine, ratio):
    """Neither from all threads to half of them nor back again."""
    pace, small = started(), {4: 6.0, 2: 6.0 * ratio}
    machine.speeds = small
    assert machine.train(pace, 30) == {4}
    machine.speeds = {4: 2.0, 2: 6.0}
    machine.train(pace, 10)
    machine.speeds = small
    assert machine.train(pace, 30) == {2}


def test_after_training_there_are_as_many_threads_as_before(machine):
    pace = started()
    machine.speeds = {4: 2.0, 2: 6.0}
    machine.train(pace, 10)
    pace.stop()
    assert machine.num_threads == 4
    machine.looks.clear()
    machine.train(pace, 60)
    assert machine.looks == []  # minibatches outside of a run, as in a benchmark


def test_one_thread_has_nothing_to_give_up(machine):
    machine.num_threads = 1
    assert machine.train(started(), 30) == {1} and machine.looks == []


def test_a_reader_that_has_gone_does_not_stop_training(machine, monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(threads.sys, "stderr", Gone())
    machine.speeds = {4: 2.0, 2: 6.0}
    assert 2 in machine.train(started(), 10)


def test_train_looks_before_each_minibatch_and_restores_at_the_end(monkeypatch):
    calls = []
    for name in ("start", "keep", "stop"):
        monkeypatch.setattr(Pace, name, lambda self, name=name: calls.append(name))
    batches = SequentialBatches(torch.arange(100) % 5, 2, 7)
    train(RNNModelByHand(5, 3), batches, 2, lr=0.1)
    assert calls == ["start"] + ["keep"] * (2 * len(batches)) + ["stop"]


def test_the_speed_of_a_product_is_above_zero():
    before = torch.get_num_threads()
    try:
        assert products_per_second(1, seconds=0.001) > 0
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
