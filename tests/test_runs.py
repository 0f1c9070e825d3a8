"""The stored results in data/runs are those of the scripts that claim to have made them."""

import json

import claims
import clinic
import gates
import pytest
import recipes
import search

from d2lmini.book import data_path


def stored(name):
    return json.loads(data_path(f"runs/{name}").read_text(encoding="utf-8"))


def test_every_recipe_is_stored():
    assert set(stored("recipes.json")) == set(recipes.RECIPES)
    runs = [run for name in recipes.RECIPES for run in stored("recipes.json")[name].values()]
    assert all(set(run["continuations"]) == set(recipes.PREFIXES) for run in runs)


NEW_MODELS = [(name, seed) for name, runs in stored("recipes.json").items() for seed in runs
              if recipes.RECIPES[name][-1] is None]  # the others begin with 500 epochs  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name, seed", NEW_MODELS)
def test_the_first_epochs_of_each_recipe(name, seed, one_thread):
    again = recipes.summary(name, int(seed), num_epochs=20)
    for key in ("train_ppl", "held_out_ppl"):
        expected = {epoch: stored("recipes.json")[name][seed][key][str(epoch)] for epoch in (10, 20)}
        assert again[key] == pytest.approx(expected, rel=0.12)  # older runs cut the text at other places


def test_the_patients_of_the_clinic_are_stored():
    assert set(stored("clinic.json")) == {"baselines", *(f"run {number}" for number in clinic.RUNS)}
    for number, (_, runs) in clinic.RUNS.items():
        record = stored("clinic.json")[f"run {number}"]
        assert set(record) == set(runs) and all(len(run["seeds"]) == len(clinic.SEEDS) for run in record.values())


@pytest.mark.slow
@pytest.mark.parametrize("number, run", [(number, run) for number in clinic.RUNS for run in clinic.RUNS[number][1]])
def test_the_first_epochs_of_the_clinic(number, run, one_thread):
    again = clinic.short(clinic.observe(number, run, num_epochs=2))
    expected = stored("clinic.json")[f"run {number}"][run]
    assert again["norms"][:3] == pytest.approx(expected["norms"][:3], rel=0.05)
    if number == 7:
        assert (max(again["norms"]) > 10) == (max(expected["norms"]) > 10) == (run == "broken")
    if number not in (1, 7):
        for epoch in (1, 2):
            assert again["train_ppl"][epoch] == pytest.approx(expected["train_ppl"][str(epoch)], rel=0.05)
            assert again["test_ppl"][epoch] == pytest.approx(expected["test_ppl"][str(epoch)], rel=0.05)


def test_the_effects_of_every_claim_are_stored_and_within_its_bounds():
    assert set(stored("claims.json")) == set(claims.CLAIMS)
    for name, effects in stored("claims.json").items():
        _, at_least, at_most, _ = claims.CLAIMS[name]
        assert len(effects) == len(claims.SEEDS) and all(at_least <= effect <= at_most for effect in effects), name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["explodes_through_time", "units_help", "no_detach_needs_memory"])
def test_an_effect_of_a_claim(name, one_thread):
    *_, measure = claims.CLAIMS[name]
    expected = stored("claims.json")[name][0]
    assert measure(claims.SEEDS[0]) == pytest.approx(expected, rel=0.05, abs=0.15)  # other machines round otherwise


def test_every_setting_of_the_search_is_stored():
    found = {(row["num_hiddens"], row["orthogonal"], row["input_std"], row["seed"]) for row in stored("search.json")}
    assert found == {(*setting, seed) for setting in search.SETTINGS for seed in (0, 1, 2)}


@pytest.mark.slow
def test_a_setting_of_the_search(one_thread):
    setting = 64, False, 1.0, 0
    (expected,) = [
        row
        for row in stored("search.json")
        if (row["num_hiddens"], row["orthogonal"], row["input_std"], row["seed"]) == setting
    ]
    again = search.try_setting(*setting)
    assert again["validation_ppl"] == pytest.approx(expected["validation_ppl"], rel=0.05)
    assert again["test_ppl"] == pytest.approx(expected["test_ppl"], rel=0.05)


