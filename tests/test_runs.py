"""The stored results of notebook 09 are those of the scripts that claim to have made them."""

import json

import pytest
import recipes
import search

from d2lmini.bptt import one_torch_thread
from d2lmini.text import data_path


def stored(name):
    return json.loads(data_path(f"runs/{name}").read_text(encoding="utf-8"))


@pytest.fixture
def one_thread():
    """What the scripts set: other sums end elsewhere after many epochs."""
    with one_torch_thread():
        yield


def test_every_recipe_is_stored():
    assert set(stored("recipes.json")) == set(recipes.RECIPES)
    assert all(set(result["continuations"]) == set(recipes.PREFIXES) for result in stored("recipes.json").values())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in recipes.RECIPES if name != "B"])  # B begins with 500 epochs
def test_the_first_epochs_of_each_recipe(name, one_thread):
    again = recipes.run(name, num_epochs=20)
    for key in ("train_ppl", "held_out_ppl"):
        expected = {epoch: stored("recipes.json")[name][key][str(epoch)] for epoch in (10, 20)}
        assert again[key] == pytest.approx(expected, rel=0.02)


@pytest.mark.slow
def test_a_setting_of_the_search(one_thread):
    (expected,) = [
        row for row in stored("search.json") if (row["num_hiddens"], row["lr"], row["W_xh_std"]) == (64, 1, 1)
    ]
    again = search.try_setting(64, 1.0, True, 1.0)
    assert again["choose_ppl"] == pytest.approx(expected["choose_ppl"], rel=0.05)
    assert again["report_ppl"] == pytest.approx(expected["report_ppl"], rel=0.05)


def test_the_book_was_trained_as_the_script_says():
    book = stored("book.json")
    assert [tuple(stage) for stage in book["stages"]] == search.BOOK_STAGES
    assert len(book["curve"]) == sum(num_epochs for num_epochs, _ in search.BOOK_STAGES)
    assert book["held_out_ppl"] < 4.78 < book["baselines"]["bigram"]
