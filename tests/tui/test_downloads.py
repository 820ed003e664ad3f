"""Downloads in the app: from the Hub into Models, live in the side pane, kept over a restart."""

import pytest
from frozen import frozen
from loopback_hub import Fault, Repo, pseudo_random, status
from piloting import wait_until
from published import NAME, tern
from textual.widgets import Input, OptionList, Static

from backend import paths, settings
from backend.database import Database
from backend.hub.client import HubClient
from backend.hub.queue import Queue
from backend.hub.repository import read_repository
from backend.hub.variants import choose
from tui.app import SternaApp
from tui.browsing import order
from tui.panes.downloads import DownloadsPane
from tui.panes.hub_table import HubTable
from tui.widgets.keybar import KeyBar
from tui.widgets.modebar import ModeBar

SIZES = [(80, 24), (120, 40)]


def pane(app) -> str:
    listed = app.screen.query_one(DownloadsPane).query_one(OptionList)
    prompts = [str(listed.get_option_at_index(at).prompt) for at in range(listed.option_count)]
    return "\n".join(prompts)


def bar(app) -> str:
    return str(app.screen.query_one(ModeBar).render())


def states(app) -> dict[str, str]:
    return {item.order.repo.partition("/")[2]: item.state for item in app.downloads.items}


def published(hub, name, size=3_000_000):
    """Put a model on the Hub, and what to order of it."""
    hub.add(Repo(f"own/{name}", {"m-Q8_0.gguf": pseudo_random(size, sum(name.encode()))}))
    found = read_repository(HubClient(), f"own/{name}")
    return order(found, choose(found.variants, "", found.repo))


@pytest.fixture
def queue(home):
    database = Database.open()
    yield Queue(database)
    database.close()


@pytest.mark.parametrize("size", SIZES)
async def test_from_the_hub_to_models(app, hub, tmp_path, size):
    hub.add(tern(tmp_path))
    async with app.run_test(size=size) as pilot:
        await pilot.press("2")
        await wait_until(pilot, lambda: app.screen.query_one(HubTable).rows)
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.screen.query_one(HubTable).chosen.variant)
        hub.rate = 60_000
        await pilot.press("d")
        await wait_until(pilot, lambda: app.screen.query("#preview"))
        asked = str(app.screen.query_one("#preview", Static).content)
        assert "licence  mit" in asked
        assert "1.41 MB" in asked
        assert not app.downloads.items
        await pilot.press("enter")
        await wait_until(pilot, lambda: "↓1" in bar(app), what="the mode bar")
        table = app.screen.query_one(HubTable)
        if size[0] < 100:
            fold = app.screen.query_one("#fetching", Static)
            await wait_until(pilot, lambda: "of 1.41 MB" in str(fold.content))
            assert fold.region.height == 1
        await wait_until(pilot, lambda: "↓ " in table.spanning(table.cursor_row))
        hub.rate = None
        await wait_until(pilot, lambda: states(app) == {"Tern-GGUF": "done"})
        await wait_until(pilot, lambda: "on disk" in table.spanning(table.cursor_row))
        assert "↓" not in bar(app)
        await wait_until(pilot, lambda: any("is here" in n.message for n in app._notifications))
        await wait_until(pilot, lambda: any("Tern" in m.name for m in app.library.models))


@pytest.mark.parametrize("size", SIZES)
async def test_pause_go_on_reorder_give_up(app, hub, queue, size):
    hub.rate = 100_000
    for name in "ABC":
        queue.add(published(hub, name))
    async with app.run_test(size=size) as pilot:
        await pilot.press("D")
        await wait_until(
            pilot, lambda: list(states(app).values()) == ["running", "running", "queued"]
        )
        await wait_until(pilot, lambda: "/s" in pane(app))
        assert "waits its turn" in pane(app)
        await pilot.press("space")
        await wait_until(pilot, lambda: states(app)["A"] == "paused")
        await wait_until(pilot, lambda: states(app)["C"] == "running")
        await pilot.press("space")
        await wait_until(pilot, lambda: states(app)["A"] != "paused")
        await pilot.press("down", "down", "shift+up", "K")
        await wait_until(pilot, lambda: list(states(app)) == ["C", "A", "B"])
        assert app.screen.query_one(DownloadsPane).chosen.order.repo == "own/C", "the cursor stays"
        await pilot.press("x")
        await wait_until(pilot, lambda: states(app)["C"] == "cancelled")
        assert "what came is kept" in pane(app)
        await pilot.press("x")
        await wait_until(pilot, lambda: "C" not in states(app))
        hub.rate = None
        await wait_until(pilot, lambda: states(app) == {"A": "done", "B": "done"})
        await pilot.press("escape")
        await wait_until(pilot, lambda: not app.screen.query(DownloadsPane))


