"""Every check recognises wrong answers, with the right hint, and accepts right answers in every style."""

import random
import re
import warnings

import numpy as np
import pytest
import torch
from answers import RIGHT, WRONG
from torch import nn

from d2lmini import checks
from d2lmini.checks import concise, judge

NAMES = checks.__all__


def verdict(name, function, capsys):
    """What the check prints about a function; nothing else happens."""
    check = getattr(checks, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check(function) is None
    out, err = capsys.readouterr()
    assert err == "" and out.endswith("\n")
    lines = out.splitlines()
    assert lines[0][0] in "✓✗…" and lines[0][1:].startswith(f" {name}: ")
    assert all(len(line) <= 88 for line in lines) and all(line.startswith("  ") for line in lines[1:])
    return re.sub("\n    ", " ", out.removesuffix("\n"))  # one line for each thing that it says


def hints(text):
    return {line.removeprefix("  Hint: ") for line in text.splitlines() if line.startswith("  Hint: ")}


@pytest.mark.parametrize("name", NAMES)
def test_wrong_answers_are_caught_and_every_mistake_is_named(name, capsys):
    for function, expected in WRONG[name]:
        text = verdict(name, function, capsys)
        assert text.startswith(f"✗ {name}: "), f"not caught: {expected}"
        assert hints(text) == set(expected), text
        assert not any(sign in text for sign in ("tensor(", "array(", "lambda", "a dict", "?.")) or "line " in text
        if "right results, but" not in text:
            assert "\n  input: " in text and ("expected " in text or "raised " in text or "is missing" in text), text


@pytest.mark.parametrize("name", NAMES)
def test_right_answers_are_accepted_in_every_style(name, capsys):
    for function in RIGHT[name]:
        text = verdict(name, function, capsys)
        assert text == f"✓ {name}: right" or text.startswith(f"✓ {name}: right (it returns "), text


@pytest.mark.parametrize("name", NAMES)
def test_every_mistake_that_a_check_knows_gets_its_own_hint(name):
    check = getattr(checks, name)
    for hint, made in check.mistakes.items():
        for i in range(len(made)):
            function = made[i] if callable(made[i]) else lambda *args, options=made[i]: check.model(*args, **options)
            text = re.sub("\n    ", " ", check.verdict(function))
            assert hints(text) == {hint}, (text, made[i])


@pytest.mark.parametrize("name", NAMES)
def test_model_and_references_agree(name):
    check = getattr(checks, name)
    for function in [check.model, *check.references]:
        assert check.verdict(function).startswith(f"✓ {name}: right") or name == "softmax_gradient", function


@pytest.mark.parametrize("name", NAMES)
def test_untouched_and_unusual_functions(name, capsys):
    def untouched(*args):
        """A stub."""
        raise NotImplementedError

    def calls_a_stub(*args):
        return untouched(*args)

    def broken(*args):
        raise ZeroDivisionError("first line\nsecond line")

    assert verdict(name, untouched, capsys) == f"… {name}: not tried yet"
    assert verdict(name, calls_a_stub, capsys).startswith(f"✗ {name}: it calls untouched, which isn't written yet\n")
    text = verdict(name, broken, capsys)
    assert text.startswith(f"✗ {name}: raised ZeroDivisionError: first line second line\n  line ")
    assert ': raise ZeroDivisionError("first line\\nsecond line")' in text
    assert "raised TypeError" in verdict(name, lambda: None, capsys)
    assert "pass the function itself" in verdict(name, 3.0, capsys)
    assert "Did you forget the return?" in hints(verdict(name, lambda *args: None, capsys))


@pytest.mark.parametrize("name", NAMES)
def test_random_numbers_and_settings_are_left_alone(name, capsys):
    def spendthrift(*args):
        random.random(), np.random.rand(), torch.rand(1), torch.manual_seed(3)
        result = RIGHT[name][0](*args)
        torch.set_default_dtype(torch.float64), np.seterr(all="raise"), torch.set_grad_enabled(False)
        return result

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state(), np.geterr()
    with torch.no_grad():
        assert verdict(name, spendthrift, capsys) == f"✓ {name}: right"
        assert not torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert np.geterr() == before[3]


@pytest.mark.parametrize("draw", [random.random, np.random.rand, lambda: float(torch.rand(()))])
def test_same_verdict_whatever_the_seed(draw, capsys):
    texts = set()
    for seed in range(3):
        random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
        texts.add(verdict("grad_norm", lambda grads: 100 + draw(), capsys))
    assert len(texts) == 1


def test_what_torch_has_not_implemented_is_an_error(capsys):
    def unsupported(ids, vocab_size):
        raise NotImplementedError("no such kernel")

    assert verdict("one_hot", unsupported, capsys).startswith("✗ one_hot: raised NotImplementedError: no such kernel")


def test_stopping_a_check_stops_it():
    def stopped(*args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checks.one_hot(stopped)


def test_leaving_python_does_not_end_the_notebook(capsys):
    assert "raised SystemExit" in verdict("one_hot", lambda *args: exit(), capsys)


def test_a_broken_check_is_no_learners_fault():
    check = judge.Check("broken", lambda x: 1 / 0, lambda rng: [("one", (1,))])
    with pytest.raises(ZeroDivisionError):
        check(lambda x: x)


def test_verdicts_word_for_word(capsys):
    assert verdict("one_hot", lambda ids, vocab_size: torch.zeros(ids.shape), capsys) == (
        "✗ one_hot: wrong shape\n  input: ids = 3, vocab_size = 5 (a single id)\n  expected (5,), got ()"
    )
    assert verdict("normalise", lambda text: text.lower(), capsys) == (
        "✗ normalise: wrong result\n  input: text = \"don't\" (an apostrophe)\n  expected 'don t', got \"don't\""
    )
    assert verdict("grad_norm", lambda grads: torch.tensor(RIGHT["grad_norm"][0](grads)), capsys) == (
        "✓ grad_norm: right (it returns a tensor of shape (); float(...) makes it a plain number)"
    )


def test_the_gru_reference_is_torchs_where_the_two_forms_meet():
    # With a diagonal W_hh, (R * H) @ W_hh equals R * (H @ W_hh), the form of nn.GRUCell.
    rng = torch.Generator().manual_seed(0)
    params = concise.gated(rng, 5, 4, 3)
    params[7] = torch.diag(torch.diag(params[7]))
    X, H = judge.hot(judge.ids(rng, 5, 3), 5), judge.normal(rng, 3, 4)
    cell = nn.GRUCell(5, 4)
    with torch.no_grad():
        for i, gate in enumerate((1, 0, 2)):  # torch: r, z, candidate
            cell.weight_ih[4 * i : 4 * i + 4] = params[3 * gate].T
            cell.weight_hh[4 * i : 4 * i + 4] = params[3 * gate + 1].T
            cell.bias_ih[4 * i : 4 * i + 4] = params[3 * gate + 2]
        cell.bias_hh.zero_()
    torch.testing.assert_close(concise.reference_gru(X, H, params), cell(X, H))
