"""What the screens look like, at 80×24 and 120×40. `pytest --snapshot-update` after a wanted change."""

import os
import shutil
import sqlite3

import pytest
from frozen import NOW, frozen
from piloting import wait_until
from talking import notice, open_chat, views
from textual.widgets import Static

from backend import paths
from backend.chat.store import ChatStore
from backend.database import Database
from tui.app import SternaApp
from tui.panes.conversations import ChatList, Conversations
from tui.panes.details import Details
from tui.panes.fit_grid import FitGrid
from tui.panes.library_table import LibraryTable
from tui.verdicts import can_be_told

SIZES = [pytest.param((80, 24), id="80x24"), pytest.param((120, 40), id="120x40")]
REPLY = """A **ternary** weight is `-1`, `0` or `+1`.

```python
bits = math.log2(3)  # 1.58
```

1. it is *trained* that way
2. it is not compressed

| quant | bits |
|-------|------|
| TQ1_0 | 1.69 |
| TQ2_0 | 2.06 |

[/nope] <b>html</b> \x1b[2J
"""


def known(app):
    """Whether the library is read and the machine is known."""
    return app.library.scanned and app.memory is not None and app.hardware.machine is not None


async def at_rest(pilot):
    """Wait until the chosen model's own card is shown, and a verdict on every row."""
    app = pilot.app
    await wait_until(pilot, lambda: known(app))
    details = app.screen.query_one(Details).query_one(Static)
    await wait_until(pilot, lambda: "tokenizer" in str(details.content), what="a card")
    await wait_until(pilot, lambda: "fits to" in str(details.content), what="its verdict")
    table = app.screen.query_one(LibraryTable)
    told = [m for m in table.models if can_be_told(m)]
    await wait_until(pilot, lambda: all(app.screen.verdict(m) for m in told), what="all verdicts")


@pytest.fixture
def kept(home):
    """Keep a chat with everything that Markdown has, at a time that stands still."""
    database = Database.open()
    store = ChatStore(database)
    chat = store.create(model="tiny F32")
    store.add(chat.id, "user", "What is a ternary weight?\nIn short.")
    reply = store.begin_reply(chat.id, model="tiny F32")
    reply.push(REPLY)
    stats = {"tokens": 87, "per_second": 9.8, "first_token": 0.41, "prompt_tokens": 34}
    reply.finish("stop", stats={**stats, "prompt_per_second": 212.0, "cached": 12})
    other = store.create(model="[/nope]", title="A \x1b[2J title [/nope]")
    store.add(other.id, "user", "hello")
    store.close()
    database.close()
    with sqlite3.connect(paths.database_file()) as connection:
        connection.execute("UPDATE conversations SET updated = ? - id * 9000", (NOW,))
    connection.close()
    return chat.id


async def open_kept(pilot):
    app = pilot.app
    await pilot.press("3")
    await wait_until(pilot, lambda: app.screen.query(Conversations))
    await pilot.press("ctrl+o")
    await wait_until(pilot, lambda: app.screen.query_one(ChatList).has_focus)
    await wait_until(pilot, lambda: known(app))


@pytest.mark.parametrize("size", SIZES)
def test_models(snap_compare, shelf, app, size):
    assert snap_compare(app, terminal_size=size, run_before=at_rest)


@pytest.mark.parametrize("size", SIZES)
def test_a_broken_model(snap_compare, shelf, app, size):
    async def choose(pilot):
        await at_rest(pilot)
        await pilot.press("end")
        await wait_until(
            pilot, lambda: app.screen.query_one(LibraryTable).chosen.path == shelf.broken
        )
        details = app.screen.query_one(Details).query_one(Static)
        await wait_until(pilot, lambda: "Download" in str(details.content))

    assert snap_compare(app, terminal_size=size, run_before=choose)


@pytest.mark.parametrize("size", SIZES)
def test_deleting_shows_what_it_frees(snap_compare, shelf, app, size):
    async def ask(pilot):
        await at_rest(pilot)
        await pilot.press("x")
        await wait_until(pilot, lambda: app.screen.query("#preview"))

    assert snap_compare(app, terminal_size=size, run_before=ask)


@pytest.mark.parametrize("size", SIZES)
def test_what_takes_room(snap_compare, home, shelf, app, size, monkeypatch):
    monkeypatch.setattr("backend.library.disk._free", lambda _: 81_300_000_000)
    monkeypatch.setattr(paths, "asset", lambda name: home / name)  # where the starter is, differs
    shutil.copy(shelf.ternary, shelf.ternary.with_name("same.gguf"))
    (shelf.ternary.parent / "half.gguf.part").write_bytes(b"x" * 5000)
    os.utime(shelf.ternary.parent / "half.gguf.part", (1, 1))

    async def add_up(pilot):
        await at_rest(pilot)
        await pilot.press("w")
        await wait_until(pilot, lambda: app.screen.query("#stores"))
        await wait_until(pilot, lambda: "half" not in str(app.screen.query_one("#paths").content))
        await wait_until(pilot, lambda: "same" in str(app.screen.query_one("#paths").content))

    assert snap_compare(app, terminal_size=size, run_before=add_up)


