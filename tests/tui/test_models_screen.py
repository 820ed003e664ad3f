"""Models: what is on disk, sorted, filtered, explained; broken files and empty homes included."""

import pytest
from piloting import wait_until
from textual.widgets import Input, Static

from tui.app import SternaApp
from tui.panes.columns import short_name
from tui.panes.details import Details
from tui.panes.library_table import LibraryTable

SIZES = [(80, 24), (120, 40)]


def names(app) -> list[str]:
    return [short_name(model) for model in app.screen.query_one(LibraryTable).models]


def text_of(widget) -> str:
    return str(widget.content)


async def listed(pilot) -> None:
    await wait_until(pilot, lambda: pilot.app.library.scanned and not pilot.app.library.scanning)


def choose(app, path) -> None:
    table = app.screen.query_one(LibraryTable)
    for row in range(table.row_count):
        table.move_cursor(row=row)
        if table.chosen.path == path:
            return
    raise AssertionError(f"{path} is not in the table")


@pytest.mark.parametrize("size", SIZES)
async def test_lists_every_store_last_used_first(app, shelf, size):
    async with app.run_test(size=size) as pilot:
        await listed(pilot)
        shown = names(app)
        assert shown[0] == "tiny-Q8_0"
        assert shown[1].startswith("ternary")
        assert len(shown) == len(app.library.models) >= 4


async def test_sort_goes_through_the_columns_and_a_click_on_a_header_turns_it(app, shelf):
    async with app.run_test(size=(120, 40)) as pilot:
        await listed(pilot)
        await pilot.press("s")
        by_name = names(app)
        assert by_name == sorted(by_name, key=str.casefold)
        await pilot.press("s")
        sizes = [model.bytes for model in app.screen.query_one(LibraryTable).models]
        assert sizes == sorted(sizes, reverse=True)
        table = app.screen.query_one(LibraryTable)
        await pilot.click(table, offset=(3, 0))
        assert names(app) == by_name
        await pilot.click(table, offset=(3, 0))
        assert names(app) == by_name[::-1]


async def test_the_cursor_stays_on_its_model_when_the_order_changes(app, shelf):
    async with app.run_test(size=(120, 40)) as pilot:
        await listed(pilot)
        choose(app, shelf.ternary)
        for _ in range(8):
            await pilot.press("s")
            assert app.screen.query_one(LibraryTable).chosen.path == shelf.ternary


async def test_filter_shows_what_matches_and_escape_brings_all_back(app, shelf):
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        every = names(app)
        await pilot.press("slash", *"q8 tiny")
        await wait_until(pilot, lambda: len(names(app)) == 1)
        await pilot.press("escape")
        await wait_until(pilot, lambda: names(app) == every)
        await pilot.press("escape")
        await wait_until(pilot, lambda: isinstance(app.focused, LibraryTable))


async def test_q_types_in_the_filter_and_quits_outside_of_it(app, shelf):
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("slash", "q")
        assert app.screen.query_one(Input).value == "q"
        await pilot.press("escape", "escape", "q")
        await wait_until(pilot, lambda: app._exit)


async def test_a_filter_without_matches_says_how_to_leave_it(app, shelf):
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("slash", *"zzz")
        empty = app.screen.query_one("#empty", Static)
        await wait_until(pilot, lambda: empty.display)
        assert "zzz" in text_of(empty)
        assert "esc" in text_of(empty)


async def test_details_tell_what_the_file_says(app, shelf):
    async with app.run_test(size=(120, 40)) as pilot:
        await listed(pilot)
        choose(app, shelf.cached)
        pane = app.screen.query_one(Details).query_one(Static)
        await wait_until(pilot, lambda: "apache-2.0" in text_of(pane))
        shown = text_of(pane)
        assert "virtually none" in shown  # the quant is explained
        assert "~/huggingface/hub" in shown
        assert "\x1b" not in shown
        assert "evil [/nope] ␛[2J[@click=app.quit]quit[/]" in " ".join(shown.split())


@pytest.mark.parametrize("size", SIZES)
async def test_a_broken_file_shows_its_reason_and_is_not_opened(app, shelf, size):
    async with app.run_test(size=size) as pilot:
        await listed(pilot)
        choose(app, shelf.broken)
        wide = size[0] >= 100
        place = app.screen.query_one(Details).query_one(Static) if wide else None
        place = place or app.screen.query_one("#fold", Static)
        await wait_until(pilot, lambda: "cut short" in text_of(place))
        await pilot.press("c")
        assert app.current_mode == "models"


async def test_on_a_narrow_screen_details_take_the_place_of_the_table(app, shelf):
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        pane, table = app.screen.query_one(Details), app.screen.query_one(LibraryTable)
        assert not pane.display or pane.region.width == 0
        await pilot.press("i")
        await wait_until(pilot, lambda: pane.region.width > 70)
        assert table.region.width == 0
        await pilot.press("escape")
        await wait_until(pilot, lambda: table.region.width > 70)


async def test_rescan_finds_a_file_that_has_come(app, shelf):
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        before = len(names(app))
        (shelf.ternary.parent / "new.gguf").write_bytes(shelf.cached.read_bytes() + b"more")
        await pilot.press("r")
        await wait_until(pilot, lambda: len(names(app)) == before + 1)


async def test_a_size_change_keeps_every_row(app, shelf):
    async with app.run_test(size=(160, 40)) as pilot:
        await listed(pilot)
        every = len(names(app))
        table = app.screen.query_one(LibraryTable)
        wide = len(table.headings)
        await pilot.resize_terminal(60, 20)
        await wait_until(pilot, lambda: len(table.headings) < wide)
        assert len(names(app)) == every


async def test_wrong_settings_are_told_and_the_app_opens_all_the_same(home):
    from backend import paths

    paths.settings_file().parent.mkdir(parents=True, exist_ok=True)
    paths.settings_file().write_text("[screen]\ntheme = 7\n")
    app = SternaApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: any("theme" in n.message for n in app._notifications))


async def test_keys_come_from_the_settings(home, shelf):
    from backend import paths

    paths.settings_file().write_text('[screen]\nkeys = {"models.sort" = "z"}\n')
    app = SternaApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await listed(pilot)
        before = names(app)
        await pilot.press("s")
        assert names(app) == before
        await pilot.press("z")
        await wait_until(pilot, lambda: names(app) == sorted(before, key=str.casefold))
