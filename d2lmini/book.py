"""The texts of the course: the chapter that ships with it, and the whole book, downloaded once."""

import time
from pathlib import Path

BOOK_URL = "https://d2l-data.s3-accelerate.amazonaws.com/"
BOOK_FILE = "timemachine.txt"
BOOK_SHA1 = "090b5e7e70c295757f55df93cb0a180b9691891a"
CHAPTER_FILE = "time_machine_ch1.txt"
CHAPTER_SHA256 = "fe7129a2d24e3143b18f8336c5a474d4991988a46445ed395fdfced5702b35d0"
TIMEOUT = 30  # seconds without a byte from the server
PATIENCE = 120  # seconds for the whole book


def data_path(name):
    """Path of a file that ships with the course: inside the installed package, or in data/ of a checkout."""
    installed = Path(__file__).parent / "data" / name
    return installed if installed.exists() else Path(__file__).parents[1] / "data" / name


def book_cache(folder=None):
    """The pooch cache that holds the whole book: `folder`, or the user's cache folder."""
    import pooch  # loaded when first used: most learners never leave the chapter that ships

    pooch.get_logger().setLevel("WARNING")  # no red lines for a download that works, or that fails with one message
    registry = {BOOK_FILE: f"sha1:{BOOK_SHA1}"}
    return pooch.create(folder or pooch.os_cache("d2lmini"), BOOK_URL, registry=registry, retry_if_failed=2)


def download_book(folder=None):
    """Fetch the whole book (179 kB) once, check its SHA-1, and return the Path of the cached file.

    The file is downloaded beside its final place and moved there only after its hash was checked, so a
    broken connection never leaves half a book. A cached file that isn't the book is fetched again. `folder`
    defaults to the user's cache folder.

    Raises ConnectionError when the book can't be fetched or isn't the expected file.
    """
    try:
        return Path(book_cache(folder).fetch(BOOK_FILE, downloader=fetch))
    except Exception as error:  # requests and pooch raise many types of errors, which all mean that there's no book
        raise ConnectionError(
            f"The whole book couldn't be downloaded from {BOOK_URL}{BOOK_FILE} ({error}). "
            "The first chapter ships with the course: read_text() reads it without a network."
        ) from error


def fetch(url, path, cache):
    """Write what `url` holds to `path`. Raises requests' exceptions, Timeout also for a server that only drips."""
    import requests

    end = time.monotonic() + PATIENCE
    with requests.get(url, stream=True, timeout=TIMEOUT) as response, open(path, "wb") as file:
        response.raise_for_status()
        for chunk in response.iter_content(64):  # small, so that the clock is checked often
            file.write(chunk)
            if time.monotonic() > end:
                raise requests.Timeout(f"not complete after {PATIENCE} s")
