"""files.py: a file is whole, old or new, or there is a clear error; and what must not be replaced is not."""

import contextlib
import errno
import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_runs import TRAIN, VOCAB, data, results, run, scratch

from d2lmini import RNNModelScratch, SequentialBatches, files, load_model, save_model
from d2lmini.files import check_writable, checksum, read_file, write_atomically, write_file

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")


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
    """Let the next writings fail in one of several ways."""

    def error(number):
        def fail(*args, **kwargs):
            raise OSError(number, os.strerror(number))

        return fail

    if fault == "full disk":
        monkeypatch.setattr(files, "open", lambda *args: FullDisk(open(*args), 100), raising=False)  # noqa: SIM115
    elif fault == "read-only folder":
        monkeypatch.setattr(files, "open", error(errno.EACCES), raising=False)
    elif fault == "disk error":
        monkeypatch.setattr(files.os, "fsync", error(errno.EIO))
    elif fault == "file in use":
        monkeypatch.setattr(files.os, "replace", error(errno.EACCES))


FAULTS = ["full disk", "read-only folder", "disk error", "file in use"]


@pytest.mark.parametrize("fault", FAULTS)
def test_when_writing_fails_the_good_file_is_still_there(tmp_path, monkeypatch, fault):
    path = tmp_path / "run"
    write_atomically(path, b"old")
    fail_with(monkeypatch, fault)
    with pytest.raises(OSError, match=r"could not write run: .*; the file that was there is unchanged") as error:
        write_atomically(path, bytes(1000))
    assert error.value.errno in (errno.ENOSPC, errno.EACCES, errno.EIO) and error.value.filename == str(path)
    monkeypatch.undo()
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["run"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_first_file_is_whole_or_not_there(tmp_path, monkeypatch, fault):
    fail_with(monkeypatch, fault)
    with pytest.raises(OSError, match="nothing was written"):
        save_model(scratch(), VOCAB, tmp_path / "m")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("fault", FAULTS)
def test_when_a_checkpoint_cannot_be_written_the_training_is_not_lost(tmp_path, monkeypatch, fault):
    path = tmp_path / "run.safetensors"
    run(scratch(), data(), 2, checkpoint=path)
    content = path.read_bytes()

    class Fading(SequentialBatches):
        def __iter__(self):
            if self.epoch == 3:
                fail_with(monkeypatch, fault)
            return super().__iter__()

    Fading.__name__ = "SequentialBatches"  # what the checkpoint goes by
    model = scratch()
    with pytest.raises(OSError, match="the file that was there is unchanged") as error:
        run(model, Fading(TRAIN, 4, 10), 6, checkpoint=path)
    assert len(error.value.history.train_ppl) == 4  # what was learned is still in the model and the error
    assert error.value.history.stopped == f"{type(error.value).__name__} after 4 of 6 epochs"
    monkeypatch.undo()
    assert path.read_bytes() == content and os.listdir(path.parent) == [path.name]
    history = run(model, data(), 6, checkpoint=path)
    expected = scratch()
    assert results(model, history) == results(expected, run(expected, data(), 6))


def test_what_is_synchronised_is_complete(tmp_path, monkeypatch):
    """flush comes before fsync, and both before the file gets its name."""
    events, opened, fsync, replace = [], [], os.fsync, os.replace

    def seen_open(*args):
        opened.append(open(*args))  # noqa: SIM115
        return opened[0]

    def seen_fsync(number):
        events.append(("fsync", os.fstat(number).st_size))
        return fsync(number)

    def seen_replace(source, target):
        events.append(("replace", Path(target).name))
        assert opened[0].closed  # Windows moves no open file
        return replace(source, target)

    monkeypatch.setattr(files, "open", seen_open, raising=False)
    monkeypatch.setattr(files.os, "fsync", seen_fsync)
    monkeypatch.setattr(files.os, "replace", seen_replace)
    write_atomically(tmp_path / "m", b"1234567")
    assert events == [("fsync", 7), ("replace", "m")]


def test_a_partial_file_of_someone_else_is_neither_used_nor_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(files.secrets, "token_hex", lambda n: "0" * (2 * n))
    other = tmp_path / f".m.{'0' * 16}.partial"
    other.write_bytes(b"theirs")
    with pytest.raises(FileExistsError, match="could not write m"):
        write_atomically(tmp_path / "m", b"mine")
    assert other.read_bytes() == b"theirs" and os.listdir(tmp_path) == [other.name]


def test_ctrl_c_while_writing_leaves_no_leftover(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    path = tmp_path / "run.safetensors"
    run(scratch(), data(), 2, checkpoint=path)
    content = path.read_bytes()
    monkeypatch.setattr(files.os, "fsync", interrupt)
    history = run(scratch(), data(), 6, checkpoint=path)
    assert history.stopped == "interrupted after 4 of 6 epochs"
    assert path.read_bytes() == content and os.listdir(path.parent) == [path.name]


# Leftovers, and processes that are alive


def test_only_old_leftovers_with_exactly_this_name_are_cleaned(tmp_path):
    digits = "0123456789abcdef"
    old = [f".m.{digits}.partial", f".m.{digits[::-1]}.partial"]
    others = [f".other.{digits}.partial", f".m.second.{digits}.partial", "m.partial", f".m.{digits}.partial.bak",
              f".m.{digits[:-1]}.partial", f".m.{digits[:-1]}X.partial", f"x.m.{digits}.partial"]  # fmt: skip
    young = f".m.{digits[1:]}0.partial"
    for name in [*old, *others, young]:
        (tmp_path / name).write_bytes(b"half")
    for name in [*old, *others]:
        os.utime(tmp_path / name, (0, 0))
    write_atomically(tmp_path / "m", b"whole")
    assert sorted(os.listdir(tmp_path)) == sorted([*others, young, "m"])


@pytest.mark.parametrize(("seconds", "stays"), [(-1, True), (1, False)])
def test_a_leftover_is_old_after_a_day(tmp_path, monkeypatch, seconds, stays):
    leftover = tmp_path / f".m.{'0' * 16}.partial"
    leftover.write_bytes(b"half")
    now = leftover.stat().st_mtime
    monkeypatch.setattr(files.time, "time", lambda: now + 86_400 + seconds)
    write_atomically(tmp_path / "m", b"whole")
    assert leftover.exists() == stays


def test_a_name_with_special_characters_cleans_only_its_own(tmp_path):
    other = tmp_path / f".mxn.{'0' * 16}.partial"
    other.write_bytes(b"half")
    os.utime(other, (0, 0))
    write_atomically(tmp_path / "m.n", b"whole")
    assert other.exists()


WRITER = """
import sys
from d2lmini.files import write_atomically
for i in range(300):
    write_atomically(sys.argv[1], bytes([int(sys.argv[2])]) * 50_000)
"""


def test_two_processes_that_write_the_same_file_lose_nothing(tmp_path):
    path = tmp_path / "run"
    path.write_bytes(b"0" * 50_000)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, str(digit)], stderr=subprocess.PIPE) for digit in (1, 2)
    ]
    while any(writer.poll() is None for writer in writers):
        content = path.read_bytes()
        assert len(content) == 50_000 and len(set(content)) == 1  # one writer's, from the first byte to the last
    errors = [writer.communicate()[1].decode() for writer in writers]
    assert errors == ["", ""] and [writer.returncode for writer in writers] == [0, 0]
    assert os.listdir(tmp_path) == ["run"]


