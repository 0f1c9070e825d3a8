"""A learner's copy of the notebooks: nothing given away, nothing lost, and never half a file."""

import errno
import json
import os
import random
from pathlib import Path

import nbformat
import pytest

from d2lmini import copies

NAME = "05_gradient_clipping.ipynb"


def cell(name, text, kind="code", printed=None):
    """A cell as the course saves it; a code cell with `printed` as its output."""
    made = {"cell_type": kind, "id": name, "metadata": {}, "source": text.splitlines(keepends=True)}
    if kind == "code":
        output = {"name": "stdout", "output_type": "stream", "text": [f"{printed}\n"]}
        made.update(execution_count=1 if printed else None, outputs=[output] if printed else [])
    return made


def notebook(*cells):
    return {"cells": list(cells), "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}


OLD = (
    cell("title", "# 05", "markdown"),
    cell("load", "x = 1", printed="1"),
    cell("guess-norm", "*Your guess:*", "markdown"),
    cell("stub-clip", "def my_clip():\n    raise NotImplementedError", printed="… clip: not tried yet"),
    cell("plot", "plot(x)", printed="a figure"),
    cell("seen", "## Seen", "markdown"),
)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of one small notebook, and an empty working folder. Call it to publish a newer version."""
    folder = tmp_path / "course"
    folder.mkdir()

    def publish(*cells, name=NAME):
        (folder / name).write_text(json.dumps(notebook(*cells)))

    monkeypatch.setattr(copies, "course_folder", lambda: folder)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    publish(*OLD)
    return publish


@pytest.fixture
def mine(course):
    """The path of a copy that was just started."""
    copies.start()
    return Path("my-course", NAME)


def read(path):
    return nbformat.validate(nbformat.read(path, as_version=4)) or json.loads(Path(path).read_text(encoding="utf-8"))


def write(path, *cells):
    """Save other cells in a copy, as JupyterLab does: all metadata stay."""
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "cells": list(cells)}))


def edit(path, **texts):
    """Change the text of some cells of a copy; guess_norm stands for guess-norm."""
    texts = {name.replace("_", "-"): text for name, text in texts.items()}
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    write(path, *({**cell, "source": texts.get(cell["id"], cell["source"])} for cell in cells))


def ids(path):
    return [cell["id"] for cell in read(path)["cells"]]


def texts(path):
    return {cell["id"]: copies.text_of(cell) for cell in read(path)["cells"]}


def changed(cells, **texts):
    """The course's cells with other texts."""
    return [{**cell, "source": texts.get(cell["id"].replace("-", "_"), cell["source"])} for cell in cells]


def tree(folder):
    return {path: path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


# Start


def test_a_copy_of_the_real_course_gives_nothing_away(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert copies.start() == 0
    originals = copies.course_notebooks()
    assert len(originals) >= 10 and f"{len(originals)} of {len(originals)} notebooks copied" in capsys.readouterr().out
    for original in originals.values():
        made, given = read(Path("my-course", original.name)), read(original)
        assert any(cell.get("outputs") for cell in given["cells"])
        assert [(cell["id"], cell["source"]) for cell in made["cells"]] == [
            (cell["id"], [line.replace("(../README.md)", "(contents.md)") for line in cell["source"]])
            for cell in given["cells"]
        ]
        for cell in made["cells"]:
            assert not cell.get("outputs") and cell.get("execution_count") is None
    before = tree("my-course")
    assert copies.update() == 0 and tree("my-course") == before
    assert copies.progress() == 0 and " 0 right, 0 tried, " in f" {capsys.readouterr().out.splitlines()[-1]}"


def test_start_never_overwrites(mine, course, capsys):
    edit(mine, title="# Mine")
    course(*OLD, name="06_training.ipynb")
    before = mine.read_bytes()
    assert copies.start() == 0
    assert mine.read_bytes() == before and ids(mine.with_name("06_training.ipynb")) == ids(mine)
    assert "1 of 2 notebooks copied into my-course" in capsys.readouterr().out


def test_start_says_that_others_stay_only_if_there_are_others(course, capsys):
    copies.start()
    assert "already" not in capsys.readouterr().out
    course(*OLD, name="06_training.ipynb")
    copies.start()
    assert "The others were there already and weren't touched." in capsys.readouterr().out


def test_a_copy_is_written_as_jupyter_writes_it(mine):
    """Else the first saving in JupyterLab would change every line."""
    edit(mine, title="# É 東京")
    copies.reset("5")
    copies.write_notebook(mine, read(mine))
    assert mine.read_text(encoding="utf-8") == nbformat.writes(nbformat.read(mine, as_version=4)) + "\n"


def test_the_pages_and_pictures_that_are_linked_come_along(course):
    links = "[terms](pages/terms.md#token) [next](06_training.ipynb) [web](https://x.org/a.png) [gone](no.md)"
    course(*OLD, cell("links", f"{links} [outside](../x)", "markdown"))
    folder = copies.course_folder()
    (folder / "pages").mkdir()
    (folder / "pages" / "terms.md").write_text('![a](a%20b.png) <img src="c.svg"> [back](terms.md)')
    for name in ("a b.png", "c.svg", "unlinked.png"):
        (folder / "pages" / name).write_bytes(name.encode())
    (folder.parent / "x").write_text("outside the course")
    copies.start("copy")
    names = sorted(path.relative_to("copy").as_posix() for path in tree("copy"))
    assert names == [NAME, "contents.md", "pages/a b.png", "pages/c.svg", "pages/terms.md"]
    (folder / "pages" / "c.svg").write_bytes(b"newer")
    copies.update("copy")
    assert Path("copy/pages/c.svg").read_bytes() == b"newer"
    assert [path.read_bytes() for path in Path("copy/backups").rglob("c.svg")] == [b"c.svg"]


def test_the_contents_lead_to_each_notebook_wherever_the_copy_is(course):
    title = cell("title", "# 05 · Clipping\n\nText.", "markdown")
    course(title, *OLD[1:], cell("links", "[Contents](../README.md) · [07](07.ipynb)", "markdown"))
    copies.start("far/away")
    assert Path("far/away/contents.md").read_text(encoding="utf-8") == f"# Contents\n\n- [05 · Clipping]({NAME})\n"
    assert texts(Path("far/away", NAME))["links"] == "[Contents](contents.md) · [07](07.ipynb)"
    copies.update("far/away")
    assert not Path("far/away/backups").exists(), "nothing has changed"


def test_the_course_itself_is_no_copy(course):
    for command in (copies.start, copies.update, copies.progress, lambda folder: copies.reset("05", folder)):
        with pytest.raises(ValueError, match="holds the course itself"):
            command(copies.course_folder())


def test_without_a_name_the_copy_is_here_or_in_my_course(mine, monkeypatch):
    assert copies.learners_folder() == Path("my-course")
    monkeypatch.chdir("my-course")
    assert copies.learners_folder() == Path(".")


# Update


def test_an_untouched_copy_becomes_the_newest_course(mine, course, capsys):
    newest = [OLD[0], cell("new", "fresh = 1"), *changed(OLD[1:5], load="x = 2", stub_clip="def my_clip(theta): ...")]
    course(*newest)
    copies.update()
    assert texts(mine) == {cell["id"]: copies.text_of(cell) for cell in newest}  # "seen" is gone
    assert not any(cell.get("outputs") for cell in read(mine)["cells"])
    out = capsys.readouterr().out
    assert "untouched cells removed: 1; cells renewed: 2; new cells: 1" in out and "Reload Notebook from Disk" in out


def test_answers_guesses_and_own_cells_are_carried_over(mine, course, capsys):
    edit(mine, stub_clip="def my_clip():\n    return 1", guess_norm="I say 3")
    title, load, guess, stub, plot, seen = read(mine)["cells"]
    note, scratch, last = cell("a1", "my note", "markdown"), cell("b2", "1 + 1", printed="2"), cell("c3", "end")
    write(mine, note, title, load, scratch, guess, stub, plot, seen, last)
    course(*changed(OLD, load="x = 2", stub_clip="def my_clip(grads): ...", guess_norm="*Your guess?*"))
    copies.update()
    assert ids(mine) == ["a1", "title", "load", "b2", "guess-norm", "stub-clip", "plot", "seen", "c3"]
    found = texts(mine)
    assert found["stub-clip"] == "def my_clip():\n    return 1" and found["guess-norm"] == "I say 3"
    assert found["load"] == "x = 2" and found["a1"] == "my note"
    assert read(mine)["cells"][3] == scratch
    out = capsys.readouterr().out
    assert "own cells kept: 3; cells renewed: 1; answers kept: 2; " in out
    assert "stub-clip: the course has changed this exercise, and your answer is as you wrote it" in out


def test_an_edit_of_a_cell_that_the_course_left_alone_stays_in_place(mine, course, capsys):
    edit(mine, load="x = 100")
    course(*changed(OLD, plot="plot(x, live=True)"))
    copies.update()
    assert ids(mine) == [cell["id"] for cell in OLD]
    assert texts(mine)["load"] == "x = 100" and texts(mine)["plot"] == "plot(x, live=True)"
    assert f"{NAME}: updated; cells renewed: 1\n" in capsys.readouterr().out  # nothing was answered yet


def test_an_edit_that_collides_with_the_courses_is_kept_below(mine, course, capsys):
    edit(mine, load="x = 100")
    course(*changed(OLD, load="x = 2"))
    copies.update()
    assert ids(mine)[:4] == ["title", "load", "load-mine", "guess-norm"]
    assert texts(mine)["load"] == "x = 2" and texts(mine)["load-mine"] == "x = 100"
    assert "load: you and the course changed this cell; your version is kept below it" in capsys.readouterr().out
    edit(mine, load="x = 200")
    course(*changed(OLD, load="x = 3"))
    copies.update()
    assert ids(mine)[:5] == ["title", "load", "load-mine", "load-mine-2", "guess-norm"]
    assert list(texts(mine).values())[1:4] == ["x = 3", "x = 200", "x = 100"]


def test_a_cell_that_the_course_dropped_goes_only_if_it_was_untouched(mine, course):
    edit(mine, plot="plot(x, mine)")
    write(mine, *read(mine)["cells"], cell("a1", "mine"))
    course(*OLD[:4])
    copies.update()
    assert ids(mine) == ["title", "load", "guess-norm", "stub-clip", "plot", "a1"]


def test_deleted_and_reordered_cells_are_put_right_and_own_cells_follow_theirs(mine, course, capsys):
    title, load, guess, stub, plot, _ = read(mine)["cells"]
    write(mine, title, plot, cell("a1", "mine"), load, guess, stub)
    copies.update()
    assert ids(mine) == ["title", "load", "guess-norm", "stub-clip", "plot", "a1", "seen"]
    out = capsys.readouterr().out
    assert "deleted cells restored: 1" in out and "cells were moved into the course's order" in out


def test_of_two_cells_with_one_id_the_first_is_the_courses(mine):
    title, load, *others = read(mine)["cells"]
    write(mine, load, title, cell("load", "a second one"), *others)
    copies.update()
    assert ids(mine)[:3] == ["title", "mine-2", "load"]
    assert list(texts(mine).values())[1:3] == ["a second one", "x = 1"]


def test_what_jupyterlab_keeps_in_the_metadata_stays(mine, course):
    made = json.loads(mine.read_text())
    made["metadata"]["kernelspec"] = {"name": "my-kernel", "display_name": "Mine"}
    made["nbformat_minor"] = 6
    for folded in made["cells"]:
        folded["metadata"]["collapsed"] = True
    mine.write_text(json.dumps(made))
    course(*changed(OLD, load="x = 2"), cell("new", "x"))
    copies.update()
    assert read(mine)["metadata"]["kernelspec"]["name"] == "my-kernel" and read(mine)["nbformat_minor"] == 6
    assert [cell["metadata"].get("collapsed") for cell in read(mine)["cells"]] == [True, None, *4 * [True], None]


def test_an_output_stays_under_the_text_that_printed_it(mine, course):
    write(mine, *({**given, "metadata": made["metadata"]} for given, made in zip(OLD, read(mine)["cells"])))
    course(*changed(OLD, load="x = 2"))
    copies.update()
    assert [bool(cell.get("outputs")) for cell in read(mine)["cells"]] == [False, False, False, True, True, False]


def test_a_second_update_changes_nothing(mine, course, capsys):
    edit(mine, load="x = 100", plot="plot(x, mine)", stub_clip="def my_clip(): return 1")
    write(
        mine,
        cell("a1", "first"),
        *reversed(read(mine)["cells"][1:]),
        cell("a1", "an id twice"),
        cell("load", "and another"),
    )
    course(cell("new", "fresh"), *changed(OLD[:4], load="x = 2", stub_clip="def my_clip(grads): ..."))
    copies.update()
    before = tree("my-course")
    assert "updated" in capsys.readouterr().out
    assert copies.update() == 0
    assert tree("my-course") == before and capsys.readouterr().out == f"{NAME}: up to date\n"


def test_the_backup_is_the_file_as_it_was(mine, course):
    edit(mine, load="x = 100")
    before = mine.read_bytes()
    course(*changed(OLD, load="x = 2"))
    copies.update()
    course(*changed(OLD, load="x = 3"))
    between = mine.read_bytes()
    copies.update()  # in the same second, perhaps: it has a folder of its own
    assert [path.read_bytes() for path in sorted(Path("my-course/backups").rglob(NAME))] == [before, between]


def test_nothing_that_a_learner_wrote_is_ever_lost(mine, course):
    """Whatever learner and course do to their cells: a text that the course never had is still there afterwards."""
    draw = random.Random(0)
    for turn in range(60):
        course(*OLD)
        copies.reset("05")
        mine_now = read(mine)["cells"]
        for i in range(draw.randrange(5)):
            kind = draw.choice(["edit", "add", "delete", "swap"])
            place = draw.randrange(len(mine_now))
            if kind == "edit":
                mine_now[place] = {**mine_now[place], "source": f"mine {turn} {i}"}
            elif kind == "add":
                mine_now.insert(place, cell(f"own{i}", f"mine {turn} {i}"))
            elif kind == "delete" and len(mine_now) > 1:
                del mine_now[place]
            else:
                mine_now[place], mine_now[0] = mine_now[0], mine_now[place]
        write(mine, *mine_now)
        newest = [
            cell for cell in changed(OLD, **{draw.choice(["load", "plot", "stub_clip"]): "new"}) if draw.random() < 0.8
        ]
        draw.shuffle(newest)
        course(*newest)
        wrote = [copies.text_of(cell) for cell in mine_now if copies.text_of(cell).startswith("mine")]
        if not {cell["id"] for cell in newest} & {cell["id"] for cell in mine_now}:
            continue
        assert copies.update() == 0
        found = [text for text in texts(mine).values() if text.startswith("mine")]
        assert sorted(found) == sorted(wrote)
        course_order = [name for name in ids(mine) if name in {cell["id"] for cell in newest}]
        assert course_order == [cell["id"] for cell in newest]
        before = mine.read_bytes()
        assert copies.update() == 0 and mine.read_bytes() == before


def test_a_notebook_without_a_record_loses_nothing(mine, course):
    """As when it was downloaded by hand, or another program has dropped the notebook's metadata."""
    mine.write_text(json.dumps(notebook(*changed(OLD, load="x = 100", stub_clip="def my_clip(): return 1"))))
    course(*changed(OLD, plot="plot(x, live=True)"))
    copies.update()
    found = texts(mine)
    assert ids(mine) == ["title", "load", "load-mine", "guess-norm", "stub-clip", "plot", "plot-mine", "seen"]
    assert found["load-mine"] == "x = 100" and found["stub-clip"] == "def my_clip(): return 1"


def test_cell_ids_as_colab_keeps_them(mine):
    edit(mine, load="x = 100")
    before, cells = texts(mine), read(mine)["cells"]
    moved = [{**cell, "metadata": {**cell["metadata"], "id": cell["id"]}} for cell in cells]
    write(mine, *({key: value for key, value in cell.items() if key != "id"} for cell in moved))
    assert copies.update() == 0 and texts(mine) == before


def test_windows_line_ends_are_no_change(mine, course, capsys):
    text = mine.read_text(encoding="utf-8").replace("def my_clip():\\n", "def my_clip():\\r\\n")
    mine.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    before = mine.read_bytes()
    assert before.count(b"\\r\\n") == 1
    copies.update()
    assert mine.read_bytes() == before and f"{NAME}: up to date" in capsys.readouterr().out
    course(*changed(OLD, stub_clip="def my_clip(grads): ..."))
    copies.update()
    assert texts(mine)["stub-clip"] == "def my_clip(grads): ..."


def test_a_notebook_that_the_course_has_added_arrives_without_outputs(mine, course, capsys):
    course(*OLD, name="06_training.ipynb")
    copies.update()
    assert ids(mine.with_name("06_training.ipynb")) == ids(mine)
    assert mine.with_name("06_training.ipynb").read_bytes() == mine.read_bytes().replace(
        b"05_gradient_clipping", b"06_training"
    )
    assert capsys.readouterr().out.endswith(f"{NAME}: up to date\n06_training.ipynb: new\n")


def test_a_renamed_and_a_moved_notebook_are_found(mine, course, capsys):
    own = mine.parent / "done" / "clipping, my version.ipynb"
    own.parent.mkdir()
    mine.rename(own)
    course(*changed(OLD, load="x = 2"))
    copies.update()
    assert texts(own)["load"] == "x = 2" and not mine.exists()
    copies.progress()
    assert "clipping, my version.ipynb\n  open   clip\n" in capsys.readouterr().out


def test_a_notebook_that_the_course_renamed_gets_the_new_name(mine, course, capsys):
    edit(mine, stub_clip="def my_clip(): return 1")
    (copies.course_folder() / NAME).unlink()
    course(*OLD, name="05_clipping.ipynb")
    copies.update()
    assert texts(mine.with_name("05_clipping.ipynb"))["stub-clip"] == "def my_clip(): return 1" and not mine.exists()
    assert "updated; now 05_clipping.ipynb" in capsys.readouterr().out


def test_a_notebook_that_the_course_dropped_is_left_alone(mine, course, capsys):
    (copies.course_folder() / NAME).unlink()
    course(*OLD, name="06_training.ipynb")
    before = mine.read_bytes()
    assert copies.update() == 2 and mine.read_bytes() == before
    assert "the course doesn't have this notebook any more" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"cells": [',
        b"<<<<<<< HEAD\n{}\n",
        b"[]",
        b'{"nbformat": 3, "metadata": {}, "worksheets": []}',
        b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}]}',
        json.dumps(notebook({**OLD[0], "source": 7})).encode(),
        json.dumps(notebook({**OLD[1], "outputs": [7]})).encode(),
        b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {"d2lmini": 1}, "cells": []}',
        b'{"nbformat": 4, "nbformat_minor": "5", "metadata": {}, "cells": []}',
        json.dumps(notebook(cell("0", "renumbered"), cell("1", "by another program"))).encode(),
        b"[" * 100_000,
        bytes(range(256)),
    ],
)
def test_a_broken_file_is_named_and_left_alone_and_the_others_go_on(mine, course, capsys, content):
    course(*OLD, name="04_prediction.ipynb")
    course(*OLD, name="06_training.ipynb")
    copies.start()
    mine.write_bytes(content)
    for name in ("04_prediction.ipynb", "06_training.ipynb"):
        course(*changed(OLD, load="x = 2"), name=name)
    assert copies.update() == 2
    out = capsys.readouterr().out
    assert (
        f"{NAME}: left alone: " in out and "04_prediction.ipynb: updated" in out and "06_training.ipynb: updated" in out
    )
    assert mine.read_bytes() == content
    copies.progress()
    assert "06_training.ipynb\n  open   clip" in capsys.readouterr().out
    copies.reset("5")
    assert ids(mine) == [cell["id"] for cell in OLD]
    assert [path.read_bytes() for path in Path("my-course/backups").rglob(NAME)] == [content]


