"""The figures show what the History holds, in every state of a run, and a live figure leaves one picture behind."""

import io
import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import IPython.display
import matplotlib
import matplotlib.pyplot as plt
import nbformat
import pytest
import torch
from IPython.core.formatters import PNGFormatter
from matplotlib.figure import Figure
from matplotlib.text import Text
from nbclient import NotebookClient
from PIL import Image

import d2lmini
from d2lmini import History, plot_matrix, plot_perplexities, plot_perplexity, plotting

matplotlib.use("Agg")

BASELINES = {"uniform": 28.0, "unigram": 16.8, "bigram": 9.8}


def a_history(epochs=30, **facts):
    train_ppl = [1 + 20 / epoch for epoch in range(1, epochs + 1)]
    held_out_ppl = {epoch: 8.0 + epoch for epoch in range(10, epochs + 1, 10)}
    return History(train_ppl, held_out_ppl, [1000.0] * epochs, **{"baselines": dict(BASELINES), **facts})


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def curves(ax):
    """The lines that hold points of a run; the others lie at one height: [line, ...]."""
    return [line for line in ax.lines if len(line.get_xdata()) > 2]


def points(line):
    return list(line.get_xdata()), list(line.get_ydata())


def levels(ax):
    """Where the baselines lie."""
    return sorted(line.get_ydata()[0] for line in ax.lines if len(line.get_xdata()) == 2)


def test_the_curves_are_the_history_and_every_line_is_labelled():
    history = a_history()
    (ax,) = plot_perplexity(history).axes
    training, held_out = curves(ax)
    assert points(training) == (list(range(1, 31)), history.train_ppl)
    assert points(held_out) == ([10, 20, 30], [18.0, 28.0, 38.0])
    assert sorted(texts(ax)) == ["bigram 9.8", "held-out 38.0", "training 1.67", "uniform 28.0", "unigram 16.8"]
    assert levels(ax) == [9.8, 16.8, 28.0]
    assert ax.get_yscale() == "log" and ax.get_xlabel() == "epoch" and "perplexity" in ax.get_ylabel()
    low, high = ax.get_ylim()
    assert low < 1 < 38 < high
    assert ax.get_xlim() == (0, 30)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "2", "5", "10", "20"]
    assert ax.get_title(loc="left") == ""


def test_values_are_written_with_three_digits():
    assert texts(plot_perplexity(History([9.994], {1: 10.0}, [1.0])).axes[0]) == ["training 9.99", "held-out 10.0"]


def test_a_run_that_stopped_early_says_so():
    figure = plot_perplexity(a_history(stopped="interrupted after 30 of 500 epochs"))
    assert figure.axes[0].get_title(loc="left") == "interrupted after 30 of 500 epochs"


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 7, 500])
def test_epochs_are_whole_numbers(epochs):
    figure = plot_perplexity(a_history(epochs))
    figure.canvas.draw()
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels() if label.get_text()]
    assert len(labels) >= 2 and all(label.isdigit() for label in labels) and len(set(labels)) == len(labels)


def test_the_one_style_is_used_and_nothing_else_on_the_page_changes():
    before = dict(plt.rcParams)
    figure, ax = d2lmini.subplots()
    assert not ax.spines["top"].get_visible() and not ax.spines["right"].get_visible()
    assert ax.xaxis.get_gridlines()[0].get_visible() and figure.get_dpi() == 100
    colors = [ax.plot([i])[0].get_color() for i in range(6)]
    assert colors == list(plotting.COLORS)
    assert dict(plt.rcParams) == before
    figure, axes = d2lmini.subplots(2, 1, figsize=(4, 2), sharex=True)
    assert tuple(figure.get_size_inches()) == (4, 2) and axes[0].get_shared_x_axes().joined(*axes)


