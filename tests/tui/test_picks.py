"""A first run: three models that fit this machine, and one of them downloaded by the keyboard alone."""

import pytest
from frozen import frozen, machine
from ggufs import tiny_llama
from loopback_hub import Repo, pseudo_random
from piloting import wait_until
from textual.widgets import Static

from backend import picks
from tui.app import SternaApp
from tui.panes.picks import PickList, Picks

SIZES = [(80, 24), (120, 40)]


async def offered(pilot):
    await wait_until(pilot, lambda: pilot.app.screen.query_one(Picks).display, what="picks")
    return pilot.app.screen.query_one(PickList)


@pytest.mark.parametrize("size", SIZES)
async def test_a_first_run_offers_three_with_size_speed_and_time(app, size):
    async with app.run_test(size=size) as pilot:
        options = await offered(pilot)
        assert options.option_count == 3
        for place, picked in enumerate(picks.choose(machine())):
            said = str(options.get_option_at_index(place).prompt)
            for part in (picked.pick.name, picked.candidate.quant, "fits to", "tok/s", "GB"):
                assert part in said
            assert ("trained so" in said) == picked.candidate.grade.native
            assert " min" in said or " s ·" in said


async def test_one_of_them_is_downloaded_and_then_the_list_is_the_persons_own(home, hub, tmp_path):
    first = picks.choose(machine())[0]
    quant = first.candidate.quant
    model = tiny_llama(tmp_path / "m.gguf", tensor_type="Q8_0").path.read_bytes()
    hub.add(Repo(first.pick.repo, {f"model-{quant}.gguf": model}, license="mit"))
    app = SternaApp(frozen())
    async with app.run_test(size=(120, 40)) as pilot:
        options = await offered(pilot)
        await pilot.press("d")
        await wait_until(pilot, lambda: options.has_focus)
        await pilot.press("d")
        await wait_until(
            pilot, lambda: len(app.library.models) == 2, seconds=60, what="the download"
        )
        await wait_until(pilot, lambda: not app.screen.query_one(Picks).display)
        assert any("is here" in n.message for n in app._notifications)
        assert any("(mit) is in the queue" in n.message for n in app._notifications)


async def test_a_pick_under_way_is_paused_in_the_pane_and_gone_on_with_by_the_next_app(home, hub):
    first = picks.choose(machine())[0]
    name = f"model-{first.candidate.quant}.gguf"
    hub.add(Repo(first.pick.repo, {name: pseudo_random(3_000_000)}))
    hub.rate = 200_000
    app = SternaApp(frozen())
    async with app.run_test(size=(120, 40)) as pilot:
        await offered(pilot)
        await pilot.press("d", "d")
        line = app.screen.query_one("#fetched", Static)
        await wait_until(pilot, lambda: "MB" in str(line.content), seconds=60, what="progress")
        await pilot.press("D", "space")
        await wait_until(pilot, lambda: app.downloads.items[0].state == "paused")
        assert not line.display
    again = SternaApp(frozen())
    async with again.run_test(size=(120, 40)) as pilot:
        await wait_until(pilot, lambda: again.downloads.items)
        (item,) = again.downloads.items
        assert (item.state, item.order.repo) == ("paused", first.pick.repo)
        hub.rate = None
        await pilot.press("D", "space")
        await wait_until(pilot, lambda: again.downloads.items[0].state == "done", seconds=60)


async def test_without_a_network_it_says_so_and_stays(home, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    app = SternaApp(frozen())
    async with app.run_test(size=(80, 24)) as pilot:
        await offered(pilot)
        await pilot.press("d", "d")
        await wait_until(
            pilot, lambda: any(n.severity == "error" for n in app._notifications), seconds=60
        )
        assert app.screen.query_one(Picks).display
        assert not app.screen.query_one("#fetched", Static).display


async def test_where_there_are_models_none_are_offered(app, shelf):
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until(pilot, lambda: app.library.scanned and app.hardware.machine)
        await pilot.pause()
        assert not app.screen.query_one(Picks).display
        await pilot.press("d")
        assert not app.screen.query_one(PickList).has_focus
