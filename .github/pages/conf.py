"""The course as web pages, built by Sphinx from README.md and the saved notebooks.

.venv/bin/pip install -e ".[site]" && .venv/bin/sphinx-build -W -c .github/pages . build/site
"""

import os
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from tools.frame import PLACEHOLDER, pages, repository  # noqa: E402

# A translation is a second tree with the same cell ids: notebooks/de/ with a README.md of its own is built by
# COURSE_LANGUAGE=de, which also puts Sphinx's own words and its search into that language.
language = os.environ.get("COURSE_LANGUAGE", "en")
course = "notebooks" if language == "en" else f"notebooks/{language}"
root_doc = "README" if language == "en" else f"{course}/README"
include_patterns = [f"{course}/*.ipynb", f"{course}/*.md"] + ["*.md"] * (language == "en")
exclude_patterns = [".*", "build", "d2lmini", "tests"]

project = "A recurrent neural network from scratch"
extensions = ["myst_nb"]
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["toc.not_included", "misc.highlighting_failure"]  # of a line that begins with !

html_theme = "furo"
html_title = project
html_copy_source = False
html_show_copyright = False
html_use_index = False
templates_path = ["templates"]
social_picture = ROOT / "notebooks/images/perplexity.png"
# MathJax comes from a package, in one file, so that no page asks another host for it.
mathjax = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static/mathjax/tex-svg.js"
mathjax_path = mathjax.name
html_static_path = ["static", str(mathjax), str(social_picture)]
html_css_files = ["course.css"]
html_context = {"repository": None, "social_picture": social_picture.name}
if repository(ROOT) != PLACEHOLDER:
    html_context["repository"] = repository(ROOT)
    html_baseurl = html_context["site"] = pages(repository(ROOT)) + "/"


def glossary_terms():
    """{what a text may say: the id of the glossary's entry}; an entry begins with - **term (abbreviation)**:."""
    text = (ROOT / course / "glossary.md").read_text(encoding="utf-8")
    terms = {}
    for entry in re.findall(r"^- \*\*(.+?)\*\*:", text, re.MULTILINE):
        for name in re.findall(r"[^()]+", entry.replace("`", "")):
            terms[name.strip().lower()] = nodes.make_id(f"term-{entry}")
    return terms


def link_targets(app, docname):
    """{what the text may say: where it leads from this page}: terms of the glossary, and notebooks by their number."""
    address = app.builder.get_relative_uri
    targets = {name: f"{address(docname, f'{course}/glossary')}#{id}" for name, id in glossary_terms().items()}
    for other in app.env.found_docs:
        if number := re.match(rf"{course}/(\d\d)_", other):
            targets[f"notebook {number[1]}"] = address(docname, other)
    return targets


def link_first_mentions(app, doctree, docname):
    """Link a page's first mention of each term, and of each other notebook, in its running text."""
    if docname == f"{course}/glossary":
        for entry in doctree.findall(nodes.list_item):
            entry["ids"].append(nodes.make_id(f"term-{next(entry.findall(nodes.strong)).astext()}"))
    if not re.match(rf"{course}/\d\d_", docname):
        return
    targets = link_targets(app, docname)
    targets = {name: uri for name, uri in targets.items() if uri}  # a notebook doesn't link to itself
    names = "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in sorted(targets, key=len, reverse=True))
    mention = re.compile(rf"(?<![\w<-])({names})(?:e?s)?(?![\w>-])", re.IGNORECASE)
    marked = nodes.strong | nodes.emphasis
    for text in list(doctree.findall(nodes.Text)):
        in_paragraph = isinstance(text.parent.parent, nodes.paragraph)
        if isinstance(text.parent, nodes.paragraph) or (isinstance(text.parent, marked) and in_paragraph):
            text.parent.replace(text, linked(text, mention, targets))


def linked(text, mention, targets):
    """The text as a list of nodes, the first mention of each target a link; what is linked leaves `targets`."""
    pieces, end = [], 0
    for found in mention.finditer(text):
        uri = targets.pop(re.sub(r"\s+", " ", found[1].lower()), None)
        if uri:
            pieces += [
                nodes.Text(text[end : found.start()]),
                nodes.reference("", found[0], internal=True, refuri=uri, classes=["term"]),
            ]
            end = found.end()
    return [*pieces, nodes.Text(text[end:])]


def contents(app, docname, source):
    """The front page is the README, which GitHub shows too; what only Sphinx needs is appended here."""
    if docname == root_doc:
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n" + f"/{course}/[0-9]*\n/{course}/[a-z]*\n```\n"


def page_facts(app, pagename, templatename, context, doctree):
    """What the template says about a page: its notebook, and its first paragraph as the description."""
    path = ROOT / f"{pagename}.ipynb"
    context["notebook"] = path.name if path.is_file() else None
    first = doctree and next(doctree.findall(nodes.paragraph), None)
    context["description"] = " ".join(first.astext().split()) if first else project


def finish(app, exception):
    """Put the notebooks beside their pages, to be downloaded, and the front page at the site's root."""
    if exception is None and app.builder.name == "html":
        for path in (ROOT / course).glob("*.ipynb"):
            shutil.copy(path, Path(app.outdir) / course)
        shutil.copy(Path(app.outdir) / f"{root_doc}.html", Path(app.outdir) / root_doc.replace("README", "index.html"))


def setup(app):
    app.connect("source-read", contents)
    app.connect("doctree-resolved", link_first_mentions)
    app.connect("html-page-context", page_facts)
    app.connect("build-finished", finish)