def test_baselines_are_thinner_than_curves_and_a_legend_shows_two_dashes():
    assert plotting.BASELINE["linewidth"] < plotting.TRAINING["linewidth"] == plotting.HELD_OUT["linewidth"]
    (ax,) = plot_perplexities({"a": a_history()}).axes
    _, dashed = ax.get_legend().get_lines()
    dash, gap = plotting.HELD_OUT["linestyle"][1]
    points = ax.get_legend().handlelength * ax.get_legend().get_texts()[0].get_fontsize()
    assert (dash + gap + dash) * dashed.get_linewidth() <= points  # a dash's length is given in line widths


def test_the_legend_lies_above_the_left_half_of_the_curves():
    figure = plot_perplexities({"a": a_history()})
    figure.canvas.draw()
    (ax,) = figure.axes
    box = ax.get_legend().get_window_extent()
    assert box.y0 >= ax.bbox.y1 and ax.bbox.x0 <= box.x0 < ax.bbox.x0 + ax.bbox.width / 2


def test_what_a_run_says_of_itself_is_as_large_as_the_names_of_the_axes():
    for figure in (plot_perplexity(a_history(stopped="stopped")), plotting.LiveFigure(a_history(), 500).plot()):
        (ax,) = figure.axes
        (title,) = (text for text in figure.findobj(Text) if text.get_text() == ax.get_title(loc="left"))
        assert title.get_text() and title.get_fontsize() == ax.xaxis.label.get_fontsize()


@pytest.mark.parametrize("draw", [plot_perplexity, lambda history: plot_perplexities({"": history})])
def test_training_and_held_out_and_baselines_have_one_line_style_each(draw):
    (ax,) = draw(a_history()).axes
    training, held_out = curves(ax)
    assert training.get_linestyle() == plotting.TRAINING["linestyle"] == "-"
    assert held_out.get_linestyle() == "--" and plotting.HELD_OUT["linestyle"] != "-"
    assert {line.get_linestyle() for line in ax.lines if len(line.get_xdata()) == 2} == {":"}


def test_training_and_held_out_have_one_colour_each():
    (ax,) = plot_perplexity(a_history()).axes
    assert [line.get_color() for line in curves(ax)] == [plotting.BLUE, plotting.ORANGE]
    assert {text.get_text().split()[0]: text.get_color() for text in ax.texts} == {
        "training": plotting.BLUE, "held-out": plotting.ORANGE,
        "uniform": plotting.GREY, "unigram": plotting.GREY, "bigram": plotting.GREY,
    }  # fmt: skip


def test_each_label_is_tied_to_the_end_of_its_line():
    figure = plot_perplexity(a_history())
    figure.canvas.draw()
    (ax,) = figure.axes
    for text in ax.texts:
        value = float(text.get_text().split()[1])
        x, y = ax.transAxes.transform(text.xy)
        assert x == pytest.approx(ax.bbox.x1) and ax.transData.inverted().transform((x, y))[1] == pytest.approx(
            value, rel=0.01
        )
        assert Text.get_window_extent(text).x0 > ax.bbox.x1 + 5
        assert text.get_fontsize() < ax.xaxis.label.get_fontsize()
        assert text.arrow_patch.get_edgecolor() == matplotlib.colors.to_rgba(text.get_color())


@pytest.mark.parametrize("dpi", [50, 100])
def test_labels_that_would_lie_on_one_another_are_a_line_apart(dpi):
    figure, ax = d2lmini.subplots()
    figure.set_dpi(dpi)
    plot_perplexity(History([10.0], {}, [1.0], baselines={"a": 10.0, "b": 10.1}), ax)
    heights = [text.get_position()[1] * ax.get_window_extent().height * 72 / dpi for text in ax.texts]
    assert sorted(b - a for a, b in pairwise(sorted(heights))) == pytest.approx([plotting.LINE] * 2)


def test_a_value_beyond_the_axis_is_labelled_at_its_edge():
    history = History([17.0, float("inf")], {}, [1.0] * 2, baselines=BASELINES)
    (text,) = (text for text in plot_perplexity(history).axes[0].texts if "training" in text.get_text())
    assert text.get_text() == "training inf" and text.xy == (1, 1)


