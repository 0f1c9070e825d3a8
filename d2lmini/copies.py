"""A learner's own copy of the notebooks: start it, bring it up to date, reset one notebook, see what is done.

A copy begins as the course's cells without their outputs, so that no answer appears below a question. In its metadata
each notebook keeps which notebook it is and a hash of every cell as the course had it. An update compares three
versions of a cell, as version control does: that hash, the learner's cell and the course's newest cell.
"""

import hashlib
import json
import re
import time
from collections import Counter, defaultdict
from itertools import count
from pathlib import Path
from urllib.parse import unquote

from .files import write_atomically

FOLDER = "my-course"  # where a copy is made unless the learner says otherwise
BACKUPS = "backups"  # a folder in the copy
LEARNERS = ("stub-", "guess-")  # ids of the cells that the course gives to the learner to fill in
CONTENTS = "contents.md"  # a copy's own page: the course's is the README of the repository, which isn't copied
LINK = re.compile(r"""\]\(\s*<?([^)\s>#]+)|(?:src|href)=["']([^"'#]+)""")


# Notebooks on disk


def course_folder():
    """The folder of the course's own notebooks: inside the installed package, or notebooks/ of a checkout."""
    installed = Path(__file__).parent / "notebooks"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "notebooks"


def course_notebooks():
    """{"00": path, "01": path, ...} of the course's own notebooks. Raises ValueError if there are none."""
    paths = {path.name[:2]: path for path in sorted(course_folder().glob("[0-9][0-9]_*.ipynb"))}
    if not paths:
        raise ValueError(f"{course_folder()} has no notebooks: reinstall d2lmini.")
    return paths


def read_notebook(path):
    """A notebook as a dict. Raises OSError if it can't be read, ValueError if it isn't a notebook of format 4."""
    try:
        notebook = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it isn't a readable notebook ({error})") from error
    if not (isinstance(notebook, dict) and notebook.get("nbformat") == 4 and is_metadata(notebook)):
        raise ValueError("it isn't a notebook of format 4")
    cells = notebook.get("cells")
    if not (isinstance(cells, list) and all(map(is_cell, cells)) and isinstance(notebook.get("nbformat_minor"), int)):
        raise ValueError("its cells aren't those of a notebook of format 4")
    return notebook


def is_metadata(thing):
    return isinstance(thing.get("metadata"), dict) and isinstance(thing["metadata"].get("d2lmini", {}), dict)


def is_cell(cell):
    if not (isinstance(cell, dict) and isinstance(cell.get("cell_type"), str) and is_metadata(cell)):
        return False
    source, outputs = cell.get("source"), cell.get("outputs", [])
    if not (isinstance(outputs, list) and all(isinstance(output, dict) for output in outputs)):
        return False
    return isinstance(source, str) or (isinstance(source, list) and all(isinstance(line, str) for line in source))


def write_notebook(path, notebook):
    """Write a notebook as Jupyter does, all of it or nothing."""
    text = json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    store(path, text.encode())


# Cells


def cell_id(cell):
    """The cell's id; Colab keeps it in the metadata. None if it has none."""
    name = cell.get("id", cell["metadata"].get("id"))
    return name if isinstance(name, str) else None


def text_of(cell):
    return "".join(cell["source"]).replace("\r\n", "\n").rstrip()


def fingerprint(cell):
    """16 hexadecimal digits that tell one text of a cell from another."""
    return hashlib.sha256(f"{cell['cell_type']}\n{text_of(cell)}".encode(errors="surrogatepass")).hexdigest()[:16]


def recorded(notebook):
    """(name of the course's notebook, {cell id: fingerprint}) as the copy keeps them; (None, {}) if it doesn't."""
    record = notebook["metadata"].get("d2lmini", {})
    name, cells = record.get("notebook"), record.get("cells")
    return name if isinstance(name, str) else None, cells if isinstance(cells, dict) else {}


def fresh(path):
    """The course's notebook at `path` as it is when a copy begins: without outputs, and with its record."""
    notebook = read_notebook(path)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
        else:
            cell["source"] = text_of(cell).replace("](../README.md)", f"]({CONTENTS})").splitlines(keepends=True)
    cells = {cell_id(cell): fingerprint(cell) for cell in notebook["cells"]}
    notebook["metadata"]["d2lmini"] = {"notebook": path.name, "cells": cells}
    return notebook


# Merging


