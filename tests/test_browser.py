"""JupyterLab in a real browser: notebook 06 runs as a learner sees it, twice; the stop button is honoured; the quick
notebooks run in a fresh copy, light and dark, on wide and narrow screens.

Skipped with a reason where there is no Chromium. Pictures are kept in tests/screenshots.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from jupyter_client import BlockingKernelClient

from d2lmini import copies

ROOT = Path(__file__).parents[1]
NAME = "06_training.ipynb"
SCREENSHOTS = ROOT / "tests/screenshots"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: install your system's package chromium"),
]

LIVE_CELLS = ("real-train", "random-train")  # their figure is redrawn while the network trains
MEASURED = "real-speed"  # this cell prints what no two runs have in common

# In the status bar, not in the circle at the top, which says idle too early.
IDLE = re.compile(r"Python 3 \(ipykernel\) \| Idle")

# The page holds every cell, not only those in sight, so that they can be found by their place.
# Nothing pops up over the buttons.
SETTINGS = {
    "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false", "checkForUpdates": False},
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on the loopback over a copy of the notebook: (folder, address with token, runtime folder)."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copy(ROOT / "notebooks" / NAME, folder)
    homes = ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "JUPYTER_RUNTIME_DIR")
    # One thread: beside a busy program two of them would become one in the midst of a run, say so, and round otherwise.
    env = {**os.environ, "OMP_NUM_THREADS": "1", **{name: str(tmp_path_factory.mktemp(name)) for name in homes}}
    for name, setting in SETTINGS.items():
        path = Path(env["JUPYTERLAB_SETTINGS_DIR"]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(setting), encoding="utf-8")
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--allow-root"]
    command.append("--LabApp.expose_app_in_browser=True")  # to change the theme
    server = subprocess.Popen(
        [*command, f"--ServerApp.root_dir={folder}"],
        env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    runtime = Path(env["JUPYTER_RUNTIME_DIR"])
    try:
        file = wait_for(lambda: next(runtime.glob("jpserver-*.json"), None), "JupyterLab to start", 120)
        facts = json.loads(file.read_text(encoding="utf-8"))
        yield folder, f"{facts['url']}lab/tree/{NAME}?reset&token={facts['token']}", runtime
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def page(lab):
    """The notebook, open in a headless browser, its kernel ready."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        page.goto(lab[1])
        wait_for_kernel(page)
        yield page
        browser.close()


