"""The course as web pages, in a real browser and from files: links, figures, search, widths, colours, keyboard.

Skipped with a reason where Sphinx or Chromium is missing.
"""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urldefrag

import nbformat
import pytest
from test_browser import CHROMIUM, FLAGS
from tools import frame

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WIDTHS = (1280, 820, 390)

MISSING = [name for name in ("sphinx", "furo", "myst_nb", "sphinx-mathjax-offline") if find_spec(name) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"these packages are missing: {MISSING}: pip install -e '.[site]'"),
]


def build(root, out, language="en"):
    """Run the one command; a warning is an error."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", ".github/pages", ".", str(out)]
    env = {**os.environ, "COURSE_LANGUAGE": language}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder with the course's pages."""
    return build(ROOT, tmp_path_factory.mktemp("build") / "site")


class Page(HTMLParser):
    """What a page links to, its ids, its <details>, and the alternative texts of its pictures."""

    def __init__(self, path):
        super().__init__()
        self.path, self.text = path, path.read_text(encoding="utf-8")
        self.links, self.ids, self.details, self.alts = [], set(), [], set()
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids |= {attributes[name] for name in ("id", "name") if name in attributes}
        self.links += [attributes[name] for name in ("href", "src") if name in attributes]
        if tag == "img":
            self.alts.add(attributes.get("alt"))
        if tag == "details":
            self.details.append(attributes)


@pytest.fixture(scope="module")
def pages(site):
    """{path in the site: the page}."""
    return {path.relative_to(site).as_posix(): Page(path) for path in sorted(site.rglob("*.html"))}


def page_of(pages, notebook):
    return pages[f"notebooks/{notebook.stem}.html"]


# What the pages say.


def test_every_internal_link_and_anchor_leads_somewhere(pages):
    ids = {page.path: page.ids for page in pages.values()}
    dead = []
    for name, page in pages.items():
        for link in page.links:
            address, anchor = urldefrag(link.partition("?v=")[0])
            if re.match(r"[a-z]+:", address):
                continue
            target = (page.path.parent / unquote(address)).resolve() if address else page.path
            if not target.is_file() or (anchor and target in ids and unquote(anchor) not in ids[target]):
                dead.append(f"{name}: {link}")
    assert not dead


def test_no_page_shows_the_placeholder_of_an_address(pages):
    shown = {name: re.sub("<!--.*?-->", "", page.text, flags=re.DOTALL) for name, page in pages.items()}
    assert [name for name, text in shown.items() if frame.OWNER.search(text)] == []


def test_there_is_a_page_for_everything_and_the_readme_comes_first(pages):
    wanted = {f"notebooks/{path.stem}.html" for path in NOTEBOOKS}
    assert wanted | {"notebooks/symptoms.html", "notebooks/glossary.html", "search.html"} <= set(pages)
    heading = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
    assert f"<h1>{heading}<" in pages["index.html"].text


def test_a_notebooks_page_links_to_the_notebook_and_to_the_next_page(pages):
    for path, after in pairwise(NOTEBOOKS):
        page = page_of(pages, path)
        assert (page.path.parent / path.name).read_bytes() == path.read_bytes()
        assert page.links.count(path.name) == 1
        assert re.search(rf'<a class="next-page" href="{after.stem}.html">', page.text)


def test_solutions_and_hints_are_folded_and_the_installer_is_not_shown(pages):
    for path in NOTEBOOKS:
        cells, page = nbformat.read(path, as_version=4).cells, page_of(pages, path)
        folded = sum(cell.source.count("<details>") for cell in cells)
        assert page.details == [{}] * folded, f"{path.stem}: {folded} folded parts, none of them open"
        assert "find_spec" not in page.text and "How to work" not in page.text


def test_a_figure_has_the_alternative_text_of_its_cell(pages):
    for path in NOTEBOOKS:
        texts = {cell.metadata.mystnb.image.alt for cell in nbformat.read(path, 4).cells if "mystnb" in cell.metadata}
        assert texts <= page_of(pages, path).alts, path.stem


def test_the_first_mention_of_a_term_links_to_its_entry(pages):
    links = page_of(pages, next(path for path in NOTEBOOKS if path.stem.startswith("06_"))).links
    for link in "glossary.html#term-perplexity", "glossary.html#term-minibatch", "07_concise.html":
        assert link in links
    assert links.count("glossary.html#term-perplexity") == 1


def test_every_page_has_a_description_and_a_title_for_a_preview(pages):
    for name, page in pages.items():
        if name != "search.html":
            facts = dict(re.findall(r'<meta (?:name|property)="([\w:]+)" content="([^"]*)"', page.text))
            assert len(facts["description"]) > 20 and facts["og:description"] == facts["description"], name
            assert facts["og:title"], name


