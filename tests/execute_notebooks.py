"""Re-execute notebooks in place: python tests/execute_notebooks.py [NAME ...]   (all without a name).

Outputs, figures and execution counts are saved; cell ids stay; a second run changes measured speeds only.
The README's figure is taken from notebook 06 afterwards.
"""

import base64
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
README_PICTURE = FOLDER / "images/perplexity.png"
README_FIGURE = ("06_training.ipynb", "memorising-figure")  # the cell that draws it


def execute(path):
    """Run every cell from top to bottom in a fresh kernel and save the notebook."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=1800, kernel_name="python3", coalesce_streams=True, record_timing=False,
        resources={"metadata": {"path": FOLDER}},
    )  # fmt: skip
    client.execute()
    # What depends on the machine and not on the course: the exact Python version.
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    nbformat.write(notebook, path)


def save_readme_picture():
    """Write the figure that the README shows as a file of its own."""
    name, id = README_FIGURE
    (cell,) = (cell for cell in nbformat.read(FOLDER / name, as_version=4).cells if cell.id == id)
    (png,) = (output.data["image/png"] for output in cell.outputs if "data" in output)
    README_PICTURE.parent.mkdir(exist_ok=True)
    README_PICTURE.write_bytes(base64.b64decode(png))


if __name__ == "__main__":
    wanted = sys.argv[1:]
    for path in sorted(FOLDER.glob("*.ipynb")):
        if not wanted or any(name in path.name for name in wanted):
            print(path.name, flush=True)
            execute(path)
            if path.name == README_FIGURE[0]:
                save_readme_picture()
