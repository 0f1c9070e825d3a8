"""Every check recognises wrong answers, with the right hint, and accepts right answers in every style."""

import copy
import itertools
import linecache
import math
import random
import re
import warnings

import numpy as np
import pytest
import torch
from answers import RIGHT, WRONG
from torch import nn

from d2lmini import checks
from d2lmini.checks import concise, judge, wording
from d2lmini.checks.the_clinic import CAUSES, REMEDIES

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


def begin_with(found, expected):
    """Whether each hint begins as expected, one by one."""
    return len(found) == len(expected) and all(any(hint.startswith(words) for hint in found) for words in expected)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_answers_are_caught_and_every_mistake_is_named(name, capsys):
    for function, expected in WRONG[name]:
        text = verdict(name, function, capsys)
        assert text.startswith(f"✗ {name}: "), f"not caught: {expected}"
        assert begin_with(hints(text), expected), text
        assert not any(sign in text for sign in ("tensor(", "array(", "lambda", "a dict", "?.")) or "line " in text
        if "right results, but" not in text and "a second call" not in text:
            assert "\n  input: " in text and ("expected " in text or "raised " in text or "is missing" in text), text


def test_there_are_enough_answers_and_pairs_of_mistakes():
    assert set(WRONG) == set(RIGHT) == set(NAMES)
    assert all(len(WRONG[name]) >= 10 and len(RIGHT[name]) >= 5 for name in NAMES)
    assert sum(len(expected) == 2 for name in NAMES for _, expected in WRONG[name]) >= 60


@pytest.mark.parametrize("name", NAMES)
def test_right_answers_are_accepted_in_every_style(name, capsys):
    for function in RIGHT[name]:
        text = verdict(name, function, capsys)
        assert text == f"✓ {name}: right" or text.startswith(f"✓ {name}: right (it returns "), text


def test_a_diagnosis_is_right_for_one_cause_and_its_remedies_only():
    truth = RIGHT["diagnose"][0]
    for run in range(1, 9):
        accepted = {
            pair
            for pair in itertools.product(CAUSES, REMEDIES)
            if checks.diagnose.verdict(lambda r, run=run, pair=pair: pair if r == run else truth(r)).startswith("✓")
        }
        assert truth(run) in accepted and len(accepted) == (2 if run == 7 else 1)  # smaller steps help there, too


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
        text = verdict(name, spendthrift, capsys)
        assert text == f"✓ {name}: right" or "num_params: right results, but it makes tensors" in text
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


def test_an_exception_is_shown_with_the_learners_line_of_the_cell(capsys):
    cell = "def my_one_hot(ids, vocab_size):\n    eye = torch.eye(vocab_size)\n    return eye.reshape(7, 9)[ids]\n"
    linecache.cache["cell-7"] = (len(cell), None, cell.splitlines(keepends=True), "cell-7")
    namespace = {"torch": torch}
    exec(compile(cell, "cell-7", "exec"), namespace)
    text = verdict("one_hot", namespace["my_one_hot"], capsys)
    assert text.startswith("✗ one_hot: raised RuntimeError: shape '[7, 9]' is invalid")
    assert "\n  line 3 of the cell: return eye.reshape(7, 9)[ids]\n" in text


# What a learner may write, and how the hint for PyTorch's or Python's error begins.
FAILING = {
    "P -= A": "Did you change a parameter outside of torch.no_grad()?",
    "nn.RNN(3, 4).weight_ih_l0 = A": "Did you put a tensor in the place of a layer's parameter?",
    "(2 * P).backward()": "Did you call backward on many losses?",
    "P.numpy()": "Stay with PyTorch's operations",
    "A.sum().backward()": "Did you detach something on the way to the loss",
    "float(A)": "Did you use a tensor of several numbers where one number belongs?",
    "if A > 0: pass": "Did you use a whole tensor as one yes or no?",
    "A.T.view(6)": "Use reshape",
    "A @ None": "Where does None come from",
    "A.grad.norm()": "Where does None come from",
    "(A,).detach()": "Did you use a tuple where its tensor belongs?",
    "torch.tanh((A,))": "Did you use a tuple where its tensor belongs?",
    "A + (A,)": "Did you use a tuple where its tensor belongs?",
    "[A].T": "Did you use a list where one of its items belongs?",
    "torch.tanh([A])": "Did you use a list where one of its items belongs?",
    "[A] @ A": "Did you use a list where one of its items belongs?",
    "torch.exp(1.0)": "Did you pass a plain number?",
    "A[ids.float()]": "Did you turn the ids into floats?",
    "F.one_hot(ids.float())": "Do the ids have the type int64?",
    "F.embedding(ids.float(), A)": "Do the ids have the type int64?",
    "F.cross_entropy(A, ids.float())": "Do the ids have the type int64?",
    "ids.softmax(0)": "Are there integers where floats are needed?",
    "ids.mean()": "Are there integers where floats are needed?",
    "a, b = 1, 2, 3": "Are there too few or too many names on the left",
    "a, b = 3": "Are there too few or too many names on the left",
    "torch.linalg.eigvals(A[:, :2]).max()": "Complex numbers have no order",
    "A.softmax()": "Did you leave out the axis?",
    "A.softmax(2)": "Does the tensor have that axis?",
    "A[5]": "Is an index or an id too large?",
    "[1][1]": "Is an index or an id too large?",
    "F.one_hot(ids, 1)": "Is an index or an id too large?",
    "F.cross_entropy(A, 9 * ids)": "Is an index or an id too large?",
    "A @ A.T.double()": "Do both tensors have the same number type?",
    "A.T()": "Are there brackets after something that isn't a function",
    "A.size[0]": "Did you forget the brackets after a method's name",
    "lenght(A)": "Is the name spelled right?",
    "A @ A": "Do the shapes fit?",
    "A + A.T": "Do the shapes fit?",
    "torch.cat([A, A[0]])": "Do the shapes fit?",
    "{}['lr']": "",
}


