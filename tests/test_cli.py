"""python -m d2lmini: what it prints, writes and returns, and that a user's error never ends in a traceback."""

import errno
import os
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
import torch

from d2lmini import __main__ as cli
from d2lmini import checkpoints, doctor, predict, text
from d2lmini.checkpoints import load_model

QUICK = ["--epochs", "2", "--hiddens", "8"]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Call the command line in an empty folder; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as leave:  # argparse
            code = leave.code
        return code, *capsys.readouterr()

    return call


def start(folder, *arguments, **environment):
    """The command line as a process of its own."""
    source = str(Path(cli.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-m", "d2lmini", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_it_trains_prints_and_writes(run):
    code, out, err = run(*QUICK)
    assert code == 0 and "2/2" in err
    assert "10,000 characters to train on, 28 symbols, 8 hidden units" in out
    assert "training perplexity 1" in out and "held-out perplexity" in out and "bigram 9.8" in out
    assert "by heart" not in out
    assert out.count("likeliest: time traveller") == out.count("drawn:     traveller") == 1
    assert sorted(os.listdir("d2lmini-output")) == ["model.safetensors", "perplexity.png"]
    assert Path("d2lmini-output/perplexity.png").read_bytes().startswith(b"\x89PNG")
    model, vocab = load_model("d2lmini-output/model.safetensors")
    assert f"likeliest: {predict('traveller', 50, model, vocab)}\n" in out


def test_equal_seeds_give_equal_files(run):
    for folder, seed in [("a", 1), ("b", 1), ("c", 2)]:
        assert run(*QUICK, "--seed", seed, "--output", folder)[0] == 0
    a, b, c = (load_model(Path(folder, "model.safetensors"))[0].params for folder in "abc")
    assert all(map(torch.equal, a, b)) and not torch.equal(a[1], c[1])


def test_a_checkpoint_goes_on(run):
    assert run("--hiddens", 8, "--epochs", 4, "--output", "all")[0] == 0
    for epochs in (2, 4):
        assert run("--hiddens", 8, "--epochs", epochs, "--checkpoint", "run.safetensors")[0] == 0
    expected, params = (load_model(Path(folder, "model.safetensors"))[0].params for folder in ("all", "d2lmini-output"))
    assert all(map(torch.equal, params, expected))
    code, out, err = run("--hiddens", 9, "--checkpoint", "run.safetensors")
    assert (code, out.count("\n")) == (2, 1) and "num_hiddens = 8, not 9" in err


@pytest.mark.parametrize("content", ["שלום עולם ", "😀 und Österreich, ", "こんにちは。"])
def test_every_alphabet(run, content):
    Path("own.txt").write_text(content * 300, encoding="utf-8")
    code, out, _ = run(*QUICK, "--text", "own.txt", "--form", "characters")
    assert code == 0 and f"likeliest: {content.lower()[:4]}" in out


def test_a_text_is_cut_to_what_a_run_uses(run):
    Path("own.txt").write_text("abc defg hij " * 10_000)
    code, out, _ = run("--epochs", 1, "--hiddens", 8, "--text", "own.txt")
    assert code == 0 and "10,000 characters to train on" in out and "on 10,000 characters it never saw" in out


def test_help_says_all(run):
    code, out, _ = run("--help")
    assert code == 0
    options = ["--text", "--form", "--epochs", "--hiddens", "--seed", "--device", "--output", "--checkpoint", "doctor"]
    for word in [*options, "default: 120", "perplexity.png", "model.safetensors", "Exit codes", "Ctrl-C"]:
        assert word in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "not a whole number of at least 1"),
        (["--epochs", "ten"], "invalid whole number value: 'ten'"),
        (["--hiddens", "-3"], "not a whole number of at least 1"),
        (["--hiddens", str(10**12)], "need more memory"),
        (["--seed", "-1"], "not a whole number of at least 0"),
        (["--seed", str(2**70)], "not a whole number of at least 0"),
        (["--device", "toaster"], "'toaster' is no device of this computer"),
        (["--device", "cuda:99"], "'cuda:99' is no device of this computer"),
        (["--device", "meta"], "'meta' is no device of this computer"),
        (["--text", "missing.txt"], "No such file"),
        (["--text", "."], "s a directory" if sys.platform != "win32" else "denied"),
        (["--text", "empty"], "is empty"),
        (["--text", "one"], "needs 1121 tokens"),
        (["--text", "hebrew"], "in another alphabet"),
        (["--text", "binary"], "not a text file"),
        (["--output", "one"], "File exists" if sys.platform != "win32" else "exists"),
        (["--output", "one/folder"], ""),
        (["--checkpoint", "no/folder/run"], "make that folder"),
        (["--checkpoint", "binary"], "not a file of d2lmini"),
        (["--nonsense"], "unrecognized arguments"),
        (["fly"], "invalid choice: 'fly'"),
    ],
)
def test_errors_of_the_user(run, arguments, message):
    Path("empty").touch()
    Path("one").write_text("x")
    Path("hebrew").write_text("שלום" * 1000, encoding="utf-8")
    Path("binary").write_bytes(bytes(range(256)) * 20)
    code, _, err = run(*arguments)
    assert code == 2 and message in err and "Traceback" not in err
    assert err.splitlines()[-1].startswith("python -m d2lmini: error: ")