def merge(mine, newest):
    """The notebook `newest` (see `fresh`) with what the learner wrote in `mine`. Returns (notebook, remarks).

    The course's cells come in the course's order. A cell whose text stays as it was keeps its outputs. Each of the
    learner's own cells stays below the cell that it was below. A cell that only one side changed is taken from that
    side. If both changed it, an exercise or a guess is the learner's; any other cell is the course's, with the
    learner's version as a cell of its own below it. remarks: list of str, what moved.

    Raises ValueError if no cell of `mine` has an id of the course.
    """
    course, record = {cell_id(cell): cell for cell in newest["cells"]}, recorded(mine)[1]
    learners, own, removed = sort_cells(mine["cells"], course, record)
    if not learners:
        raise ValueError(
            "none of its cells has an id of the course, so another program has changed them: start it over with "
            "python -m d2lmini reset NUMBER, and copy your answers from the backup"
        )
    cells = own[None]
    happened = Counter({"untouched cells removed": removed, "own cells kept": sum(map(len, own.values()))})
    remarks = []
    for name, cell in course.items():
        if name not in learners:
            happened["deleted cells restored" if name in record else "new cells"] += 1
            cells += [cell, *own[name]]
            continue
        kept, below, remark = combine(name, cell, learners[name], record.get(name))
        cells += [kept, *below, *own[name]]
        remarks += [remark] if remark else []
        happened["cells renewed"] += text_of(kept) != text_of(learners[name])
        happened["answers kept"] += name.startswith(LEARNERS) and text_of(kept) != text_of(cell)
    if [name for name in course if name in learners] != list(learners):
        remarks.append("cells were moved into the course's order")
    counts = [f"{what}: {number}" for what, number in happened.items() if number]
    result = {
        **newest,
        "nbformat_minor": max(newest["nbformat_minor"], mine.get("nbformat_minor", 0)),
        "metadata": {**newest["metadata"], **mine["metadata"], "d2lmini": newest["metadata"]["d2lmini"]},
        "cells": with_ids(cells),
    }
    return result, counts + remarks


def sort_cells(cells, course, record):
    """The learner's cells as ({id: cell of the course}, {id or None: own cells behind it}, number of removed cells)."""
    learners, own, removed, behind = {}, defaultdict(list), 0, None
    for cell in cells:
        name = cell_id(cell)
        if name in course and name not in learners:
            learners[name], behind = cell, name
        elif name not in course and record.get(name) == fingerprint(cell):
            removed += 1  # the course no longer has it, and the learner never changed it
        else:
            own[behind].append({**cell, "id": None} if name in course else cell)  # a second cell with the same id
    return learners, own, removed


def combine(name, theirs, mine, before):
    """One cell that the course and the learner both have. Returns (cell, list of cells below it, remark or "").

    before: the fingerprint of the course's cell when the copy was made or last updated; None if that isn't known.
    """
    metadata = {**mine["metadata"], **theirs["metadata"]}
    my_version = {**mine, "id": name, "metadata": metadata}
    if fingerprint(mine) in (fingerprint(theirs), before):
        return (my_version if fingerprint(mine) == fingerprint(theirs) else theirs), [], ""
    if fingerprint(theirs) == before:
        return my_version, [], ""
    if name.startswith(LEARNERS):
        remark = f"{name}: the course has changed this exercise, and your answer is as you wrote it" if before else ""
        return my_version, [], remark
    below = {**mine, "id": f"{name[:50]}-mine"}
    return theirs, [below], f"{name}: you and the course changed this cell; your version is kept below it"


def with_ids(cells):
    """The same cells, each with an id of its own, as nbformat wants it. The first cell with an id keeps it."""
    result, seen, taken = [], set(), {cell_id(cell) for cell in cells}
    for cell in cells:
        name = cell_id(cell)
        if name is None or name in seen:
            stem = name[:50] if name else "mine"
            name = next(new for i in count(2) if (new := f"{stem}-{i}") not in taken)
        seen.add(name)
        taken.add(name)
        result.append({**cell, "id": name})
    return result


# What the command line offers


def learners_folder(folder=None):
    """The Path of the learner's copy: `folder`, the current folder if it has notebooks of the course, or my-course.

    Raises ValueError for the folder of the course itself.
    """
    if folder is None:
        here = any(Path(path.name).is_file() for path in course_notebooks().values())
        folder = "." if here else FOLDER
    folder = Path(folder)
    if folder.resolve() == course_folder().resolve():
        raise ValueError(f"{folder} holds the course itself: name the folder of your own copy.")
    return folder


