"""Every notebook as Colab would run it: Colab's packages, the notebook's file, and no checkout.

A clean environment holds what Colab brings (torch, numpy, matplotlib, a kernel, and little else), a stand-in for
the module google.colab is loaded as there, and the set-up cell finds the package as a freshly built wheel.
Afterwards each cell is run once more, from the last to the first, as readers do who go back: nothing may change.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from builders import printed_text
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
COLAB_HAS = ["torch", "numpy", "matplotlib", "ipykernel", "requests", "tqdm", "packaging"]

pytestmark = pytest.mark.slow


def run(*command):
    """Run a command and return what it printed; its error output is in the failure's message."""
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of a clean environment with Colab's packages."""
    folder = tmp_path_factory.mktemp("colab")
    run(sys.executable, "-m", "venv", folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run(python, "-m", "pip", "install", "-q", *COLAB_HAS)
    return python


@pytest.fixture(scope="module")
def kernel(python, tmp_path_factory):
    """The name of a kernel in that environment, which believes to be in Colab."""
    folder = tmp_path_factory.mktemp("kernel")
    wheels = folder / "wheels"
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", wheels, ROOT)
    (wheel,) = wheels.glob("d2lmini-*.whl")

    (folder / "modules/google/colab").mkdir(parents=True)
    (folder / "modules/google/colab/__init__.py").touch()
    startup = folder / "ipython/profile_default/startup/colab.py"
    startup.parent.mkdir(parents=True)
    startup.write_text("import google.colab\n", encoding="utf-8")

    spec = folder / "kernels/colab-rehearsal/kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(
        json.dumps(
            {
                "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                "display_name": "Colab rehearsal",
                "language": "python",
                "env": {
                    "PYTHONPATH": str(folder / "modules"),
                    "IPYTHONDIR": str(folder / "ipython"),
                    "D2LMINI_SOURCE": str(wheel),
                },
            }
        ),
        encoding="utf-8",
    )
    patch = pytest.MonkeyPatch()
    patch.setenv("JUPYTER_PATH", str(folder))
    yield "colab-rehearsal"
    patch.undo()


@pytest.fixture(scope="module")
def preinstalled(python):
    """The packages of the clean environment, name==version, before any notebook ran."""
    return set(run(python, "-m", "pip", "freeze").split())


def run_all(client, backwards=False):
    """Run all code cells, from the first to the last or from the last to the first."""
    cells = list(enumerate(client.nb.cells))
    for i, cell in reversed(cells) if backwards else cells:
        client.execute_cell(cell, i)


def changed_by_going_back(client):
    """{id: (text before, text now)} of the cells whose text changes when, after the last cell, each is run again.

    Backwards, so that a cell finds the names as the cells below it have left them. The set-up cell installs only once.
    """
    before = {cell.id: printed_text(cell) for cell in client.nb.cells}
    run_all(client, backwards=True)
    now = {cell.id: printed_text(cell) for cell in client.nb.cells}
    return {id: (before[id], now[id]) for id in now if before[id] != now[id] and id != "colab-setup"}


def test_a_cell_that_going_back_breaks_is_noticed():
    sources = "x = 1\nprint(x)", "y = 2\nprint(x + y)", "y = x + 2\nx = 5"
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(sources)]
    client = NotebookClient(nbformat.v4.new_notebook(cells=cells), kernel_name="python3")
    with client.setup_kernel():
        run_all(client)
        assert changed_by_going_back(client) == {"cell-1": ("3\n", "7\n")}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_in_colab(path, tmp_path, python, preinstalled, kernel):
    run(python, "-m", "pip", "uninstall", "-q", "-y", "d2lmini")
    shutil.copy(path, tmp_path)
    notebook = nbformat.read(tmp_path / path.name, as_version=4)
    (setup,) = [cell for cell in notebook.cells if cell.id == "colab-setup"]
    where = nbformat.v4.new_code_cell("import d2lmini\nprint(d2lmini.__file__)", id="where")
    again = nbformat.v4.new_code_cell(setup.source, id="colab-setup-again")
    place = notebook.cells.index(setup) + 1
    notebook.cells[place:place] = [again, where]

    client = NotebookClient(notebook, timeout=1800, kernel_name=kernel, resources={"metadata": {"path": tmp_path}})
    with client.setup_kernel():
        run_all(client)
        changed = changed_by_going_back(client)
    assert Path(where.outputs[0].text.strip()).is_relative_to(python.parents[1]), "not the package from the wheel"
    assert "".join(output.get("text", "") for output in again.outputs) == "", "the second run did something"
    after = set(run(python, "-m", "pip", "freeze").split())
    assert preinstalled <= after, f"the notebook changed what Colab brings: {preinstalled - after}"
    assert not changed, "these cells print something else when they are run again after the last one"
