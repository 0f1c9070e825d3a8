"""What several files say about the same thing, they say alike: requirements, addresses, checksums, commands."""

import base64
import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import execute_notebooks
import mutate
import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import d2lmini
from d2lmini import normalise, read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONDA_NAMES = {"matplotlib-base": "matplotlib"}  # conda's matplotlib without a window system


def requirements(lines):
    """{name: the bounds on its version} of a list of requirements."""
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(requirement.name): str(requirement.specifier) for requirement in parsed}


def in_pyproject(*extras):
    return requirements(sum([PROJECT["optional-dependencies"][extra] for extra in extras], PROJECT["dependencies"]))


def test_environment_yml_asks_for_what_pyproject_asks_for():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    assert environment["channels"] == ["conda-forge"]
    assert "pip" in conda and pip["pip"][-1] == "-e .[tests]"
    asked = requirements([line for line in conda if line != "pip"] + pip["pip"][:-1])
    asked = {CONDA_NAMES.get(name, name): bounds for name, bounds in asked.items()}
    assert asked == {"python": PROJECT["requires-python"], **in_pyproject("lab")}


def test_what_learners_install_has_lower_bounds_only():
    for name, bounds in {"python": PROJECT["requires-python"], **in_pyproject("lab", "tests")}.items():
        assert re.fullmatch(r">=[\d.]+", bounds), f"{name}{bounds}: a lower bound, and no cap or pin"


