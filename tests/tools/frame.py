"""Write the frame of every notebook: how to work and the set-up cell under the title, the links at the end.

python tests/tools/frame.py                                   write the frame of all notebooks
python tests/tools/frame.py https://github.com/you/d2lmini    first put this repository's address everywhere
python tests/tools/frame.py --check                           change nothing; exit 1 if something isn't ready to publish

The address has one source, the Repository URL in pyproject.toml. As long as that is the placeholder, a page shows
nothing that needs the address: the frame leaves the badge out, and a Markdown file of the top folder keeps such a
sentence in a comment, <!-- address: ... -->, which the second command opens; so does CITATION.cff, behind a #.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACEHOLDER = "OWNER/d2lmini"
OWNER = re.compile(r"\bOWNER(/|\.github)")
ADDRESS = re.compile(r'^Repository = "https://github\.com/([\w.-]+/[\w.-]+)"$', re.MULTILINE)
WAITING = re.compile(r"(?:# )?<!-- address: (.*?) -->", re.DOTALL)

# target="_parent": GitHub shows a notebook in a frame, and Colab refuses to be framed.
BADGE = """\
<a href="https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name}" target="_parent">\
<img src="https://colab.research.google.com/assets/colab-badge.svg" alt="Open in Colab"></a>

"""
HOW_TO_WORK = """\
**How to work.** Run the cells from top to bottom with Shift+Enter. At **Predict**, write down a
guess before you run the next cell. In an exercise, replace the line with `raise` with your own code;
hints and the solution unfold when you click them. The next cell looks for the course's package."""
SETUP = """\
# Is the course's package there? In Colab, this installs it; elsewhere, it only looks.
import importlib.util, os, sys

if "google.colab" in sys.modules and importlib.util.find_spec("d2lmini") is None:
    source = os.environ.get("D2LMINI_SOURCE", "git+https://github.com/{repository}")
    %pip install -q {{source}}
    importlib.invalidate_caches()
if importlib.util.find_spec("d2lmini") is None:
    problem = ImportError(
        f"This notebook's Python has no package d2lmini: {{sys.executable}}\\n"
        "Choose the course's kernel in the menu Kernel. Or run this in the folder of\\n"
        f'the repository and restart the kernel: "{{sys.executable}}" -m pip install -e .'
    )
    problem._render_traceback_ = lambda: [str(problem)]  # the message, no traceback
    raise problem"""
# Relative links work in JupyterLab, on GitHub, and between notebooks in Colab, which opens nothing but notebooks.
IN_COLAB = "  \nIn Colab, use these links for the pages: "


def repository(root=ROOT):
    """The repository as GitHub names it, owner/name."""
    return ADDRESS.search((root / "pyproject.toml").read_text(encoding="utf-8"))[1]


def notebooks(root=ROOT):
    """The paths of all notebooks, in the order of the course."""
    return sorted((root / "notebooks").glob("*.ipynb"))


def title(path):
    """The title of a notebook: the heading in its first cell that isn't part of the frame."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    first = next(cell for cell in cells if cell["id"] not in FRAME)
    heading = first["source"][0].strip()
    if first["cell_type"] != "markdown" or not heading.startswith("# "):
        raise ValueError(f"{path.name}: cell {first['id']} must begin with the notebook's title, # Title")
    return heading.removeprefix("# ")


def markdown_cell(id, text):
    """A cell that the web pages leave out: they have links and a badge of their own."""
    return {"cell_type": "markdown", "id": id, "metadata": {"tags": ["remove-cell"]},
            "source": text.splitlines(keepends=True)}  # fmt: skip


def how_to_work(repository, name):
    badge = "" if repository == PLACEHOLDER else BADGE.format(repository=repository, name=name)
    return markdown_cell("colab-badge", badge + HOW_TO_WORK)


def setup(repository):
    """The code cell that finds the package, not executed yet."""
    cell = markdown_cell("colab-setup", SETUP.format(repository=repository))
    return {**cell, "cell_type": "code", "execution_count": None, "outputs": []}


def page_links(readme, folder):
    return f"[Contents]({readme}) · [Symptom guide]({folder}symptoms.md) · [Glossary]({folder}glossary.md)"


def links(path, root=ROOT):
    """The last cell of a notebook: where to go from here."""
    paths = notebooks(root)
    place = paths.index(path)
    found = []
    for label, neighbours in ("**Next**", paths[place + 1 :][:1]), ("Previous", paths[:place][-1:]):
        found += [f"{label}: [{title(neighbour)}]({neighbour.name})" for neighbour in neighbours]
    text = " · ".join([*found, page_links("../README.md", "")])
    if repository(root) != PLACEHOLDER:
        main = f"https://github.com/{repository(root)}/blob/main"
        text += IN_COLAB + page_links(f"{main}/README.md", f"{main}/notebooks/")
    return markdown_cell("links", text)


FRAME = ("colab-badge", "colab-setup", "links")


def framed(path, root=ROOT):
    """The text of the notebook with today's frame; all other cells keep every byte."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    title(path)  # which raises ValueError if the first cell has none
    first, *rest = [cell for cell in notebook["cells"] if cell["id"] not in FRAME]
    installer = setup(repository(root))
    counts = [cell["execution_count"] for cell in notebook["cells"] if cell["id"] == "colab-setup"]
    installer["execution_count"] = counts[0] if counts else None
    notebook["cells"] = [first, how_to_work(repository(root), path.name), installer, *rest, links(path, root)]
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def write(root=ROOT):
    """Give every notebook its frame."""
    for path in notebooks(root):
        path.write_text(framed(path, root), encoding="utf-8", newline="\n")


def move(new, root=ROOT):
    """Put another repository, owner/name, into pyproject.toml and the pages of the top folder."""
    old = repository(root)
    places = [(f"{site}{old}", f"{site}{new}") for site in ("github.com/", "/github/")]
    places.append((pages(old), pages(new)))
    for path in [root / "pyproject.toml", *root.glob("*.cff"), *root.glob("*.md")]:
        text = path.read_text(encoding="utf-8")
        text = WAITING.sub(r"\1", text)
        for before, after in places:
            text = re.sub(rf"{re.escape(before)}(?![\w-])", after, text)
        path.write_text(text, encoding="utf-8", newline="\n")


def pages(repository):
    """Where GitHub Pages publishes the course."""
    owner, name = repository.split("/")
    return f"https://{owner}.github.io/{name}"


def problems(root=ROOT):
    """What stands between this state and a release, as a list of sentences."""
    found = []
    if repository(root) == PLACEHOLDER:
        found.append("pyproject.toml has a placeholder: run python tests/tools/frame.py https://github.com/owner/name")
    for path in [*root.glob("*.cff"), *root.glob("*.md")]:
        if OWNER.search(WAITING.sub("", path.read_text(encoding="utf-8"))):
            found.append(f"{path.name} shows the placeholder: write <!-- address: ... --> around it")
    for path in notebooks(root):
        if path.read_text(encoding="utf-8") != framed(path, root):
            found.append(f"{path.name} has an old frame: run python tests/tools/frame.py")
    return found


def main(arguments):
    if arguments == ["--check"]:
        return "\n".join(problems()) or None  # sys.exit("") would be a failure
    if arguments:
        wanted = f'Repository = "{arguments[0].rstrip("/").removesuffix(".git")}"'
        if not ADDRESS.match(wanted):
            return f"not a repository's address: {arguments[0]} (expected https://github.com/owner/name)"
        move(ADDRESS.match(wanted)[1])
    write()
    print(f"The notebooks have their frame; the repository's address is {repository()}.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
