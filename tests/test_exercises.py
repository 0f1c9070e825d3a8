"""The exercises of the notebooks: stub, hints, solution and check belong together and cannot drift apart."""

import ast
import contextlib
import functools
import html
import io
import re
import sys
from importlib import import_module
from pathlib import Path

import nbformat
import pytest

from d2lmini import checks

FOLDER = Path(__file__).parents[1] / "notebooks"
CHECKS = Path(checks.__file__).parent
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb") if (CHECKS / f"{path.stem[3:]}.py").exists())


def exercises_of(notebook):
    """The checks that belong to a notebook: those of the file of the same name in d2lmini/checks."""
    module = import_module(f"d2lmini.checks.{notebook[3:]}")
    return [name for name in checks.__all__ if vars(module).get(name) is getattr(checks, name)]


EXERCISES = [(notebook, name) for notebook in NOTEBOOKS for name in exercises_of(notebook)]


@functools.cache
def cells(notebook):
    """{id: cell} of a notebook, in order."""
    return {cell.id: cell for cell in nbformat.read(FOLDER / f"{notebook}.ipynb", as_version=4).cells}


def run(source, namespace):
    """Execute code; returns what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(source, "<cell>", "exec"), namespace)
    return out.getvalue()


def after_imports(notebook):
    namespace = {}
    run(cells(notebook)["imports"].source, namespace)
    return namespace


def test_every_check_has_an_exercise_and_every_exercise_a_check():
    assert sorted(name for _, name in EXERCISES) == sorted(checks.__all__)
    for notebook in NOTEBOOKS:
        for kind in ("exercise", "stub", "hints", "solution"):
            found = [id.removeprefix(f"{kind}-") for id in cells(notebook) if id.startswith(f"{kind}-")]
            assert sorted(found) == sorted(exercises_of(notebook)), f"{kind} cells of {notebook}"
        assert len(exercises_of(notebook)) >= 3


@pytest.mark.parametrize("notebook, name", EXERCISES)
def test_four_cells_in_a_row(notebook, name):
    ids = list(cells(notebook))
    first = ids.index(f"exercise-{name}")
    assert ids[first : first + 4] == [f"{kind}-{name}" for kind in ("exercise", "stub", "hints", "solution")]
    types = [cells(notebook)[id].cell_type for id in ids[first : first + 4]]
    assert types == ["markdown", "code", "markdown", "markdown"]
    task = cells(notebook)[f"exercise-{name}"].source
    assert task.startswith("### Exercise: ")
    assert re.search(r"\b(easy|medium|hard)\b", task, re.IGNORECASE) and re.search(r"\d+ minutes?", task)


@pytest.mark.parametrize("notebook, name", EXERCISES)
def test_stub_says_not_tried_yet(notebook, name):
    cell = cells(notebook)[f"stub-{name}"]
    assert cell.source.startswith(f"def my_{name}(") and '"""' in cell.source
    assert cell.source.rstrip().endswith(f"raise NotImplementedError\n\n\ncheck.{name}(my_{name})")
    assert [output.get("text") for output in cell.outputs] == [f"… {name}: not tried yet\n"]
    assert run(cell.source, after_imports(notebook)) == f"… {name}: not tried yet\n"


@pytest.mark.parametrize("notebook, name", EXERCISES)
def test_a_verdict_calls_the_arguments_as_the_stub_does(notebook, name):
    (function,) = [node for node in ast.parse(cells(notebook)[f"stub-{name}"].source).body
                   if isinstance(node, ast.FunctionDef)]  # fmt: skip
    arguments = [arg.arg for arg in function.args.args]
    assert getattr(checks, name).names == arguments[: len(arguments) - len(function.args.defaults)]


@pytest.mark.parametrize("notebook, name", EXERCISES)
def test_solution_passes_its_check(notebook, name):
    cell = cells(notebook)[f"solution-{name}"].source
    assert cell.startswith("<details><summary>Solution</summary>\n\n") and cell.rstrip().endswith("</details>")
    (code,) = re.findall(r"^```python\n(.*?)^```$", cell, re.MULTILINE | re.DOTALL)
    stub = cells(notebook)[f"stub-{name}"].source
    signature = re.search(rf"^def my_{name}\(.*\):$", code, re.MULTILINE)[0]
    assert stub.startswith(signature), "stub and solution have different arguments"
    namespace = after_imports(notebook)
    run(code, namespace)
    assert run(f"check.{name}(my_{name})", namespace) == f"✓ {name}: right\n"


@pytest.mark.parametrize("notebook, name", EXERCISES)
def test_hints_name_what_to_look_at_and_give_nothing_away(notebook, name):
    source = cells(notebook)[f"hints-{name}"].source
    titles = re.findall(r"<summary>Hint (\d+): (.*?)</summary>", source)
    assert len(titles) >= 2 and [int(number) for number, _ in titles] == list(range(1, len(titles) + 1))
    assert source.count("<details>") == source.count("</details>") == len(titles)
    assert "```" not in source, "hints do not give the code away"
    for _, title in titles:
        assert title[0].islower() and not title.endswith((".", "?")) and len(title) <= 50, title
        assert html.unescape(title) not in getattr(checks, name).mistakes


def code_of(notebook, name):
    """The solution, and what it knows when it returns: the arguments of a case and its own variables."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", cells(notebook)[f"solution-{name}"].source, re.M | re.S)
    namespace = after_imports(notebook)
    run(code, namespace)
    known = {}

    def watch(frame, event, arg):
        if event == "return" and frame.f_code.co_name == f"my_{name}":
            known.update(frame.f_locals)

    sys.setprofile(watch)
    try:
        getattr(checks, name).verdict(namespace[f"my_{name}"])
    finally:
        sys.setprofile(None)
    return namespace, known


@pytest.mark.parametrize("notebook, name", EXERCISES)
def test_code_in_hints_runs_inside_the_solution(notebook, name):
    namespace, known = code_of(notebook, name)
    for line in re.findall("`([^`]+)`", cells(notebook)[f"hints-{name}"].source):
        line = html.unescape(line)
        try:
            tree = ast.parse(line + " pass" * line.endswith(":"))
        except SyntaxError:
            continue  # part of a regular expression, a shape with dots, ...
        if not any(isinstance(node, (ast.Call, ast.Assign, ast.For, ast.With)) for node in ast.walk(tree)):
            continue  # a name or a shape is no line of code
        try:
            exec(compile(tree, "<hint>", "exec"), namespace | known)
        except NameError as error:
            pytest.fail(f"{line!r} in a hint: {error}")
        except Exception:
            continue  # says what not to write, or needs values that the last case doesn't have
