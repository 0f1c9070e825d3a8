"""Try the lower bounds of pyproject.toml: install the oldest versions that they admit, and run the unit tests.

python tests/tools/oldest.py            all but torch (its old builds are gigabytes; the pinned version is taken)
python tests/tools/oldest.py --torch    torch as well

"Oldest" is the lowest version within the bound that comes ready-built for this Python.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Tests of the repository and of notebooks, and rehearsals, are not about the versions of libraries.
LEFT_OUT = ("test_project.py", "test_notebooks.py", "test_colab.py", "test_browser.py")
# Tools that work on the project and are never imported by it.
TOOLS = ("ruff", "build", "playwright")


def oldest(requirement):
    """The requirement as name==version, with the lowest version that it admits and this Python can install."""
    command = [sys.executable, "-m", "pip", "index", "versions", requirement.name, "--only-binary", ":all:"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    listed = re.search(r"Available versions: (.*)", done.stdout)
    if listed is None:
        sys.exit(f"no versions of {requirement.name} are to be had: {done.stderr}")
    versions = [Version(version) for version in listed[1].split(", ")]
    return f"{requirement.name}=={min(version for version in versions if version in requirement.specifier)}"


def environment(constraints=None):
    """The environment variables, with these constraints for pip or none."""
    env = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
    return env if constraints is None else {**env, "PIP_CONSTRAINT": str(constraints)}


def main(with_torch):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [Requirement(line) for line in project["dependencies"] + project["optional-dependencies"]["tests"]]
    requirements = [requirement for requirement in requirements if requirement.name not in TOOLS]
    pins = [oldest(requirement) for requirement in requirements if requirement.name != "torch" or with_torch]
    print(f"Python {sys.version.split()[0]}:", ", ".join(pins), flush=True)
    # All that is not tried here, torch or the libraries' own requirements, comes in the version of the other tests.
    tried = {Requirement(pin).name for pin in pins}
    lines = (ROOT / "tests/constraints.txt").read_text(encoding="utf-8").splitlines()
    others = [line for line in lines if not line.startswith("#") and Requirement(line).name not in tried]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder, "Scripts/python.exe" if os.name == "nt" else "bin/python")
        constraints = Path(folder, "constraints.txt")
        constraints.write_text("\n".join(others), encoding="utf-8")
        env = environment(constraints)
        subprocess.run([python, "-m", "pip", "install", "-q", "torch", *pins], check=True, env=env)
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "-e", ROOT], check=True, env=env)
        left_out = [f"--ignore={ROOT / 'tests' / name}" for name in LEFT_OUT]
        command = [python, "-m", "pytest", "-n", "2", "--dist", "loadfile", ROOT / "tests", *left_out]
        return subprocess.run(command, cwd=ROOT, env=env).returncode


if __name__ == "__main__":
    sys.exit(main("--torch" in sys.argv))
