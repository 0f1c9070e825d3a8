"""One style for every figure of the course. matplotlib is loaded when the first figure is drawn."""

import math
import sys
import time

# Okabe and Ito's palette: eight colours that colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000",
)  # fmt: skip
COLORS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY)
GREY = "0.4"


def subplots(rows=1, columns=1, figsize=(7, 3.5), **options):
    """matplotlib's plt.subplots in the course's style. Returns (figure, axes)."""
    import matplotlib.pyplot as plt

    style = {
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
        "axes.prop_cycle": plt.cycler(color=COLORS), "lines.linewidth": 1.8, "figure.dpi": 100, "font.size": 10,
    }  # fmt: skip
    with plt.rc_context(style):
        return plt.subplots(rows, columns, figsize=figsize, layout="constrained", **options)


def plot_perplexity(history, ax=None):
    """Perplexity per epoch, training and held-out, on a logarithmic axis with the baselines as lines.

    Every line is labelled at its right end with its name and last value. `ax`: draw there (default: a new
    figure). Returns the figure.
    """
    if ax is None:
        _, ax = subplots()
    labels = []
    for name, curve, color in (("training", train_curve(history), BLUE), ("held-out", history.held_out_ppl, RED)):
        if curve:
            ax.plot(list(curve), list(curve.values()), color=color, linewidth=1.8)
            last = list(curve.values())[-1]
            labels.append((last, f"{name} {last:.1f}" if last >= 10 else f"{name} {last:.2f}", color))
    finish_perplexity(ax, [history], labels)
    return ax.figure


def plot_perplexities(histories, ax=None):
    """Several runs on one pair of axes: a colour for each, training solid, held-out dashed.

    histories: {name: History}; the legend shows the names. Returns the figure.
    """
    if ax is None:
        _, ax = subplots(figsize=(7, 4))
    for (name, history), color in zip(histories.items(), COLORS):
        train, held_out = train_curve(history), history.held_out_ppl
        ax.plot(list(train), list(train.values()), color=color, linewidth=1.8, label=name)
        ax.plot(list(held_out), list(held_out.values()), color=color, linewidth=1.5, linestyle=(0, (4, 1.5)))
    ax.plot([], [], color=GREY, linewidth=1.8, label="solid: training")
    ax.plot([], [], color=GREY, linewidth=1.5, linestyle=(0, (4, 1.5)), label="dashed: held-out")
    finish_perplexity(ax, histories.values(), [])
    # Above the axes, where no curve can run through it.
    ax.figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    return ax.figure


def train_curve(history):
    """Training perplexity as {epoch: value}, the form that held-out perplexity has."""
    return dict(enumerate(history.train_ppl, start=1))


def finish_perplexity(ax, histories, labels):
    """Baselines, axes and labels of a perplexity figure; labels: (value, text, color) of each curve's end."""
    for name, ppl in next(iter(histories)).baselines.items():
        ax.axhline(ppl, color=GREY, linestyle=":", linewidth=1)
        labels.append((ppl, f"{name} {ppl:.1f}", GREY))
    values = [v for h in histories for v in (*h.train_ppl, *h.held_out_ppl.values(), *h.baselines.values())]
    top = 1.2 * max((v for v in values if v < 1e6), default=25)  # a diverging run does not flatten all others
    ticks = [digit * 10**power for power in range(6) for digit in (1, 2, 5) if digit * 10**power <= top]
    ax.margins(x=0)  # every curve ends at its label
    # In this order, the limits first: no overflow.
    ax.set(xlabel="epoch", ylabel="perplexity (log scale)", ylim=(0.93, top), yscale="log")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.minorticks_off()
    label_right(ax, labels)


def label_right(ax, labels):
    """Write labels (value, text, color) outside a logarithmic axis, at their values, but never on one another."""
    low, high = map(math.log, ax.get_ylim())
    gap = 13 / 72 / (ax.figure.get_figheight() * 0.8)  # a line of text, as a part of the axis's height
    floor = -math.inf
    for value, text, color in sorted(labels):
        place = min((math.log(max(value, 1e-9)) - low) / (high - low), 1)
        floor = max(place, floor + gap)
        ax.annotate(text, (1, floor), xycoords="axes fraction", xytext=(5, 0), textcoords="offset points",
                    va="center", fontsize=9, color=color)  # fmt: skip


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


class LiveFigure:
    """The perplexity figure of a running training: one output in the notebook, redrawn in place.

    Outside a notebook there is nothing to redraw: nothing is shown, and history.plot() draws the figure afterwards.
    """

    def __init__(self, history):
        self.history, self.handle, self.next_drawing = history, None, 0.0
        ipython = sys.modules.get("IPython")  # always loaded in a notebook, and not needed elsewhere
        if ipython and ipython.get_ipython():
            from IPython.display import DisplayHandle

            self.handle = DisplayHandle()
            self.draw(self.handle.display)

    def update(self):
        """Redraw with the epochs so far, unless the last drawing was too short a time ago."""
        # At most a twentieth of the time goes into drawing, however fast the epochs are.
        start = time.perf_counter()
        if self.handle and start >= self.next_drawing:
            self.draw(self.handle.update)
            self.next_drawing = start + 20 * (time.perf_counter() - start)

    def close(self):
        """Draw the last state and leave exactly one picture behind."""
        if self.handle:
            self.draw(self.handle.update)

    def draw(self, show):
        """Draw the figure anew and show it; closed at once, it is not shown a second time by the notebook itself."""
        import matplotlib.pyplot as plt

        figure = plot_perplexity(self.history)
        show(figure)
        plt.close(figure)