@pytest.mark.parametrize(
    "values", [[], [0.5], [0, 0, 0], [0.2, 0.21, 0.9], [1, 1, 1, 1], [0, 0.01, 0.5, 0.52, 0.53, 1]]
)
def test_labels_are_spread_as_little_as_can_be(values):
    """Against a fine search: no other places that keep the gap are nearer to the values."""
    gap = 0.1
    places = plotting.spread(values, gap)
    assert len(places) == len(values)
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
    assert all(upper - lower >= gap - 1e-9 for lower, upper in pairwise(places))

    def distance(places):
        return sum((place - value) ** 2 for place, value in zip(places, values))

    # Convex, so the best is a point that no small step of neighbouring places improves.
    for first in range(len(values)):
        for last in range(first, len(values)):
            for step in (-1e-4, 1e-4):
                other = [place + step * (first <= i <= last) for i, place in enumerate(places)]
                allowed = all(0 <= place <= 1 for place in other)
                allowed = allowed and all(b - a >= gap - 1e-9 for a, b in pairwise(other))
                assert not allowed or distance(other) >= distance(places) - 1e-12


def test_more_labels_than_fit_go_on_above():
    assert plotting.spread([0.1, 0.2, 0.3], 0.6) == pytest.approx([0, 0.6, 1.2])


@pytest.mark.parametrize(
    "history",
    [
        History(),
        History(baselines=BASELINES),
        History([17.0], {}, [1.0]),
        History([17.0], {1: 16.0}, [1.0], baselines=BASELINES),
        History([17.0, 1e9, float("inf")], {3: float("inf")}, [1.0] * 3, baselines=BASELINES),
        History([17.0], {1: float("nan")}, [1.0], baselines=BASELINES),
    ],
    ids=["nothing yet", "baselines only", "one epoch", "one epoch with held-out", "diverging", "not a number"],
)
def test_a_run_can_be_drawn_in_every_state(history, recwarn):
    for figure in (plot_perplexity(history), plot_perplexities({"run": history})):
        figure.canvas.draw()
        assert figure.axes[0].get_ylim()[1] < 1e4
        assert figure.axes[0].get_xlim() == (0, max(len(history.train_ppl), 1))
    assert not recwarn.list


def test_a_single_point_can_be_seen():
    (ax,) = plot_perplexity(History([17.0], {1: 16.0}, [1.0])).axes
    assert [line.get_marker() for line in ax.lines] == ["o", "o"]
    assert {line.get_marker() for line in plot_perplexity(a_history()).axes[0].lines} == {"None"}


def test_an_axes_of_ones_own_is_used():
    figure, axes = d2lmini.subplots(1, 2)
    assert plot_perplexity(a_history(), axes[1]) is figure
    assert not axes[0].lines and axes[1].lines
    assert plot_perplexities({"a": a_history()}, axes[0]) is figure
    assert axes[0].lines and len(plt.get_fignums()) == 1


def test_several_runs_share_one_pair_of_axes():
    runs = {"first": a_history(30), "second": a_history(40)}
    figure = plot_perplexities(runs)
    (ax,) = figure.axes
    assert [len(line.get_xdata()) for line in curves(ax)] == [30, 3, 40, 4]
    colors = [line.get_color() for line in curves(ax)]
    assert colors[0] == colors[1] != colors[2] == colors[3]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["solid: training", "dashed: held-out"]
    assert [line.get_linestyle() for line in ax.get_legend().get_lines()] == ["-", "--"]
    # Each baseline once, not once a run; each run at the end of its held-out curve.
    assert sorted(texts(ax)) == ["bigram 9.8", "first 38.0", "second 48.0", "uniform 28.0", "unigram 16.8"]
    assert ax.get_xlim() == (0, 40)