# What is not replaced, and says so before the training


def refused(path, message, number=None):
    """Everything that writes refuses `path`, the training at once."""

    class Untouched(RNNModelScratch):
        def __call__(self, X, state):
            raise AssertionError("training began")

    for write in (check_writable, lambda path: write_atomically(path, b"new")):
        with pytest.raises(OSError, match=message) as error:
            write(path)
        assert number is None or error.value.errno == number
        assert "Free some space or choose another path" in str(error.value)
    with pytest.raises((OSError, ValueError)):
        run(Untouched(len(VOCAB), 8), data(), 2, checkpoint=path)


def test_a_folder_is_not_replaced(tmp_path):
    refused(tmp_path, "it isn't a regular file but a folder", errno.EINVAL)
    assert tmp_path.is_dir() and not os.listdir(tmp_path)


@POSIX
def test_pipes_sockets_and_devices_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as server:
        os.chdir(tmp_path)  # a socket's path must be short
        server.bind("socket")
        for path in (tmp_path / "pipe", tmp_path / "socket", "/dev/null"):
            before = os.stat(path).st_mode
            refused(path, "it isn't a regular file")
            assert os.stat(path).st_mode == before
    with pytest.raises(ValueError, match="isn't a regular file"):  # and doesn't wait for somebody to write
        load_model(tmp_path / "pipe")


@pytest.fixture(autouse=True)
def stay_here(monkeypatch):
    monkeypatch.chdir(os.getcwd())


@pytest.mark.parametrize("mode", [0o444, 0o400, 0o555])
def test_a_write_protected_file_is_not_replaced_even_for_root(tmp_path, mode):
    path = tmp_path / "m"
    path.write_bytes(b"old")
    path.chmod(mode)
    refused(path, "write-protected", errno.EACCES)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["m"]
    path.chmod(0o644)


def test_a_file_that_the_system_protects_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "m"
    path.write_bytes(b"old")
    monkeypatch.setattr(files.os, "access", lambda path, how: how != os.W_OK)  # somebody else's
    refused(path, "write-protected")


