"""What notebook 11 has stored is what tests/tools/novel.py makes, with the notebook's own cells."""

import json
import math

import novel
import pytest
import torch

from d2lmini import download_book, read_text
from d2lmini.book import data_path


@pytest.fixture(scope="module")
def stored():
    return json.loads(data_path("runs/novel.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def book():
    """(training, validation, test, vocab) of the whole book; without it the test is skipped."""
    try:
        return novel.nb["load_split"](read_text(download_book()))
    except ConnectionError as error:
        pytest.skip(str(error))


def test_every_part_is_stored(stored):
    runs = {f"long-{seed}" for seed in novel.SEEDS}
    assert set(stored) == {"sizes", "rivals", "ladder", "orders", "report", "pages", "wells"} | runs
    runs = {(run["rung"], run["seed"]) for run in stored["ladder"]}
    assert runs == {(rung, seed) for rung in novel.RUNGS for seed in novel.SEEDS}
    for run in stored["ladder"]:
        assert len(run["curve"]) == novel.PASSES and run["perplexity"] == min(ppl for _, ppl in run["curve"])


@pytest.mark.parametrize("seed", novel.SEEDS)
def test_the_stored_runs_are_those_of_the_recipe(stored, seed):
    run, recipe = stored[f"long-{seed}"], novel.LONG
    assert run["recipe"] == json.loads(json.dumps(recipe))
    assert [int(epoch) for epoch in run["curve"]] == list(range(1, len(run["curve"]) + 1))
    assert len(run["curve"]) <= recipe["num_epochs"]
    best = min(min(row[1:]) for row in run["curve"].values())
    alone = stored["report"][f"network {seed}"]["validation"]["network"]
    assert alone == pytest.approx(best, rel=5e-3)  # measured in one piece, with one cold start instead of four


def test_the_stored_report_fits_the_rivals(stored):
    for report in stored["report"].values():
        for half in ("validation", "test", "whole"):
            alone = min(report[half]["network"], report[half]["counts"])
            assert report[half]["product"] < report[half]["mixture"] < alone
        assert math.isclose(report["whole"]["counts"], stored["rivals"]["Kneser-Ney 7"], rel_tol=5e-3)
    assert min(stored["orders"].values()) == stored["report"]["together"]["validation"]["product"]


def test_the_stored_pages_were_measured_as_the_notebook_does(stored):
    for page in stored["pages"].values():
        assert len(page["text"]) == novel.PAGE and page["longest copy"] in page["text"]
        assert set(page["invented"]) <= set(page["text"].split())
    assert novel.nb["longest_copy"]("the red house", "a redder house, the end") == " house"
    assert novel.nb["invented"]("cut morlock the end cut", "the end") == ["morlock"]


@pytest.mark.parametrize("rung", novel.RUNGS)
def test_every_rung_can_be_climbed(rung, monkeypatch):
    """On the chapter that ships, with small networks: the script runs from end to end."""
    tokens, validation, _, vocab = novel.nb["load_split"](read_text())
    kind, (_, *rates), *others = novel.RUNGS[rung]
    monkeypatch.setitem(novel.RUNGS, rung, (kind, (8, *rates), *others))
    monkeypatch.setattr(novel, "CHAPTER", 5000)
    ((train_ppl, validation_ppl),) = novel.climb(rung, 0, tokens, validation, vocab, passes=1)
    assert 2 < train_ppl < 30 and 2 < validation_ppl < 30


def test_long_runs_are_reported_as_in_the_notebook(monkeypatch, tmp_path, capsys):
    """On the chapter that ships, with small networks: the script runs from end to end."""
    monkeypatch.setattr(novel, "RESULTS", tmp_path / "novel.json")
    monkeypatch.setattr(novel, "WEIGHTS", tmp_path)
    monkeypatch.setattr(novel, "PAGE", 100)
    recipe = {"units_and_dropout": (8, 0.25, 0.2, 0.05), "num_epochs": 2, "batch_size": 16}
    monkeypatch.setattr(novel, "LONG", recipe)
    split = novel.nb["load_split"](read_text())
    for part in ("long-0", "long-1", "long-2", "report"):
        novel.PARTS[part](*split)
    found = novel.stored()
    assert list(found["long-1"]["curve"]) == ["1", "2"] and len(found["pages"]["at the end, top-p 0.9"]["text"]) == 100
    for name in ("network 0", "network 1", "network 2", "together"):
        assert found["report"][name]["validation"]["mixture"] <= found["report"][name]["validation"]["counts"] < 7
    network, _ = novel.load_model(tmp_path / "novel-long-2.safetensors")
    whole = novel.evaluate(network, torch.cat(split[1:3]))
    assert found["report"]["network 2"]["whole"]["network"] == pytest.approx(whole, rel=1e-3)
    alone = [found["report"][f"network {seed}"]["whole"]["network"] for seed in novel.SEEDS]
    assert found["report"]["together"]["whole"]["network"] < max(alone)  # the mean of probabilities


@pytest.mark.slow
def test_the_rivals_again(book, stored):
    tokens, validation, test, vocab = book
    assert stored["sizes"]["training"] == len(tokens)
    again = novel.nb["rivals"](tokens, torch.cat([validation, test]), vocab)
    for name, ppl in again.items():  # other versions of the compressors may save a byte more
        assert ppl == pytest.approx(stored["rivals"][name], rel=0.01 if name in ("bz2", "xz") else 1e-3), name


@pytest.mark.slow
@pytest.mark.parametrize("rung, passes", [("chapter", 3), ("schedule", 2), ("LSTM", 1), ("smaller", 1)])
def test_the_first_passes_of_a_rung_again(rung, passes, book, stored, one_thread):
    tokens, validation, _, vocab = book
    (run,) = [run for run in stored["ladder"] if (run["rung"], run["seed"]) == (rung, 0)]
    again = novel.climb(rung, 0, tokens, validation, vocab, passes)
    for row, expected in zip(again, run["curve"]):
        assert row == pytest.approx(expected, rel=0.03)


@pytest.mark.slow
def test_the_first_epoch_of_the_long_run_again(book, stored, one_thread):
    def stop(epoch, model):
        raise KeyboardInterrupt  # as the stop button does

    tokens, validation, _, vocab = book
    _, curve, _ = novel.train(novel.LONG, 0, tokens, validation, vocab, stop)
    assert curve == {1: pytest.approx(stored["long-0"]["curve"]["1"], rel=0.03)}
