"""One style for every figure of the course, and figures that grow while a network trains.

One quantity keeps one colour and one line style: ax.plot(epochs, ppl, **TRAINING). matplotlib is loaded when the
first figure is drawn.
"""

import io
import math
import sys
import time

# Readers with deuteranopia or protanopia can tell any two of them apart, and so can readers of a greyscale print,
# because no two are equally bright. The first four are dark enough for text on white (contrast at least 4.5 : 1).
BLUE = "#083390"  # training, the forward pass, parameters
ORANGE = "#C65200"  # held-out text
GREEN = "#066F58"  # a second model or method beside the blue one
RED = "#9E1116"  # the backward pass, and whatever goes wrong
PURPLE, SKY = "#C56FA5", "#5ABBF0"  # further runs
GREY = "0.4"  # what is only there to compare with
COLORS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)
TEXT = {PURPLE: "#8C3A6E", SKY: "#1C6E9C"}  # text beside a curve in one of the two light colours

TRAINING = {"color": BLUE, "linestyle": "-", "linewidth": 1.8}
HELD_OUT = {"color": ORANGE, "linestyle": (0, (4, 1.5)), "linewidth": 1.8}
BASELINE = {"color": GREY, "linestyle": ":", "linewidth": 1}

MARKERS = "", "o"  # the colours once without, and once with a marker on the curve
MOST_RUNS = len(MARKERS) * len(COLORS)
LINE = 13  # height of a line of small text in points


def subplots(rows=1, columns=1, figsize=(7, 3.5), **options):
    """matplotlib's plt.subplots in the course's style. Returns (figure, axes)."""
    import matplotlib.pyplot as plt

    style = {
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
        "axes.prop_cycle": plt.cycler(color=COLORS), "figure.dpi": 100, "font.size": 10,
    }  # fmt: skip
    with plt.rc_context(style):
        made = plt.subplots(rows, columns, figsize=figsize, layout="constrained", **options)
    draw_sharply()  # afterwards: the first figure of a kernel loads the notebook's backend, which sets its own format
    return made


def notebook():
    """The shell of the notebook that this runs in, or None: in a script or a terminal nobody would see a figure."""
    ipython = sys.modules.get("IPython")  # always loaded in a notebook, and not needed elsewhere
    shell = ipython and ipython.get_ipython()
    return shell if hasattr(shell, "kernel") else None


def draw_sharply():
    """Let the notebook show figures as `sharp_png` draws them, unless the learner chose another format (SVG, say)."""
    from matplotlib.figure import Figure

    if shell := notebook():
        png = shell.display_formatter.formatters["image/png"]
        if Figure in png.type_printers:
            png.for_type(Figure, sharp_png)