def test_missing_folders_and_impossible_names_are_refused(tmp_path):
    refused(tmp_path / "no" / "such" / "m", r"there is no folder .*no.such, make it first", errno.ENOENT)
    (tmp_path / "file").touch()
    refused(tmp_path / "file" / "m", "there is no folder")
    refused(tmp_path / ("n" * 250), "could not write n+: ")
    if os.path.isdir("/proc"):
        refused("/proc/m", "could not write m")
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_written_to_is_noticed_before_the_training(tmp_path, monkeypatch):
    fail_with(monkeypatch, "read-only folder")
    refused(tmp_path / "m", "could not write m: Permission denied; nothing was written", errno.EACCES)


def test_asking_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path / "m")
    assert not os.listdir(tmp_path)
    write_atomically(tmp_path / "m", b"old")
    check_writable(tmp_path / "m")
    assert os.listdir(tmp_path) == ["m"] and (tmp_path / "m").read_bytes() == b"old"


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path, mode, monkeypatch):
    path = tmp_path / "m"
    path.write_bytes(b"old")
    path.chmod(mode)
    chmod, sizes = os.chmod, []

    def seen(path, mode):
        sizes.append(os.path.getsize(path))
        chmod(path, mode)

    monkeypatch.setattr(files.os, "chmod", seen)
    write_atomically(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode and path.read_bytes() == b"new"
    assert sizes == [0]  # there was nothing to read before the mode was right


@POSIX
def test_a_new_file_has_the_mode_of_any_new_file(tmp_path):
    write_atomically(tmp_path / "m", b"new")
    (tmp_path / "plain").touch()
    assert (tmp_path / "m").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_paths_with_unusual_names(tmp_path):
    name = "модель 模型 [1] +"
    for path in (tmp_path / name, str(tmp_path / name)):
        write_atomically(path, b"new")
        save_model(scratch(), VOCAB, path)
        load_model(path)
    assert os.listdir(tmp_path) == [name]
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "missing")


@pytest.mark.skipif(sys.platform == "win32", reason="links need special rights on Windows")
def test_a_link_keeps_its_place(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link, target = tmp_path / "link", tmp_path / "elsewhere" / "file"
    link.symlink_to(target)
    write_atomically(link, b"one")
    write_atomically(link, b"two")
    assert link.is_symlink() and target.read_bytes() == b"two" and os.listdir(target.parent) == ["file"]


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
    save_model(RNNModelScratch(len(VOCAB), 16), VOCAB, path)
    data = path.read_bytes()
    with pytest.raises(OSError, match=r"No space left.*the file that was there is unchanged") as error:
        save_model(RNNModelScratch(len(VOCAB), 256), VOCAB, path)
    assert error.value.errno == errno.ENOSPC
    assert path.read_bytes() == data and os.listdir(disk) == [path.name]
    load_model(path)


def test_a_disk_that_is_really_read_only(disk):
    path = disk / "run.safetensors"
    run(scratch(), data(), 2, checkpoint=path)
    content = path.read_bytes()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(OSError, match=r"run.safetensors: .*(Read-only|write-protected).*unchanged"):
        run(scratch(), data(), 4, checkpoint=path)
    with pytest.raises(OSError, match="could not write"):
        run(scratch(), data(), 4, checkpoint=disk / "another")
    assert path.read_bytes() == content and os.listdir(disk) == [path.name]


# Reading


def test_what_was_written_is_read(tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(True), "c": torch.ones(1, 2)}
    write_file(tmp_path / "m", tensors, {"kind": "test", "x": [1, "é", None]})
    loaded, description = read_file(tmp_path / "m", "test")
    assert loaded.keys() == tensors.keys() and all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert description == {"kind": "test", "x": [1, "é", None]}
    assert read_file(tmp_path / "m")[1] == description
    with pytest.raises(ValueError, match="m holds a test, not a model: choose another path"):
        read_file(tmp_path / "m", "model")


def test_two_names_of_one_tensor_are_written_as_two(tmp_path):
    tensor = torch.arange(6.0)
    write_file(tmp_path / "m", {"a": tensor, "b": tensor, "c": tensor[2:]}, {"kind": "test"})
    loaded, _ = read_file(tmp_path / "m")
    assert (
        torch.equal(loaded["a"], tensor) and torch.equal(loaded["b"], tensor) and torch.equal(loaded["c"], tensor[2:])
    )


def test_the_checksum_sees_text_names_types_shapes_and_numbers():
    plain = {"a": torch.zeros(2, 3), "b": torch.zeros(1)}
    others = [
        {"a": torch.zeros(3, 2), "b": torch.zeros(1)},
        {"a": torch.zeros(2, 3), "c": torch.zeros(1)},
        {"a": torch.zeros(2, 3, dtype=torch.int32), "b": torch.zeros(1)},
        {"a": torch.full((2, 3), -0.0), "b": torch.zeros(1)},
    ]
    sums = [checksum(tensors, "text") for tensors in [plain, *others]] + [checksum(plain, "text ")]
    assert len(set(sums)) == 6 and all(re.fullmatch("[0-9a-f]{64}", text) for text in sums)
    assert checksum(dict(reversed(plain.items())), "text") == sums[0]  # the order doesn't count
