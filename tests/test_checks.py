"""Every check recognises wrong answers, with the right hint, and accepts right answers in every style."""

import random
import warnings

import numpy as np
import pytest
import torch
from right_answers import RIGHT
from torch import nn
from wrong_answers import WRONG

from d2lmini import checks
from d2lmini.checks import concise, engine

NAMES = checks.__all__


def line(name, function, capsys):
    """What the check prints about a function: one line, and nothing else happens."""
    check = getattr(checks, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check(function) is None
    out, err = capsys.readouterr()
    assert err == "" and out.endswith("\n") and out.count("\n") == 1
    assert out.startswith(f"{name}: ")
    return out.removeprefix(f"{name}: ").strip()


@pytest.mark.parametrize("name", NAMES)
def test_wrong_answers_are_caught_with_the_right_hint(name, capsys):
    for function, hint in WRONG[name]:
        text = line(name, function, capsys)
        assert text.startswith(("wrong ", "raised ")), f"not caught: {hint}"
        assert text.endswith(hint or "."), f"{text!r} instead of {hint!r}"
        assert " on " in text and len(text) < 320
        if text.startswith("wrong "):
            assert "expected " in text or "missing" in text or "too many" in text
        assert not any(sign in text for sign in ("tensor(", "array(", "[[", "lambda", "def ")), "prints too much"


def test_there_are_enough_wrong_answers():
    assert sum(map(len, WRONG.values())) >= 60
    assert all(len(WRONG[name]) >= 5 for name in NAMES)
    assert set(WRONG) == set(RIGHT) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_right_answers_are_accepted_in_every_style(name, capsys):
    assert len(RIGHT[name]) >= 3
    for function in RIGHT[name]:
        text = line(name, function, capsys)
        assert text == "right" or text.startswith("right (it"), text


@pytest.mark.parametrize("name", NAMES)
def test_every_mistake_that_a_check_knows_gets_its_own_hint(name):
    check = getattr(checks, name)
    assert check.name == name
    for hint, functions in check.wrong.items():
        for function in functions:
            assert check.verdict(function).endswith(hint)


@pytest.mark.parametrize("name", NAMES)
def test_untouched_and_unusual_functions(name, capsys):
    def untouched(*args):
        """A stub."""
        raise NotImplementedError

    def broken(*args):
        raise ZeroDivisionError("first line\nsecond line")

    assert line(name, untouched, capsys) == "not tried yet"
    text = line(name, broken, capsys)
    assert text.startswith("raised ZeroDivisionError on ") and text.endswith(": first line.")
    assert "raised TypeError" in line(name, lambda: None, capsys)
    assert line(name, 3.0, capsys) == "pass the function itself, without brackets behind its name."
    assert line(name, lambda *args: None, capsys).endswith("Is the return missing?")
    for result in ("text", 2.5, 1j, (), {}, [None], torch.zeros(0), [[1], [2, 3]]):
        assert line(name, lambda *args, result=result: result, capsys).startswith(("wrong", "raised")), result


@pytest.mark.parametrize("name", NAMES)
def test_random_numbers_and_gradient_mode_are_left_alone(name, capsys):
    def spendthrift(*args):
        random.random(), np.random.rand(), torch.rand(1), torch.manual_seed(3)
        return RIGHT[name][0](*args)

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    with torch.no_grad():
        assert line(name, spendthrift, capsys) == "right"
        assert not torch.is_grad_enabled()
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("draw", [random.random, np.random.rand, lambda: float(torch.rand(()))])
def test_same_line_whatever_the_seed(draw, capsys):
    lines = set()
    for seed in range(3):
        random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
        lines.add(line("grad_norm", lambda grads: 100 + draw(), capsys))
    assert len(lines) == 1


def test_what_torch_has_not_implemented_is_an_error(capsys):
    def unsupported(ids, vocab_size):
        raise NotImplementedError("no such kernel")

    assert line("one_hot", unsupported, capsys).startswith("raised NotImplementedError on ")


def test_stopping_a_check_stops_it():
    def stopped(*args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checks.one_hot(stopped)


def test_a_broken_check_is_no_learners_fault():
    check = engine.Check("broken", lambda x: 1 / 0, lambda rng: [("one", (1,))], {})
    with pytest.raises(ZeroDivisionError):
        check(lambda x: x)


def test_lines_word_for_word(capsys):
    assert line("one_hot", lambda ids, vocab_size: torch.zeros(*ids.shape), capsys) == (
        "wrong shape on ids of shape (2, 3), vocab_size 5: expected (2, 3, 5), got (2, 3)."
    )
    assert line("grad_norm", lambda grads: 5.0, capsys).startswith("wrong result on five gradients: expected ")
    assert line("normalise", lambda text: text.replace("\n", "").lower().strip(), capsys) == (
        "wrong result on a line break between two words: from character 3 expected ' i saw the l', got ' i sawthe la'. "
        "Are words glued together where something between them was removed?"
    )
    assert line("grad_norm", lambda grads: torch.tensor(RIGHT["grad_norm"][0](grads)), capsys) == (
        "right (it returns a tensor of shape (); float(...) would make it a plain number)"
    )


def test_the_gru_reference_is_torchs_where_the_two_forms_meet():
    # With a diagonal W_hh, (R * H) @ W_hh equals R * (H @ W_hh), the form of nn.GRUCell.
    rng = torch.Generator().manual_seed(0)
    params = concise.gated(rng, 5, 4, 3)
    params[7] = torch.diag(torch.diag(params[7]))
    X, H = engine.hot(engine.ids(rng, 5, 3), 5), engine.normal(rng, 3, 4)
    cell = nn.GRUCell(5, 4)
    with torch.no_grad():
        for i, gate in enumerate((1, 0, 2)):  # torch: r, z, candidate
            cell.weight_ih[4 * i : 4 * i + 4] = params[3 * gate].T
            cell.weight_hh[4 * i : 4 * i + 4] = params[3 * gate + 1].T
            cell.bias_ih[4 * i : 4 * i + 4] = params[3 * gate + 2]
        cell.bias_hh.zero_()
    torch.testing.assert_close(concise.reference_gru(X, H, params), cell(X, H))
