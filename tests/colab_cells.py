"""Write the badge and the set-up cell at the top of every notebook, from the one address in pyproject.toml.

python tests/colab_cells.py                                   rewrite all notebooks
python tests/colab_cells.py https://github.com/you/d2lmini    first put a fork's address into pyproject.toml
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYPROJECT = ROOT / "pyproject.toml"
ADDRESS = re.compile(r'^Repository = "(https://github\.com/[^"/]+/[^"/]+)"$', re.MULTILINE)

BADGE = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name})"
)
SETUP = """\
# In Colab, this installs the course's helper package, once. Anywhere else it does nothing.
import importlib.util, os, sys

if "google.colab" in sys.modules and importlib.util.find_spec("d2lmini") is None:
    source = os.environ.get("D2LMINI_SOURCE", "git+{address}")
    %pip install -q {{source}}"""


def address():
    """The repository's address, https://github.com/owner/name."""
    return ADDRESS.search(PYPROJECT.read_text(encoding="utf-8"))[1]


def top_cells(name):
    """The first two cells of the notebook with this file name."""
    repository = address().removeprefix("https://github.com/")
    badge = BADGE.format(repository=repository, name=name)
    setup = SETUP.format(address=address())
    return [
        {"cell_type": "markdown", "id": "colab-badge", "metadata": {}, "source": lines(badge)},
        {"cell_type": "code", "id": "colab-setup", "metadata": {}, "source": lines(setup),
         "execution_count": None, "outputs": []},
    ]  # fmt: skip


def lines(text):
    return text.splitlines(keepends=True)


def rewrite(path):
    """Put the two cells at the top of a notebook; an unchanged set-up cell keeps its execution count."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    badge, setup = top_cells(path.name)
    old = {cell["id"]: cell for cell in notebook["cells"] if cell["id"] in ("colab-badge", "colab-setup")}
    setup["execution_count"] = old.get("colab-setup", setup)["execution_count"]
    rest = [cell for cell in notebook["cells"] if cell["id"] not in ("colab-badge", "colab-setup")]
    notebook["cells"] = [badge, setup, *rest]
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        new = f'Repository = "{sys.argv[1].rstrip("/")}"'
        if not ADDRESS.match(new):
            sys.exit(f"not a repository's address: {sys.argv[1]} (expected https://github.com/owner/name)")
        PYPROJECT.write_text(ADDRESS.sub(new, PYPROJECT.read_text(encoding="utf-8")), encoding="utf-8")
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        rewrite(notebook)
        print(f"{notebook.name}: {address()}")
