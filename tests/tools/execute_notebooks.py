"""Re-execute notebooks in place: python tests/tools/execute_notebooks.py [NAME ...]   (all without a name).

Outputs, figures and execution counts are saved; cell ids stay; a second run changes measured speeds only.
The README's figure and samples are taken from notebook 06 afterwards.
"""

import base64
import os
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
README_PICTURE = FOLDER / "images/perplexity.png"
README = ROOT / "README.md"
README_SHOWS = ("06_training.ipynb", "memorising-figure", "samples")  # the notebook, and two of its cells
SAMPLES = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)


def execute(path):
    """Run every cell from top to bottom in a fresh kernel and save the notebook."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=1800, kernel_name="python3", coalesce_streams=True, record_timing=False,
        resources={"metadata": {"path": FOLDER}},
    )  # fmt: skip
    # One thread, as in the tests: with more, sums are added up in another order, and long runs end elsewhere.
    # Only notebook 08, which is about speed, takes all there are.
    client.execute(env=os.environ if path.name.startswith("08_") else {**os.environ, "OMP_NUM_THREADS": "1"})
    # What depends on the machine and not on the course: the exact Python version.
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    nbformat.write(notebook, path)


def update_readme():
    """Put the figure and the samples of notebook 06 into the README."""
    name, figure_id, samples_id = README_SHOWS
    outputs = {cell.id: cell.get("outputs") for cell in nbformat.read(FOLDER / name, as_version=4).cells}
    (png,) = (output.data["image/png"] for output in outputs[figure_id] if "data" in output)
    README_PICTURE.parent.mkdir(exist_ok=True)
    README_PICTURE.write_bytes(base64.b64decode(png))
    readme = README.read_text(encoding="utf-8")
    readme = SAMPLES.sub(lambda _: f"```text\n{samples(outputs[samples_id])}```", readme)
    README.write_text(readme, encoding="utf-8", newline="\n")


def samples(outputs):
    """Of what the network wrote on the way: one prefix, three moments."""
    printed = "".join(output.get("text", "") for output in outputs)
    chosen = re.findall(r"^(after epoch (?:30|100|200):\n) *(time traveller\|.*?) *$", printed, re.MULTILINE)
    return "".join(f"{when}    {text}\n" for when, text in chosen)


if __name__ == "__main__":
    wanted = sys.argv[1:]
    for path in sorted(FOLDER.glob("*.ipynb")):
        if not wanted or any(name in path.name for name in wanted):
            print(path.name, flush=True)
            execute(path)
            if path.name == README_SHOWS[0]:
                update_readme()
