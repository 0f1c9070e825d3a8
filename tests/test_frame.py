"""The frame of the notebooks, and the one address from which badges, clone lines and links are made."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tools import frame

ROOT = Path(__file__).parents[1]
NOTEBOOKS = frame.notebooks()


@pytest.fixture
def project(tmp_path):
    """A copy of what names the address, with the placeholder for it."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns(".*"))
    shutil.copytree(ROOT / "tests/tools", tmp_path / "tests/tools", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "README.md").write_text(
        "# Course\n\n<!-- address: Open it\nin [Colab](https://colab.research.google.com/github/OWNER/d2lmini/blob/x),\n"
        "or [here](https://OWNER.github.io/d2lmini). --> Read [this](https://github.com/d2l-ai/d2l-en).\n",
        encoding="utf-8",
    )
    shutil.copy(ROOT / "CITATION.cff", tmp_path)
    named = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = named.replace(f"github.com/{frame.repository()}", f"github.com/{frame.PLACEHOLDER}")
    (tmp_path / "pyproject.toml").write_text(named, encoding="utf-8")
    frame.write(tmp_path)
    return tmp_path


def run(root, *arguments):
    command = [sys.executable, root / "tests/tools/frame.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def cells(path):
    return nbformat.read(path, as_version=4).cells


def test_every_notebook_and_page_has_todays_frame_and_address():
    assert [problem for problem in frame.problems() if "has a placeholder" not in problem] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_title_comes_first_and_the_links_last(path):
    ids = [cell.id for cell in cells(path)]
    assert [*ids[:3], ids[-1]] == ["title", "colab-badge", "colab-setup", "links"]
    assert all("remove-cell" in cell.metadata.tags for cell in cells(path) if cell.id in frame.FRAME)
    assert max(len(line.rstrip()) for line in frame.setup(frame.PLACEHOLDER)["source"]) <= 88


def test_every_link_of_the_frame_leads_to_a_file():
    for path in NOTEBOOKS:
        for link in re.findall(r"\]\((?!https:)([^)]+)\)", cells(path)[-1].source):
            assert (path.parent / link).is_file(), f"{path.name}: {link}"
    first, last = cells(NOTEBOOKS[0])[-1].source, cells(NOTEBOOKS[-1])[-1].source
    assert "Previous" not in first and "**Next**" in first and "**Next**" not in last
    assert f"Previous: [{frame.title(NOTEBOOKS[-2])}]({NOTEBOOKS[-2].name})" in last


def test_writing_the_frame_again_changes_no_byte_and_touches_no_other_cell(project):
    before = {path: path.read_bytes() for path in frame.notebooks(project)}
    frame.write(project)
    assert {path: path.read_bytes() for path in frame.notebooks(project)} == before

    for path in before:  # the frame of earlier times: above the title, and no links
        notebook = nbformat.read(path, as_version=4)
        title, badge, setup, *rest, _ = notebook.cells
        notebook.cells = [badge, setup, title, *rest]
        nbformat.write(notebook, path)
    frame.write(project)
    assert {path: path.read_bytes() for path in frame.notebooks(project)} == before


def test_a_notebook_that_does_not_begin_with_its_title_is_refused(project):
    path = frame.notebooks(project)[0]
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source = "No title here."
    nbformat.write(notebook, path)
    with pytest.raises(ValueError, match=rf"{path.name}: cell title must begin with the notebook's title"):
        frame.write(project)


def test_the_glossary_is_in_order_and_each_entry_names_its_notebook():
    text = (ROOT / "notebooks/glossary.md").read_text(encoding="utf-8")
    entry = re.compile(r"- \*\*(.+?)\*\*: [A-Z].+\. \[Notebook (\d\d)\]\((\2_\w+\.ipynb)\)")
    entries = [entry.fullmatch(line) for line in text.splitlines() if line.startswith("- ")]
    assert len(entries) > 70 and all(entries)
    terms = [found[1].strip("`<>").lower() for found in entries]
    assert terms == sorted(set(terms))
    assert {found[3] for found in entries} <= {path.name for path in NOTEBOOKS}


# The address.


def test_with_the_placeholder_nothing_is_a_dead_link_and_the_release_check_fails(project):
    done = run(project, "--check")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "pyproject.toml has a placeholder" in done.stderr
    for path in frame.notebooks(project):
        shown = "".join(cell.source for cell in cells(path) if cell.cell_type == "markdown")
        assert not frame.OWNER.search(shown) and "colab.research" not in shown


def test_an_address_reaches_every_page_and_the_release_check_passes(project):
    assert run(project, "https://github.com/Ada/my.rnn_course.git").returncode == 0
    assert run(project, "--check").returncode == 0
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert readme == (
        "# Course\n\nOpen it\nin [Colab](https://colab.research.google.com/github/Ada/my.rnn_course/blob/x),\n"
        "or [here](https://Ada.github.io/my.rnn_course). Read [this](https://github.com/d2l-ai/d2l-en).\n"
    )
    citation = yaml.safe_load((project / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == "https://github.com/Ada/my.rnn_course"
    for path in frame.notebooks(project):
        text = "".join(cell.source for cell in cells(path))
        assert (
            f'href="https://colab.research.google.com/github/Ada/my.rnn_course/blob/main/notebooks/{path.name}"' in text
        )
        assert "git+https://github.com/Ada/my.rnn_course" in text
        assert "https://github.com/Ada/my.rnn_course/blob/main/notebooks/glossary.md" in cells(path)[-1].source
    frame.move("bob/fork", project)
    frame.write(project)
    assert run(project, "--check").returncode == 0
    assert not [path for path in project.rglob("*.*") if path.is_file() and b"my.rnn_course" in path.read_bytes()]


def test_the_release_check_names_an_old_frame_and_a_placeholder_on_a_page(project):
    assert run(project, "https://github.com/ada/course").returncode == 0
    with (project / "README.md").open("a", encoding="utf-8") as file:
        file.write("https://github.com/OWNER/d2lmini\n")
    path = frame.notebooks(project)[3]
    path.write_text(path.read_text(encoding="utf-8").replace("How to work", "How to run"), encoding="utf-8")
    done = run(project, "--check")
    assert done.returncode == 1 and done.stderr.count("\n") == 2
    assert "README.md shows the placeholder" in done.stderr and f"{path.name} has an old frame" in done.stderr


def test_an_address_that_is_none_is_refused():
    done = run(ROOT, "my-fork")
    assert done.returncode != 0 and "not a repository's address: my-fork" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="the workflow's step runs on Linux")
def test_the_first_push_to_a_public_repository_fills_in_the_address(project, tmp_path_factory):
    """The workflow's own step, with a bare repository in GitHub's place."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/pages.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["address"]
    assert "!github.event.repository.private" in job["if"] and job["permissions"] == {"contents": "write"}
    (step,) = [step["run"] for step in job["steps"] if "run" in step]
    remote = tmp_path_factory.mktemp("remote")

    def git(*arguments, folder=project):
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"]
        done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    git("init", "--bare", "-q", folder=remote)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "The course")
    git("remote", "add", "origin", str(remote))
    git("push", "-q", "origin", "HEAD:main")
    env = {**os.environ, "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "ada/my-course"}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])
    for _ in range(2):  # the second push finds nothing to do
        subprocess.run(["bash", "-euo", "pipefail", "-c", step], cwd=project, env=env, check=True, capture_output=True)
    assert run(project, "--check").returncode == 0
    assert git("log", "--oneline", "main", folder=remote).count("\n") == 2
    assert 'Repository = "https://github.com/ada/my-course"' in git("show", "main:pyproject.toml", folder=remote)
    assert git("status", "--porcelain") == ""


# The set-up cell.


def set_up(*before):
    """The outputs of the set-up cell after cells with these sources, and whether a cell after it ran."""
    sources = [*before, frame.setup("ada/my-course")["source"], "print('ran')"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("".join(source)) for source in sources])
    with suppress(CellExecutionError):
        NotebookClient(notebook, kernel_name="python3").execute()
    return notebook.cells[-2].outputs, bool(notebook.cells[-1].outputs)


def test_with_the_package_the_set_up_cell_is_silent():
    assert set_up() == ([], True)


def test_a_wrong_kernel_is_told_in_a_few_words_which_command_helps():
    (error,), went_on = set_up("import importlib.util\nimportlib.util.find_spec = lambda name: None")
    assert not went_on and len(error.traceback) == 1, "the message, and no traceback"
    assert re.fullmatch(
        r"This notebook's Python has no package d2lmini: .*python.*\n"
        r"Choose the course's kernel in the menu Kernel. Or run this in the folder of\n"
        r'the repository and restart the kernel: ".*python.*" -m pip install -e \.',
        error.traceback[0],
    )
