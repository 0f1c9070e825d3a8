"""Stopwatch, sums and growing figures, by the names of the book.

Idea: Dive into Deep Learning, its appendix of helper functions.
"""

import sys
import time
from functools import partial

import numpy as np
import torch

from ..plotting import LiveDisplay, notebook


class Timer:
    """A stopwatch for several runs; it starts when it is made. `times` in seconds."""

    def __init__(self):
        self.times = []
        self.start()

    def start(self):
        self.began = time.perf_counter()

    def stop(self):
        self.times.append(time.perf_counter() - self.began)
        return self.times[-1]

    def avg(self):
        return self.sum() / len(self.times)

    def sum(self):
        return sum(self.times)

    def cumsum(self):
        return np.cumsum(self.times).tolist()


def number(value):
    """A float from a number or a tensor of one element, even one that takes part in a graph."""
    return float(value.detach() if isinstance(value, torch.Tensor) else value)


class Accumulator:
    """`n` running sums."""

    def __init__(self, n):
        self.data = [0.0] * n

    def add(self, *args):
        self.data = [total + number(value) for total, value in zip(self.data, args)]

    def reset(self):
        self.data = [0.0] * len(self.data)

    def __getitem__(self, idx):
        return self.data[idx]


def use_svg_display():
    """Show later figures as SVG. Differs: no function here calls it (an SVG of many points is large)."""
    if "IPython" in sys.modules:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg")


def set_figsize(figsize=(3.5, 2.5)):
    """Size in inches of the figures drawn from now on."""
    import matplotlib.pyplot as plt

    plt.rcParams["figure.figsize"] = figsize


def set_axes(axes, xlabel, ylabel, xlim, ylim, xscale, yscale, legend):
    """Labels, limits, scales and legend of matplotlib axes, with a grid. None leaves a limit or the legend as it is."""
    axes.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale)
    if xlim is not None:  # matplotlib takes set_xlim(None) as: from now on, these limits stay
        axes.set_xlim(xlim)
    if ylim is not None:
        axes.set_ylim(ylim)
    if legend:
        axes.legend(legend)
    axes.grid(True)


FORMATS = ("-", "m--", "g-.", "r:")


def plot(X, Y=None, xlabel=None, ylabel=None, legend=None, xlim=None, ylim=None, xscale="linear", yscale="linear",
         fmts=FORMATS, figsize=(3.5, 2.5), axes=None):  # fmt: skip
    """Draw one or several curves: plot(ys), plot(x, y), plot(x, [y1, y2]) or plot([x1, x2], [y1, y2])."""
    import matplotlib.pyplot as plt

    set_figsize(figsize)
    axes = axes or plt.gca()
    curves = [as_curves(X)] if Y is None else [as_curves(X), as_curves(Y)]
    most = max(map(len, curves))
    axes.cla()
    for i in range(most):
        axes.plot(*(curve[i % len(curve)] for curve in curves), fmts[i % len(fmts)])
    set_axes(axes, xlabel, ylabel, xlim, ylim, xscale, yscale, legend)


def as_curves(values):
    """A list of curves, from one curve or from several."""
    return [values] if np.ndim(values[0]) == 0 else list(values)


class Animator:
    """A figure that grows while training. In a notebook it is redrawn in place, and stays as one picture.

    Differs: outside a notebook nothing is shown; `fig` can be saved or drawn.
    """

    def __init__(self, xlabel=None, ylabel=None, legend=None, xlim=None, ylim=None, xscale="linear", yscale="linear",
                 fmts=FORMATS, nrows=1, ncols=1, figsize=(3.5, 2.5)):  # fmt: skip
        import matplotlib.pyplot as plt

        self.fig, _ = plt.subplots(nrows, ncols, figsize=figsize, layout="constrained")
        plt.close(self.fig)  # else the notebook would show it a second time
        self.axes, self.fmts, self.points = self.fig.axes, fmts, []
        self.config_axes = partial(set_axes, self.axes[0], xlabel, ylabel, xlim, ylim, xscale, yscale, legend)
        self.live, self.shell = LiveDisplay(lambda: self.fig), None

    def add(self, x, y):
        """Add a point to each curve; `y` a number or one for each curve (None: no point), `x` likewise."""
        ys = [y] if np.ndim(y) == 0 else list(y)
        xs = [x] * len(ys) if np.ndim(x) == 0 else list(x)
        if not self.points:
            self.points = [([], [], self.axes[0].plot([], [], fmt)[0]) for _, fmt in zip(ys, self.fmts)]
            self.config_axes()
        for x, y, (x_values, y_values, line) in zip(xs, ys, self.points):
            if x is not None and y is not None:
                x_values.append(number(x))
                y_values.append(number(y))
                line.set_data(x_values, y_values)
        self.axes[0].relim()
        self.axes[0].autoscale_view()
        self.live.update()
        if not self.shell and (shell := notebook()):
            self.shell = shell
            shell.events.register("post_run_cell", self.finish)

    def finish(self, _):
        """Draw the last points at the end of the notebook's cell, and nothing at that of later cells."""
        self.live.close()
        self.shell.events.unregister("post_run_cell", self.finish)
        self.shell = None