@pytest.mark.parametrize("line", FAILING)
def test_the_hint_for_an_error_names_its_likely_mistake(line):
    A, ids, P = torch.ones(2, 3), torch.tensor([0, 1]), torch.ones(2, 3, requires_grad=True)
    with pytest.raises(Exception) as raised:
        exec(line, {"torch": torch, "nn": nn, "F": torch.nn.functional, "A": A, "ids": ids, "P": P})
    hint = wording.hint_of(raised.value)
    assert hint.startswith(FAILING[line]) and bool(hint) == bool(FAILING[line])


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


def test_another_kind_of_tensor_is_called_by_its_name(capsys):
    def as_kind(change):
        return verdict("one_hot", lambda ids, vocab_size: change(torch.eye(vocab_size)[ids]), capsys)

    assert "\n  expected a tensor of shape (5,), got a sparse tensor of shape (5,)" in as_kind(torch.Tensor.to_sparse)
    right_but = "✗ one_hot: right results, but the numbers of its result are"
    assert as_kind(torch.Tensor.bfloat16).startswith(f"{right_but} torch.bfloat16, not")
    assert begin_with(hints(as_kind(torch.Tensor.bool)), ["Did you return True and False? .float() makes"])
    assert begin_with(hints(as_kind(torch.Tensor.long)), ["Did you return integers? .float() makes"])


def test_results_kept_from_an_earlier_call_are_noticed(capsys):
    kept = {}

    def by_shape(X, params):
        return kept.setdefault(X.shape, RIGHT["final_logits"][0](X, params)).detach().clone()

    assert verdict("final_logits", by_shape, capsys).startswith(
        "✗ final_logits: wrong numbers\n  input: X of shape (1, 2)"
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


class Hostile:
    """An object whose methods all raise."""

    def __getattribute__(self, name):
        raise ValueError("leave me alone")

    def fail(self, *args):
        raise ZeroDivisionError("never")

    __len__ = __iter__ = __float__ = __index__ = __eq__ = __repr__ = __str__ = __bool__ = __getitem__ = __array__ = fail
    __hash__ = None


class HostileTensor(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        raise RuntimeError("no operation with me")


class HostileText(str):
    def __len__(self):
        raise ValueError("no length")

    __eq__ = __repr__ = __str__ = lambda self, *args: 1 / 0
    __hash__ = str.__hash__


class HostileError(Exception):
    def __str__(self):
        raise ValueError("no message")


class Quit(BaseException):
    pass


def forever():
    while True:
        yield 1


def breaks_off():
    yield 1
    raise ValueError("broken off")


def itself():
    items = [1]
    items.append(items)
    return items


def deep():
    items = []
    for _ in range(1500):
        items = [items]
    return items


def raises(error):
    def make():
        raise error

    return make


ODD = [
    *(lambda value=value: value for value in [
        None, True, 0, -1, 10**400, -(10**5000), 2.5, math.nan, math.inf, -math.inf, 1j, "", "text", "\ud800\x1b[31m",
        b"bytes", (), [], {}, set(), {1: 2}, {"a": None}, range(3), range(10**12), ..., NotImplemented, object(),
        type, int, Hostile, ValueError, ValueError("value"), print, np.float32(1), np.int8(3), np.bool_(True),
        np.datetime64("2020-01-01"), np.zeros(0), np.zeros((2, 3)), np.array("text"), np.array([1, None]),
        np.array([1j]), np.ma.masked, np.zeros((0, 5)), np.array(["a", "b"]), np.zeros(3, dtype="i4,f8"),
        np.broadcast_to(0.0, (10**6, 10**6)), "x" * 10**5, [0] * 10**5, [[1], [2, 3]], [None], ["<unk>"], (1, 2), ([],
        {}), {"<unk>": 0}, [[]], ((),), [b""], [1, "a"], nn.RNN, nn.ReLU(), nn.RNN(2, 3), nn.RNN(5, 4, 2, bias=False,
        bidirectional=True), nn.GRU(2, 3), nn.LSTM(5, 4), nn.ParameterList(), torch, torch.float32,
        torch.device("cpu"), torch.Size([2, 3]), Hostile(), HostileText("x"), torch.Generator(),
    ]),
    *(lambda value=value: value.clone() for value in [
        torch.zeros(0), torch.tensor(1.0), torch.tensor(True), torch.tensor(math.nan), torch.zeros(2, 3),
        torch.ones(1, 1), torch.zeros(3, 0, 2), torch.zeros(2, 3, dtype=torch.int8), torch.zeros(2,
        dtype=torch.complex64), torch.zeros(2, 3, dtype=torch.bfloat16), torch.zeros(1, dtype=torch.float16),
        torch.full((3, 4), math.inf), torch.eye(5).to_sparse(), torch.eye(4).to_sparse_csr(), torch.zeros(2, 3,
        device="meta"), torch.zeros(2, 3, requires_grad=True),
    ]),
    lambda: torch.zeros(1).expand(10**9), lambda: torch.zeros(1, 1).expand(10**6, 10**6), lambda:
    nn.Parameter(torch.ones(2)), lambda: torch.zeros(2, 3).as_subclass(HostileTensor), lambda:
    torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]), forever, breaks_off, itertools.count, itself, deep,
    lambda: iter([]), lambda: map(str, range(3)), lambda: zip(), lambda: (x for x in [1, None]), lambda:
    torch.zeros(2, 3) @ torch.zeros(2, 3), lambda: torch.zeros(2)[5], lambda: torch.zeros(2).numpy()[None, 9], lambda:
    {}["missing"], lambda: torch.zeros(10**9, 10**9), lambda: int("x"), lambda: "é".encode("ascii"), lambda: nn.RNN(2,
    3)(torch.zeros(1, 1, 9)), *map(raises, [HostileError(), Quit("now"), SystemExit(3), GeneratorExit(),
    StopIteration(), RecursionError(), MemoryError(), KeyError(),
                  NotImplementedError("nowhere"), AssertionError("a\n" * 500), OverflowError(34, "x"),
                  UserWarning("\x00")]),
]  # fmt: skip