@pytest.mark.parametrize("number", [1, 2, 6, 7, 12])
def test_all_runs_are_drawn_and_told_apart(number):
    runs = {f"run {i}": a_history(30 + 10 * i) for i in range(number)}
    (ax,) = plot_perplexities(runs).axes
    drawn = curves(ax)
    assert [points(line)[1] for line in drawn[::2]] == [history.train_ppl for history in runs.values()]
    assert [points(line)[1] for line in drawn[1::2]] == [
        list(history.held_out_ppl.values()) for history in runs.values()
    ]
    looks = [(line.get_color(), line.get_marker()) for line in drawn]
    assert looks[::2] == looks[1::2] and len(set(looks)) == number
    for (name, history), (_, marker) in zip(runs.items(), looks[::2]):
        last = list(history.held_out_ppl.values())[-1]
        assert f"{'' if marker in ('', 'None') else '● '}{name} {last:.1f}" in texts(ax)


def test_markers_are_few():
    """Else the curve of the seventh run would be a string of pearls, without a line style."""
    runs = {f"run {i}": a_history(500) for i in range(7)}
    assert [line.get_markevery() for line in curves(plot_perplexities(runs).axes[0])[-2:]] == [50, 5]
    (ax,) = plot_perplexity(a_history(9)).axes
    assert curves(ax)[0].get_markevery() == 1


@pytest.mark.parametrize("number", [0, 13])
def test_a_number_of_runs_that_cannot_be_drawn_is_refused(number):
    with pytest.raises(ValueError, match=rf"^{number} runs: .* 1 to 12 runs"):
        plot_perplexities({f"run {i}": a_history() for i in range(number)})
    assert not plt.get_fignums()


def test_runs_without_names_are_refused():
    with pytest.raises(TypeError, match=r"a dict {name: History}, not a list"):
        plot_perplexities([a_history()])


def test_a_run_without_held_out_text_is_labelled_at_its_training_curve():
    (ax,) = plot_perplexities({"a": History([5.0, 4.0, 3.0], {}, [1.0] * 3), "b": a_history()}).axes
    assert "a 3.00" in texts(ax) and "b 38.0" in texts(ax)
    assert sorted(levels(ax)) == [9.8, 16.8, 28.0] and "bigram 9.8" in texts(ax)


def test_baselines_of_different_texts_name_their_run():
    other = {"uniform": 28.0, "unigram": 17.5, "bigram": 12.0}
    runs = {"chapter": a_history(), "again": a_history(), "novel": a_history(baselines=other)}
    (ax,) = plot_perplexities(runs).axes
    assert levels(ax) == [9.8, 12.0, 16.8, 17.5, 28.0]
    assert {text for text in texts(ax) if "gram" in text or "uni" in text} == {
        "uniform 28.0", "unigram 16.8 (chapter)", "unigram 17.5 (novel)", "bigram 9.8 (chapter)", "bigram 12.0 (novel)",
    }  # fmt: skip


def test_a_matrix_has_ticks_a_scale_and_the_options_of_imshow():
    matrix = torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    figure = plot_matrix(matrix.numpy(), "column", "row", "title", xticks=list("abc"), yticks=list("xy"), vmax=9)
    ax, scale = figure.axes
    (image,) = ax.images
    assert torch.equal(torch.as_tensor(image.get_array()), matrix) and image.get_clim() == (0, 9)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["x", "y"]
    assert list(ax.get_xticks()) == [0, 1, 2] and list(ax.get_yticks()) == [0, 1]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("column", "row", "title")
    assert scale.get_ylim()[1] == 9
    assert ax.get_aspect() == "auto" and image.get_interpolation() == "nearest"
    assert not any(line.get_visible() for line in ax.get_xgridlines() + ax.get_ygridlines())
    mine = d2lmini.subplots()[1]
    assert plot_matrix(matrix, aspect="equal", ax=mine) is mine.figure and mine.get_aspect() == 1


def test_importing_the_package_does_not_load_matplotlib():
    program = "import sys, d2lmini; sys.exit('matplotlib.pyplot' in sys.modules or 'IPython' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


# What a notebook shows.


