"""Whoever looks at the figures can read them: on any screen, in grey, with colour blindness, or read aloud.

Alternative texts are in the metadata of the cells, {"mystnb": {"image": {"alt": "..."}}}, where the pages find them;
JupyterLab shows none. A text tells the finding ("The held-out curve turns at epoch 60"), not what kind of figure it is.
"""

import base64
import io
import re
from itertools import combinations
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from d2lmini import History, plot_matrix, plot_perplexities, plot_perplexity, plotting, subplots

matplotlib.use("Agg")

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))

# Machado, Oliveira and Fernandes: A physiologically-based model for simulation of color vision deficiency (2009),
# severity 1, for linear RGB.
EYES = {
    "normal": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
}
# IEC 61966-2-1: linear sRGB to XYZ.
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def linear(rgb):
    rgb = np.asarray(rgb, float)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb, eye="normal"):
    """CIELAB coordinates (..., 3) of sRGB colours (..., 3) from 0 to 1, as this eye sees them."""
    seen = np.clip(linear(rgb) @ np.transpose(EYES[eye]), 0, 1)
    ratio = seen @ XYZ.T / XYZ.sum(axis=1)
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def difference(a, b):
    """(smallest distance in CIELAB over all eyes, difference in lightness) of two colours; 2.3 is just noticeable."""
    a, b = to_rgb(a), to_rgb(b)
    nearest = min(np.linalg.norm(lab(a, eye) - lab(b, eye)) for eye in EYES)
    return nearest, abs(lab(a)[0] - lab(b)[0])


def held_apart(a, b):
    distance, grey = difference(a, b)
    return distance > 20 and grey > 7.5


def contrast(color, background="white"):
    """Contrast of text (WCAG 2.1): from 1 to 21."""
    darker, lighter = sorted(float(linear(to_rgb(c)) @ XYZ[1]) for c in (color, background))
    return (lighter + 0.05) / (darker + 0.05)


def history(epochs=500, number=0, **facts):
    train_ppl = [1 + 16 * 0.985 ** (epoch * (1 + number / 5)) for epoch in range(1, epochs + 1)]
    held_out_ppl = {epoch: 8 + abs(epoch - 100) / 15 + 2 * number for epoch in range(10, epochs + 1, 10)}
    baselines = {"uniform": 28.0, "unigram": 16.8, "bigram": 9.8, "5-gram": 4.9}
    return History(train_ppl, held_out_ppl, [1.0] * epochs, **{"baselines": baselines, **facts})


def live(epochs):
    figure = plotting.LiveFigure(history(epochs), 500)
    figure.first = 0
    return figure.plot()


def near_one_another():
    baselines = {"a": 10.0, "b": 9.9, "c": 10.1, "d": 28.0, "e": 27.9, "f": 1.0, "g": 1.01}
    return plot_perplexity(History([10.0] * 5, {5: 28.1}, [1.0] * 5, baselines=baselines))


def two_texts():
    other = {"uniform": 44.0, "unigram": 19.2, "bigram": 12.1}
    return plot_perplexities({"chapter": history(), "with capitals": history(number=1, baselines=other)})


def two_panels():
    figure, axes = subplots(2, 1, figsize=(7, 5.6), sharex=True, height_ratios=[2, 1])
    plot_perplexity(history(), axes[0])
    return figure


FIGURES = {
    "one run": lambda: plot_perplexity(history()),
    "stopped": lambda: plot_perplexity(history(200, stopped="interrupted after 200 of 500 epochs")),
    "first frame": lambda: plotting.LiveFigure(history(0), 500).plot(),
    "live": lambda: live(40),
    "two runs": lambda: plot_perplexities({"sequential": history(), "random": history(number=1)}),
    "six runs": lambda: plot_perplexities({f"run {i}": history(number=i) for i in range(6)}),
    "twelve runs": lambda: plot_perplexities({f"run {i}": history(300 + 10 * i, i) for i in range(12)}),
    "two texts": two_texts,
    "near one another": near_one_another,
    "two panels": two_panels,
    "matrix": lambda: plot_matrix(np.eye(10), "next letter", "letter", "title", [*"abcdefghij"], [*"abcdefghij"]),
}


def visible_texts(figure):
    return [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]


# The colours.


def test_the_simulation_finds_what_is_known():
    assert difference("#D55E00", "#E69F00")[0] < 20  # vermilion and orange of a well-known palette, in deuteranopia
    assert difference("#009E73", "#CC79A7")[0] < 20  # its green and its purple
    assert difference("#009E73", "#D55E00")[1] < 4  # its green and its vermilion, in grey
    for eye in EYES:
        assert lab((1, 1, 1), eye) == pytest.approx([100, 0, 0], abs=0.1) and lab((0, 0, 0), eye)[0] == 0
    assert lab(to_rgb("#0000FF")) == pytest.approx([32.3, 79.2, -107.9], abs=0.2)
    assert contrast("black") == 21 and contrast("#767676") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("a, b", list(combinations(plotting.COLORS, 2)))