def start(folder=None):
    """Copy the notebooks without outputs, and the pages and pictures that they link to. Nothing is overwritten.

    Prints what it did and what to do next; returns 0. Raises OSError if a file can't be written.
    """
    folder, notebooks = learners_folder(folder), course_notebooks()
    added = [path.name for path in notebooks.values() if not (folder / path.name).exists()]
    for name in added:
        write_notebook(folder / name, fresh(course_folder() / name))
    for name in linked_files():
        if not (folder / name).exists():
            store(folder / name, (course_folder() / name).read_bytes())
    write_contents(folder)
    print(f"{len(added)} of {len(notebooks)} notebooks copied into {folder}.")
    if len(added) < len(notebooks):
        print("The others were there already and weren't touched. To bring them up to date: python -m d2lmini update")
    print(f"Now open the first notebook: jupyter lab {folder / notebooks[min(notebooks)].name}")
    return 0


def update(folder=None):
    """Bring the notebooks of a copy up to date (see `merge`), and keep a backup of each file that changes.

    Prints a line for each notebook, and what moved in it. Returns 0, or 2 if a notebook had to be left alone.
    Raises ValueError if the folder has no notebook of the course.
    """
    folder, course = learners_folder(folder), course_notebooks()
    copies, backup, failed = find_copies(folder), new_backup_folder(folder), 0
    for path, number in copies:
        try:
            outcome = update_notebook(path, course.get(number), backup / path.relative_to(folder))
        except (OSError, ValueError) as error:
            outcome, failed = f"left alone: {error}", 2
        print(f"{path.name}: {outcome}")
    present = {number for _, number in copies}
    for number, path in course.items():
        if number not in present:
            write_notebook(folder / path.name, fresh(path))
            print(f"{path.name}: new")
    for name in linked_files():
        renew(folder / name, (course_folder() / name).read_bytes(), backup / name)
    write_contents(folder)
    if backup.exists():
        print(f"The files as they were: {backup}")
        print("If a notebook is open in JupyterLab, load it again: File > Reload Notebook from Disk.")
    return failed


def update_notebook(path, newest, backup):
    """Bring one notebook up to date; `backup` is where the old file goes. Returns a line that says what happened."""
    mine = read_notebook(path)
    if newest is None:
        raise ValueError("the course doesn't have this notebook any more")
    merged, remarks = merge(mine, fresh(newest))
    target = path.with_name(newest.name)
    if path.name != recorded(mine)[0] or target.exists():
        target = path  # the learner has renamed it; otherwise it follows the course's name, because links do
    if merged == mine and target == path:
        return "up to date"
    store(backup, path.read_bytes())
    write_notebook(target, merged)
    if target != path:
        path.unlink()
        remarks.insert(0, f"now {target.name}")
    return "; ".join(["updated", *remarks])


def reset(number, folder=None):
    """Restore one notebook to what it was at the start of the course, and keep the old file as a backup. Returns 0.

    number: such as "05". Raises ValueError for a number that the course doesn't have, or if several notebooks of the
    folder have it.
    """
    folder, course = learners_folder(folder), course_notebooks()
    number = number.zfill(2)
    if number not in course:
        raise ValueError(f"the course has no notebook {number}: choose one from {min(course)} to {max(course)}.")
    name = course[number].name
    paths = [path for path, found in find_copies(folder) if found == number]
    paths = [path for path in paths if path.name == name] or paths or [folder / name]
    if len(paths) > 1:
        raise ValueError(f"{folder} has notebook {number} as {' and '.join(map(str, paths))}: rename one to {name}.")
    (path,) = paths
    backup = new_backup_folder(folder) / path.relative_to(folder)
    if path.exists():
        store(backup, path.read_bytes())
    write_notebook(path, fresh(course[number]))
    print(f"{path} is as it was at the start." + (f" The old file: {backup}" if backup.exists() else ""))
    return 0


