"""What every test run shares: one thread a worker, long notebooks first, and no waiting for a dead kernel."""

import os
import signal
import time
from queue import Empty

import pytest
from hypothesis import settings
from nbval.kernel import RunningKernel

# No test is timed: a busy machine is no fault of the code.
settings.register_profile("d2lmini", deadline=None)
settings.load_profile("d2lmini")

# Two workers on two cores: a thread pool for each of them would only make them wait for one another. And with one
# thread, nothing depends on how busy the machine is. Set before anything loads torch or numpy; the kernels inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

# A shell's background job ignores Ctrl-C, and so would the programs that it starts; some tests send it to them.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The files that take longest, longest first: begun last, they would keep one worker busy while the other rests.
LONGEST_FIRST = (
    "test_colab",
    "test_own_code",
    "test_browser",
    "06_training",
    "09_experiments",
    "11_a_whole_novel",
    "07_concise",
    "08_gradients_by_hand",
    "05_gradient_clipping",
)


@pytest.fixture
def one_thread():
    """What the stored runs had: other sums end elsewhere after many epochs."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_collection_modifyitems(items):
    def place(item):
        name = item.path.stem
        return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=place)  # a stable sort: the cells of a notebook stay in order


class DeadKernel(RuntimeError):
    """The notebook's Python process has ended in the middle of a cell."""


def pytest_configure():
    """Two changes of nbval's kernels.

    nbval waits for a dead kernel's answer as long as a cell may take: ask every second whether it is alive. And its
    kernels have no network, so that notebook 11 takes the chapter that ships: with the book it would train for minutes.
    """
    start, wait = RunningKernel.__init__, RunningKernel.get_message

    def start_offline(self, *args, **options):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
            start(self, *args, **options)

    def get_message(self, stream, timeout=None):
        end = time.monotonic() + (timeout or float("inf"))
        while True:
            alive = self.is_alive()  # asked first: what a kernel said before it died is still read
            try:
                return wait(self, stream, timeout=max(0, min(1, end - time.monotonic())))
            except Empty:
                if not alive:
                    raise DeadKernel("the kernel died while it ran this cell") from None
                if time.monotonic() >= end:
                    raise

    RunningKernel.__init__, RunningKernel.get_message = start_offline, get_message
