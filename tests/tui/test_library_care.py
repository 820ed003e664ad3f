"""Models, kept in order from the app: delete and undo, stars, names, notes, checks, room."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from frozen import frozen
from piloting import wait_until
from stores import Hub
from textual.widgets import Input, OptionList, Static

from backend import paths, settings
from backend.library import scan, trash
from backend.library.background import remember, unhashed
from backend.library.stores import roots
from tui.app import SternaApp
from tui.panes.details import Details
from tui.panes.library_table import LibraryTable
from tui.screens.delete import DeleteScreen
from tui.screens.disk import DiskScreen
from tui.widgets.work_line import WorkLine

SIZES = [(80, 24), (120, 40)]


def told(app) -> str:
    return "\n".join(note.message for note in app._notifications)


def table(app) -> LibraryTable:
    return app.get_screen_stack("models")[0].query_one(LibraryTable)


def paths_shown(app) -> list[Path]:
    return [model.path for model in table(app).models]


def row(app, path) -> str:
    return table(app).cells(paths_shown(app).index(path))


async def listed(pilot) -> None:
    await wait_until(pilot, lambda: pilot.app.library.scanned and not pilot.app.library.scanning)


def choose(app, path) -> None:
    table(app).move_cursor(row=paths_shown(app).index(path))


def deleted() -> list[trash.Entry]:
    return trash.entries(roots(settings.load()))


@pytest.mark.parametrize("size", SIZES)
async def test_delete_shows_what_it_frees_and_undo_brings_it_back(app, shelf, size):
    async with app.run_test(size=size) as pilot:
        await listed(pilot)
        choose(app, shelf.ternary)
        await pilot.press("x")
        await wait_until(pilot, lambda: isinstance(app.screen, DeleteScreen))
        preview = str(app.screen.query_one("#preview", Static).content)
        assert "450 kB are freed when Sterna ends" in preview
        assert "ternary-I2_S.gguf" in preview
        await pilot.press("escape")
        await wait_until(pilot, lambda: not app.screen.is_modal)
        assert shelf.ternary.exists()

        await pilot.press("x")
        await wait_until(pilot, lambda: isinstance(app.screen, DeleteScreen))
        await pilot.press("enter")
        await wait_until(pilot, lambda: shelf.ternary not in paths_shown(app))
        assert not shelf.ternary.exists()
        await pilot.press("u")
        await wait_until(pilot, lambda: shelf.ternary in paths_shown(app))
        assert shelf.ternary.exists()
        await pilot.press("u")
        await wait_until(pilot, lambda: "Nothing was deleted." in told(app))


async def test_the_end_of_the_app_frees_what_it_deleted(app, shelf):
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        choose(app, shelf.ternary)
        await pilot.press("x")
        await wait_until(pilot, lambda: isinstance(app.screen, DeleteScreen))
        await pilot.press("enter")
        await wait_until(pilot, lambda: deleted() and "brings it back" in told(app))
    assert deleted() == []
    assert not (paths.data_dir() / "trash").exists()


async def test_an_app_that_died_while_deleting_is_put_in_order(app, shelf):
    half = paths.data_dir() / "trash" / "1-app.999999999.1.moving"
    place = half / shelf.ternary.relative_to("/")
    place.parent.mkdir(parents=True)
    shelf.ternary.rename(place)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: shelf.ternary in paths_shown(app))
        assert "was undone" in told(app)


async def test_the_starter_cannot_be_deleted_and_says_why(app, home):
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("x")
        await wait_until(pilot, lambda: "a part of Sterna" in told(app))
        assert not app.screen.is_modal


async def test_delete_here_or_everywhere(app, home, shelf):
    content = shelf.ternary.read_bytes()
    snapshot = Hub(home / "huggingface/hub").add("a/Same", {"same.gguf": content})
    remember(unhashed(scan()))
    async with app.run_test(size=(120, 40)) as pilot:
        await listed(pilot)
        choose(app, shelf.ternary)
        pane = app.screen.query_one(Details).query_one(Static)
        await wait_until(pilot, lambda: "HF cache: a second copy, 450 kB" in str(pane.content))
        await pilot.press("x")
        await wait_until(pilot, lambda: isinstance(app.screen, DeleteScreen))
        assert "in HF cache" in str(app.screen.query_one("#preview", Static).content)
        await pilot.press("enter")
        await wait_until(pilot, lambda: snapshot / "same.gguf" in paths_shown(app))
        await pilot.press("u")
        await wait_until(pilot, lambda: shelf.ternary in paths_shown(app))
        choose(app, shelf.ternary)
        await pilot.press("x")
        await wait_until(pilot, lambda: isinstance(app.screen, DeleteScreen))
        await pilot.press("a")
        await wait_until(pilot, lambda: not snapshot.exists() and not shelf.ternary.exists())
        await wait_until(pilot, lambda: shelf.ternary not in paths_shown(app))


async def test_stars_names_and_notes_are_kept(app, shelf):
    async with app.run_test(size=(120, 40)) as pilot:
        await listed(pilot)
        choose(app, shelf.ternary)
        await pilot.press("asterisk")
        await wait_until(pilot, lambda: row(app, shelf.ternary)[0] == "★")
        await pilot.press("f2")
        await wait_until(pilot, lambda: app.screen.query(Input) and app.screen.is_modal)
        await pilot.press(*"bard", "enter")
        await wait_until(pilot, lambda: row(app, shelf.ternary)[1].strip() == "bard")
        await pilot.press("n")
        await wait_until(pilot, lambda: app.screen.is_modal)
        await pilot.press(*"good at rhymes", "enter")
        pane = app.screen_stack[0].query_one(Details).query_one(Static)
        await wait_until(pilot, lambda: "good at rhymes" in str(pane.content))
        await pilot.press("slash", *"rhymes")
        await wait_until(pilot, lambda: paths_shown(app) == [shelf.ternary])
        await pilot.press("escape", "enter")

        await pilot.press("f2")
        await wait_until(pilot, lambda: app.screen.is_modal)
        await pilot.press("backspace", "enter")  # the old name was selected
        await wait_until(pilot, lambda: row(app, shelf.ternary)[1].startswith("ternary"))
        await pilot.press("asterisk")
        await wait_until(pilot, lambda: row(app, shelf.ternary)[0] == "")


async def test_a_name_that_is_taken_is_refused(app, shelf):
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        choose(app, shelf.ternary)
        await pilot.press("f2")
        await wait_until(pilot, lambda: app.screen.is_modal)
        await pilot.press(*"hostile", "enter")
        await wait_until(pilot, lambda: "Take another name" in told(app))


async def test_verify_tells_good_from_bad(app, home, shelf):
    async with app.run_test(size=(120, 40)) as pilot:
        await listed(pilot)
        choose(app, shelf.ternary)
        await pilot.press("v")
        await wait_until(pilot, lambda: "has its hash kept" in told(app))
        await listed(pilot)
        await pilot.press("v")
        await wait_until(pilot, lambda: "is what it should be" in told(app))
        status = shelf.ternary.stat()
        with shelf.ternary.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\xa5")
        os.utime(shelf.ternary, ns=(status.st_atime_ns, status.st_mtime_ns))
        await pilot.press("v")
        await wait_until(pilot, lambda: "is damaged" in told(app))
        await wait_until(pilot, lambda: "✗ bad" in row(app, shelf.ternary))


async def test_a_check_shows_how_far_it_is_and_esc_stops_it(app, shelf):
    with shelf.ternary.open("r+b") as file:
        file.truncate(100 << 30)
    async with app.run_test(size=(120, 40)) as pilot:
        await listed(pilot)
        choose(app, shelf.ternary)
        await pilot.press("v")
        line = app.screen.query_one(WorkLine)
        await wait_until(pilot, lambda: line.display and "/s" in str(line.content))
        assert "% of 107 GB" in str(line.content)
        await pilot.press("escape")
        await wait_until(pilot, lambda: not line.display)
        await wait_until(pilot, lambda: all(w.is_finished for w in app.workers))


# Room


async def open_disk(pilot) -> DiskScreen:
    app = pilot.app
    await listed(pilot)
    await pilot.press("w")
    await wait_until(pilot, lambda: isinstance(app.screen, DiskScreen))
    await wait_until(pilot, lambda: "in all" in str(app.screen.query_one("#stores").content))
    return app.screen


def savings(screen) -> list[str]:
    options = screen.query_one(OptionList)
    return [str(option.prompt) for option in options.options]


@pytest.mark.parametrize("size", SIZES)
async def test_duplicates_and_leftovers_are_had_back(app, home, shelf, size):
    content = shelf.ternary.read_bytes()
    Hub(home / "huggingface/hub").add("a/Same", {"same.gguf": content})
    partial = shelf.ternary.with_name("half.gguf.part")
    partial.write_bytes(b"x" * 5000)
    os.utime(partial, (1, 1))
    async with app.run_test(size=size) as pilot:
        screen = await open_disk(pilot)
        assert "can be had back" in str(screen.query_one("#stores").content)
        links, leftovers = savings(screen)
        assert "1 second copy of the same content" in links
        assert "1 unfinished download" in leftovers
        await pilot.press("enter")
        await wait_until(pilot, lambda: shelf.ternary.stat().st_nlink == 2)
        await wait_until(pilot, lambda: len(savings(screen)) == 1)
        await pilot.press("enter")
        await wait_until(pilot, lambda: not partial.exists())
        await wait_until(pilot, lambda: "deleted before" in "".join(savings(screen)))
        await pilot.press("escape")
        await wait_until(pilot, lambda: not app.screen.is_modal)
        await pilot.press("u")
        await wait_until(pilot, partial.exists)
        screen = await open_disk(pilot)
        await pilot.press("enter")
        await wait_until(pilot, lambda: not partial.exists())
        await wait_until(pilot, lambda: "deleted before" in "".join(savings(screen)))
        await pilot.press("enter")
        await wait_until(pilot, lambda: savings(screen) == [])
        assert deleted() == []


async def test_a_disk_that_is_away_is_told_in_the_list_and_its_models_can_be_struck_off(home):
    there = tempfile.mkdtemp(dir="/dev/shm")
    try:
        link = home / "media"
        link.symlink_to(there)
        (Path(there) / "far.gguf").write_bytes(paths.asset("starter.gguf").read_bytes() + b"x")
        paths.settings_file().parent.mkdir(parents=True)
        paths.settings_file().write_text(f'[library]\nfolders = ["{link}"]')
        scan()
        link.unlink()
        app = SternaApp(frozen())
        async with app.run_test(size=(80, 24)) as pilot:
            await listed(pilot)
            far = link / "far.gguf"
            assert "not connected" in row(app, far)[1]
            choose(app, far)
            await pilot.press("c")
            await wait_until(pilot, lambda: "not connected" in told(app))
            assert app.current_mode == "models"
            await pilot.press("x")
            await wait_until(pilot, lambda: isinstance(app.screen, DeleteScreen))
            await pilot.press("enter")
            await wait_until(pilot, lambda: far not in paths_shown(app))
    finally:
        shutil.rmtree(there)


# In the background


async def test_loose_files_are_hashed_and_equal_ones_joined(home, shelf, monkeypatch):
    monkeypatch.setattr("tui.screens.caring.HASH_DELAY", 0.01)
    same = shelf.ternary.with_name("same.gguf")
    same.write_bytes(shelf.ternary.read_bytes())
    app = SternaApp(frozen(hash_loose=True))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until(pilot, lambda: app.library.scanned)
        await wait_until(pilot, lambda: all(model.sha256 for model in app.library.models))
        await wait_until(
            pilot, lambda: (shelf.ternary in paths_shown(app)) != (same in paths_shown(app))
        )


async def test_a_first_look_that_takes_long_shows_what_it_has(home, shelf, monkeypatch):
    """Every file takes until it was shown: the look ends only when the list has grown with it."""
    import threading

    from backend.library import listing

    shown = threading.Event()
    look_into = listing.look_into

    def slow(found):
        if not str(found.path).startswith(str(paths.asset("starter.gguf").parent)):
            assert shown.wait(20)
        return look_into(found)

    monkeypatch.setattr(listing, "look_into", slow)
    monkeypatch.setattr("tui.app.FOUND_EVERY", 0.0)
    app = SternaApp(frozen())
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until(pilot, lambda: table(app).models)
        assert not app.library.scanned
        shown.set()
        await listed(pilot)
        assert len(app.library.models) == 5


async def test_a_damaged_database_is_told(home, shelf):
    paths.database_file().write_bytes(b"junk" * 3000)
    app = SternaApp(frozen())
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: "was damaged" in told(app))