def progress(folder=None):
    """Print all exercises of a copy, each with right, tried or open, as the saved notebooks show. Returns 0, or 2.

    2 if a notebook couldn't be read. Raises ValueError if the folder has no notebook of the course.
    """
    folder, course, failed, total = learners_folder(folder), course_notebooks(), 0, Counter()
    for path, number in find_copies(folder):
        try:
            cells = {cell_id(cell): cell for cell in read_notebook(path)["cells"]}
        except (OSError, ValueError) as error:
            print(f"{path.name}: {error}")
            failed = 2
            continue
        stubs = fresh(course[number])["cells"] if number in course else []
        states = {
            cell_id(stub).removeprefix("stub-"): state(cells.get(cell_id(stub), stub), stub)
            for stub in stubs
            if cell_id(stub).startswith("stub-")
        }
        total.update(states.values())
        if states:
            print(path.name, *(f"  {value:5}  {name}" for name, value in states.items()), sep="\n")
    print(f"{total['right']} right, {total['tried']} tried, {total['open']} open. (Saved notebooks only.)")
    return failed


def state(cell, stub):
    """ "right", "tried" or "open": what the check had printed below an exercise when the notebook was saved."""
    outputs = cell.get("outputs", [])
    if any(output.get("output_type") == "error" for output in outputs):
        return "tried"
    name, found = cell_id(stub).removeprefix("stub-"), set()
    for line in "".join("".join(output.get("text", "")) for output in outputs).splitlines():
        sign, text = line[:1], line.lstrip("✓✗… ")
        if sign == "✓" or text.startswith(f"{name}: right"):
            found.add("right")
        elif sign == "…" or (text.startswith(f"{name}: ") and text.endswith("not tried yet")):
            found.add("open")
        elif sign == "✗" or text.startswith(f"{name}: "):
            found.add("tried")
    if not found:
        return "open" if text_of(cell) == text_of(stub) else "tried"  # written, but never run
    return found.pop() if len(found) == 1 else "tried"


# Files


def find_copies(folder):
    """[(path, number)] of the course's notebooks in a learner's folder, wherever they are and whatever they're called.

    A file that can't be read is one of them; its number is None if its name doesn't tell.
    Raises ValueError if there are none.
    """
    numbers, found = {path.name: number for number, path in course_notebooks().items()}, []
    for path in sorted(folder.rglob("*.ipynb")):
        inside = path.relative_to(folder).parts
        if not path.is_file() or BACKUPS in inside or any(part.startswith(".") for part in inside):
            continue
        try:
            name = recorded(read_notebook(path))[0]
        except (OSError, ValueError):
            found.append((path, numbers.get(path.name)))
            continue
        if name or path.name in numbers:
            number = (name or path.name)[:2]
            found.append((path, number if number in numbers.values() else None))
    if not found:
        raise ValueError(f"{folder} has no notebook of the course. To make a copy: python -m d2lmini start {folder}")
    return found


def write_contents(folder):
    """Write the page that lists a copy's notebooks. No backup: it's made anew each time, and holds nothing else."""
    titles = [(path.name, markdown_of(path).partition("\n")[0].lstrip("# ")) for path in course_notebooks().values()]
    data = "\n".join(["# Contents", "", *(f"- [{title}]({name})" for name, title in titles), ""]).encode()
    path = folder / CONTENTS
    if not path.exists() or path.read_bytes() != data:
        store(path, data)


def linked_files():
    """Names of the pages and pictures that the course's notebooks, or those pages, link to."""
    course, found = course_folder().resolve(), {}
    todo = list(course_notebooks().values())
    while todo:
        path = todo.pop()
        for link in sum(LINK.findall(markdown_of(path)), ()):
            target = (path.parent / unquote(link)).resolve()
            if link and ":" not in link and target.is_file() and target.is_relative_to(course) and target not in found:
                if target.suffix != ".ipynb":
                    found[target] = target.relative_to(course).as_posix()
                if target.suffix == ".md":
                    todo.append(target)
    return sorted(found.values())


def markdown_of(path):
    """The prose of a notebook or a page."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    return "\n".join(text_of(cell) for cell in read_notebook(path)["cells"] if cell["cell_type"] == "markdown")


def new_backup_folder(folder):
    """A Path that doesn't exist yet, named after the time. The first file that is written there makes the folder."""
    name = time.strftime("%Y-%m-%d_%H-%M-%S")
    names = (name if i == 1 else f"{name}_{i}" for i in count(1))
    return next(path for path in (folder / BACKUPS / name for name in names) if not path.exists())


def renew(path, data, backup):
    """Make `data` the content of a file of the course; what was there before goes to `backup`."""
    if path.exists() and path.read_bytes() != data:
        store(backup, path.read_bytes())
    if not path.exists() or path.read_bytes() != data:
        store(path, data)


def store(path, data):
    """Write bytes to a file, all of them or none, and make its folder first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)
