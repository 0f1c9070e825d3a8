"""Do the tests notice a fault? Put small faults into the package, one at a time, and run the tests of that module.

    python tests/tools/mutate.py [MODULE ...] [--sample N] [--seed 0]

Each mutant is a copy of the package with one change: a comparison flipped, a number off by one, an operator swapped, a
statement dropped, a clone, detach or no_grad dropped, two arguments swapped. A mutant that no test of the
module notices is printed with its line. Equivalent ones (that compute the same) must be told apart by reading.
Idea: R. A. DeMillo, R. J. Lipton and F. G. Sayward, Hints on test data selection (1978).
"""

import argparse
import ast
import contextlib
import copy
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

# Loaded once, before the children: all that the tests need, but nothing of d2lmini.
import hypothesis
import matplotlib.pyplot  # noqa: F401
import nbval.kernel  # noqa: F401
import numpy  # noqa: F401
import pytest
import torch
from hypothesis import HealthCheck, Phase

ROOT = Path(__file__).parents[2]
PATIENCE = 20  # seconds, and twice what the tests take without a fault: an endless loop counts as noticed
ALL = 330  # mutants of all modules together, unless --sample says how many of each
TESTS = {  # the test files (by the start of their names) that protect a module, quickest first
    "__init__": ("baselines", "cli"),
    "validate": ("model", "batches", "generate", "training", "text", "fuzz"),
    "book": ("book", "downloads", "text"),
    "text": ("text", "fuzz"),
    "batches": ("batches", "training"),
    "model": ("model", "generate", "fuzz"),
    "bptt": ("bptt",),
    "threads": ("threads",),
    "generate": ("generate",),
    "metrics": ("metrics", "training"),
    "counting": ("baselines",),
    "plotting": ("plotting", "figures"),
    "files": ("files", "checkpoints", "golden", "models_on_disk"),
    "checkpoints": ("checkpoints", "golden", "models_on_disk"),
    "training": ("training", "checkpoints", "fuzz"),
    "guesses": ("guesses",),
    "copies": ("copies",),
    "console": ("cli",),
    "commands": ("cli",),
    "doctor": ("cli",),
    "__main__": ("cli",),
    "d2l/__init__": ("d2l",),
    "d2l/data": ("d2l",),
    "d2l/figures": ("d2l_figures", "d2l"),
    "d2l/models": ("d2l_models", "d2l"),
    "d2l/training": ("d2l_models", "d2l"),
}
FLIPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div,
}  # fmt: skip
DROPPED_CALLS = {"clone", "detach", "copy", "long", "float", "double", "contiguous", "strip", "cpu", "to"}


