"""The figures show what the History holds, in every state of a run, and a live figure leaves one picture behind."""

import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import pytest
import torch
from nbclient import NotebookClient

import d2lmini
from d2lmini import History, plot_matrix, plot_perplexities, plot_perplexity, plotting

matplotlib.use("Agg")

BASELINES = {"uniform": 28.0, "unigram": 16.8, "bigram": 9.8}


def a_history(epochs=30):
    train_ppl = [1 + 20 / epoch for epoch in range(1, epochs + 1)]
    held_out_ppl = {epoch: 8.0 + epoch for epoch in range(10, epochs + 1, 10)}
    return History(train_ppl, held_out_ppl, [1000.0] * epochs, baselines=dict(BASELINES))


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def curves(ax):
    """The lines with more than two points (a baseline has two): [(x, y), ...]."""
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines if len(line.get_xdata()) > 2]


def test_the_curves_are_the_history_and_every_line_is_labelled():
    history = a_history()
    (ax,) = plot_perplexity(history).axes
    training, held_out = curves(ax)
    assert training == (list(range(1, 31)), history.train_ppl)
    assert held_out == ([10, 20, 30], [18.0, 28.0, 38.0])
    assert sorted(texts(ax)) == ["bigram 9.8", "held-out 38.0", "training 1.67", "uniform 28.0", "unigram 16.8"]
    levels = sorted(line.get_ydata()[0] for line in ax.lines if len(line.get_xdata()) == 2)
    assert levels == [9.8, 16.8, 28.0]
    assert ax.get_yscale() == "log" and ax.get_xlabel() == "epoch" and "perplexity" in ax.get_ylabel()
    low, high = ax.get_ylim()
    assert low < 1 < 38 < high
    assert history.plot() is not None


def test_labels_never_lie_on_one_another():
    history = History([10.0] * 5, {5: 10.0}, [1.0] * 5, baselines={"a": 10.0, "b": 9.9, "c": 10.1, "d": 2.0})
    figure = plot_perplexity(history)
    figure.canvas.draw()
    boxes = sorted((text.get_window_extent() for text in figure.axes[0].texts), key=lambda box: box.y0)
    assert len(boxes) == 6
    for lower, upper in pairwise(boxes):
        assert lower.y1 <= upper.y0 + 2  # two pixels: letters have no ink at the very edge of their box


@pytest.mark.parametrize(
    "history",
    [
        History(),
        History(baselines=BASELINES),
        History([17.0], {}, [1.0]),
        History([17.0], {1: 16.0}, [1.0], baselines=BASELINES),
        History([17.0, 1e9, float("inf")], {3: float("inf")}, [1.0] * 3, baselines=BASELINES),
    ],
    ids=["nothing yet", "baselines only", "one epoch", "one epoch with held-out", "diverging"],
)
def test_a_run_can_be_drawn_in_every_state(history, recwarn):
    figure = plot_perplexity(history)
    figure.canvas.draw()
    assert figure.axes[0].get_ylim()[1] < 1e4
    assert not recwarn.list


def test_an_axes_of_ones_own_is_used():
    figure, axes = d2lmini.subplots(1, 2)
    assert plot_perplexity(a_history(), axes[1]) is figure
    assert not axes[0].lines and axes[1].lines


def test_several_runs_share_one_pair_of_axes():
    runs = {"first": a_history(30), "second": a_history(20)}
    figure = plot_perplexities(runs)
    (ax,) = figure.axes
    assert [len(x) for x, _ in curves(ax)] == [30, 3, 20]  # the second's held-out curve has two points
    colors = [line.get_color() for line in ax.lines[:4]]
    assert colors[0] == colors[1] != colors[2] == colors[3]
    assert ax.lines[0].get_linestyle() == "-" and ax.lines[1].get_linestyle() == "--"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "first", "second", "solid: training", "dashed: held-out",
    ]  # fmt: skip
    assert sorted(texts(ax)) == ["bigram 9.8", "uniform 28.0", "unigram 16.8"]  # once, not once a run


def test_a_matrix_has_ticks_a_scale_and_the_options_of_imshow():
    matrix = torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    figure = plot_matrix(matrix.numpy(), "column", "row", "title", xticks=list("abc"), yticks=list("xy"), vmax=9)
    ax, scale = figure.axes
    (image,) = ax.images
    assert torch.equal(torch.as_tensor(image.get_array()), matrix) and image.get_clim() == (0, 9)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["x", "y"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("column", "row", "title")
    assert scale.get_ylim()[1] == 9


def test_the_colours_can_be_told_apart():
    assert len(set(plotting.COLORS)) == len(plotting.COLORS) == 6


def test_importing_the_package_does_not_load_matplotlib():
    program = "import sys, d2lmini; sys.exit('matplotlib.pyplot' in sys.modules or 'IPython' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_outside_a_notebook_a_live_figure_draws_nothing(monkeypatch):
    monkeypatch.setattr(plotting, "plot_perplexity", lambda history: pytest.fail("drew a figure that nobody sees"))
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    live = plotting.LiveFigure(a_history())
    live.update()
    live.close()


def test_drawing_takes_a_small_part_of_the_time(monkeypatch):
    """A drawing of one second, asked for after every epoch of a tenth: at most every twentieth second goes into it."""
    clock, drawings = [0.0], []
    live = plotting.LiveFigure(a_history())
    monkeypatch.setattr(plotting, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def draw(figure):
        drawings.append(clock[0])
        clock[0] += 1

    live.handle = SimpleNamespace(update=draw)
    while clock[0] < 100:
        live.update()
        clock[0] += 0.1
    assert [round(moment) for moment in drawings] == [0, 20, 40, 60, 80]
    live.close()
    assert drawings[-1] >= 100, "the last state is always drawn"


NOTEBOOK = """
import os, signal, time
import torch
from d2lmini import *
from d2lmini import training
ids = torch.arange(60) % 5
model, batches = RNNModelScratch(5, 4), SequentialBatches(ids, 2, 5)
{before}
history = train(model, batches, 40, 0.5, held_out=ids, every=1, live=True)
print(len(history.train_ppl), history.stopped)
"""

STOP_BUTTON = """
one_epoch = training.train_epoch
def train_epoch(*args):
    if batches.epoch == 7:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    return one_epoch(*args)
training.train_epoch = train_epoch
"""


@pytest.mark.parametrize("before, said", [("", "40 None"), (STOP_BUTTON, "7 interrupted after 7 of 40 epochs")])
def test_a_live_figure_leaves_one_picture_behind(before, said):
    """In a real kernel, run to the end or stopped by the stop button: one PNG, no second copy, nothing on stderr."""
    cells = [nbformat.v4.new_code_cell("1"), nbformat.v4.new_code_cell(NOTEBOOK.format(before=before))]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    outputs = notebook.cells[1].outputs
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 1
    assert pictures[0].output_type == "display_data" and pictures[0].data["text/plain"].startswith("<Figure size")
    rest = [output for output in outputs if output not in pictures]
    assert [(output.name, output.text) for output in rest] == [("stdout", said + "\n")]