@pytest.mark.parametrize("fails_at", range(4))
def test_a_full_disk_never_leaves_half_a_file(mine, course, monkeypatch, fails_at):
    """Whichever write it is that finds the disk full, each notebook is either as it was or wholly renewed."""
    course(*OLD, name="06_training.ipynb")
    copies.start()
    for name in (NAME, "06_training.ipynb"):
        course(*changed(OLD, load="x = 2"), name=name)
    before = tree("my-course")
    write, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert copies.update() == 2
    renewed = {NAME: fails_at >= 2, "06_training.ipynb": False}
    for path, content in before.items():
        if path.name == "contents.md":
            assert path.read_bytes() == content
            continue
        assert renewed[path.name] or path.read_bytes() == content
        assert texts(path)["load"] == ("x = 2" if renewed[path.name] else "x = 1")
    assert all(path.name in {*renewed, "contents.md"} for path in tree("my-course"))  # no file half written lies about


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a system without /dev/full")
def test_a_copy_into_what_is_no_folder_is_refused(course):
    for folder in ("/dev/full", copies.course_folder() / NAME):
        with pytest.raises(OSError):
            copies.start(folder)


# Reset and progress


def test_reset_renews_one_notebook_and_keeps_the_old_one(mine, course, capsys):
    course(*OLD, name="06_training.ipynb")
    copies.start()
    edit(mine, stub_clip="my answer")
    edit(mine.with_name("06_training.ipynb"), stub_clip="my answer")
    old = mine.read_bytes()
    copies.reset("5")
    assert texts(mine)["stub-clip"].startswith("def my_clip")
    assert texts(mine.with_name("06_training.ipynb"))["stub-clip"] == "my answer"
    (backup,) = Path("my-course/backups").rglob("*.ipynb")
    assert backup.read_bytes() == old and str(backup) in capsys.readouterr().out