def mutations(node):
    """The ways to change one node: (what it is called, the node that replaces it)."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in FLIPS:
        yield "flip", changed(node, ops=[FLIPS[type(node.ops[0])](), *node.ops[1:]])
    elif isinstance(node, (ast.BoolOp, ast.BinOp, ast.AugAssign)) and type(node.op) in FLIPS:
        yield "operator", changed(node, op=FLIPS[type(node.op)]())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "not dropped", node.operand
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield "off by one", changed(node, value=node.value + 1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "bool", changed(node, value=not node.value)
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr in DROPPED_CALLS:
            yield "call dropped", node.func.value
        plain = not any(isinstance(arg, ast.Starred) for arg in node.args[:2])
        if len(node.args) >= 2 and plain and ast.dump(node.args[0]) != ast.dump(node.args[1]):
            yield "arguments swapped", changed(node, args=[node.args[1], node.args[0], *node.args[2:]])
    elif isinstance(node, ast.With):
        yield "with dropped", ast.If(test=ast.Constant(True), body=node.body, orelse=[])
    elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.decorator_list:
        yield "decorator dropped", changed(node, decorator_list=node.decorator_list[1:])
    if isinstance(node, (ast.Expr, ast.Assign, ast.AugAssign, ast.Raise)):
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not docstring:
            yield "statement dropped", ast.Pass()


def changed(node, **fields):
    """A copy of a node with other fields."""
    node = copy.copy(node)
    for name, value in fields.items():
        setattr(node, name, value)
    return node


class Replace(ast.NodeTransformer):
    """Puts another node in the place of one."""

    def __init__(self, old, new):
        self.old, self.new = old, new

    def visit(self, node):
        return ast.copy_location(self.new, node) if node is self.old else super().visit(node)


def places(source):
    """All mutants of a module: list of (index of the node, which of its mutations)."""
    tree = ast.parse(source)
    hints = [getattr(node, name, None) for node in ast.walk(tree) for name in ("annotation", "returns")]
    skipped = {id(node) for hint in hints if hint for node in ast.walk(hint)}  # nothing reads type hints
    nodes = [(i, node) for i, node in enumerate(ast.walk(tree)) if hasattr(node, "lineno") and id(node) not in skipped]
    return [(index, which) for index, node in nodes for which, _ in enumerate(mutations(node))]


def mutant(source, index, which):
    """One mutant: (line, kind, what stood there, source)."""
    tree = ast.parse(source)
    node = list(ast.walk(tree))[index]
    kind, new = list(mutations(node))[which]
    text = ast.unparse(node).splitlines()[0]
    return node.lineno, kind, text, ast.unparse(ast.fix_missing_locations(Replace(node, new).visit(tree)))


def copy_of_the_project(folder):
    """What the tests need, to be changed."""
    for name in ("d2lmini", "tests", "data", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*", "screenshots"))
    for name in ("pyproject.toml", "README.md", "environment.yml", "LICENSE", ".github", ".ci"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    return folder


def test_files(module):
    """The test files of a module."""
    found = [p for start in TESTS[module] for p in sorted((ROOT / "tests").glob(f"test_{start}*.py"))]
    return list(dict.fromkeys(f"tests/{path.name}" for path in found))


class QuickestFirst:
    """A plugin of pytest: within each file, the tests that took least in the run before come first.

    And an example that fails is enough: hypothesis needn't look for the smallest.
    """

    def __init__(self, path):
        """path: where the seconds of each test are kept, if it passed."""
        self.path, self.seconds = path, json.loads(path.read_text()) if path.exists() else {}

    def pytest_configure(self):
        hypothesis.settings.register_profile(
            "mutants",
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=[HealthCheck.too_slow],
        )
        hypothesis.settings.load_profile("mutants")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        files = list(dict.fromkeys(item.path for item in items))
        items.sort(key=lambda item: (files.index(item.path), self.seconds.get(item.nodeid, 0)))

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0) + report.duration

    def pytest_sessionfinish(self, exitstatus):
        if exitstatus == 0:
            self.path.write_text(json.dumps(self.seconds))


def noticed(folder, files, patience=600.0):
    """Run the tests in a child of this process, which has loaded the slow libraries already. True if they fail."""
    child = os.fork()
    if child == 0:
        os.setsid()
        os.chdir(folder)
        os.environ["PYTHONPATH"] = str(folder)
        sys.path[:0] = [str(folder), str(folder / "tests")]
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly", "-o", "addopts="]
        plugins = [QuickestFirst(folder / "seconds.json")]
        os._exit(int(pytest.main([*options, "-m", "not slow", *files], plugins)))
    failed, waited = None, 0.0
    while failed is None and waited < patience:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            failed = os.waitstatus_to_exitcode(status) != 0
        time.sleep(0.05)
        waited += 0.05  # not by the clock: when this process is paused, so is the child
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # and the programs that it started
    if failed is None:
        os.waitpid(child, 0)
        print(f"(no end after {patience:.0f} s)", flush=True)
    return failed is not False


class Project:
    """A copy of the project, whose tests pass without a fault."""

    def __init__(self, folder):
        self.folder, self.seconds = copy_of_the_project(Path(folder)), {}

    def patience(self, files):
        """How long the tests of these files may take. Raises ValueError if they fail without a fault."""
        for file in files:
            if file not in self.seconds:
                start = time.monotonic()
                if noticed(self.folder, [file]):
                    raise ValueError(f"{file} fails without any fault: mend it first")
                self.seconds[file] = time.monotonic() - start
        return PATIENCE + 2 * sum(self.seconds[file] for file in files)

    def examine(self, module, sample, seed):
        """Try `sample` mutants of a module. Returns (how many were tried, how many survived)."""
        path, files = Path("d2lmini", f"{module}.py"), test_files(module)
        patience, source = self.patience(files), (self.folder / path).read_text(encoding="utf-8")
        everything, survivors = places(source), 0
        chosen = random.Random(seed).sample(everything, min(sample, len(everything)))
        for number, place in enumerate(chosen, start=1):
            line, kind, text, changed_source = mutant(source, *place)
            (self.folder / path).write_text(changed_source, encoding="utf-8")
            os.utime(self.folder / path, (0, number))  # two of one second and size would share their bytecode
            if not noticed(self.folder, files, patience):
                survivors += 1
                print(f"{path}:{line}: {kind}: {text}", flush=True)
        (self.folder / path).write_text(source, encoding="utf-8")
        print(f"{module}: {len(chosen) - survivors} of {len(chosen)} noticed ({len(everything)} exist)", flush=True)
        return len(chosen), survivors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", default=[], help="such as training or d2l/figures (default: all)")
    parser.add_argument(
        "--sample", type=int, help=f"mutants of each module, default: {ALL} of all, spread by the number that exist"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    exist = {name: len(places((ROOT / "d2lmini" / f"{name}.py").read_text(encoding="utf-8"))) for name in TESTS}
    results = []
    with tempfile.TemporaryDirectory() as folder:
        project = Project(folder)
        for name in options.modules or TESTS:
            sample = options.sample or max(4, round(ALL * exist[name] / sum(exist.values())))
            try:
                results.append(project.examine(name, sample, options.seed))
            except ValueError as error:
                print(f"{name}: {error}", flush=True)
    tried, alive = (sum(numbers) for numbers in zip((0, 0), *results))
    print(f"{tried - alive} of {tried} noticed, {alive} not")


if __name__ == "__main__":
    main()