def spoilt(value, rng):
    """A right result with something done to it."""
    if isinstance(value, torch.Tensor):
        with torch.no_grad():
            change = rng.choice([
                lambda t: t.double(), lambda t: t.half(), lambda t: t.bfloat16(), lambda t: t.long(), lambda t:
                t.to_sparse(), lambda t: t * math.nan, lambda t: t[None], lambda t: t.flatten(), lambda t: t[:-1],
                lambda t: t.numpy(), lambda t: t.tolist(), lambda t: t.to(torch.complex64), lambda t: t.to("meta"),
                lambda t: -t, lambda t: t.expand(7, *t.shape), lambda t: t + 1, lambda t: t.mT, lambda t:
                torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), lambda t: iter(t), lambda t: t.cumsum(0),
            ])  # fmt: skip
            return change(value.detach())
    if isinstance(value, (list, tuple)) and value:
        items, i = list(value), rng.randrange(len(value))
        items[i] = rng.choice([lambda x: spoilt(x, rng), lambda x: rng.choice(ODD)()])(items[i])
        return rng.choice(
            [list, tuple, iter, lambda items: items[:-1], lambda items: items * 2, lambda items: dict(enumerate(items))]
        )(items)
    return rng.choice(
        [lambda x: [x], lambda x: str(x), lambda x: x * 2, lambda x: (x, x), lambda x: rng.choice(ODD)()]
    )(value)


@pytest.mark.parametrize("name", NAMES)
def test_no_check_crashes_whatever_comes_back(name):
    check, rng, right = copy.copy(getattr(checks, name)), random.Random(name), []
    cases, check._known = check.cases, {}
    check.cases = lambda rng: cases(rng)[1:3]  # the others are larger, not odder
    singles, pairs = check.all_mistakes()
    check._known["mistakes"] = singles, pairs[:20]
    for i in range(1000):
        seed, calls = rng.random(), itertools.count()

        def odd(*args, i=i, seed=seed, calls=calls):
            rng, call = random.Random(seed), next(calls)
            if i < len(ODD):
                return ODD[i]()
            if i % 3 == 0:
                return rng.choice([tuple, list])(rng.choice(ODD)() for _ in range(rng.randrange(1, 6)))
            while len(right) <= call:  # what the right answer gave in this call of another check: plausible enough
                right.append(RIGHT[name][0](*args))
            return spoilt(right[call], rng)

        text = check.verdict(odd)
        assert text[0] in "✓✗" and len(text) < 2000, (i, seed)
        assert all(len(line) <= 88 and line.isprintable() for line in text.splitlines()), (i, text)
