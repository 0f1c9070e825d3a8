"""What a terminal may do to a program: go away, be full, obey control characters, send Ctrl-C at any moment."""

import os
import signal
import sys
import time
import unicodedata
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress

HARMLESS = "\n\t\u200c\u200d"  # line ends, tabs, and the joiners that some scripts need inside a word


def printable(text):
    """The text with every character that steers a terminal, instead of being seen, as an escape such as \\x1b."""
    if text.isprintable():
        return text
    return "".join(char if char in HARMLESS or is_visible(char) else ascii(char)[1:-1] for char in text)


def is_visible(char):
    """Whether a character isn't a control character, an invisible format character or a line separator."""
    return unicodedata.category(char) not in ("Cc", "Cf", "Zl", "Zp")


class Output:
    """A text stream that outlives its reader: what can't be written is dropped, and `error` says why.

    convert: a function str -> str, applied to all that is written.
    """

    def __init__(self, stream, convert=str):
        self.stream, self.convert, self.error = stream, convert, None

    def write(self, text):
        self.attempt(self.stream.write, self.convert(text))
        return len(text)

    def flush(self):
        self.attempt(self.stream.flush)

    def attempt(self, call, *args):
        try:
            call(*args)
        except OSError as error:
            self.error = self.error or error
            with suppress(OSError):  # what is still in the buffer goes nowhere, also when Python ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())

    def __getattr__(self, name):
        return getattr(self.stream, name)


@contextmanager
def console():
    """Inside, sys.stdout and sys.stderr are Outputs, and stdout shows no control characters. Yields stdout's."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed, as by 2>&-; the next file that is opened must not take its place
            os.open(os.devnull, os.O_RDWR)
    streams = []
    for stream in (sys.stdout, sys.stderr):
        stream = stream or open(os.devnull, "w")  # noqa: SIM115 (as long as the process)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a console that knows no é shows \xe9
        streams.append(stream)
    out, err = Output(streams[0], printable), Output(streams[1])
    with redirect_stdout(out), redirect_stderr(err):
        try:
            yield out
        finally:
            out.flush()
            err.flush()


@contextmanager
def on_ctrl_c(handler):
    """Inside, Ctrl-C does what `handler` says (see signal.signal), unless it was ignored before."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # as in a shell's background job
        signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


END_AT_ONCE = signal.SIG_DFL  # also in the middle of a long computation, and without a traceback


def ignore(signum, frame):
    """A handler that drops the signal."""


def interrupt_once():
    """A handler that raises KeyboardInterrupt, but not again within a second: what the first one ends can tidy up."""
    last = -1.0

    def handler(signum, frame):
        nonlocal last
        if time.monotonic() - last > 1:
            last = time.monotonic()
            raise KeyboardInterrupt

    return handler
