"""Text from anywhere: whatever the file, read_text gives its text or says clearly why not."""

import gzip
import json
import marshal
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from d2lmini import SequentialBatches, Vocab, load_corpus, normalise, read_text, tokenize

TEXT = "The Time Traveller — »für uns« 😀 שלום עולم\nsecond line\n"


@pytest.fixture
def file(tmp_path):
    """Write bytes to a file and return its path."""

    def write(data):
        path = tmp_path / "text.txt"
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_unicode_with_and_without_a_mark(file, encoding):
    assert read_text(file(TEXT.encode(encoding))) == TEXT


def test_utf_16_of_either_byte_order(file):
    assert read_text(file(b"\xff\xfe" + TEXT.encode("utf-16-le"))) == TEXT
    assert read_text(file(b"\xfe\xff" + TEXT.encode("utf-16-be"))) == TEXT


@pytest.mark.parametrize(("mark", "code"), [(b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")])
def test_utf_16_that_is_cut_in_a_character_ends_in_a_replacement(file, mark, code):
    whole = "one 😀".encode(code)
    assert read_text(file(mark + whole[:-1])) == read_text(file(mark + whole[:-2])) == "one \ufffd"


def test_latin_1(file):
    text = "für Änderungen, déjà vu: ÿ£½\n"
    assert read_text(file(text.encode("latin-1"))) == text


def test_quotes_of_windows_1252_do_not_stop_it(file):
    text = read_text(file("“für uns”, he said".encode("cp1252")))
    assert text == "\x93für uns\x94, he said"
    assert normalise(text) == "f r uns he said"


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_one_line_break(file, line_end):
    assert read_text(file(f"one{line_end}two{line_end}{line_end}three".encode())) == "one\ntwo\n\nthree"


@pytest.mark.parametrize(
    "text", ["😀👩‍👩‍👧 👍🏽 😀", "שלום עולם, מה נשמע", "السلام عليكم", "時間旅行者は", "İstanbul ẞ ǅ"]
)
def test_other_alphabets_from_file_to_ids_and_back(file, text):
    normalised = normalise(read_text(file(text.encode())), "characters")
    assert normalised == text.lower()
    vocab = Vocab(tokenize(normalised))
    assert "".join(vocab.to_tokens(vocab[tokenize(normalised)])) == normalised
    train, held_out, vocab = load_corpus(text, "characters", num_train=3)
    assert len(train) == 3 and len(train) + len(held_out) == len(normalised)


def test_letters_of_another_alphabet_are_none():
    with pytest.raises(ValueError, match=r'in another alphabet.*"characters" keeps every alphabet'):
        normalise("שלום")


def test_one_character(file):
    assert read_text(file(b"a")) == "a"
    train, held_out, vocab = load_corpus("a", num_train=1)
    assert train.tolist() == [1] and held_out.shape == (0,) and len(vocab) == 2
    with pytest.raises(ValueError, match=r"1 x 1 needs 2 tokens .* has 1"):
        SequentialBatches(train, 1, 1)


@pytest.mark.parametrize("data", [b"", b" \r\n\t ", b"\xef\xbb\xbf", b"\xff\xfe", "\u2003\u3000".encode()])
def test_an_empty_file(file, data):
    with pytest.raises(ValueError, match=r"text.txt is empty"):
        read_text(file(data))


def png():
    """The smallest picture, made here."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


BINARIES = {
    "PNG": png(),
    "PNG without NUL bytes": png().replace(b"\0", b"\1"),
    "JPEG without NUL bytes": b"\xff\xd8\xff\xe1\x10\x4aExif\x49\x49\x2a\x08" + bytes(range(1, 256)),
    "gzip": gzip.compress(b"The Time Traveller" * 10, mtime=1),
    "program": Path(sys.executable).read_bytes()[:5000],
    "compiled Python": marshal.dumps(compile("x = 'The Time Traveller'", "x.py", "exec")),
    "one NUL byte": b"The Time\0Traveller",
    "UTF-16 without a mark": "The Time Traveller".encode("utf-16-le"),
    "UTF-32": "The Time Traveller".encode("utf-32"),
}


@pytest.mark.parametrize("name", BINARIES)
def test_a_binary_file(file, name):
    with pytest.raises(ValueError, match=r"text.txt isn't a text file: .*control character.*Choose a plain .txt file"):
        read_text(file(BINARIES[name]))


def test_page_breaks_and_the_end_mark_of_dos_are_text(file):
    assert read_text(file(b"one\x0ctwo\x0b\tthree\x1a")) == "one\ftwo\v\tthree\x1a"


def test_a_directory(tmp_path):
    with pytest.raises(OSError, match=r"text|directory|denied") as error:
        read_text(tmp_path)
    assert isinstance(error.value, (IsADirectoryError, PermissionError))  # Windows says the second


def test_missing_and_impossible_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing.txt"):
        read_text(tmp_path / "missing.txt")
    with pytest.raises(OSError):
        read_text(tmp_path / ("x" * 5000))
    with pytest.raises((ValueError, OSError)):
        read_text("nul\0byte")


@pytest.mark.skipif(sys.platform == "win32", reason="links need special rights on Windows")
def test_links(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match=r"a"):
        read_text(tmp_path / "a")
    (tmp_path / "text").write_text("a text")
    (tmp_path / "link").symlink_to(tmp_path / "text")
    assert read_text(tmp_path / "link") == "a text"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_or_a_device_is_refused_at_once(tmp_path, linked):
    os.mkfifo(tmp_path / "pipe")  # nobody writes into it: reading it would wait for ever
    for special in (tmp_path / "pipe", Path("/dev/zero")):
        path = special
        if linked:
            path = tmp_path / f"{special.name} link"
            path.symlink_to(special)
        with pytest.raises(OSError, match=r"isn't a regular file: choose a plain \.txt file"):
            read_text(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may read everything")
def test_a_file_that_may_not_be_read(file):
    path = file(b"a text")
    path.chmod(0)
    with pytest.raises(PermissionError):
        read_text(path)


def test_paths_may_be_str_and_hold_any_character(tmp_path):
    path = tmp_path / "ünï 模 😀.txt"
    path.write_text("a text", encoding="utf-8")
    assert read_text(str(path)) == "a text"


# A big file. Reading is measured allocation by allocation, in a process of its own; the way to ids, with its millions
# of small objects, by what the system says of the process, next to which the 300 MB of torch itself are small.

BIG = """
import json, sys, time, tracemalloc
from d2lmini import load_corpus, read_text
path, step = sys.argv[1:]

start = time.perf_counter()
if step == "read":
    tracemalloc.start()
text = read_text(path)
sizes = [len(text)]
if step == "read":
    memory = tracemalloc.get_traced_memory()[1] / 1e6
else:
    import resource
    train, held_out, vocab = load_corpus(text)
    sizes += [len(train), len(held_out), len(vocab)]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
print(json.dumps([sizes, memory, time.perf_counter() - start]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the module resource is not there")
@pytest.mark.parametrize(
    ("line", "step", "limit"),
    [
        ("The Time Traveller (for so it will be convenient to speak of him)\n", "read", 210),
        ("The Time Traveller (for so it will be convenient to speak of him)\r\n", "read", 310),
        ("Die Zeitmaschine — für später 😀, השעה, wurde erzählt\n", "read", 750),
        ("The Time Traveller (for so it will be convenient to speak of him)\n", "corpus", 5000),
    ],
)
def test_a_file_of_100_mb(tmp_path, line, step, limit):
    """`limit` is the memory in MB that it may take; what it took is printed (pytest -s)."""
    path, data = tmp_path / "big.txt", line.encode()
    path.write_bytes(data * (100_000_000 // len(data)))
    output = subprocess.run([sys.executable, "-c", BIG, path, step], capture_output=True, text=True, check=True).stdout
    sizes, memory, seconds = json.loads(output)
    print(f"{step} {path.stat().st_size / 1e6:.0f} MB: {memory:.0f} MB of memory, {seconds:.1f} s, sizes {sizes}")
    expected = len(line.replace("\r\n", "\n")) * (100_000_000 // len(data))
    assert sizes[0] == expected and memory < limit
    if step == "corpus":
        assert sizes[1] == 10_000 and sizes[2] > 80_000_000 and sizes[3] == 20
    assert memory > 190  # bytes and text, at the least: the measurement does measure