@pytest.mark.parametrize("size", SIZES)
def test_the_fit_grid(snap_compare, shelf, app, size):
    async def reckon(pilot):
        await at_rest(pilot)
        await pilot.press("e")
        await wait_until(pilot, lambda: app.screen.query(FitGrid))
        await wait_until(pilot, lambda: str(app.screen.query_one("#reasons", Static).content))

    assert snap_compare(app, terminal_size=size, run_before=reckon)


@pytest.mark.parametrize("size", SIZES)
def test_the_machine(snap_compare, app, size):
    async def look(pilot):
        await wait_until(pilot, lambda: known(app))
        await pilot.press("f3")
        await wait_until(pilot, lambda: app.screen.query("#found"))

    assert snap_compare(app, terminal_size=size, run_before=look)


def test_details_on_a_narrow_screen(snap_compare, shelf, app):
    async def unfold(pilot):
        await at_rest(pilot)
        await pilot.press("i")

    assert snap_compare(app, terminal_size=(80, 24), run_before=unfold)


def test_nothing_matches(snap_compare, shelf, app):
    async def look(pilot):
        await at_rest(pilot)
        await pilot.press("slash", *"[/zzz]")
        await wait_until(pilot, lambda: app.screen.query_one("#empty").display)

    assert snap_compare(app, terminal_size=(80, 24), run_before=look)


@pytest.mark.parametrize("theme", ["sterna-light", "sterna-terminal", "sterna-plain"])
def test_themes(snap_compare, shelf, theme):
    paths.settings_file().write_text(f'[screen]\ntheme = "{theme}"\n')
    assert snap_compare(SternaApp(frozen()), terminal_size=(80, 24), run_before=at_rest)


def test_no_colour(snap_compare, shelf, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(SternaApp(frozen()), terminal_size=(80, 24), run_before=at_rest)


@pytest.mark.parametrize("size", SIZES)
def test_help(snap_compare, shelf, app, size):
    async def ask(pilot):
        await at_rest(pilot)
        await pilot.press("question_mark")

    assert snap_compare(app, terminal_size=size, run_before=ask)


def test_the_palette_finds_models_whose_names_mean_harm(snap_compare, shelf, app):
    shelf.hostile.rename(shelf.hostile.with_name("evil [bold] [@click=app.quit].gguf"))

    async def find(pilot):
        await at_rest(pilot)
        await pilot.press("ctrl+p", *"evil")
        await wait_until(
            pilot, lambda: getattr(app.screen.query_one("CommandList"), "option_count", 0) == 1
        )

    assert snap_compare(app, terminal_size=(80, 24), run_before=find)


@pytest.mark.parametrize("size", SIZES)
def test_chat_without_a_model(snap_compare, app, size):
    async def go(pilot):
        await wait_until(pilot, lambda: known(app))
        await pilot.press("3")
        await wait_until(pilot, lambda: app.screen.query(Conversations))

    assert snap_compare(app, terminal_size=size, run_before=go)


@pytest.mark.parametrize("size", SIZES)
def test_chat_with_the_starter(snap_compare, app, size):
    async def go(pilot):
        await wait_until(pilot, lambda: known(app))
        await open_chat(pilot)
        await wait_until(pilot, lambda: app.engine.used == 0)

    assert snap_compare(app, terminal_size=size, run_before=go)


@pytest.mark.parametrize("size", SIZES)
def test_a_kept_chat(snap_compare, app, kept, size):
    async def go(pilot):
        await open_kept(pilot)
        await pilot.press("enter")
        await wait_until(pilot, lambda: len(views(app)) == 2)
        await wait_until(pilot, lambda: app.screen.query("MarkdownTable"))

    assert snap_compare(app, terminal_size=size, run_before=go)


@pytest.mark.parametrize("size", SIZES)
def test_the_list_of_chats(snap_compare, app, kept, size):
    assert snap_compare(app, terminal_size=size, run_before=open_kept)


def test_a_model_that_cannot_be_loaded(snap_compare, app, shelf):
    async def go(pilot):
        await wait_until(pilot, lambda: known(app))
        await open_chat(pilot, "hostile")
        await wait_until(pilot, lambda: "✗" in notice(app))

    assert snap_compare(app, terminal_size=(80, 24), run_before=go)