def test_constraints_pin_every_requirement_within_its_bounds():
    lines = (ROOT / "tests/constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    for name, bounds in in_pyproject("lab", "tests", "site").items():
        found = [pin for pin in pins if canonicalize_name(pin.name) == name]
        assert found, f"{name} is not pinned"
        for pin in found:
            (version,) = [specifier.version for specifier in pin.specifier]
            assert Requirement(f"x{bounds}").specifier.contains(version), f"{pin} is not {bounds}"


# The README.


def test_readme_links_every_notebook_and_nothing_that_is_missing():
    links = re.findall(r"\]\((?!https?:|#)([^)]+)\)", README)
    missing = [link for link in links if not (ROOT / link).exists()]
    assert not missing
    assert {f"notebooks/{path.name}" for path in NOTEBOOKS} <= set(links)


def test_readme_promises_the_time_of_each_notebook_and_of_the_course():
    total = [0, 0]
    for path in NOTEBOOKS:
        title = re.sub(r"\s+", " ", nbformat.read(path, as_version=4).cells[0].source)
        times = re.search(
            r"\*\*Time\*\*: about (\d+) minutes of reading, and about (\d+) minutes for the \w+ exercises", title
        )
        assert f"]({path.relative_to(ROOT).as_posix()})** ({times[1]} + {times[2]} min): " in README, path.name
        total = [sum(pair) for pair in zip(total, map(int, times.groups()))]
    hours = [round(minutes / 60) for minutes in total]
    promised = f"Plan about {hours[0]} hours of reading and {hours[1]} hours for the exercises."
    assert promised in re.sub(r"\s+", " ", README)


def test_the_readmes_figure_and_samples_come_from_the_notebook():
    advice = "run python tests/tools/execute_notebooks.py 06_training"
    notebook, figure_id, samples_id = execute_notebooks.README_SHOWS
    outputs = {cell.id: cell.get("outputs") for cell in nbformat.read(ROOT / "notebooks" / notebook, 4).cells}
    figure = execute_notebooks.README_PICTURE
    assert f"]({figure.relative_to(ROOT).as_posix()})" in README
    (png,) = [output.data["image/png"] for output in outputs[figure_id] if "data" in output]
    assert figure.read_bytes() == base64.b64decode(png), advice
    (shown,) = execute_notebooks.SAMPLES.findall(README)
    assert shown.count("time traveller|") == 3
    assert shown == execute_notebooks.samples(outputs[samples_id]), advice
    recited = shown.strip().rpartition("|")[2]
    assert recited in normalise(read_text()), "README.md says that the last line stands in the book"


@pytest.mark.parametrize("command", ["jupyter lab", "pytest"])
def test_ci_runs_the_commands_of_the_readme(command):
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert re.search(
        rf'command=\$\(.ci/readme "?{command}"?\)\n(.*\n)*?bash -euo pipefail -c "\$command" </dev/null', ci
    )
    lines = subprocess.run(
        [ROOT / ".ci/readme", command], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "\n".join(["```bash", *lines, "```"]) in README
    assert lines[0] == "python3 -m venv .venv &&" and lines[1].startswith(".venv/bin/pip install -e ")
    assert lines[-1].startswith(f".venv/bin/{command} ") and all(line.endswith("&&") for line in lines[:-1])
    windows = subprocess.run(
        [ROOT / ".ci/readme", command, "windows"], capture_output=True, text=True, check=True
    ).stdout
    other = " ".join(lines).replace("python3 -m venv", "python -m venv").replace("my-course/", "my-course\\")
    assert windows.strip() == other.replace(".venv/bin/", ".venv\\Scripts\\")


def test_the_citation_and_the_changelog_know_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == d2lmini.__version__ and citation["title"] == README.splitlines()[0].lstrip("# ")
    assert f"\n## {d2lmini.__version__}\n" in (ROOT / ".github/CHANGELOG.md").read_text(encoding="utf-8")


def test_code_in_the_readme_fits_a_column():
    for block in re.findall(r"^```\w+\n(.*?)^```", README, re.MULTILINE | re.DOTALL):
        assert max(map(len, block.splitlines())) <= 88


# What is shipped.


def test_the_chapter_is_the_one_described_and_ships_in_the_wheel(tmp_path):
    chapter = (ROOT / "data/time_machine_ch1.txt").read_bytes()
    described = (ROOT / "data/README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(chapter).hexdigest() in described and f"{len(chapter):,}" in described
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", tmp_path, ROOT]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("d2lmini/data/time_machine_ch1.txt") == chapter
        names = archive.namelist()
    assert {path.relative_to(ROOT).as_posix() for path in ROOT.glob("d2lmini/**/*.py")} <= set(names)
    assert {path.relative_to(ROOT).as_posix() for path in ROOT.glob("notebooks/*.ipynb")} <= {
        name.removeprefix("d2lmini/") for name in names
    }
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if not name.startswith("d2lmini")], "only the package belongs in site-packages"


def test_license_names_the_three_terms():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    for term in "MIT License", "creativecommons.org/licenses/by/4.0", "public domain":
        assert term in text


def tracked_texts():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("this is no git checkout, so that what belongs to the project cannot be listed")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.endswith((".gif", ".png", ".safetensors")):
            yield name, (ROOT / name).read_text(encoding="utf-8")


def test_no_file_names_a_place_on_one_machine():
    place = re.compile(r"""(?<![\w.<>/$}-])/(home|root|work|Users)/[\w.]+|[A-Z]:\\Users""")
    found = {name: place.search(text)[0] for name, text in tracked_texts() if place.search(text)}
    found.pop("tests/test_notebooks.py", None)  # it looks for them
    assert not found


def test_the_whole_book_is_not_in_the_repository():
    for name, text in tracked_texts():
        assert "green " + "porcelain" not in text.lower(), name  # a palace of the eighth chapter


def test_every_module_has_tests_that_its_mutants_are_tried_on():
    modules = {path.relative_to(ROOT / "d2lmini").with_suffix("").as_posix() for path in ROOT.glob("d2lmini/**/*.py")}
    assert set(mutate.TESTS) == {name for name in modules if not name.startswith("checks/")}
    assert all(mutate.test_files(name) for name in mutate.TESTS)


@pytest.mark.slow
def test_the_lower_bounds_work():
    done = subprocess.run([sys.executable, ROOT / "tests/tools/oldest.py"], capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=lambda command: command[0])
def test_style(command):
    done = subprocess.run([sys.executable, "-m", "ruff", *command, ROOT], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