async def test_the_queue_goes_on_after_a_restart(hub, queue):
    hub.rate = 400_000
    item = queue.add(published(hub, "A"))
    first = SternaApp(frozen())
    async with first.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: queue.get(item.id).done > 1_500_000)
    left = queue.get(item.id)
    assert left.state == "queued"
    seen = len(hub.served())
    hub.rate = None
    second = SternaApp(frozen())
    async with second.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: states(second) == {"A": "done"})
    again = sum(sent for _, sent in hub.ranges()[seen:])
    assert again < item.bytes


async def test_a_limit_holds_for_what_runs_already_and_keeps_the_settings(app, hub, queue):
    paths.settings_file().write_text(
        "# mine\n[downloads]\nmegabytes_per_second = 0.02  # slow\nat_once = 1\n"
    )
    queue.add(published(hub, "A"))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("D")
        await wait_until(pilot, lambda: states(app) == {"A": "running"})
        await wait_until(pilot, lambda: "/s" in pane(app))
        await pilot.press("b")
        await wait_until(pilot, lambda: app.screen.is_modal)
        assert app.screen.query_one(Input).value == "0.02"
        app.screen.query_one(Input).value = "fast"
        await pilot.press("enter")
        await wait_until(pilot, lambda: any("no speed" in n.message for n in app._notifications))
        await pilot.press("b")
        await wait_until(pilot, lambda: app.screen.is_modal)
        app.screen.query_one(Input).value = "0"
        await pilot.press("enter")
        await wait_until(
            pilot, lambda: states(app) == {"A": "done"}
        )  # a minute and more at the old
    text = paths.settings_file().read_text()
    assert text == "# mine\n[downloads]\nmegabytes_per_second = 0  # slow\nat_once = 1\n"
    assert settings.load().downloads.at_once == 1


async def test_a_stall_and_a_failure_say_why_and_enter_goes_on(app, hub, queue):
    queue.add(published(hub, "A"))
    hub.go_down()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("D")
        await wait_until(pilot, lambda: "retry" in pane(app))
        assert "stalled" in pane(app)
        assert "stalled" in bar(app)
        await pilot.press("space")
        await wait_until(pilot, lambda: states(app) == {"A": "paused"})
        hub.come_back()
        hub.faults = [Fault(status(404, X_Error_Code="EntryNotFound"), kind="resolve", times=None)]
        hub.faults[0].strike = _strike(hub.faults[0])
        await pilot.press("enter")
        await wait_until(pilot, lambda: states(app) == {"A": "failed"})
        assert "no such file any more" in " ".join(pane(app).split())
        assert "failed" in bar(app)
        hub.faults = []
        await pilot.press("enter")
        await wait_until(pilot, lambda: states(app) == {"A": "done"})


def _strike(fault):
    """Strike questions without a body, too: the downloader asks where a file is by HEAD."""

    def strike(request, answer):
        if answer.kind == fault.kind:
            fault.change(request, answer)

    return strike


async def test_without_downloads_the_pane_says_what_it_is_for_and_returns_the_focus(app, hub):
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until(pilot, lambda: app.library.scanned)
        before = app.focused
        await pilot.press("D")
        await wait_until(pilot, lambda: app.screen.query(DownloadsPane))
        idle = app.screen.query_one("#idle", Static)
        assert "press 2 for the hub" in " ".join(str(idle.content).lower().split())
        await pilot.press("D")
        await wait_until(pilot, lambda: not app.screen.query(DownloadsPane))
        assert app.focused is before


async def test_a_pane_in_the_mode_s_place_shows_no_keys_of_what_it_hides(app, hub):
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.library.scanned)
        bar = app.screen.query_one(KeyBar)
        await wait_until(pilot, lambda: "train" in str(bar.render()))
        await pilot.press("D")
        await wait_until(pilot, lambda: "give up" in str(bar.render()))
        assert "train" not in str(bar.render())
        await pilot.press("escape")
        await wait_until(pilot, lambda: "train" in str(bar.render()))


async def test_names_of_models_are_no_markup(app, hub, queue):
    hub.rate = 50_000
    item = published(hub, "A")
    queue.add(type(item)(**{**vars(item), "quant": "[/nope]\x1b"}))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("D")
        await wait_until(pilot, lambda: "[/nope]␛" in pane(app))


async def test_what_was_given_up_half_is_not_shown_as_on_disk(app, hub, queue, tmp_path):
    hub.add(tern(tmp_path, "Q8_0"))
    found = read_repository(HubClient(), NAME)
    item = queue.add(order(found, choose(found.variants, "", NAME)))
    queue.cancel(item.id)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await wait_until(pilot, lambda: app.screen.query_one(HubTable).rows)
        await pilot.press("enter")
        table = app.screen.query_one(HubTable)
        await wait_until(pilot, lambda: len(table.rows) > 1)
        assert "on disk" not in (table.spanning(1) or "")