def test_a_folder_without_the_right_to_write(run, monkeypatch):
    monkeypatch.setattr(cli.os, "access", lambda *args: False)
    code, _, err = run()
    assert code == 2 and "choose another --output" in err


def test_a_checkpoint_that_fails_does_not_cost_the_model(run, monkeypatch):
    def full(path, *args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("d2lmini.training.save_checkpoint", full)
    code, _, err = run(*QUICK, "--checkpoint", "run.safetensors")
    assert code == 2 and "No space left" in err
    assert sorted(os.listdir("d2lmini-output")) == ["model.safetensors", "perplexity.png"]


def test_ctrl_c_outside_the_training(run, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "read_text", interrupt)
    assert run() == (130, "", "interrupted\n")


def test_ctrl_c_before_the_first_epoch_ends(run, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("d2lmini.training.train_epoch", interrupt)
    code, out, _ = run(*QUICK)
    assert code == 130 and "interrupted after 0 of 2 epochs" in out
    assert sorted(os.listdir("d2lmini-output")) == ["model.safetensors", "perplexity.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one child process")
def test_a_real_ctrl_c_saves_what_there_is(tmp_path):
    process = start(tmp_path, "--epochs", "100000", "--hiddens", "8", "--checkpoint", "run.safetensors")
    while not (tmp_path / "run.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = (stream.decode() for stream in process.communicate(timeout=60))
    assert process.returncode == 130 and "Traceback" not in err
    assert "interrupted after" in out and "likeliest: time traveller" in out
    load_model(tmp_path / "d2lmini-output" / "model.safetensors")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_that_is_not_utf_8(tmp_path, encoding):
    (tmp_path / "ünï.txt").write_text("שלום 😀 " * 300, encoding="utf-8")
    environment = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    process = start(tmp_path, *QUICK, "--text", "ünï.txt", "--form", "characters", "--output", "größe", **environment)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert rb"\u05e9\u05dc\u05d5\u05dd" in out


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise there")
def test_a_reader_that_has_gone(tmp_path):
    process = start(tmp_path, *QUICK)
    process.stdout.close()
    err = process.stderr.read().decode()
    assert process.wait(timeout=120) == 0 and "Traceback" not in err and "Exception" not in err
    assert process.stderr.close() is None


# The doctor


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder for the whole book."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("pooch.os_cache", lambda name: folder)
    return folder


def test_all_is_well(run, cache):
    code, out, _ = run("doctor")
    assert code == 0 and "[FAIL]" not in out and out.endswith("All is well.\n")
    needed = [line for line in metadata.requires("d2lmini") if "extra" not in line]
    assert out.count("[OK]") == len(needed) + 4
    for word in ["Python 3.", "torch", "numpy", "matplotlib", "pooch", "safetensors", "tqdm", "device", "whole book"]:
        assert word in out


def test_a_missing_and_an_old_package(run, cache, monkeypatch):
    version = metadata.version

    def pretend(name):
        if name == "tqdm":
            raise metadata.PackageNotFoundError(name)
        return "1.9.9" if name == "torch" else version(name)

    monkeypatch.setattr(doctor.metadata, "version", pretend)
    code, out, _ = run("doctor")
    assert code == 1 and out.count("[FAIL]") == 2 and "2 of 11 failed" in out
    assert '[FAIL] tqdm is missing (needs >=4.66)\n       -> pip install "tqdm>=4.66"' in out
    assert '[FAIL] torch 1.9.9 (needs >=2.2)\n       -> pip install "torch>=2.2"' in out


def test_a_broken_package(run, cache, monkeypatch):
    def broken(name):
        raise ImportError("DLL load failed")

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    code, out, _ = run("doctor")
    assert code == 1 and "cannot be imported (DLL load failed)\n       -> pip install --force-reinstall numpy" in out


@pytest.mark.parametrize(
    ("package", "error"), [("torch", "OSError"), ("torch", "ImportError"), ("numpy", "ImportError")]
)
def test_the_package_cannot_be_imported_and_the_doctor_says_why(tmp_path, package, error):
    """As on a computer where a compiled library does not load, or is not there: in a process of its own."""
    (tmp_path / f"{package}.py").write_text(f"raise {error}('no such library')")
    places = os.pathsep.join([str(tmp_path), str(Path(cli.__file__).parents[1])])
    out, err = (stream.decode() for stream in start(tmp_path, "doctor", PYTHONPATH=places).communicate())
    assert f"cannot be imported (no such library)\n       -> pip install --force-reinstall {package}" in out
    assert "[OK]   Python" in out and "follow the arrows" in out and "Traceback" not in err
    process = start(tmp_path, *QUICK, PYTHONPATH=places)
    _, err = (stream.decode() for stream in process.communicate())
    assert process.returncode == 1
    assert err.rstrip().splitlines()[-1].startswith("ImportError: something that d2lmini needs is missing or broken")
    assert "no such library" in err and "see python -m d2lmini doctor" in err


def test_an_old_python(run, cache, monkeypatch):
    monkeypatch.setattr(doctor.sys, "version", "3.9.1 (old)")
    code, out, _ = run("doctor")
    assert code == 1 and "[FAIL] Python 3.9.1 (needs >=3.10)" in out


def test_a_device_that_does_not_work(run, cache, monkeypatch):
    monkeypatch.setattr("d2lmini.model.try_gpu", lambda: torch.device("meta"))
    code, out, _ = run("doctor")
    assert code == 1 and "[FAIL] device meta" in out and "use device='cpu'" in out


def test_a_changed_and_a_missing_text(run, cache, monkeypatch, tmp_path):
    monkeypatch.setattr(text, "data_path", lambda name: tmp_path / name)
    code, out, _ = run("doctor")
    assert code == 1 and f"[FAIL] {tmp_path / text.CHAPTER_FILE} is missing" in out
    (tmp_path / text.CHAPTER_FILE).write_text("The Time Machine\r\n")
    code, out, _ = run("doctor")
    assert code == 1 and "(changed)\n       -> restore the file" in out


def test_the_cache_of_the_book(run, cache, monkeypatch):
    cache.mkdir()
    book = cache / text.BOOK_FILE
    book.write_bytes(b"half a book")
    code, out, _ = run("doctor")
    assert code == 1 and f"[FAIL] {book} (not the book)\n       -> delete {book}" in out
    monkeypatch.setattr(text, "BOOK_SHA1", "8a56e8849fe84f5c9f0c3e1d8d8f1d2d5f1d7f4e")
    assert run("doctor")[0] == 1
    monkeypatch.setattr(text, "BOOK_SHA1", doctor.hashlib.sha1(b"half a book").hexdigest())
    code, out, _ = run("doctor")
    assert code == 0 and f"[OK]   {book} (the whole book)" in out


def test_not_installed(run, monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "requires", missing)
    code, out, _ = run("doctor")
    assert code == 1 and "[FAIL] d2lmini is not installed\n       -> pip install ." in out


def test_every_requirement_is_one_that_the_doctor_understands():
    for line in metadata.requires("d2lmini"):
        if "extra" not in line:
            assert doctor.re.fullmatch(r"[\w.-]+>=[\d.]+", line)


def test_versions_compare_as_numbers():
    assert doctor.numbers("2.13.0+cpu") > doctor.numbers("2.2") and doctor.numbers("4.66.1rc1") >= doctor.numbers(
        "4.66"
    )


@pytest.mark.slow
def test_the_default_run_takes_a_minute_and_learns_its_pages(tmp_path):
    """What a user sees who types the bare command: about 20 s on two quiet cores."""
    begin = time.perf_counter()
    process = start(tmp_path, "--checkpoint", "run.safetensors", OMP_NUM_THREADS="2")
    out, err = (stream.decode() for stream in process.communicate(timeout=600))
    print(out, f"{time.perf_counter() - begin:.0f} s")
    assert process.returncode == 0, err
    _, description = checkpoints.read_file(tmp_path / "run.safetensors", "checkpoint")
    assert description["history"]["train_ppl"][-1] <= 1.15
    assert "by heart" in out
