"""The notebooks as they are saved, and the proof that their regression test notices what it must.

That the outputs can be computed again is nbval's part (tests/all); what it does not see is checked here.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# A path or an address that only one machine has.
LOCAL = re.compile(
    r"""(?<![\w.])/(home|root|tmp|work|Users|usr|var|opt|mnt)/\w|[A-Z]:\\\w|file://|localhost|127\.0\.0\.1"""
)
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
TAGS = {"nbval-ignore-output", "raises-exception", "remove-cell"}


def prints(source):
    """Whether the cell surely leaves an output: it calls print or plt.show outside of any block, or ends in a value."""
    tree = ast.parse("\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines()))
    values = [node.value for node in tree.body if isinstance(node, ast.Expr)]
    calls = [ast.unparse(value.func) for value in values if isinstance(value, ast.Call)]
    last = tree.body[-1].value if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    return "print" in calls or "plt.show" in calls or isinstance(last, (ast.Name, ast.Attribute, ast.Subscript))


def problems(notebook):
    """What is wrong with a saved notebook, as a list of sentences; empty if nothing is."""
    found = []
    ids = [cell.id for cell in notebook.cells]
    found += [f"{id}: this id is used twice" for id in sorted({id for id in ids if ids.count(id) > 1})]
    if notebook.metadata != METADATA:
        found.append(f"the notebook's metadata are {notebook.metadata}, not {METADATA}")
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code_cells, start=1):
        tags = set(cell.metadata.get("tags", []))
        if cell.execution_count != number:
            found.append(f"{cell.id}: executed as {cell.execution_count}, but it is code cell {number}: run all anew")
        if not set(cell.metadata) <= {"tags", "mystnb"} or not tags <= TAGS:
            found.append(f"{cell.id}: metadata that no notebook here needs: {dict(cell.metadata)}")
        if prints(cell.source) and not cell.outputs:
            found.append(f"{cell.id}: it prints or draws, but no output is saved")
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in tags:
                found.append(f"{cell.id}: it ends in an error: {output.ename}: {output.evalue}")
            if output.output_type == "stream" and output.name == "stderr":
                found.append(f"{cell.id}: it writes to stderr: {output.text}")
            if LOCAL.search(text := re.sub(r"\x1b\[[\d;]*m", "", str(text_of(output)).replace("\\n", "\n"))):
                found.append(f"{cell.id}: its output names a place on one machine: {text}")
    for cell in notebook.cells:
        if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f-]+)?", cell.id):
            found.append(f"{cell.id}: a random id; ids are names here, so that they can be referred to")
        if LOCAL.search(cell.source):
            found.append(f"{cell.id}: its source names a place on one machine")
    return found


def text_of(output):
    """The readable parts of an output: a stream's text, an error's traceback, the text forms of a displayed object."""
    data = {kind: value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")}
    return [output.get("text"), output.get("traceback"), data]


def test_the_course_is_complete():
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{number:02}" for number in range(len(NOTEBOOKS))]
    assert len(NOTEBOOKS) == 13


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_saved_as_it_ran(path):
    assert problems(nbformat.read(path, as_version=4)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_code_and_output_fit_88_columns(path):
    """What is wider has to be scrolled sideways on a laptop."""
    texts = [
        (cell.id, text)
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code"
        for text in [cell.source, *(output.get("text", "") for output in cell.outputs)]
    ]
    wide = [f"{id}: {line}" for id, text in texts for line in text.splitlines() if len(line) > 88]
    assert not wide


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_small_and_written_as_jupyter_writes_it(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) < 1_500_000, "too large for a repository: fewer or smaller figures"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert text == nbformat.writes(notebook) + "\n"


# From here on: notebooks made to fail.


def tiny(*sources, run=True):
    """A notebook with these code cells, executed unless told otherwise."""
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(sources)]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=METADATA)
    if run:
        NotebookClient(notebook, kernel_name="python3", allow_errors=True, record_timing=False).execute()
        notebook.metadata = METADATA
    return notebook


def test_a_good_notebook_has_no_problems():
    assert problems(tiny("x = 1", "print(x)", "x", "import matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()")) == []


def test_a_notebook_that_was_never_run_is_noticed():
    found = problems(tiny("x = 1", "print(x)", run=False))
    assert len(found) == 3 and "cell-0: executed as None" in found[0] and "no output is saved" in found[2]


def test_saved_faults_are_noticed():
    for source, fault in {
        "1 / 0": "ZeroDivisionError",
        "import warnings; warnings.warn('old')": "stderr",
        "print('/home/someone/book.txt')": "one machine",
    }.items():
        assert any(fault in problem for problem in problems(tiny(source))), source
    notebook = tiny("x = 1", "x")
    notebook.cells.reverse()
    assert "cell-1: executed as 2, but it is code cell 1: run all anew" in problems(notebook)
    notebook.cells[0].outputs = []
    assert "cell-1: it prints or draws, but no output is saved" in problems(notebook)
    notebook.cells[0].id = "cell-0"
    assert "cell-0: this id is used twice" in problems(notebook)


def regression(folder, *sources):
    """Run `pytest @tests/all` as this project does, on a folder with nothing but a notebook of these cells, saved as if
    they had run without output. Returns (exit code, what pytest printed)."""
    (folder / "tests").mkdir()
    (folder / "notebooks").mkdir()
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name in "conftest.py", "all":
        shutil.copy(ROOT / "tests" / name, folder / "tests")
    notebook = tiny(*sources, run=False)
    for number, cell in enumerate(notebook.cells, start=1):
        cell.execution_count = number
    nbformat.write(notebook, folder / "notebooks/tiny.ipynb")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "OMP_", "MKL_"))}
    command = [sys.executable, "-m", "pytest", "@tests/all", "--color=no"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def test_regression_passes_on_a_good_notebook_and_gives_it_one_thread_and_no_network(tmp_path):
    offline = "import os\nassert os.environ['https_proxy'] == 'http://127.0.0.1:9'"
    code, output = regression(tmp_path, "import torch", "assert torch.get_num_threads() == 1", offline)
    assert code == 0 and "3 passed" in output, output


def test_regression_notices_what_changed_or_failed_and_a_dead_kernel_at_once(tmp_path):
    start = time.monotonic()
    cells = "x = 1", "print(2)", "1 / 0", "assert 1.2 <= 1.1", "import os\nos._exit(1)", "x = 2"
    code, output = regression(tmp_path, *cells)
    assert code == 1 and "5 failed, 1 passed" in output, output
    for message in "Cell outputs differ", "ZeroDivisionError", "AssertionError", "the kernel died", "Kernel dead":
        assert message in output, output
    assert time.monotonic() - start < 240, "nbval waited for a kernel that was dead (its limit is 600 s a cell)"