@pytest.mark.parametrize("number", ["17", "five", "", "../05", "-5"])
def test_reset_of_a_notebook_that_the_course_does_not_have(mine, number):
    with pytest.raises(ValueError, match=r"the course has no notebook .* choose one from 05 to 05"):
        copies.reset(number)


def test_reset_asks_which_of_two(mine):
    for name in ("a.ipynb", "b.ipynb"):
        mine.with_name(name).write_bytes(mine.read_bytes())
    copies.reset("05")  # the one with the course's name
    mine.unlink()
    with pytest.raises(ValueError, match=r"a\.ipynb and .*b\.ipynb: rename one to 05_"):
        copies.reset("05")


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("✓ clip: right", "right"),
        ("clip: right (its numbers are float64)", "right"),
        ("✗ clip: wrong numbers on a long text\n  expected 1, got 2", "tried"),
        ("clip: wrong numbers", "tried"),
        ("… clip: not tried yet", "open"),
        ("clip: not tried yet", "open"),
        ("✓ clip: right\n✗ clip, in place: wrong", "tried"),
        ("my own print: right\n✓ clip: right", "right"),
        ("debugging 1 2 3", "open"),
        (None, "open"),
    ],
)
def test_progress_reads_what_the_check_printed(printed, expected):
    assert copies.state(cell("stub-clip", "the stub", printed=printed), OLD[3] | {"source": "the stub"}) == expected


def test_progress_of_an_answer_that_was_not_run_or_that_failed(mine, capsys):
    stub = OLD[3]
    assert copies.state(cell("stub-clip", "an answer"), stub) == "tried"
    error = {"output_type": "error", "ename": "SyntaxError", "evalue": "", "traceback": []}
    assert copies.state({**cell("stub-clip", "an answer"), "outputs": [error]}, stub) == "tried"


def test_progress_of_a_copy(mine, course, capsys):
    title, *others = read(mine)["cells"]
    write(
        mine, title, *(cell("stub-clip", "x", printed="✓ clip: right") if c["id"] == "stub-clip" else c for c in others)
    )
    assert copies.progress() == 0
    assert capsys.readouterr().out.endswith(
        f"{NAME}\n  right  clip\n1 right, 0 tried, 0 open. (Saved notebooks only.)\n"
    )


@pytest.mark.parametrize("command", [copies.update, copies.progress])
def test_a_folder_without_a_copy_is_told_how_to_make_one(course, command):
    for folder in (None, "nowhere", "."):
        with pytest.raises(
            ValueError, match=r"has no notebook of the course\. To make a copy: python -m d2lmini start"
        ):
            command(folder)
