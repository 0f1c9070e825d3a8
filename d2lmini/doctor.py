"""Is everything there? One line for each thing that the course needs, with what to do when it's missing."""

import hashlib
import importlib
import re
import sys
from importlib import metadata
from pathlib import Path

# The package's own modules are imported where they are used: they need what may be missing.


def numbers(version):
    """'2.13.0+cpu' -> (2, 13, 0), which compares as versions do."""
    return tuple(int(part) for part in re.match(r"\d+(\.\d+)*", version).group().split("."))


def check_python():
    """(passed, what was found, what to do) for the running Python."""
    wanted = metadata.metadata("d2lmini")["Requires-Python"]
    found = sys.version.split()[0]
    passed = numbers(found) >= numbers(wanted.removeprefix(">="))
    return passed, f"Python {found} (needs {wanted})", f"install Python {wanted}, then the course again"


def check_package(requirement):
    """(passed, what was found, what to do) for one requirement such as 'numpy>=1.26'."""
    name, wanted = re.match(r"([\w.-]+)\s*>=\s*([\d.]+)", requirement).groups()
    advice = f'pip install "{name}>={wanted}"'
    try:
        found = metadata.version(name)
        importlib.import_module(name)
    except metadata.PackageNotFoundError:
        return False, f"{name} is missing (needs >={wanted})", advice
    except Exception as error:  # a broken installation may raise anything
        return False, f"{name} {found} can't be imported ({error})", f"pip install --force-reinstall {name}"
    return numbers(found) >= numbers(wanted), f"{name} {found} (needs >={wanted})", advice


def check_device():
    """The device that try_gpu finds, and whether it multiplies."""
    import torch

    from .model import try_gpu

    device = try_gpu()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    try:
        passed = float((torch.ones(2, 2, device=device) @ torch.ones(2, 2, device=device)).sum()) == 8
    except RuntimeError:
        passed = False
    return passed, f"device {device} ({name})", "use device='cpu', or reinstall torch for this device: pytorch.org"


def check_text():
    """The chapter that ships, byte for byte."""
    from . import book

    path = book.data_path(book.CHAPTER_FILE)
    if not path.is_file():
        return False, f"{path} is missing", "reinstall d2lmini"
    passed = hashlib.sha256(path.read_bytes()).hexdigest() == book.CHAPTER_SHA256
    return passed, f"{path} ({'as shipped' if passed else 'changed'})", "restore the file, or reinstall d2lmini"


def check_notebooks():
    """The notebooks that `start` copies."""
    from .copies import course_notebooks

    paths = course_notebooks()
    return True, f"{len(paths)} notebooks in {paths[min(paths)].parent}", ""


def check_book():
    """The cache of the whole book: nothing there is as good as the right file."""
    from . import book

    cache = book.book_cache()
    path = Path(cache.abspath, book.BOOK_FILE)
    if not path.exists():
        return True, f"the whole book isn't in the cache {path.parent}: download_book() fetches it when needed", ""
    passed = path.is_file() and hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest() == book.BOOK_SHA1
    return passed, f"{path} ({'the whole book' if passed else 'not the book'})", f"delete {path}"


def doctor():
    """Print [OK] or [FAIL] for each requirement, and what to do. Returns 1 if anything failed, else 0."""
    try:
        needed = [line for line in metadata.requires("d2lmini") if "extra ==" not in line]
    except metadata.PackageNotFoundError:
        print("[FAIL] d2lmini isn't installed\n       -> pip install .  (in the folder with pyproject.toml)")
        return 1
    failed = 0
    checks = [check_python, *needed, check_device, check_text, check_notebooks, check_book]
    for check in checks:
        try:
            passed, found, advice = check_package(check) if isinstance(check, str) else check()
        except Exception as error:  # the doctor never breaks down: what it can't check has failed
            found = f"{getattr(check, '__name__', check)}: {error!r}"
            passed, advice = False, "fix the failures above; if there are none, reinstall d2lmini"
        failed += not passed
        print(f"[OK]   {found}" if passed else f"[FAIL] {found}\n       -> {advice}")
    print(f"{failed} of {len(checks)} failed: follow the arrows." if failed else "All is well.")
    return int(failed > 0)