def sharp_png(figure):
    """A figure as PNG for the notebook: (bytes, size on the page), with four pixels for each pixel of the page.

    A high-resolution screen shows them all. With only 256 colours, the file is still smaller than one with a quarter of
    the pixels in all colours.
    """
    from PIL import Image  # matplotlib needs it anyway

    full, small = io.BytesIO(), io.BytesIO()
    figure.savefig(full, dpi=2 * figure.dpi, bbox_inches="tight")
    image = Image.open(full).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    image.save(small, "PNG")
    return small.getvalue(), {"width": image.width // 2, "height": image.height // 2}


def plot_perplexity(history, ax=None):
    """Perplexity per epoch, training and held-out, on a logarithmic axis with the baselines as lines.

    Every line is labelled at the right with its name and last value. `ax`: draw there (default: a new figure).
    Returns the figure.
    """
    if ax is None:
        _, ax = subplots()
    labels = draw_curve(ax, "training", train_curve(history), TRAINING)
    labels += draw_curve(ax, "held-out", history.held_out_ppl, HELD_OUT)
    if history.stopped:
        ax.set_title(history.stopped, loc="left", fontsize=10)
    finish_perplexity(ax, {"": history}, labels)
    return ax.figure


def plot_perplexities(histories, ax=None):
    """Several runs on one pair of axes: a colour for each, training solid, held-out dashed, its name at the right.

    histories: {name: History}, at most 12; from the seventh on, the colours come again with a marker. A baseline that
    isn't the same for all runs is labelled with the run that it belongs to. `ax`: draw there (default: a new figure).
    Returns the figure. Raises TypeError unless `histories` is a dict, ValueError for none or more than 12 runs.
    """
    if not isinstance(histories, dict):
        raise TypeError(f"histories must be a dict {{name: History}}, not a {type(histories).__name__}.")
    if not 1 <= len(histories) <= MOST_RUNS:
        raise ValueError(
            f"{len(histories)} runs: one figure holds 1 to {MOST_RUNS} runs that can be told apart. "
            "Pass at least one, and spread many over several figures."
        )
    if ax is None:
        labels = len(histories) + len(baseline_labels(histories))
        _, ax = subplots(figsize=(7, max(4, 1 + labels * LINE / 72)))
    labels = []
    for i, (name, history) in enumerate(histories.items()):
        marker = MARKERS[i // len(COLORS)]
        look = {"color": COLORS[i % len(COLORS)], "marker": marker, "markersize": 4}
        name = f"● {name}" if marker else name
        training = draw_curve(ax, name, train_curve(history), TRAINING | look)
        labels += draw_curve(ax, name, history.held_out_ppl, HELD_OUT | look) or training
    for style, meaning in ((TRAINING, "solid: training"), (HELD_OUT, "dashed: held-out")):
        ax.plot([], [], **style | {"color": GREY}, label=meaning)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=9)  # above all curves
    finish_perplexity(ax, histories, labels)
    return ax.figure


def train_curve(history):
    """Training perplexity as {epoch: value}, the form that held-out perplexity has."""
    return dict(enumerate(history.train_ppl, start=1))


def draw_curve(ax, name, curve, style):
    """Draw {epoch: perplexity} and return its label for `label_right` in a list, empty if there is no point yet."""
    if not curve:
        return []
    if len(curve) == 1:
        style = style | {"marker": "o", "markersize": 4}  # a line needs two points
    ax.plot(list(curve), list(curve.values()), markevery=max(1, len(curve) // 10), **style)  # of markers, a few do
    last = list(curve.values())[-1]
    return [(last, f"{name} {last:.1f}" if last >= 10 else f"{name} {last:.2f}", style["color"])]


def baseline_labels(histories):
    """Every baseline of the runs once, as labels; one that not all of them share names its first run."""
    runs = {}
    for run, history in histories.items():
        for name, ppl in history.baselines.items():
            runs.setdefault((ppl, f"{name} {ppl:.1f}"), []).append(run)
    measured = sum(bool(history.baselines) for history in histories.values())
    return [
        (ppl, text if len(names) == measured else f"{text} ({names[0]})", GREY)
        for (ppl, text), names in runs.items()
    ]  # fmt: skip


def finish_perplexity(ax, histories, labels):
    """Baselines, axes and labels of a perplexity figure; labels: (value, text, color) of each curve's end."""
    lines = baseline_labels(histories)
    for ppl, _, _ in lines:
        ax.axhline(ppl, **BASELINE)
    runs = histories.values()
    values = [v for h in runs for v in (*h.train_ppl, *h.held_out_ppl.values(), *h.baselines.values())]
    top = 1.2 * max((v for v in values if v < 1e6), default=25)  # a diverging run does not flatten all others
    ticks = [digit * 10**power for power in range(6) for digit in (1, 2, 5) if digit * 10**power <= top]
    last = max((epoch for h in runs for epoch in (len(h.train_ppl), *h.held_out_ppl)), default=0)
    # In this order, the limits first: no overflow.
    ax.set(xlabel="epoch", ylabel="perplexity (log scale)", ylim=(0.93, top), yscale="log", xlim=(0, last or 1))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.minorticks_off()
    label_right(ax, labels + lines)


def label_right(ax, labels):
    """Write labels (value, text, color) at the right of a logarithmic axis, each tied to its value by a short line."""
    low, high = map(math.log, ax.get_ylim())
    gap = LINE * ax.figure.dpi / 72 / ax.get_window_extent().height  # a line of text, as a part of the axis's height
    labels = sorted((value if value < math.inf else math.inf, *rest) for value, *rest in labels)  # NaN goes to the top
    values = [min((math.log(max(value, 1e-9)) - low) / (high - low), 1) for value, _, _ in labels]
    for value, place, (_, text, color) in zip(values, spread(values, gap), labels):
        ax.annotate(
            text, (1, value), (1.035, place), "axes fraction", va="center", fontsize=9, color=TEXT.get(color, color),
            arrowprops={"arrowstyle": "-", "color": color, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)},
        )  # fmt: skip


def spread(values, gap):
    """Places from 0 to 1, at least `gap` apart, as near as can be to the ascending values (least squares).

    More of them than fit go on above 1. Idea: pool adjacent violators (Ayer and others, 1955).
    """
    pools = []  # [sum, size] of neighbours that touch one another; what counts is how far each is above i * gap
    for i, value in enumerate(values):
        pools.append([value - i * gap, 1])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]:
            total, size = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += size
    offsets = [total / size for total, size in pools for _ in range(size)]
    highest = max(1 - (len(values) - 1) * gap, 0)
    return [min(max(offset, 0), highest) + i * gap for i, offset in enumerate(offsets)]


def plot_matrix(matrix, xlabel="", ylabel="", title="", xticks=None, yticks=None, ax=None, **options):
    """A matrix as coloured cells with a scale beside it; ticks are lists of labels. Returns the figure.

    Further options (cmap, vmin, vmax, aspect ...) go to matplotlib's imshow.
    """
    if ax is None:
        _, ax = subplots()
    image = ax.imshow(matrix, **{"aspect": "auto", "interpolation": "nearest", **options})
    ax.grid(False)
    ax.figure.colorbar(image, ax=ax, shrink=0.9)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if xticks is not None:
        ax.set_xticks(range(len(xticks)), xticks)
    if yticks is not None:
        ax.set_yticks(range(len(yticks)), yticks)
    return ax.figure


class LiveDisplay:
    """A figure that is drawn anew while something runs, always in the same place of the notebook: one picture stays.

    `draw()` returns the figure as it should look now. Outside a notebook it's never called.
    """

    def __init__(self, draw):
        self.draw, self.handle, self.next_drawing = draw, None, 0.0

    def update(self):
        """Redraw, unless the last drawing was too short a time ago."""
        # At most a twentieth of the time goes into drawing, however often this is called.
        start = time.perf_counter()
        if start >= self.next_drawing:
            self.show()
            self.next_drawing = start + 20 * (time.perf_counter() - start)

    def show(self):
        """Redraw now."""
        if not notebook():
            return
        import matplotlib.pyplot as plt
        from IPython.display import display

        draw_sharply()
        others = plt.get_fignums()
        try:
            figure = self.draw()
            if self.handle:
                self.handle.update(figure)
            else:
                self.handle = display(figure, display_id=True)
        finally:  # also for the stop button while drawing: the notebook shows every figure that is still open
            for number in set(plt.get_fignums()) - set(others):
                plt.close(number)

    def close(self):
        """Leave the last state behind."""
        self.show()


class LiveFigure(LiveDisplay):
    """The perplexity figure of a training run in progress: how far it is, and how long it will take.

    The last picture doesn't show the time, so that equal training runs leave equal pictures. Call it with the
    growing History and the planned number of epochs.
    """

    def __init__(self, history, num_epochs):
        super().__init__(self.plot)
        self.history, self.num_epochs, self.running = history, num_epochs, True
        self.began, self.first = time.perf_counter(), len(history.train_ppl)  # a resumed run begins in the middle
        self.show()

    def plot(self):
        figure = plot_perplexity(self.history)
        (ax,) = figure.axes
        ax.set_xlim(0, self.num_epochs)
        if self.running or len(self.history.train_ppl) < self.num_epochs:
            ax.set_title(self.progress(), loc="left", fontsize=10)
        return figure

    def progress(self):
        """How far training is: "epoch 40 of 500, about 2 min left", or where it stopped."""
        epoch = len(self.history.train_ppl)
        if not self.running:
            return self.history.stopped or f"stopped after {epoch} of {self.num_epochs} epochs"
        if epoch == self.first:
            return f"epoch {epoch} of {self.num_epochs}, waiting for the {'next' if epoch else 'first'} epoch"
        per_epoch = (time.perf_counter() - self.began) / (epoch - self.first)
        return f"epoch {epoch} of {self.num_epochs}, about {duration((self.num_epochs - epoch) * per_epoch)} left"

    def close(self):
        """Leave the figure of the whole run behind, or of as much of it as there was time for."""
        self.running = False
        self.show()


def duration(seconds):
    """Roughly how long: "40 s", "2 min" or "1.5 h"."""
    if seconds < 90:
        return f"{10 * math.ceil(seconds / 10)} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
