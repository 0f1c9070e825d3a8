"""download_book() under faults, against a server on this computer: the whole book, or a clear error; never half."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from d2lmini import book, download_book, read_text

BOOK = b"The Time Traveller (for so it will be convenient to speak of him)\n" * 300  # more than a buffer of 8 kB
NAME = book.BOOK_FILE


class Server(ThreadingHTTPServer):
    """Serves BOOK in the way that `fault` names, in the first request only if `once`; `requests` counts."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault, self.once, self.requests, self.closing = None, False, 0, threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request, client_address):
        """A client that gave up is no error of the server."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests += 1
        fault = server.fault if not server.once or server.requests == 1 else None
        if fault in ("404", "500", "403"):
            return self.answer(b"<html>not here</html>", int(fault))
        if fault == "redirect" and self.path != "/moved":
            return self.answer(b"", 302, location="/moved")
        if fault == "redirect loop":
            return self.answer(b"", 302, location=self.path)
        if fault == "redirect to a file":
            return self.answer(b"", 302, location="file:///etc/hostname")
        if fault == "wrong content":
            return self.answer(b"<html>please log in to this network</html>")
        if fault == "one wrong byte":
            return self.answer(BOOK.replace(b"him", b"her", 1))
        if fault == "empty":
            return self.answer(b"")
        if fault == "too long":
            return self.answer(BOOK + BOOK)
        if fault == "silent":  # accepts the request and never answers
            return server.closing.wait(30)
        if fault == "hung up":
            return self.connection.close()
        if fault == "no http":
            return self.wfile.write(b"220 mail.example ready\r\n" * 20)
        self.head(200, len(BOOK))
        if fault == "cut off":
            self.wfile.write(BOOK[: len(BOOK) // 2])
        elif fault == "stalls":
            self.wfile.write(BOOK[: len(BOOK) // 2])
            server.closing.wait(30)
        elif fault == "drips":
            for i in range(len(BOOK)):
                self.wfile.write(BOOK[i : i + 1])
                if server.closing.wait(0.002):
                    return None
        elif fault == "slow":
            for i in range(0, len(BOOK), 1000):
                self.wfile.write(BOOK[i : i + 1000])
                time.sleep(0.01)
        else:
            self.wfile.write(BOOK)
        return None

    def head(self, status, length, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": length, **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()

    def answer(self, body, status=200, **headers):
        self.head(status, len(body), **headers)
        self.wfile.write(body)

    def log_message(self, *args):
        """Stay quiet."""


@pytest.fixture
def server(monkeypatch):
    server = Server()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setattr(book, "BOOK_URL", server.url)
    monkeypatch.setattr(book, "BOOK_SHA1", hashlib.sha1(BOOK).hexdigest())
    monkeypatch.setattr(book, "TIMEOUT", 0.3)
    monkeypatch.setattr(book, "PATIENCE", 1)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()


def test_the_book_is_fetched_once(server, tmp_path):
    path = download_book(tmp_path)
    assert path == tmp_path / NAME and path.read_bytes() == BOOK
    assert download_book(tmp_path) == path and server.requests == 1
    assert read_text(path).startswith("The Time Traveller")
    assert os.listdir(tmp_path) == [NAME]


def test_the_default_folder_is_the_users_cache(server, tmp_path, monkeypatch):
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / name)
    assert download_book() == tmp_path / "d2lmini" / NAME


FAULTS = [
    "404", "500", "403", "redirect loop", "redirect to a file", "wrong content", "one wrong byte", "empty", "too long",
    "silent", "hung up", "no http", "cut off", "stalls", "drips",
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_is_a_clear_error_and_leaves_nothing(server, tmp_path, fault):
    server.fault = fault
    with pytest.raises(ConnectionError, match=r"couldn't be downloaded from http://127.*read_text\(\) reads it"):
        download_book(tmp_path)
    assert server.requests >= 3  # it tried again, twice
    assert fault != "404" or server.requests == 3
    assert not os.listdir(tmp_path)
    assert len(read_text()) == 17_364  # the way on
    server.fault = None  # and when the network is back, so is the book
    assert download_book(tmp_path).read_bytes() == BOOK


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_is_not_noticed(server, tmp_path, fault):
    server.fault, server.once = fault, True
    if fault == "redirect loop":
        pytest.skip("a loop that ends is a redirect")
    assert download_book(tmp_path).read_bytes() == BOOK
    assert server.requests == 2 and os.listdir(tmp_path) == [NAME]


def test_a_server_that_only_drips_meets_a_limit(server, tmp_path, monkeypatch):
    server.fault = "drips"  # never silent for long, so that only the clock for the whole book can end it
    monkeypatch.setattr(book, "TIMEOUT", 20)
    with pytest.raises(ConnectionError, match="not complete after 1 s"):
        download_book(tmp_path)
    assert not os.listdir(tmp_path)


def test_the_last_moment_is_still_in_time(server, tmp_path, monkeypatch):
    monkeypatch.setattr(book, "PATIENCE", 0)
    monkeypatch.setattr(book.time, "monotonic", lambda: 5.0)  # no time passes
    book.fetch(server.url + NAME, tmp_path / NAME, None)
    assert (tmp_path / NAME).read_bytes() == BOOK


@pytest.mark.parametrize("fault", ["redirect", "slow"])
def test_what_is_no_fault(server, tmp_path, fault):
    server.fault = fault
    assert download_book(tmp_path).read_bytes() == BOOK
    assert server.requests == (2 if fault == "redirect" else 1)


@pytest.mark.parametrize("wrong", [b"", b"half a", BOOK[:-1], BOOK + b"\n", bytes(len(BOOK))])
def test_a_wrong_file_in_the_cache_is_fetched_anew(server, tmp_path, wrong):
    (tmp_path / NAME).write_bytes(wrong)
    assert download_book(tmp_path).read_bytes() == BOOK and server.requests == 1


def test_a_wrong_file_in_the_cache_is_never_returned(server, tmp_path):
    (tmp_path / NAME).write_bytes(b"half a")
    server.fault = "404"
    with pytest.raises(ConnectionError):
        download_book(tmp_path)


def test_no_network(server, tmp_path, monkeypatch):
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError, match="couldn't be downloaded"):
        download_book(tmp_path)
    monkeypatch.setattr(book, "BOOK_URL", "http://name.invalid/")
    with pytest.raises(ConnectionError, match="couldn't be downloaded"):
        download_book(tmp_path)
    assert not os.listdir(tmp_path)


def test_a_cached_book_needs_no_network(server, tmp_path):
    download_book(tmp_path)
    server.shutdown()
    server.server_close()
    assert download_book(tmp_path).read_bytes() == BOOK


def test_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(ConnectionError, match="couldn't be downloaded"):
        download_book(tmp_path / "file")
    with pytest.raises(ConnectionError):
        download_book(tmp_path / "file" / "folder")


def test_a_full_disk(server, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(book, "open", full, raising=False)
    with pytest.raises(ConnectionError, match="No space left"):
        download_book(tmp_path)
    assert not os.listdir(tmp_path)


def test_ctrl_c_leaves_nothing(server, tmp_path, monkeypatch):
    def interrupt(url, path, cache):
        Path(path).write_bytes(BOOK[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(book, "fetch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        download_book(tmp_path)
    assert not os.listdir(tmp_path)


CLIENT = """
import sys
from d2lmini import book, download_book
book.BOOK_URL, book.BOOK_SHA1, folder = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
print(len(download_book(folder).read_bytes()))
"""


def start_client(server, folder):
    arguments = [sys.executable, "-c", CLIENT, server.url, book.BOOK_SHA1, str(folder)]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_two_processes_at_once(server, tmp_path):
    server.fault = "slow"
    clients = [start_client(server, tmp_path) for _ in range(2)]
    assert [client.stdout.readline() for client in clients] == ["ready\n"] * 2
    for client in clients:
        client.stdin.write("go\n")
        client.stdin.flush()
    assert [client.communicate(timeout=60)[0] for client in clients] == [f"{len(BOOK)}\n"] * 2
    # One request: on a busy machine, the second process may begin when the first is done.
    assert server.requests in (1, 2) and (tmp_path / NAME).read_bytes() == BOOK
    assert os.listdir(tmp_path) == [NAME]


def half_written(folder):
    """Whether a file with something in it is there. The library's trial file may vanish while we look."""
    try:
        return any(path.stat().st_size for path in folder.iterdir())
    except FileNotFoundError:
        return False


def test_a_process_killed_while_it_downloads(server, tmp_path):
    server.fault = "stalls"
    client = start_client(server, tmp_path)
    client.stdout.readline()
    client.stdin.write("go\n")
    client.stdin.flush()
    while not half_written(tmp_path):
        time.sleep(0.01)
    client.kill()
    client.communicate()
    assert not (tmp_path / NAME).exists()  # what is left behind has another name
    server.fault = None
    assert download_book(tmp_path).read_bytes() == BOOK