def wait_for(condition, what, seconds):
    """Ask every quarter of a second until `condition` gives something, and return that."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.25)
    return result


def cell(page, id):
    """The cell with this id on the page."""
    cells = nbformat.read(ROOT / "notebooks" / NAME, as_version=4).cells
    return page.locator(".jp-Notebook .jp-Cell").nth([cell.id for cell in cells].index(id))


def run_all(page):
    page.locator(".lm-MenuBar-item", has_text=re.compile("^Run$")).click()
    page.locator(".lm-Menu-item[data-command='runmenu:run-all']").click()
    wait_for(lambda: running(page), "the first cell to run", 30)


def running(page):
    """How many cells run or wait for their turn."""
    return page.locator(".jp-InputPrompt", has_text="[*]").count()


def pictures(page, id, seconds):
    """The different pictures that a cell shows one after the other while it runs, as their addresses."""
    here, seen = cell(page, id), []
    image = here.locator(".jp-RenderedImage img")
    image.first.wait_for(timeout=1000 * seconds)
    here.scroll_into_view_if_needed()
    while here.locator(".jp-InputPrompt", has_text="[*]").count():
        source = image.first.get_attribute("src")
        if source not in seen:
            seen.append(source)
            yield source
        time.sleep(0.1)


def wait_for_kernel(page):
    page.locator("#jp-main-statusbar", has_text=IDLE).wait_for(timeout=120_000)


def wait_until_done(page):
    """Wait until no cell runs; none may have left an error or written to stderr."""
    wait_for(lambda: not running(page), "all cells to be done", 1200)
    assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0
    assert page.locator('[data-mime-type="application/vnd.jupyter.stderr"]').count() == 0


def screenshot(page, name):
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / name)


def saved(page, folder):
    """The notebook as the browser saves it, its outputs by cell id."""
    path = folder / NAME
    before = path.stat().st_mtime_ns
    page.locator(".jp-Notebook").first.press("Control+s")
    wait_for(lambda: path.stat().st_mtime_ns > before, "the notebook to be saved", 30)
    time.sleep(1)
    return {cell.id: cell.get("outputs") for cell in nbformat.read(path, as_version=4).cells}


def run_to_the_end(page, folder, number):
    """Run All: watch the live figures, then return the outputs."""
    run_all(page)
    for id in LIVE_CELLS:
        changes = 0
        for changes, _ in enumerate(pictures(page, id, 1200), start=1):
            if changes == 3:
                screenshot(page, f"{number}-{id}-live.png")
        assert changes >= 3, f"the figure of {id} changed {changes} times while it trained"
        assert cell(page, id).locator(".jp-OutputArea-output").count() == 1, "one final figure and nothing else"
        screenshot(page, f"{number}-{id}-done.png")
    wait_until_done(page)
    outputs = saved(page, folder)
    for id in LIVE_CELLS:
        (output,) = outputs[id]
        assert "image/png" in output.data
    return outputs


def test_runs_live_twice_with_the_same_numbers(lab, page):
    first = run_to_the_end(page, lab[0], 1)
    second = run_to_the_end(page, lab[0], 2)
    for outputs in (first, second):
        outputs.pop(MEASURED)
        for output in (output for cell_outputs in outputs.values() for output in cell_outputs or []):
            output.pop("execution_count", None)
    assert first == second


def test_the_stop_button_keeps_what_was_trained(lab, page):
    run_all(page)
    for changes, _ in enumerate(pictures(page, LIVE_CELLS[0], 1200), start=1):
        if changes == 3:
            page.locator("jp-button[data-command='notebook:interrupt-kernel']").click()
    wait_for(lambda: not running(page), "the cells below, which work with what is there", 1200)
    screenshot(page, "3-stopped.png")
    trained = cell(page, LIVE_CELLS[0])
    assert trained.locator(".jp-OutputArea-output").count() == 1, "the figure so far and no error"
    assert trained.locator(".jp-RenderedImage img").count() == 1

    client = BlockingKernelClient(connection_file=str(next(lab[2].glob("kernel-*.json"))))
    client.load_connection_file()
    client.start_channels()
    said = []
    client.execute_interactive(
        "print(history.stopped); print(len(history.train_ppl) > 0, len(history.speeds) > 0);"
        "print(d2lmini.predict(model, vocab, 'time', 5)[:4])",
        output_hook=lambda message: said.append(message["content"].get("text", "")),
        timeout=60,
    )
    client.stop_channels()
    assert re.fullmatch(r"interrupted after \d+ of \d+ epochs\nTrue True\ntime\n", "".join(said)), said


QUICK = ("00_the_book", "01_one_hot_encoding", "02_parameters", "03_forward_pass", "04_prediction")
SIZES = {"desktop": (1280, 900), "half": (820, 900), "phone": (390, 800)}


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_notebook_of_a_fresh_copy_runs_and_leads_on(lab, page, name):
    copies.start(lab[0] / "my-course")
    page.goto(lab[1].replace(NAME, f"my-course/{name}.ipynb"))
    wait_for_kernel(page)
    assert page.locator(".jp-Notebook h1").first.inner_text().startswith(name[:2]), "the title comes first"
    assert page.locator(".jp-RenderedImage img").count() == 0, "a fresh copy gives nothing away"
    run_all(page)
    wait_until_done(page)
    assert page.locator(".jp-RenderedImage img").count() >= 2
    for theme in "JupyterLab Light", "JupyterLab Dark":
        page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            screenshot(page, f"{name}-{theme[11:].lower()}-{size}.png")
    page.set_viewport_size({"width": 1200, "height": 1000})
    following = page.locator(".jp-Notebook a", has_text=re.compile(rf"^{int(name[:2]) + 1:02} ")).last
    following.scroll_into_view_if_needed()
    following.click()
    tab = page.locator(".lm-TabBar-tab.lm-mod-current .lm-TabBar-tabLabel", has_text=f"{int(name[:2]) + 1:02}_")
    tab.first.wait_for(timeout=60_000)