def test_any_two_colours_are_held_apart(a, b):
    assert held_apart(a, b), difference(a, b)


def test_training_and_held_out_text_differ_most():
    distance, grey = difference(plotting.TRAINING["color"], plotting.HELD_OUT["color"])
    assert distance > 90 and grey > 20
    assert plotting.TRAINING["linestyle"] != plotting.HELD_OUT["linestyle"]


def test_names_say_what_everybody_sees():
    """Hue angle in CIELAB, in degrees: about 30 is red, 60 orange, 165 green, 290 blue, 340 purple."""
    for name, low, high in (
        ("RED", 20, 45),
        ("ORANGE", 50, 75),
        ("GREEN", 150, 180),
        ("BLUE", 280, 300),
        ("PURPLE", 325, 350),
    ):
        _, a, b = lab(to_rgb(getattr(plotting, name)))
        assert low < np.degrees(np.arctan2(b, a)) % 360 < high, name


def test_the_four_colours_for_text_and_the_grey_can_be_read():
    for color in (plotting.BLUE, plotting.ORANGE, plotting.GREEN, plotting.RED, plotting.GREY, *plotting.TEXT.values()):
        assert contrast(color) >= 4.5, color
    assert {color for color in plotting.COLORS if contrast(color) < 4.5} == set(plotting.TEXT)


def test_the_curves_of_a_picture_are_held_apart():
    """In the very pixels of a notebook's picture, colours reduced and edges smoothed."""
    png, _ = plotting.sharp_png(FIGURES["six runs"]())
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).reshape(-1, 3) / 255
    coordinates, drawn = lab(pixels), []
    for color in plotting.COLORS:
        own = pixels[np.linalg.norm(coordinates - lab(to_rgb(color)), axis=1) < 5]
        assert len(own) > 1000, f"{color} isn't in the picture"
        drawn.append(np.median(own, axis=0))
    for a, b in combinations(drawn, 2):
        assert held_apart(a, b), difference(a, b)


@pytest.mark.parametrize("eye", EYES)
def test_the_colours_of_a_matrix_are_ordered_by_lightness_for_every_eye(eye):
    image = plot_matrix([[0, 1]]).axes[0].images[0]
    lightness = lab(image.cmap(np.linspace(0, 1, 11))[:, :3], eye)[:, 0]
    assert (np.diff(lightness) > 2).all()


# The text.


@pytest.mark.parametrize("name", FIGURES)
def test_texts_are_large_dark_and_never_lie_on_one_another(name):
    figure = FIGURES[name]()
    figure.canvas.draw()
    assert figure.get_size_inches()[0] == 7  # 700 pixels of the page: a notebook on a laptop
    texts = visible_texts(figure)
    assert len(texts) > 10
    boxes = [Text.get_window_extent(text) for text in texts]
    for text, box in zip(texts, boxes):
        assert text.get_fontsize() >= 9 and contrast(text.get_color()) >= 4.5, text
        assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y0 >= -1 and box.y1 <= figure.bbox.y1 + 1, text
    for (a, one), (b, other) in combinations(zip(texts, boxes), 2):
        # Two pixels: letters have no ink at the very edge of their box.
        width, height = min(one.x1, other.x1) - max(one.x0, other.x0), min(one.y1, other.y1) - max(one.y0, other.y0)
        assert width <= 2 or height <= 2, (a, b)


@pytest.mark.parametrize("name", FIGURES)
def test_pictures_are_sharp_and_small(name):
    png, size = plotting.sharp_png(FIGURES[name]())
    assert Image.open(io.BytesIO(png)).width == pytest.approx(2 * size["width"], abs=1)
    assert 650 < size["width"] < 750 and len(png) < 150_000


# The notebooks as they are saved.


def pictures():
    """Every cell with a picture: (notebook and id, cell, bytes, what the page is told of the picture)."""
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                if png := output.get("data", {}).get("image/png"):
                    yield f"{path.stem} {cell.id}", cell, base64.b64decode(png), output.metadata.get("image/png", {})


def test_no_picture_is_large():
    assert [name for name, _, png, _ in pictures() if len(png) > 500_000] == []


def test_every_picture_has_an_alternative_text():
    alts = {name: cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "") for name, cell, _, _ in pictures()}
    assert [name for name, alt in alts.items() if len(alt) < 30] == []
    assert len(set(alts.values())) == len(alts), "each figure has a finding of its own"


def test_every_picture_is_sharp():
    soft = [name for name, _, png, size in pictures()
            if Image.open(io.BytesIO(png)).width < 2 * size.get("width", 1e9)]  # fmt: skip
    assert soft == []


def test_no_figure_has_tiny_text_or_colours_of_its_own():
    sources = {name: cell.source for name, cell, _, _ in pictures()}
    assert [
        name for name, source in sources.items() if re.search(r"fontsize=[0-8]\b|\"#(0072B2|D55E00)\"", source)
    ] == []
