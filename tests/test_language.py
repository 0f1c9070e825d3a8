"""One word for one thing: words that the course doesn't use, and a glossary that fits the notebooks.

What is read is prose: markdown without its code, comments, docstrings and messages of the package.
"""

import io
import re
import tokenize
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = [ROOT / "README.md", ROOT / "data/README.md", *sorted((ROOT / "notebooks").glob("*.md"))]
PAGES += sorted((ROOT / ".github").glob("*.md"))
MODULES = sorted((ROOT / "d2lmini").rglob("*.py"))
CODE = re.compile(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]*\$|\]\([^)]*\)|<!--.*?-->", re.DOTALL)

# What the course says instead stands behind each of them.
AVOIDED = {
    r"shall": "will",
    r"whence|thus|alas": "nothing, or so",
    r"for ever": "forever",
    r"by chance|without chance": "at random; deterministic",
    r"symbols?": "token, or character",
    r"clipping radius": "clipping threshold",
    r"the sources": "the work's name, with a link",
    r"keep gate|write gate": "forget gate, input gate",
    r"free count": "add-one smoothing",
    r"in the training(?=[.,;:])|the training (?=(is|was|goes|ends|takes|begins)\b)": "training, or the training run",
}


def prose_of(path):
    """The text of a notebook, a page or a module that is meant to be read, without code."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        return "\n\n".join(CODE.sub(" ", cell.source) for cell in cells if cell.cell_type == "markdown")
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return CODE.sub(" ", text)
    kinds = [getattr(tokenize, name, None) for name in ("COMMENT", "STRING", "FSTRING_MIDDLE")]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join(CODE.sub(" ", token.string) for token in tokens if token.type in kinds)


@pytest.mark.parametrize("path", [*NOTEBOOKS, *PAGES, *MODULES], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_words_that_the_course_avoids(path):
    text = re.sub(r"\s+", " ", prose_of(path))
    found = {
        match[0]: f"...{text[max(match.start() - 30, 0) : match.end() + 30]}... say {instead}"
        for avoided, instead in AVOIDED.items()
        for match in re.finditer(rf"\b(?:{avoided})\b", text, re.IGNORECASE)
    }
    assert not found


def test_each_word_of_the_glossary_is_used_where_it_sends_the_reader():
    text = (ROOT / "notebooks/glossary.md").read_text(encoding="utf-8")
    prose, missing = {}, []
    for term, name in re.findall(r"^- \*\*(.+?)\*\*:.*\[Notebook \d\d\]\((.+?)\)", text, re.MULTILINE):
        if name not in prose:
            prose[name] = re.sub(r"\s+", " ", " ".join(
                cell.source for cell in nbformat.read(ROOT / "notebooks" / name, as_version=4).cells
                if cell.cell_type == "markdown"
            )).lower()  # fmt: skip
        words = [word.strip("` ").lower() for word in re.findall(r"[^()]+", term)]
        if not any(word in prose[name] for word in words):
            missing.append(f"{term}: {name}")
    assert not missing
