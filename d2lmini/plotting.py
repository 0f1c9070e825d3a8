"""One style for every figure of the course. matplotlib is loaded when the first figure is drawn."""

# Okabe and Ito's palette: eight colours that colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000",
)  # fmt: skip
COLORS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY)


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
    """Perplexity per epoch on a logarithmic axis: training, held-out, baselines as lines. Returns the figure."""
    if ax is None:
        _, ax = subplots()
    epochs = range(1, len(history.train_ppl) + 1)
    ax.plot(epochs, history.train_ppl, color=BLUE, label="training")
    if history.held_out_ppl:
        ax.plot(list(history.held_out_ppl), list(history.held_out_ppl.values()), color=RED, label="held-out")
    for name, ppl in history.baselines.items():
        ax.axhline(ppl, color="0.45", linestyle="--", linewidth=1)
        ax.annotate(f"{name} {ppl:.1f}", (1, ppl), xycoords=ax.get_yaxis_transform(), xytext=(-2, 2),
                    textcoords="offset points", ha="right", va="bottom", fontsize=8, color="0.35")  # fmt: skip
    ax.set(xlabel="epoch", ylabel="perplexity (log scale)", yscale="log")
    ticks = [1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500]
    ax.set_yticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    values = [*history.train_ppl, *history.held_out_ppl.values(), *history.baselines.values(), 1.0]
    ax.set_ylim(0.92, 1.3 * max(value for value in values if value < 1e6))
    if epochs:
        ax.legend(loc="best", frameon=False)
    return ax.figure


def plot_matrix(matrix, xlabel="", ylabel="", title="", xticks=None, yticks=None, ax=None, **options):
    """A matrix as coloured cells with a scale beside it; ticks are lists of labels. Returns the figure."""
    if ax is None:
        _, ax = subplots()
    image = ax.imshow(matrix, aspect=options.pop("aspect", "auto"), interpolation="nearest", **options)
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

    Outside a notebook nothing is shown, and the figure can still be drawn afterwards with history.plot().
    """

    def __init__(self, history):
        from IPython import get_ipython

        self.history, self.handle = history, None
        self.fig, self.ax = subplots()
        if get_ipython() is not None:
            from IPython.display import display

            self.handle = display(self.fig, display_id=True)

    def update(self):
        """Redraw with the epochs so far."""
        self.ax.clear()
        plot_perplexity(self.history, self.ax)
        if self.handle:
            self.handle.update(self.fig)

    def close(self):
        """Draw the last state and leave exactly one picture behind."""
        import matplotlib.pyplot as plt

        self.update()
        plt.close(self.fig)