# The switches: an address, and another language.

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def test_a_second_tree_is_built_in_its_language_with_the_address_of_its_repository(tmp_path):
    root = tmp_path / "repository"
    tree = root / "notebooks/de"
    tree.mkdir(parents=True)
    for name in ".github/pages", "tests/tools", "notebooks/images":
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = project.replace(frame.repository(), "ada/my-course")
    (root / "pyproject.toml").write_text(project, encoding="utf-8")
    (tree / "README.md").write_text("# Ein Kurs\n\n[Anfang](00_das_buch.ipynb)\n", encoding="utf-8")
    (tree / "glossary.md").write_text("# Glossar\n\n- **Zeichen**: Ein Stück Text.\n", encoding="utf-8")
    title = nbformat.v4.new_markdown_cell("# Das Buch\n\nEin Zeichen nach dem anderen.", id="title")
    figure = nbformat.v4.new_code_cell(
        "show()", id="figure", metadata={"mystnb": {"image": {"alt": "Die Kurve fällt"}}}
    )
    figure.outputs = [nbformat.v4.new_output("display_data", {"image/png": PIXEL})]
    notebook = nbformat.v4.new_notebook(cells=[title, figure], metadata={"language_info": {"name": "python"}})
    nbformat.write(notebook, tree / "00_das_buch.ipynb")

    out = build(root, tmp_path / "site", language="de")
    text = (out / "notebooks/de/00_das_buch.html").read_text(encoding="utf-8")
    assert '<html class="no-js" lang="de"' in text and 'href="glossary.html#term-zeichen"' in text
    assert 'alt="Die Kurve fällt"' in text
    assert "https://colab.research.google.com/github/ada/my-course/blob/main/notebooks/de/00_das_buch.ipynb" in text
    assert '<meta property="og:image" content="https://ada.github.io/my-course/_static/' in text
    assert '<meta property="og:url" content="https://ada.github.io/my-course/notebooks/de/00_das_buch.html">' in text
    assert (out / "notebooks/de/index.html").is_file()


# In a browser.

# Texts whose contrast with what is behind them is below 4.5 : 1 (large ones: 3 : 1), as strings.
LOW_CONTRAST = """
() => {
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const rgba = text => text.startsWith("color(")
      ? (([r, g, b, a = 1]) => [255 * r, 255 * g, 255 * b, a])(numbers(text.slice(text.indexOf(" "))))
      : (([r, g, b, a = 1]) => [r, g, b, a])(numbers(text));
  const over = ([r, g, b, a], under) => [r, g, b].map((c, i) => a * c + (1 - a) * under[i]);
  const behind = element => {
    const color = rgba(getComputedStyle(element).backgroundColor);
    if (color[3] === 1) return color.slice(0, 3);
    return over(color, element.parentElement ? behind(element.parentElement) : [255, 255, 255]);
  };
  const light = color => color.map(c => c / 255)
      .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
      .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const found = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || element.closest("mjx-container, script, style, svg")) continue;
    if (!element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    const style = getComputedStyle(element), under = behind(element);
    const [a, b] = [light(over(rgba(style.color), under)), light(under)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (large ? 3 : 4.5))
      found.add(`${ratio.toFixed(2)} ${element.tagName}.${element.className} ${walk.currentNode.data.trim()}`);
  }
  return [...found];
}
"""
BLURRED = """
() => [...document.querySelectorAll("article img")]
    .filter(image => !image.complete || image.naturalWidth < image.clientWidth).map(image => image.src)
"""


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: install your system's package chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def seen(browser, pages):
    """{page: what a reader meets there: errors, requests, sideways scrolling, colours}."""
    facts = {}
    for name, page_file in pages.items():
        page = browser.new_page(viewport={"width": WIDTHS[0], "height": 900})
        fact = facts[name] = {"errors": [], "requests": [], "too wide": [], "contrast": []}
        page.on("console", lambda message, fact=fact: message.type == "error" and fact["errors"].append(message.text))
        page.on("pageerror", lambda error, fact=fact: fact["errors"].append(str(error)))
        page.on("request", lambda request, fact=fact: fact["requests"].append(request.url))
        page.goto(page_file.path.as_uri())
        if 'class="math' in page_file.text:
            page.wait_for_function(
                "document.querySelector('mjx-container') && MathJax.startup.promise.then(() => true)"
            )
        fact["math left as text"] = page.evaluate("document.querySelectorAll('.math:not(:has(mjx-container))').length")
        fact["blurred"] = page.evaluate(BLURRED)
        for theme in "light", "dark":
            page.evaluate("theme => { document.body.dataset.theme = theme }", theme)
            fact["contrast"] += [f"{theme}: {text}" for text in page.evaluate(LOW_CONTRAST)]
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
                fact["too wide"].append(f"{wide} on {width} pixels")
        page.close()
    return facts


@pytest.mark.parametrize("fault", ["errors", "too wide", "contrast", "blurred"])
def test_no_page_shows_a_fault(seen, fault):
    assert {name: fact[fault] for name, fact in seen.items() if fact[fault]} == {}


def test_formulas_are_typeset_and_no_page_asks_another_host(seen):
    assert sum("tex-svg.js" in url for fact in seen.values() for url in fact["requests"]) >= 5
    assert [name for name, fact in seen.items() if fact["math left as text"]] == []
    outside = {
        url for fact in seen.values() for url in fact["requests"] if not url.startswith(("file:", "data:", "blob:"))
    }
    assert not outside


def test_the_search_finds_perplexity(browser, pages):
    page = browser.new_page()
    page.goto(pages["search.html"].path.as_uri() + "?q=perplexity")
    page.locator("#search-results li a[href*='06_']").first.wait_for(timeout=30_000)
    page.close()


def test_a_hint_opens_and_closes_by_keyboard_alone(browser, pages):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(page_of(pages, NOTEBOOKS[0]).path.as_uri())
    opened = "document.activeElement.parentElement.open"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the first link skips the menu
    for _ in range(300):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    assert page.evaluate(opened) is False
    page.keyboard.press("Enter")
    assert page.evaluate(opened) is True
    page.keyboard.press("Enter")
    assert page.evaluate(opened) is False
    page.close()
