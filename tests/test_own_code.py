"""What a notebook defines is enough for the next: notebooks 00 to 06 run with the reader's own functions and classes.

In place of the package's names, each notebook gets what the cells define-NAME of the notebooks before it define.
"""

import re
import sys
from pathlib import Path

import nbformat
import pytest
from builders import printed_text
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("0[0-6]_*.ipynb"))

pytestmark = pytest.mark.slow


def code_cells(path):
    return {cell.id: cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"}


def definitions(path):
    return [id for id in code_cells(path) if id.startswith("define-")]


def module_before(number):
    """Source of a module with all that the notebooks before this one define, each using what is defined before it."""
    parts = ["mine = {}"]
    for path in NOTEBOOKS[:number]:
        cells, names = code_cells(path), [id.removeprefix("define-") for id in definitions(path)]
        parts += [cells["imports"].source, "globals().update(mine)"]
        parts += [cells[id].source for id in definitions(path)]
        parts.append(f"mine.update({{name: globals()[name] for name in {names}}})")
    return "\n\n".join(parts)


@pytest.mark.parametrize("number", range(1, len(NOTEBOOKS)), ids=lambda number: NOTEBOOKS[number].stem)
def test_a_notebook_runs_with_what_was_defined_before(number, tmp_path, monkeypatch):
    (tmp_path / "before.py").write_text(module_before(number), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":" if sys.platform != "win32" else ";")
    notebook = nbformat.read(NOTEBOOKS[number], as_version=4)
    saved = {id: printed_text(cell) for id, cell in code_cells(NOTEBOOKS[number]).items()}
    place = [cell.id for cell in notebook.cells].index("imports")
    imported = set(re.findall(r"\w+", notebook.cells[place].source))
    swap = f"import before\nused = set(before.mine) & {imported}\nglobals().update({{n: before.mine[n] for n in used}})"
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(f"{swap}\nprint(*sorted(used))", id="own-code"))

    NotebookClient(notebook, timeout=1800, kernel_name="python3").execute()

    texts = {cell.id: printed_text(cell) for cell in notebook.cells if cell.cell_type == "code"}
    assert texts.pop("own-code").split(), "the notebook uses nothing that was defined before it"
    assert texts == saved
