"""A learner's guesses: kept, shown beside the outcomes, and asked for after each Predict."""

import re
from pathlib import Path

import nbformat
import pytest

from d2lmini import checks, compare_guesses, guess, guesses, saved_guesses

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(guesses, "_kept", {})


def test_a_guess_stands_beside_its_outcome(capsys):
    guess("sides of a die", 6)
    guess("skipped")
    guess("changed my mind", 1)
    guess("changed my mind", "two, or three")
    compare_guesses({"sides of a die": 6.0, "skipped": "a word", "changed my mind": 2, "never asked": 3})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "question", "sides of a die", "skipped", "changed my mind", "never asked",
    ]  # fmt: skip
    assert [re.split(r"  +", line)[1:] for line in lines[1:]] == [
        ["6", "6.0"], ["-", "a word"], ["two, or three", "2"], ["-", "3"],
    ]  # fmt: skip


def test_long_texts_are_wrapped_and_nothing_is_lost(capsys):
    question, answer = "how many words of the novel does the network know by heart", "as many as a parrot, " * 3
    guess(question, answer)
    compare_guesses({question: "none " * 20})
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 88
    assert sorted(out.split())[3:] and all(out.split().count(word) for word in question.split() + answer.split())
    assert out.split().count("none") == 20


def test_a_table_is_as_wide_as_a_page(capsys):
    question, answer, outcome = "q" * 34, "a" * 22, "o" * 28
    guess(question, answer)
    compare_guesses({question: outcome})
    assert capsys.readouterr().out.splitlines()[1:] == [f"{question}  {answer}  {outcome}"]
    guess(question, answer + "a")
    compare_guesses({question: outcome + "o"})
    assert capsys.readouterr().out.splitlines()[2:] == [f"{' ' * 34}  a{' ' * 21}  o"]


@pytest.mark.parametrize("question", ["", "  ", None, 3])
def test_a_guess_needs_a_question(question):
    with pytest.raises(ValueError, match="must be text"):
        guess(question, 1)


@pytest.mark.parametrize("outcomes", [{}, None, "text", ["a"]])
def test_outcomes_are_a_dict(outcomes):
    with pytest.raises(ValueError, match="as a dict"):
        compare_guesses(outcomes)


def test_saved_tables_are_found_again(tmp_path):
    name = NOTEBOOKS[1].name
    output = nbformat.v4.new_output("stream", text="question  your guess\n")
    cells = [nbformat.v4.new_code_cell("1", id="other"), nbformat.v4.new_code_cell("2", id="guesses", outputs=[output])]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / name)
    (tmp_path / NOTEBOOKS[2].name).write_text("no notebook")
    assert saved_guesses(tmp_path) == {NOTEBOOKS[1].stem: "question  your guess\n"}
    assert saved_guesses(tmp_path / "nowhere") == {}


def test_a_right_answer_lives_on_and_a_wrong_one_gives_way(capsys):
    def mine(n):
        return 0

    name, check = next((name, getattr(checks, name)) for name in checks.__all__)
    assert check.pick(mine) is check.references[0]
    assert capsys.readouterr().out == f"going on with the course's {name}\n"
    reference = check.references[0]
    assert check.pick(reference) is reference
    assert capsys.readouterr().out == f"going on with {reference.__name__}\n"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_predict_keeps_a_guess_and_the_end_shows_them(path):
    cells = nbformat.read(path, as_version=4).cells
    asked, waiting = [], None
    for cell in cells:
        if cell.id.startswith("guess-"):
            assert waiting, f"{cell.id} has no **Predict** before it"
            found = re.fullmatch(r'guess\(\s*"([^"]+)", \.\.\.\s*\)( # .*)?', cell.source.replace("\n", ""))
            assert found, f"{cell.id}: one line, the question and three dots"
            asked.append(found[1])
            waiting = None
        elif "**Predict" in cell.source and cell.id != "colab-badge":
            assert not waiting, f"{waiting} has no guess- cell after it"
            assert cell.source.count("**Predict") == 1, f"{cell.id} asks for more than one guess"
            waiting = cell.id
    assert not waiting, f"{waiting} has no guess- cell after it"
    assert len(set(asked)) == len(asked) > 0
    (table,) = [cell for cell in cells if cell.id == "guesses"]
    shown = re.findall(r'^ +"([^"]+)":', table.source, re.M)
    assert shown == asked
    assert re.search(r"^compare_guesses\(", table.source, re.M)
