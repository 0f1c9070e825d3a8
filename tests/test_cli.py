"""python -m d2lmini: what it prints, writes and returns, and that a user's error never ends in a traceback."""

import errno
import os
import shlex
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
import torch
from PIL import Image

import d2lmini
from d2lmini import (
    History,
    RNNModelScratch,
    SequentialBatches,
    TrainingDiverged,
    Vocab,
    book,
    commands,
    console,
    copies,
    doctor,
    files,
    load_model,
    predict,
    save_model,
)
from d2lmini import __main__ as cli

# Python's own setting for output without a buffer would hide what a buffer does at the end.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | {
    "OMP_NUM_THREADS": "1"
}
QUICK = ["--epochs", "2", "--hiddens", "8"]
SOURCE = str(Path(cli.__file__).parents[1])
needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a system without /dev/full")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Call the command line in an empty folder; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        return cli.main([str(argument) for argument in arguments]), *capsys.readouterr()

    return call


def start(folder, *arguments, **environment):
    """The command line as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "d2lmini", *map(str, arguments)],
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONPATH": SOURCE, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_it_trains_prints_and_writes(run):
    code, out, err = run(*QUICK)
    assert code == 0 and "2/2" in err
    assert "10,000 characters to train on, 28 tokens in the vocabulary, 8 hidden units" in out
    assert "training perplexity 1" in out and "held-out perplexity" in out and "bigram 9.8" in out
    assert "by heart" not in out
    assert out.count("likeliest: time traveller") == out.count("sampled:   traveller") == 1
    assert sorted(os.listdir("d2lmini-output")) == ["model.safetensors", "perplexity.png"]
    with Image.open("d2lmini-output/perplexity.png") as image:
        assert image.format == "PNG" and image.size == (1050, 525)
    model, vocab = load_model("d2lmini-output/model.safetensors")
    assert f"likeliest: {predict(model, vocab, 'traveller', 50)}\n" in out


def test_it_trains_as_the_library_does_with_the_settings_of_the_course(run):
    tokens, _, vocab = d2lmini.load_corpus()
    model = RNNModelScratch(len(vocab), 8, seed=3, orthogonal=True)
    d2lmini.train(model, SequentialBatches(tokens, 32, 35, seed=3), 2, 1.0)
    assert run(*QUICK, "--seed", 3)[0] == 0
    assert all(map(torch.equal, load_model("d2lmini-output/model.safetensors")[0].params, model.params))


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
    (likeliest,) = [line for line in out.splitlines() if line.startswith("likeliest: ")]
    assert likeliest.startswith("likeliest: abc defg h") and len(likeliest) == len("likeliest: ") + 10 + 50


def test_a_text_may_be_as_large_as_the_limit_and_no_larger(run, monkeypatch):
    Path("own.txt").write_text("abc defg hij " * 200)
    monkeypatch.setattr(commands, "LARGEST_TEXT", 2600)
    assert run(*QUICK, "--text", "own.txt")[0] == 0
    monkeypatch.setattr(commands, "LARGEST_TEXT", 2599)
    code, _, err = run(*QUICK, "--text", "own.txt")
    assert code == 2 and "own.txt is larger than 2,599 bytes; 20,000 characters are enough" in err


def test_what_is_trained_is_shown_before_it_begins(run, monkeypatch):
    """Also in a pipe, which would keep it back until there is more."""
    events, flush = [], console.Output.flush
    monkeypatch.setattr(console.Output, "flush", lambda stream: events.append("flush") or flush(stream))
    monkeypatch.setattr(commands, "train_model", lambda *args, **options: events.append("train") or History())
    assert run(*QUICK)[0] == 0
    assert events[:2] == ["flush", "train"]


@pytest.mark.parametrize(
    ("training", "held_out", "by_heart"), [(2.0, 12.0, True), (2.0, 9.0, False), (10.0, 12.0, False)]
)
def test_the_report_says_when_a_model_has_learnt_its_pages_by_heart(capsys, training, held_out, by_heart):
    history = History([20.0, training], {1: 9.5, 2: held_out}, [1000.0] * 2, baselines={"bigram": 9.8})
    commands.report(history, [0] * 50, [], RNNModelScratch(3, 2), Vocab(list("ab")))
    out = capsys.readouterr().out
    assert f"training perplexity {training:.2f} after 2 epochs, 1,000 tokens/s on cpu" in out
    assert f"held-out perplexity {held_out:.2f} on 50 characters" in out and ("by heart" in out) == by_heart


def test_help_says_all(run):
    code, out, _ = run("--help")
    assert code == 0 and "Exit codes" in out
    for command in cli.COMMANDS:
        assert f"    {command} " in out
        code, help_of_command, _ = run(command, "--help")
        assert code == 0 and help_of_command.startswith(f"usage: python -m d2lmini {command} ")
    _, out, _ = run("train", "--help")
    options = ["--text", "--form", "--epochs", "--hiddens", "--seed", "--device", "--output", "--checkpoint"]
    for word in [*options, "default: 120", "perplexity.png", "model.safetensors", "Ctrl-C"]:
        assert word in out
    _, out, _ = run("generate", "--help")
    for word in ["FILE", "--prefix", "--length", "--temperature", "--seed", "default: 200", "default: 0.7"]:
        assert word in out


def test_the_defaults_are_those_that_the_help_names():
    train, generate = (vars(cli.parser().parse_args(line.split())) for line in ("train", "generate m --prefix a"))
    del train["run"], generate["run"]
    assert train == {
        "command": "train", "text": None, "form": "letters", "epochs": 120, "hiddens": 512, "seed": 0, "device": "cpu",
        "output": "d2lmini-output", "checkpoint": None,
    }  # fmt: skip
    assert generate == {
        "command": "generate", "file": "m", "prefix": "a", "length": 200, "temperature": 0.7, "seed": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "0 isn't a whole number from 1 to 1,000,000,000,000; see python -m d2lmini train --help"),
        (["--epochs", "ten"], "invalid whole number value: 'ten'"),
        (["--hiddens", "-3"], "-3 isn't a whole number from 1 to"),
        (["--hiddens", str(10**12)], "need more memory"),
        (["--seed", "-1"], "-1 isn't a whole number from 0 to"),
        (["--seed", str(2**62)], "isn't a whole number from 0 to 1,000,000,000,000"),
        (["--device", "toaster"], "'toaster' isn't a device of this computer"),
        (["--device", "cuda:99"], "'cuda:99' isn't a device of this computer"),
        (["--device", "meta"], "'meta' isn't a device of this computer"),
        (["--text", "missing.txt"], "missing.txt: No such file"),
        (["--text", "."], ".: Is a directory"),
        (["--text", "empty"], "is empty"),
        (["--text", "short"], "the text has 1,189 characters after normalising it to letters, but needs 1,402"),
        (["--text", "one"], "the text has 1 characters after normalising it to letters, but needs 1,402"),
        (["--text", "hebrew"], "in another alphabet"),
        (["--text", "binary"], "binary isn't a text file"),
        (["--text", "huge"], "huge is larger than 100,000,000 bytes"),
        (["--output", "one"], "one: File exists" if sys.platform != "win32" else "exists"),
        (["--output", "one/folder"], f"{Path('one/folder')}: Not a directory" if sys.platform != "win32" else "one"),
        (["--checkpoint", "no/folder/run"], "there is no folder"),
        (["--checkpoint", "binary"], "isn't a file of d2lmini"),
        (["--checkpoint", "."], "it isn't a regular file but a folder, a pipe or a device"),
        (["--nonsense"], "unrecognized arguments: --nonsense; see python -m d2lmini --help"),
        (["fly"], "invalid choice: 'fly'"),
        (["generate"], "the following arguments are required: FILE, --prefix"),
        (["generate", "one"], "the following arguments are required: --prefix"),
        (["generate", "missing", "--prefix", "a"], "missing: No such file"),
        (["generate", ".", "--prefix", "a"], ". isn't a regular file but a folder, a pipe or a device"),
        (["generate", "binary", "--prefix", "a"], "binary isn't a file of d2lmini"),
        (["generate", "model", "--prefix", "a", "--length", "0"], "0 isn't a whole number from 1"),
        (["generate", "model", "--prefix", "a", "--temperature", "0"], "temperature must be"),
        (["generate", "model", "--prefix", "a", "--temperature", "nan"], "temperature must be"),
        (["generate", "model", "--prefix", ""], "the prefix must have at least one character"),
        (["generate", "model", "--prefix", "Xa"], "the model has never seen ['x']. Use what it knows: 'ab c'."),
        (["update"], "my-course has no notebook of the course. To make a copy: python -m d2lmini start my-course"),
        (["progress", "one"], "one has no notebook of the course"),
        (["reset", "77"], "the course has no notebook 77"),
        (["reset"], "the following arguments are required: NOTEBOOK"),
        (["start", "one"], "one"),
        (["update", copies.course_folder()], "holds the course itself"),
    ],
)
def test_errors_of_the_user_are_one_line_and_come_before_any_training(run, monkeypatch, arguments, message):
    monkeypatch.setattr("d2lmini.training.train_epoch", lambda *args: pytest.fail("too late"))
    Path("empty").touch()
    Path("one").write_text("x")
    Path("short").write_text("x" * 1189)
    Path("hebrew").write_text("שלום" * 1000, encoding="utf-8")
    Path("binary").write_bytes(bytes(range(256)) * 20)
    with open("huge", "wb") as file:
        file.truncate(10**8 + 1)
    vocab = Vocab(list("aaabb c"))
    save_model(RNNModelScratch(len(vocab), 3), vocab, "model")
    code, out, err = run(*arguments)
    assert (code, out) == (
        2,
        "10,000 characters to train on, 28 tokens in the vocabulary, 512 hidden units\n"
        if arguments == ["--checkpoint", "binary"]
        else "",
    )
    assert message in err and err.startswith("python -m d2lmini: error: ") and err.count("\n") == 1


def test_a_model_generates_what_the_library_samples(run):
    run(*QUICK)
    file = Path("d2lmini-output/model.safetensors")
    model, vocab = load_model(file)
    expected = d2lmini.sample(model, vocab, "time", 40, temperature=0.5, seed=3)
    options = ("--length", 40, "--temperature", 0.5, "--seed", 3)
    assert run("generate", file, "--prefix", "Time", *options) == (0, f"{expected}\n", "")
    assert len(run("generate", file, "--prefix", "time")[1]) == len("time") + 200 + 1


def test_a_copy_from_start_to_progress(run):
    code, out, _ = run("start", "mine")
    assert code == 0 and "notebooks copied into mine" in out
    notebook = sorted(Path("mine").glob("*.ipynb"))[0]
    notebook.write_text("broken")
    code, out, _ = run("update", "mine")
    assert code == 2 and f"{notebook.name}: left alone" in out and out.count("up to date") > 8
    code, out, _ = run("reset", "0", "mine")
    assert code == 0 and f"{notebook} is as it was at the start" in out
    code, out, err = run("progress", "mine")
    assert (code, err) == (0, "") and out.count("  open  ") > 20 and "0 right, 0 tried" in out


# Files that would be lost, or noticed too late


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--text"],
        ["--checkpoint"],
        ["generate", "--prefix", "a"],
        ["--output", "out", "--text", "own.txt", "--epochs", "1"],
    ],
)
@pytest.mark.parametrize("kind", ["pipe", "/dev/zero"])
def test_a_pipe_or_a_device_is_refused_instead_of_waiting_for_ever(run, arguments, kind):
    path = "pipe"
    Path("own.txt").write_text("abc defg hij " * 200)
    if "--output" in arguments:
        Path("out").mkdir()
        path = "out/model.safetensors"
    if kind == "pipe":
        os.mkfifo(path)
    elif "--output" in arguments:
        os.symlink(kind, path)
    else:
        path = kind
    code, out, err = run(*arguments, *([] if "--output" in arguments else [path]))
    assert (code, out) == (2, "") and "regular file" in err
    assert "--output" not in arguments or os.path.lexists(path)


def test_a_file_that_the_run_would_replace_is_refused(run):
    Path("d2lmini-output").mkdir()
    for option, name, what in [
        ("--checkpoint", "d2lmini-output/model.safetensors", "model"),
        ("--checkpoint", "d2lmini-output/../d2lmini-output/perplexity.png", "figure"),
        ("--text", "link", "figure"),
    ]:
        if name == "link":
            Path("d2lmini-output/perplexity.png").write_text("abc defg " * 1000)
            os.link("d2lmini-output/perplexity.png", "link")
        code, out, err = run(*QUICK, option, name)
        assert (code, out) == (2, "") and f"{option} {name} is where the {what} will be written" in err
    assert os.listdir("d2lmini-output") == ["perplexity.png"]


@pytest.mark.parametrize("place", ["model.safetensors", "perplexity.png"])
def test_a_folder_in_the_place_of_a_file_is_noticed_before_the_training(run, place):
    Path("d2lmini-output", place).mkdir(parents=True)
    code, out, err = run(*QUICK)
    assert (code, out) == (2, "") and f"could not write {place}: it isn't a regular file but a folder" in err


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="a system without /proc")
@pytest.mark.parametrize("arguments", [["--output", "/proc"], ["--checkpoint", "r" * 240]])
def test_a_place_that_takes_no_file_is_noticed_before_the_training(run, arguments):
    code, out, err = run(*QUICK, *arguments)
    assert (code, out) == (2, "") and "could not write" in err


def test_a_checkpoint_in_the_place_of_the_model_is_noticed_before_the_training(run):
    assert run(*QUICK, "--checkpoint", "run.safetensors")[0] == 0
    os.replace("run.safetensors", "d2lmini-output/model.safetensors")
    code, out, err = run(*QUICK)
    assert (code, out) == (2, "") and "holds a checkpoint, not a model" in err


def test_a_checkpoint_without_baselines_goes_on(run):
    """As train in a notebook writes it when nothing is held out."""
    tokens, _, vocab = d2lmini.load_corpus()
    model = RNNModelScratch(len(vocab), 8, seed=0, orthogonal=True)
    d2lmini.train(model, SequentialBatches(tokens, 32, 35), 1, 1.0, checkpoint="run.safetensors")
    code, out, err = run(*QUICK, "--checkpoint", "run.safetensors")
    assert code in (0, 2) and "Traceback" not in err  # going on and refusing are both right
    assert code == 2 or "held-out perplexity" in out


def test_a_text_cannot_steer_the_terminal(run):
    Path("own.txt").write_text("a\x9b31mb\u202ec\u2028 \u0642\u0644\u0645\u200c\u0647\u0627 " * 300, encoding="utf-8")
    code, out, _ = run(*QUICK, "--text", "own.txt", "--form", "characters")
    assert code == 0 and r"likeliest: a\x9b31mb\u202ec" in out and "\x9b" not in out and "\u202e" not in out
    code, out, _ = run("generate", "d2lmini-output/model.safetensors", "--prefix", "a\x9b31mb\u202e")
    assert code == 0 and out.startswith(r"a\x9b31mb\u202e") and "\x9b" not in out
    code, _, err = run("--text", "no\x1b[31m\nfile")
    assert (code, err) == (2, "python -m d2lmini: error: no\\x1b[31m\\nfile: No such file or directory\n")


def test_printable_keeps_what_is_seen():
    text = "Zürich 東京　שלום\t😀 نمی‌خواهم क्‍ष\n"
    assert console.printable(text) == text


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write(run):
    Path("d2lmini-output").mkdir(mode=0o500)
    code, out, err = run(*QUICK)
    assert (code, out) == (2, "") and "Permission denied" in err


def test_a_checkpoint_that_fails_does_not_cost_the_model(run, monkeypatch):
    def full(path, *args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("d2lmini.training.save_checkpoint", full)
    code, _, err = run(*QUICK, "--checkpoint", "run.safetensors")
    assert code == 2 and "No space left" in err
    assert sorted(os.listdir("d2lmini-output")) == ["model.safetensors", "perplexity.png"]


def test_a_run_that_learns_nothing_leaves_the_files_of_the_run_before(run, monkeypatch):
    assert run(*QUICK)[0] == 0
    before = {path.name: path.read_bytes() for path in Path("d2lmini-output").iterdir()}

    def diverge(*args):
        raise TrainingDiverged("the loss is nan")

    monkeypatch.setattr("d2lmini.training.train_epoch", diverge)
    code, _, err = run(*QUICK, "--seed", 1)
    assert code == 2 and "the training run ended: the loss is nan" in err
    assert {path.name: path.read_bytes() for path in Path("d2lmini-output").iterdir()} == before


def test_ctrl_c_while_the_files_are_written_is_not_heard(run, monkeypatch):
    write = commands.write_results

    def interrupted(*args):
        signal.raise_signal(signal.SIGINT)
        write(*args)

    monkeypatch.setattr(commands, "write_results", interrupted)
    assert run(*QUICK)[0] == 0
    assert sorted(os.listdir("d2lmini-output")) == ["model.safetensors", "perplexity.png"]


def test_ctrl_c_outside_the_training(run, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("d2lmini.commands.read_text", interrupt)
    assert run() == (130, "", "interrupted\n")


def test_ctrl_c_before_the_first_epoch_ends(run, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("d2lmini.training.train_epoch", interrupt)
    code, out, _ = run(*QUICK)
    assert code == 130 and "interrupted after 0 of 2 epochs" in out
    assert sorted(os.listdir("d2lmini-output")) == ["model.safetensors", "perplexity.png"]


no_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one child process")


@no_signals
@pytest.mark.parametrize("pause", [None, 0.001, 0.005, 0.05])
def test_a_real_ctrl_c_saves_what_there_is(tmp_path, pause):
    """Also one that comes twice, while the first one is still being dealt with."""
    process = start(tmp_path, "--epochs", "100000", "--hiddens", "8", "--checkpoint", "run.safetensors")
    while not (tmp_path / "run.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    if pause:
        time.sleep(pause)
        process.send_signal(signal.SIGINT)
    _, err = (stream.decode() for stream in process.communicate(timeout=60))
    assert process.returncode in (130, -signal.SIGINT) and "Traceback" not in err
    load_model(tmp_path / "d2lmini-output" / "model.safetensors")
    assert (tmp_path / "d2lmini-output" / "perplexity.png").exists()


@no_signals
def test_after_ctrl_c_the_report_is_printed(tmp_path):
    process = start(tmp_path, "--epochs", "100000", "--hiddens", "8", "--checkpoint", "run.safetensors")
    while not (tmp_path / "run.safetensors").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, _ = (stream.decode() for stream in process.communicate(timeout=60))
    assert process.returncode == 130 and "interrupted after" in out and "likeliest: time traveller" in out


@no_signals
@pytest.mark.parametrize("arguments", [[], ["generate", "model", "--prefix", "a"]])
def test_ctrl_c_during_a_long_import_leaves_no_traceback(tmp_path, arguments):
    (tmp_path / "torch.py").write_text("import pathlib, time\npathlib.Path('here').touch()\ntime.sleep(60)")
    process = start(tmp_path, *arguments, PYTHONPATH=os.pathsep.join([str(tmp_path), SOURCE]))
    while not (tmp_path / "here").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode in (130, -signal.SIGINT) and (out, err) == (b"", b"")


def test_interrupts_within_a_second_are_one():
    handler = console.interrupt_once()
    with pytest.raises(KeyboardInterrupt):
        handler(signal.SIGINT, None)
    try:
        handler(signal.SIGINT, None)
    except KeyboardInterrupt:
        pytest.fail("the second one ended what the first one had begun to tidy up")


def test_a_background_job_that_ignores_ctrl_c_goes_on_to():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with console.on_ctrl_c(signal.SIG_DFL):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_that_is_not_utf_8(tmp_path, encoding):
    (tmp_path / "ünï.txt").write_text("שלום 😀 " * 300, encoding="utf-8")
    environment = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    process = start(tmp_path, *QUICK, "--text", "ünï.txt", "--form", "characters", "--output", "größe", **environment)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert rb"\u05e9\u05dc\u05d5\u05dd" in out


@pytest.mark.skipif(sys.platform == "win32", reason="needs a Unix shell")
@pytest.mark.parametrize(
    ("redirection", "expected"),
    [
        (">&-", 0),
        ("2>&-", 0),
        ("<&- >&- 2>&-", 0),
        ("| head -c 3", 0),
        ("2>&1 | head -c 30", 0),
        pytest.param("2>/dev/full", 0, marks=needs_full),
        pytest.param(">/dev/full", 2, marks=needs_full),  # the report is lost, and that is said
    ],
)
def test_no_terminal_ends_a_training_run(tmp_path, redirection, expected):
    """A stream that is closed, or full, or whose reader has gone: the files are there in the end."""
    line = f"set -o pipefail; {shlex.quote(sys.executable)} -m d2lmini --epochs 3 --hiddens 8 {redirection}"
    environment = {**ENVIRONMENT, "PYTHONPATH": SOURCE}
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, timeout=120)
    assert done.returncode == expected
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr
    if expected:
        assert b"error: the output couldn't be written: " in done.stderr
    load_model(tmp_path / "d2lmini-output" / "model.safetensors")
    assert sorted(os.listdir(tmp_path)) == ["d2lmini-output"]
    assert sorted(os.listdir(tmp_path / "d2lmini-output")) == ["model.safetensors", "perplexity.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise there")
def test_a_reader_that_has_gone(tmp_path):
    process = start(tmp_path, *QUICK)
    process.stdout.close()
    err = process.stderr.read().decode()
    assert process.wait(timeout=120) == 0 and "Traceback" not in err and "Exception" not in err
    process.stderr.close()
    load_model(tmp_path / "d2lmini-output" / "model.safetensors")


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
    assert out.count("[OK]") == len(needed) + 5
    for word in [
        "Python 3.",
        "torch",
        "numpy",
        "matplotlib",
        "pooch",
        "safetensors",
        "tqdm",
        "device",
        "whole book",
        "notebooks in",
    ]:
        assert word in out


def test_a_missing_and_an_old_package(run, cache, monkeypatch):
    version = metadata.version

    def pretend(name):
        if name == "tqdm":
            raise metadata.PackageNotFoundError(name)
        return "1.9.9" if name == "torch" else version(name)

    monkeypatch.setattr(doctor.metadata, "version", pretend)
    code, out, _ = run("doctor")
    assert code == 1 and out.count("[FAIL]") == 2 and "2 of 12 failed" in out
    assert '[FAIL] tqdm is missing (needs >=4.66)\n       -> pip install "tqdm>=4.66"' in out
    assert '[FAIL] torch 1.9.9 (needs >=2.2)\n       -> pip install "torch>=2.2"' in out


def test_a_broken_package(run, cache, monkeypatch):
    def broken(name):
        raise ImportError("DLL load failed")

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    code, out, _ = run("doctor")
    assert code == 1 and "can't be imported (DLL load failed)\n       -> pip install --force-reinstall numpy" in out


@pytest.mark.parametrize(
    ("package", "error"), [("torch", "OSError"), ("torch", "ImportError"), ("numpy", "ImportError")]
)
def test_the_package_cannot_be_imported_and_the_doctor_says_why(tmp_path, package, error):
    """As on a computer where a compiled library does not load, or is not there: in a process of its own."""
    (tmp_path / f"{package}.py").write_text(f"raise {error}('no such library')")
    places = os.pathsep.join([str(tmp_path), SOURCE])
    out, err = (stream.decode() for stream in start(tmp_path, "doctor", PYTHONPATH=places).communicate())
    assert f"can't be imported (no such library)\n       -> pip install --force-reinstall {package}" in out
    assert "[OK]   Python" in out and "follow the arrows" in out and "Traceback" not in err
    process = start(tmp_path, *QUICK, PYTHONPATH=places)
    out, err = (stream.decode() for stream in process.communicate())
    assert (process.returncode, out) == (2, "")
    message = "something that d2lmini needs is missing or broken (no such library): run python -m d2lmini doctor"
    assert err == f"python -m d2lmini: error: {message}\n"
    process = start(tmp_path, "--help", PYTHONPATH=places)
    assert "update" in process.communicate()[0].decode() and process.returncode == 0


@pytest.mark.parametrize("arguments", [[], ["doctor"]])
def test_a_script_that_uses_a_broken_package_is_told_so(tmp_path, arguments):
    """Whatever the script's own arguments are: nothing of d2lmini looks at them."""
    (tmp_path / "numpy.py").write_text("raise AttributeError('half there')")
    (tmp_path / "mine.py").write_text("import d2lmini\nprint('imported')\nd2lmini.Vocab")
    places = os.pathsep.join([str(tmp_path), SOURCE])
    done = subprocess.run(
        [sys.executable, "mine.py", *arguments], cwd=tmp_path, env={**os.environ, "PYTHONPATH": places},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and done.stdout == "imported\n"
    assert done.stderr.rstrip().splitlines()[-1].startswith("ImportError: something that d2lmini needs is missing")


def test_an_old_python(run, cache, monkeypatch):
    monkeypatch.setattr(doctor.sys, "version", "3.9.1 (old)")
    code, out, _ = run("doctor")
    assert code == 1 and "[FAIL] Python 3.9.1 (needs >=3.10)" in out


def test_the_oldest_versions_that_will_do(run, cache, monkeypatch):
    monkeypatch.setattr(doctor.sys, "version", "3.10 (the oldest)")
    monkeypatch.setattr(doctor.metadata, "version", lambda name: dict(
        line.split(">=") for line in metadata.requires("d2lmini") if "extra" not in line)[name])  # fmt: skip
    code, out, _ = run("doctor")
    assert code == 0 and "[OK]   Python 3.10 (needs >=3.10)" in out and "[OK]   torch 2.2 (needs >=2.2)" in out


def test_a_device_that_does_not_work(run, cache, monkeypatch):
    monkeypatch.setattr("d2lmini.model.try_gpu", lambda: torch.device("meta"))
    code, out, _ = run("doctor")
    assert code == 1 and "[FAIL] device meta" in out and "use device='cpu'" in out


def test_a_changed_and_a_missing_text(run, cache, monkeypatch, tmp_path):
    monkeypatch.setattr(book, "data_path", lambda name: tmp_path / name)
    code, out, _ = run("doctor")
    assert code == 1 and f"[FAIL] {tmp_path / book.CHAPTER_FILE} is missing" in out
    (tmp_path / book.CHAPTER_FILE).write_text("The Time Machine\r\n")
    code, out, _ = run("doctor")
    assert code == 1 and "(changed)\n       -> restore the file" in out


def test_the_cache_of_the_book(run, cache, monkeypatch):
    cache.mkdir()
    path = cache / book.BOOK_FILE
    path.write_bytes(b"half a book")
    code, out, _ = run("doctor")
    assert code == 1 and f"[FAIL] {path} (not the book)\n       -> delete {path}" in out
    monkeypatch.setattr(book, "BOOK_SHA1", doctor.hashlib.sha1(b"half a book").hexdigest())
    sha1, uses = doctor.hashlib.sha1, []
    monkeypatch.setattr(doctor.hashlib, "sha1", lambda data, **use: uses.append(use) or sha1(data, **use))
    code, out, _ = run("doctor")
    assert code == 0 and f"[OK]   {path} (the whole book)" in out
    assert uses == [{"usedforsecurity": False}]  # some systems refuse it otherwise


def test_notebooks_that_are_missing(run, cache, monkeypatch, tmp_path):
    monkeypatch.setattr(copies, "course_folder", lambda: tmp_path / "nowhere")
    code, out, _ = run("doctor")
    assert code == 1 and "1 of 12 failed" in out and "nowhere has no notebooks: reinstall d2lmini" in out


def test_not_installed(run, monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "requires", missing)
    code, out, _ = run("doctor")
    assert code == 1 and "[FAIL] d2lmini isn't installed\n       -> pip install ." in out


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
    _, description = files.read_file(tmp_path / "run.safetensors", "checkpoint")
    assert description["history"]["train_ppl"][-1] <= 1.15
    assert "by heart" in out
