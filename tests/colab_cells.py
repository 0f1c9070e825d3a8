"""Write the badge and the set-up cell at the top of every notebook, from the one address in pyproject.toml.

python tests/colab_cells.py                                   rewrite all notebooks and the README's links
python tests/colab_cells.py https://github.com/you/d2lmini    first put a fork's address into pyproject.toml
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ADDRESS = re.compile(r'^Repository = "https://github\.com/([\w.-]+/[\w.-]+)"$', re.MULTILINE)

BADGE = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name})"
)
SETUP = """\
# In Colab, this installs the course's helper package, once. Anywhere else it does nothing.
import importlib.util, os, sys

if "google.colab" in sys.modules and importlib.util.find_spec("d2lmini") is None:
    source = os.environ.get("D2LMINI_SOURCE", "git+https://github.com/{repository}")
    %pip install -q {{source}}"""


def repository(root=ROOT):
    """The repository as GitHub names it, owner/name."""
    return ADDRESS.search((root / "pyproject.toml").read_text(encoding="utf-8"))[1]


def top_cells(repository, name):
    """The first two cells of the notebook with this file name, as JSON."""
    badge, setup = BADGE.format(repository=repository, name=name), SETUP.format(repository=repository)
    return [
        {"cell_type": "markdown", "id": "colab-badge", "metadata": {}, "source": badge.splitlines(keepends=True)},
        {"cell_type": "code", "id": "colab-setup", "metadata": {}, "source": setup.splitlines(keepends=True),
         "execution_count": None, "outputs": []},
    ]  # fmt: skip


def rewrite(path, root=ROOT):
    """Put the two cells at the top of a notebook; where they stand already, no byte changes."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    badge, setup = top_cells(repository(root), path.name)
    for cell in notebook["cells"]:
        if cell["id"] == "colab-setup":
            setup["execution_count"] = cell["execution_count"]
    rest = [cell for cell in notebook["cells"] if cell["id"] not in ("colab-badge", "colab-setup")]
    notebook["cells"] = [badge, setup, *rest]
    text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")


def move(new, root=ROOT):
    """Put another repository, owner/name, into pyproject.toml and the README."""
    old = repository(root)
    for name in "pyproject.toml", "README.md":
        text = (root / name).read_text(encoding="utf-8")
        text = re.sub(rf"(github\.com/|/github/){re.escape(old)}(?![\w-])", rf"\g<1>{new}", text)
        (root / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        wanted = f'Repository = "{sys.argv[1].rstrip("/").removesuffix(".git")}"'
        if not ADDRESS.match(wanted):
            sys.exit(f"not a repository's address: {sys.argv[1]} (expected https://github.com/owner/name)")
        move(ADDRESS.match(wanted)[1])
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        rewrite(notebook)
    print(f"The notebooks' badges and set-up cells name {repository()}.")
