"""d2l: stopwatch, sums and figures."""

import time

import matplotlib
import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient

from d2lmini import d2l

matplotlib.use("Agg")


def test_timer(monkeypatch):
    clock = iter([10.0, 12.0, 20.0, 23.0, 30.0, 37.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    timer = d2l.Timer()
    assert timer.stop() == 2
    for seconds in (3, 7):
        timer.start()
        assert timer.stop() == seconds
    assert timer.times == [2, 3, 7] and timer.sum() == 12 and timer.avg() == 4 and timer.cumsum() == [2, 5, 12]


def test_accumulator(recwarn):
    metric = d2l.Accumulator(2)
    metric.add(1, torch.tensor(2.5))
    metric.add(torch.tensor(3.0, requires_grad=True), 4)
    assert metric.data == [4, 6.5] and metric[1] == 6.5 and isinstance(metric[0], float)
    metric.reset()
    assert metric.data == [0, 0] and not recwarn.list


def curves(axes):
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]


@pytest.mark.parametrize(
    ("X", "Y", "expected"),
    [
        ([3, 1, 2], None, [([0, 1, 2], [3, 1, 2])]),
        ([[3, 1], [5, 6, 7]], None, [([0, 1], [3, 1]), ([0, 1, 2], [5, 6, 7])]),
        ([1, 2], [3, 4], [([1, 2], [3, 4])]),
        ([1, 2], [[3, 4], [5, 6]], [([1, 2], [3, 4]), ([1, 2], [5, 6])]),
        ([[1, 2], [7, 8]], [[3, 4], [5, 6]], [([1, 2], [3, 4]), ([7, 8], [5, 6])]),
        (torch.arange(2), [torch.ones(2), np.zeros(2)], [([0, 1], [1, 1]), ([0, 1], [0, 0])]),
    ],
)
def test_plot_draws_the_curves_it_is_given(X, Y, expected):
    axes = d2l.plt.figure().gca()
    d2l.plot(X, Y, xlabel="token: x", ylabel="frequency: n(x)", xscale="log", yscale="log", legend=["a"], axes=axes)
    assert curves(axes) == expected
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_xscale()) == ("token: x", "frequency: n(x)", "log")
    d2l.plt.close("all")
    d2l.plot(X, Y, xlim=[1, 4], figsize=(6, 3))
    figure = d2l.plt.gcf()
    assert curves(figure.gca()) == expected and figure.gca().get_xlim() == (1, 4)
    assert tuple(figure.get_size_inches()) == (6, 3)
    d2l.plt.close("all")


def test_set_figsize_and_set_axes():
    d2l.set_figsize((5, 4))
    figure = d2l.plt.figure()
    axes = figure.gca()
    assert tuple(figure.get_size_inches()) == (5, 4)
    axes.plot([1, 2], [3, 4])
    d2l.set_axes(axes, "epoch", "loss", [0, 5], [1, 9], "linear", "log", ["train"])
    assert axes.get_xlim() == (0, 5) and axes.get_ylim() == (1, 9) and axes.get_yscale() == "log"
    assert axes.get_legend().get_texts()[0].get_text() == "train"
    assert all(line.get_visible() for line in axes.get_xgridlines() + axes.get_ygridlines())
    d2l.set_figsize()
    assert list(d2l.plt.rcParams["figure.figsize"]) == [3.5, 2.5]
    d2l.plt.close("all")


def test_animator_keeps_every_point_of_every_curve(tmp_path, recwarn):
    animator = d2l.Animator(xlabel="epoch", legend=["train", "test"], xlim=[1, 3], yscale="log")
    animator.add(1, [5.0, None])
    animator.fig.canvas.draw()  # from here on the axes have limits, which must grow with the curves
    animator.add(2, (torch.tensor(4.0), 80))
    animator.add(3, [3, 70])
    assert curves(animator.axes[0]) == [([1, 2, 3], [5, 4, 3]), ([2, 3], [80, 70])]
    assert animator.axes[0].get_xlim() == (1, 3)
    low, high = animator.axes[0].get_ylim()
    assert low <= 3 and high >= 80
    told = [warning for warning in recwarn if warning.category is UserWarning]  # an old matplotlib has others
    assert not d2l.plt.get_fignums() and not told  # nothing stays open, nothing is shown
    animator.fig.savefig(tmp_path / "curve.png")
    first, *_ = d2l.Animator(nrows=2, ncols=3).axes
    assert first.get_subplotspec().get_gridspec().get_geometry() == (2, 3)


def test_in_a_notebook_the_animator_leaves_one_picture():
    cell = (
        "from d2lmini import d2l\n"
        "animator = d2l.Animator(xlabel='epoch', legend=['train'], xlim=[1, 500])\n"
        "for epoch in range(500):\n"
        "    animator.add(epoch + 1, [500 / (epoch + 1)])\n"
        "print(len(animator.axes[0].lines[0].get_xdata()))"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    notebook.cells.append(nbformat.v4.new_code_cell("print(animator.last == 500)"))
    notebook.cells.append(nbformat.v4.new_code_cell("d2l.use_svg_display()\nd2l.plot([3, 1, 2])"))
    # The picture must show the last point, although drawing is seldom: note what is drawn.
    notebook.cells[0].source = cell.replace(
        "for epoch", "draw = animator.live.draw\n"
        "def noting():\n"
        "    animator.last = len(animator.axes[0].lines[0].get_xdata())\n"
        "    return draw()\n"
        "animator.live.draw = noting\n"
        "for epoch", 1,
    )  # fmt: skip
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = notebook.cells[0].outputs
    assert [output.output_type for output in outputs if output.output_type != "stream"] == ["display_data"]
    assert "image/png" in next(o for o in outputs if o.output_type == "display_data").data
    assert [o.text for o in outputs if o.output_type == "stream"] == ["500\n"]
    assert notebook.cells[1].outputs[0].text == "True\n" and len(notebook.cells[1].outputs) == 1
    (figure,) = notebook.cells[2].outputs
    assert "image/svg+xml" in figure.data