@pytest.fixture
def shell(monkeypatch):
    """A notebook's shell, as far as figures ask for it, with matplotlib's own PNG printer."""
    png = PNGFormatter()
    png.for_type(Figure, lambda figure: b"soft")
    shell = SimpleNamespace(kernel=None, display_formatter=SimpleNamespace(formatters={"image/png": png}))
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    return shell


@pytest.fixture
def shown(shell, monkeypatch):
    """What a notebook shows, one output after the other: a list of what each of its pictures said, [[...], ...]."""
    outputs = []

    def facts(figure):
        (ax,) = figure.axes
        return SimpleNamespace(
            title=ax.get_title(loc="left"), xlim=ax.get_xlim(), texts=texts(ax), levels=levels(ax), figure=figure
        )

    def display(figure, display_id):
        assert display_id
        output = [facts(figure)]
        outputs.append(output)
        return SimpleNamespace(update=lambda figure: output.append(facts(figure)))

    monkeypatch.setattr(IPython.display, "display", display)
    return outputs


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(plotting, "time", SimpleNamespace(perf_counter=lambda: clock.seconds))
    return clock


def test_a_picture_has_the_pixels_of_a_sharp_screen_and_its_size_on_the_page(shell):
    figure = plot_perplexity(a_history(500))
    png, size = shell.display_formatter.formatters["image/png"](figure)
    image = Image.open(io.BytesIO(png))
    assert image.size == pytest.approx((1400, 700), abs=60)
    assert (size["width"], size["height"]) == (image.width // 2, image.height // 2)
    assert len(png) < 60_000


def test_few_colours_change_nothing_that_can_be_seen():
    figure = plot_matrix([[i * j for i in range(20)] for j in range(20)])
    png, _ = plotting.sharp_png(figure)
    full = io.BytesIO()
    figure.savefig(full, dpi=200, bbox_inches="tight")
    few, many = (torch.tensor(list(Image.open(b).convert("RGB").tobytes())).float() for b in (io.BytesIO(png), full))
    assert (few - many).abs().mean() < 1 and len(png) < len(full.getvalue())


def test_a_learners_own_choice_of_format_stays(shell):
    png = shell.display_formatter.formatters["image/png"]
    png.type_printers.pop(Figure)  # as `set_matplotlib_formats("svg")` does
    d2lmini.subplots()
    assert Figure not in png.type_printers


@pytest.mark.parametrize("ipython", [None, SimpleNamespace(get_ipython=lambda: None),
                                     SimpleNamespace(get_ipython=lambda: SimpleNamespace(terminal=True))],
                         ids=["a script", "IPython loaded, not running", "a terminal"])  # fmt: skip
def test_outside_a_notebook_a_live_figure_draws_nothing(monkeypatch, ipython):
    monkeypatch.setattr(plotting, "plot_perplexity", lambda history: pytest.fail("drew a figure that nobody sees"))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    live = plotting.LiveFigure(a_history(), 100)
    live.update()
    live.close()
    assert plotting.notebook() is None


def test_the_first_frame_is_useful(shown):
    plotting.LiveFigure(History(baselines=BASELINES), 500)
    ((first,),) = shown
    assert first.title == "epoch 0 of 500, waiting for the first epoch"
    assert first.xlim == (0, 500) and first.levels == [9.8, 16.8, 28.0] and "bigram 9.8" in first.texts


def test_a_live_figure_tells_how_far_it_is_and_how_long_it_takes(shown, clock):
    history = a_history(0)
    live = plotting.LiveFigure(history, 500)
    for epochs, seconds, said in ((40, 10, "2 min"), (300, 60, "40 s"), (499, 60, "10 s")):
        history.train_ppl = a_history(epochs).train_ppl
        clock.seconds = 1000 + seconds
        live.next_drawing = 0
        live.update()
        assert shown[0][-1].title == f"epoch {epochs} of 500, about {said} left"
        assert shown[0][-1].xlim == (0, 500)
    assert len(shown) == 1 and len(shown[0]) == 4


def test_a_resumed_run_counts_its_own_epochs_only(shown, clock):
    history = a_history(300)
    live = plotting.LiveFigure(history, 500)
    assert shown[0][-1].title == "epoch 300 of 500, waiting for the next epoch"
    history.train_ppl = a_history(400).train_ppl
    clock.seconds += 300
    live.update()
    assert shown[0][-1].title == "epoch 400 of 500, about 5 min left"


@pytest.mark.parametrize("seconds, said", [(0.1, "10 s"), (10, "10 s"), (11, "20 s"), (89, "90 s"), (91, "2 min"),
                                           (5399, "90 min"), (5400, "1.5 h"), (3.6e6, "1000.0 h")])  # fmt: skip
def test_durations(seconds, said):
    assert plotting.duration(seconds) == said


@pytest.mark.parametrize(
    "epochs, stopped, title",
    [
        (500, None, ""),
        (30, None, "stopped after 30 of 500 epochs"),
        (30, "diverged in epoch 31", "diverged in epoch 31"),
    ],
)
def test_the_last_picture_says_whether_the_run_stopped_and_nothing_of_the_time(shown, clock, epochs, stopped, title):
    live = plotting.LiveFigure(a_history(0), 500)
    live.history = a_history(epochs, stopped=stopped)
    clock.seconds += 5
    live.close()
    assert shown[0][-1].title == title and shown[0][-1].xlim == (0, 500)
    assert any(text.startswith("training 1.") for text in shown[0][-1].texts)


def test_no_figure_of_a_live_display_stays_open(shown):
    mine, _ = plt.subplots()
    live = plotting.LiveFigure(a_history(), 30)
    live.next_drawing = 0
    live.update()
    live.close()
    assert plt.get_fignums() == [mine.number] and len(shown[0]) == 3

    def stop_button():
        plot_perplexity(a_history())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plotting.LiveDisplay(stop_button).show()
    assert plt.get_fignums() == [mine.number]


def test_drawing_takes_a_small_part_of_the_time(shown, clock):
    """A drawing of one second, asked for after every tenth of a second: at most every twentieth second goes into it."""
    figure, drawings = plot_perplexity(a_history()), []

    def draw():
        drawings.append(clock.seconds - 1000)
        clock.seconds += 1
        return figure

    live = plotting.LiveDisplay(draw)
    while clock.seconds < 1100:
        live.update()
        clock.seconds += 0.1
    assert [round(moment) for moment in drawings] == [0, 20, 40, 60, 80]
    live.close()
    assert drawings[-1] >= 100, "the last state is always drawn"


NOTEBOOK = """
import os, signal, time
import torch
from d2lmini import *
from d2lmini import training
from d2lmini.training import Watch
ids = torch.arange(60) % 5
model, batches = RNNModelScratch(5, 4), SequentialBatches(ids, 2, 5)
{before}
history = train(model, batches, 40, 0.5, watch=Watch(held_out=ids, every=1), show="figure")
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


def executed(source):
    """The outputs of a cell in a real kernel."""
    cells = [nbformat.v4.new_code_cell("1"), nbformat.v4.new_code_cell(source)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    return notebook.cells[1].outputs


@pytest.mark.parametrize("before, said", [("", "40 None"), (STOP_BUTTON, "6 interrupted after 6 of 40 epochs")])
def test_a_live_figure_leaves_one_picture_behind(before, said):
    """In a real kernel, run to the end or stopped by the stop button: one PNG, no second copy, nothing on stderr."""
    outputs = executed(NOTEBOOK.format(before=before))
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 1
    assert pictures[0].output_type == "display_data" and pictures[0].data["text/plain"].startswith("<Figure size")
    assert pictures[0].metadata["image/png"]["width"] == pytest.approx(700, abs=30)
    rest = [output for output in outputs if output not in pictures]
    assert [(output.name, output.text) for output in rest] == [("stdout", said + "\n")]
    if not before:
        assert executed(NOTEBOOK.format(before="")) == outputs, "run once more, nothing changes"
