"""Keep training at a good pace beside other programs: use fewer threads while they only wait for one another.

PyTorch shares each matrix product out among its threads, and the product is done when the last thread is. When another
program keeps a core busy, one thread has to wait for its turn again and again, and all others wait for it.
Training can lose five sixths of its speed; with half as many threads it loses far less (measure it with
tests/benchmarks/speed.py neighbour).
"""

import sys
import time
from contextlib import suppress

import torch

SHARE = 0.01  # of the time, spent on looking
FIRST_LOOK = 1.0  # seconds after the start of a run: short runs aren't looked at
# Training goes on with half of the threads when that is more than GIVE_UP times as fast as with all of them, and with
# all of them again when half is at most TAKE_BACK times as fast. A busy program doesn't slow every product, so in
# between nothing changes.
GIVE_UP, TAKE_BACK = 1.1, 0.85


class Pace:
    """How many threads PyTorch uses during a training run, and when to look again whether that's the best number."""

    def __init__(self):
        self.num_threads = None  # how many there were before they were halved
        self.next_look = None  # None: no training run is watched

    def start(self):
        """Called before a training run."""
        self.next_look = time.monotonic() + FIRST_LOOK

    def keep(self):
        """Called before each minibatch: now and then, look whether fewer threads are faster.

        The speed of a small product that has nothing to do with the model decides, so on a quiet machine training
        computes the same numbers as without. Prints one line to stderr when the number of threads changes.
        """
        if self.next_look is None or time.monotonic() < self.next_look:
            return
        start, every = time.monotonic(), self.num_threads or torch.get_num_threads()
        if every > 1:
            half = every // 2
            fast = {number: products_per_second(number) for number in (every, half)}
            enough = GIVE_UP if self.num_threads is None else TAKE_BACK
            self.use(half if fast[half] > enough * fast[every] else every, every)
        self.next_look = time.monotonic() + (time.monotonic() - start) / SHARE

    def use(self, number, every):
        """Let PyTorch use `number` of `every` threads."""
        torch.set_num_threads(number)
        halved = every if number < every else None
        if halved != self.num_threads:
            why = "other programs keep the processor busy" if halved else "the processor is free again"
            with suppress(OSError, ValueError, AttributeError):  # nobody reads it: that isn't a reason to stop
                print(f"{why}: training goes on with {number} of {every} threads.", file=sys.stderr)
        self.num_threads = halved

    def stop(self):
        """Called after a training run: as many threads as before."""
        if self.num_threads is not None:
            torch.set_num_threads(self.num_threads)
        self.num_threads = self.next_look = None


def products_per_second(num_threads, seconds=0.015):
    """Speed of a product as small as those in the loop over time, with this many threads."""
    torch.set_num_threads(num_threads)
    weights, states = torch.ones(512, 512), torch.ones(512, 32)
    torch.mm(weights, states)
    count, start = 0, time.monotonic()
    while time.monotonic() - start < seconds:
        torch.mm(weights, states)
        count += 1
    return count / (time.monotonic() - start)


pace = Pace()
