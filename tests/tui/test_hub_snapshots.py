"""What the Hub looks like, at 80×24 and 120×40. `pytest --snapshot-update` after a wanted change."""

from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from loopback_hub import Repo
from piloting import wait_until
from published import many, tern
from textual.widgets import OptionList, Static

from backend.database import Database
from backend.errors import SternaError
from backend.hub import failures, place
from backend.hub.order import Fetched, Order
from backend.hub.queue import Queue
from backend.hub.variants import RemoteFile
from backend.processes import this_process
from tui.panes.downloads import DownloadsPane
from tui.panes.hub_details import HubDetails
from tui.panes.hub_table import HubTable

SIZES = [pytest.param((80, 24), id="80x24"), pytest.param((120, 40), id="120x40")]
CARD = b"""---
license: mit
---
# Tern

A **small** bird, in `GGUF`. [/nope] <b>html</b> \x1b[2J

| quant | for |
|-------|-----|
| Q8_0 | all who have the room |
| Q4_0 | phones |

1. Download it.
2. Talk to it.
"""


def text(app, selector) -> str:
    return str(app.screen.query_one(selector, Static).content)


def painted(app) -> str:
    table = app.screen.query_one(HubTable)
    return "\n".join(table.render_line(y).text for y in range(table.size.height))


def details(app) -> str:
    return str(app.screen.query_one(HubDetails).query_one(Static).content)


@pytest.fixture
def stocked(hub, monkeypatch, tmp_path):
    """Stock the Hub. Its port differs from run to run, so it is neither a strange host nor named."""
    monkeypatch.setattr(place, "KNOWN_HOSTS", (urlsplit(hub.endpoint).netloc,))
    shown = SimpleNamespace(
        endpoint=lambda: "https://huggingface.co",
        page=lambda repo: f"https://huggingface.co/{repo}",
    )
    monkeypatch.setattr(failures, "place", shown)
    hub.add(tern(tmp_path, files={"README.md": CARD}))
    hub.add(tern(tmp_path, name="own/Locked-Tern-GGUF", gated="manual", trending=99, license=None))
    hub.add(Repo("evil/[bold]x\x1b[2J[/nope]", {"a-Q4_0.gguf": b"x"}, trending=98))
    for repo in many(70):
        hub.add(repo)
    return hub


async def opened(pilot):
    """Go to the Hub and wait until everything is known that its first sight shows."""
    app = pilot.app
    await wait_until(pilot, lambda: app.library.scanned and app.memory and app.hardware.machine)
    await pilot.press("2")
    await wait_until(pilot, lambda: app.current_mode == "hub")
    await wait_until(pilot, lambda: "✓ about" in painted(app))
    await wait_until(pilot, lambda: text(app, "FilterLine Static") == "the first 50 models")


async def unfolded(pilot):
    await opened(pilot)
    await pilot.press("enter")
    await wait_until(pilot, lambda: "← " in painted(pilot.app), what="the one to take")
    await wait_until(pilot, lambda: pilot.app.screen.query_one(HubTable).chosen.variant)


@pytest.mark.parametrize("size", SIZES)
def test_results(snap_compare, stocked, app, size):
    assert snap_compare(app, terminal_size=size, run_before=opened)


@pytest.mark.parametrize("size", SIZES)
def test_a_repository(snap_compare, stocked, app, size):
    assert snap_compare(app, terminal_size=size, run_before=unfolded)


@pytest.mark.parametrize("size", SIZES)
def test_before_a_download(snap_compare, stocked, app, size, monkeypatch):
    monkeypatch.setattr("backend.machine.disk.disk_free", lambda _: 81_300_000_000)
    monkeypatch.setattr(place, "cache_dir", lambda: place.Path("/home/tern/.cache/huggingface/hub"))

    async def ask(pilot):
        await unfolded(pilot)
        await pilot.press("d")
        await wait_until(pilot, lambda: app.screen.query("#preview"))

    assert snap_compare(app, terminal_size=size, run_before=ask)


@pytest.mark.parametrize("size", SIZES)
def test_a_card(snap_compare, stocked, app, size):
    async def read(pilot):
        await opened(pilot)
        await pilot.press("m")
        await wait_until(pilot, lambda: app.screen.is_modal and app.screen.query("MarkdownTable"))

    assert snap_compare(app, terminal_size=size, run_before=read)


@pytest.mark.parametrize("size", SIZES)
def test_a_gated_model(snap_compare, stocked, app, size):
    async def look(pilot):
        await opened(pilot)
        await pilot.press("down", "enter")
        await wait_until(pilot, lambda: "l gives a token" in painted(app))

    assert snap_compare(app, terminal_size=size, run_before=look)


@pytest.mark.parametrize("size", SIZES)
def test_facets(snap_compare, stocked, app, size):
    async def ask(pilot):
        await opened(pilot)
        await pilot.press("f")
        await wait_until(pilot, lambda: app.screen.is_modal)

    assert snap_compare(app, terminal_size=size, run_before=ask)


@pytest.mark.parametrize("size", SIZES)
def test_offline(snap_compare, app, size, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    async def go(pilot):
        await wait_until(pilot, lambda: app.library.scanned and app.memory and app.hardware.machine)
        await pilot.press("2")
        await wait_until(pilot, lambda: app.current_mode == "hub")
        await wait_until(pilot, lambda: "cannot be reached" in text(app, "#empty"))

    assert snap_compare(app, terminal_size=size, run_before=go)


def ordered(queue, name, size, quant="Q4_K_M"):
    file = RemoteFile(f"{name}-{quant}.gguf", size, f"{size:064x}")
    return queue.add(Order(f"own/{name}-GGUF", "0" * 40, (file,), quant, license="mit")).id


@pytest.fixture
def downloads(home):
    """A download in each state that there is; this process says that it works on two of them."""
    database, me = Database.open(), this_process()
    queue = Queue(database)
    goes, stalls, rests, fails, given_up, there = (
        ordered(queue, name, size)
        for name, size in (
            ("Albatross", 4_890_000_000), ("Booby", 2_500_000_000), ("Curlew", 1_240_000_000),
            ("Dunlin", 7_300_000_000), ("Egret [/nope]", 900_000_000), ("Fulmar", 640_000_000),
        )
    )  # fmt: skip
    for item_id in (goes, stalls, fails, there):
        assert queue.claim(item_id, me)
    queue.report(goes, me, done=1_809_300_000, speed=12_100_000.0)
    queue.report(stalls, me, done=1_000_000_000, still=12.0, retries=3, words="timed out")
    queue.pause(rests)
    error = SternaError("disk_full", "This takes 7.30 GB more.", "Free some.")
    queue.fail(fails, me, error)
    queue.cancel(given_up)
    file = Fetched(place.Path("/x/Fulmar.gguf"), 640_000_000, "0" * 64, False)
    queue.finish(there, me, [file], str(file.path))
    database.close()


@pytest.mark.parametrize("size", SIZES)
def test_downloads_beside_the_hub(snap_compare, stocked, downloads, app, size):
    async def look(pilot):
        await opened(pilot)
        await pilot.press("D")
        await wait_until(pilot, lambda: app.screen.query(DownloadsPane))
        listed = app.screen.query_one(DownloadsPane).query_one(OptionList)
        await wait_until(pilot, lambda: listed.option_count == 6)

    assert snap_compare(app, terminal_size=size, run_before=look)