def test_every_setting_of_the_layers_is_stored():
    runs = stored("gates.json")["runs"]
    found = [(run["layer"], run["loud"], run["lr"], run["seed"]) for run in runs]
    assert found == [(*arm, lr, seed) for arm, rates in gates.GRID.items() for lr in rates for seed in gates.SEEDS]
    arms = {(row["layer"], row["loud"], row["seed"]) for row in stored("gates.json")["gradients"]}
    assert arms == {(*arm, seed) for arm in gates.GRID for seed in gates.SEEDS}


def test_the_claims_about_layers_have_the_learning_rates_that_their_race_chooses():
    sums = {}  # every learning rate has as many seeds, so sums are compared as means are
    for run in stored("gates.json")["runs"]:
        rates = sums.setdefault((run["layer"], run["loud"]), {})
        rates[run["lr"]] = rates.get(run["lr"], 0) + run["validation_ppl"]
    assert {arm: min(rates, key=rates.get) for arm, rates in sums.items()} == claims.RATES


@pytest.mark.slow
def test_a_setting_of_the_layers(one_thread):
    (expected,) = [
        run for run in stored("gates.json")["runs"]
        if (run["layer"], run["loud"], run["lr"], run["seed"]) == ("LSTM", True, 4, 0)
    ]  # fmt: skip
    again = gates.try_setting("LSTM", True, 4, 0)
    for key in ("validation_ppl", "test_ppl"):
        assert again[key] == pytest.approx(expected[key], rel=0.05)  # another machine rounds in another way


def test_the_book_was_trained_as_the_script_says():
    book = stored("book.json")
    assert [tuple(stage) for stage in book["stages"]] == search.BOOK_STAGES
    assert [run["seed"] for run in book["runs"]] == list(search.SEEDS)
    for run in book["runs"]:
        assert len(run["curve"]) == sum(num_epochs for num_epochs, _ in search.BOOK_STAGES)
        assert len(run["short"]) == search.SHORT_EPOCHS // 4
        assert run["held_out_ppl"] < 4.78 < book["baselines"]["bigram"]


def test_both_books_were_read_with_every_seed():
    other = stored("other.json")
    assert other["characters"] == 16_555 and set(other["trained_on"]) == {"The Time Machine", "other"}
    for found in other["trained_on"].values():
        assert [run["seed"] for run in found["runs"]] == list(search.SEEDS)
        assert all(max(map(int, run["curve"])) == search.OTHER_EPOCHS for run in found["runs"])


@pytest.fixture
def other_book(tmp_path):
    """A made-up book, whose text begins after a few words of a publisher."""
    path = tmp_path / "book.txt"
    path.write_text("A Publisher's Note.\n\n" + "There was a dog, and there was a cat.\n" * 800, encoding="utf-8")
    return path


def test_another_book_begins_where_it_should_and_is_cut_like_the_chapter(other_book):
    tokens, held_out, vocab = search.load_corpus()
    train, validation, test, _ = search.load_other(other_book, "there was a dog")
    assert len(train) == len(tokens) and len(validation) + len(test) == len(held_out)
    assert "".join(vocab.to_tokens(train[:20])) == "there was a dog and "


def test_another_book_without_its_first_words_or_too_short_is_refused(other_book):
    with pytest.raises(ValueError, match="doesn't contain 'call me'"):
        search.load_other(other_book, "call me")
    other_book.write_text("Call me what you like.", encoding="utf-8")
    with pytest.raises(ValueError, match="only 21 characters"):
        search.load_other(other_book, "call me")


@pytest.mark.slow
def test_the_chapter_reads_itself_again(one_thread):
    """The other book doesn't ship, so the network trained on the chapter is repeated, on its own test half."""
    tokens, held_out, vocab = search.load_corpus()
    half = len(held_out) // 2
    again = search.cross(tokens, held_out[:half], {"own": held_out[half:]}, 0, len(vocab))
    expected = stored("other.json")["trained_on"]["The Time Machine"]["runs"][0]
    assert again["test_ppl"]["own"] == pytest.approx(expected["test_ppl"]["The Time Machine"], rel=0.05)
