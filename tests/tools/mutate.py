"""Do the tests notice a fault? Put small faults into the package, one at a time, and run the tests of that module.

    python tests/tools/mutate.py [MODULE ...] [--sample 40] [--seed 0]

Each mutant is a copy of the package with one change: a comparison flipped, a number off by one, an operator swapped, a
statement dropped, a clone, detach or no_grad dropped, two arguments swapped. A mutant that no test of the
module notices is printed with its line. Equivalent ones (that compute the same) must be told apart by reading.
Idea: R. A. DeMillo, R. J. Lipton and F. G. Sayward, Hints on test data selection (1978).
"""

import argparse
import ast
import copy
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
TIMEOUT = 240  # seconds for one mutant's tests: an endless loop counts as noticed
TESTS = {  # the test files (by the start of their names) that protect a module, quickest first
    "validate": ("model", "batches", "generate", "training", "text", "rnn_model"),
    "book": ("downloads", "book", "text"),
    "text": ("text",),
    "batches": ("batches", "training"),
    "model": ("model", "generate", "fuzz", "rnn_model"),
    "bptt": ("bptt",),
    "threads": ("threads",),
    "generate": ("generate",),
    "metrics": ("metrics", "training"),
    "counting": ("baselines",),
    "plotting": ("plotting", "figures"),
    "files": ("files", "checkpoints", "golden"),
    "checkpoints": ("checkpoints", "golden", "models_on_disk"),
    "training": ("training", "checkpoints"),
    "guesses": ("guesses",),
    "copies": ("copies",),
    "doctor": ("cli", "doctor"),
    "__main__": ("cli",),
    "d2l/__init__": ("d2l",),
    "d2l/figures": ("d2l",),
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


def mutants(source):
    """All mutants of a module: list of (line, kind, what stood there, source)."""
    found = []
    for index, node in enumerate(ast.walk(ast.parse(source))):
        if not hasattr(node, "lineno"):
            continue
        for which, (kind, _) in enumerate(mutations(node)):
            tree = ast.parse(source)
            own = list(ast.walk(tree))[index]
            new = list(mutations(own))[which][1]
            text = ast.unparse(own).splitlines()[0]
            try:
                mutant = ast.unparse(ast.fix_missing_locations(Replace(own, new).visit(tree)))
                found.append((node.lineno, kind, text, mutant))
            except (AttributeError, ValueError, TypeError):
                continue  # for example a type annotation
    return found


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


def noticed(folder, files):
    """Run the tests in a child of this process, which has loaded the slow libraries already. True if they fail."""
    child = os.fork()
    if child == 0:
        os.setsid()
        os.chdir(folder)
        os.environ["PYTHONPATH"] = str(folder)
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # two mutants of one second and size would share their bytecode
        sys.dont_write_bytecode = True
        sys.path[:0] = [str(folder), str(folder / "tests")]
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        import pytest

        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly", "-o", "addopts="]
        os._exit(int(pytest.main([*options, "-m", "not slow", *files])))
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status) != 0
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def examine(module, sample, seed):
    """Try `sample` mutants of a module. Returns (how many were tried, the survivors)."""
    source = (ROOT / "d2lmini" / f"{module}.py").read_text(encoding="utf-8")
    everything = mutants(source)
    chosen = random.Random(seed).sample(everything, min(sample, len(everything)))
    survivors, files = [], test_files(module)
    with tempfile.TemporaryDirectory() as folder:
        folder = copy_of_the_project(Path(folder))
        if noticed(folder, files):
            sys.exit(f"{module}: the tests {' '.join(files)} fail without any fault; mend them first")
        for line, kind, text, mutant in chosen:
            (folder / "d2lmini" / f"{module}.py").write_text(mutant, encoding="utf-8")
            if not noticed(folder, files):
                survivors.append(f"d2lmini/{module}.py:{line}: {kind}: {text}")
                print(survivors[-1], flush=True)
    print(f"{module}: {len(chosen) - len(survivors)} of {len(chosen)} noticed ({len(everything)} exist)", flush=True)
    return len(chosen), survivors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", default=[], help="such as training or d2l/figures (default: all)")
    parser.add_argument("--sample", type=int, default=25, help="mutants of each module, default: 25")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    import hypothesis  # noqa: F401  (loaded once, before the children)
    import matplotlib.pyplot  # noqa: F401
    import numpy  # noqa: F401
    import torch

    torch.set_num_threads(1)
    modules = options.modules or [name for name in TESTS if (ROOT / "d2lmini" / f"{name}.py").exists()]
    results = [examine(module, options.sample, options.seed) for module in modules]
    tried, alive = sum(tried for tried, _ in results), sum(len(survivors) for _, survivors in results)
    print(f"{tried - alive} of {tried} noticed, {alive} not")


if __name__ == "__main__":
    main()
