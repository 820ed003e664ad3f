"""The app as a whole: modes, mouse, keys, what it imports before the first screen, how it fails."""

import json
import os
import pty
import subprocess
import sys

from frozen import frozen
from piloting import wait_until

from backend import paths
from backend.errors import SternaError
from backend.library import Listing
from tui.app import SternaApp
from tui.widgets.keybar import MOST_KEYS, KeyBar
from tui.widgets.ledger import Ledger
from tui.widgets.modebar import ModeBar

FIRST_PAINT = """
import json, sys
from tui.app import SternaApp
def started(app):
    print(json.dumps(sorted(sys.modules)), file=sys.__stdout__)
    app.exit()
SternaApp._started = started
SternaApp().run(headless=True, size=(80, 24))
"""
BROKEN = """
import sys
from tui.app import SternaApp, run
from tui.sources import Sources
def now():
    raise ZeroDivisionError("a bug [/nope]")
sys.exit(run(SternaApp(Sources(now=now)), headless=True))
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def told(app) -> list[str]:
    return [note.message for note in app._notifications]


def test_nothing_heavy_is_imported_before_the_first_screen(home):
    names = set(json.loads(run(FIRST_PAINT).stdout))
    heavy = {"torch", "ext", "numpy", "tokenizers", "jinja2", "sqlite3", "msgspec", "httpx2"}
    assert not {name.partition(".")[0] for name in names} & heavy
    assert not names & {"markdown_it", "textual.widgets._markdown", "textual.widgets._text_area"}
    assert not names & {"backend.chat", "backend.serve", "backend.library", "backend.gguf"}


def test_a_bug_leaves_one_line_and_a_log_but_no_traceback(home):
    done = run(BROKEN)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    assert "a bug [/nope]" in done.stderr
    assert "app.log" in done.stderr
    assert "ZeroDivisionError" in (paths.log_dir() / "app.log").read_text()


async def test_modes_by_key_and_by_mouse(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await wait_until(pilot, lambda: app.current_mode == "chat")
        await pilot.press("1")
        await wait_until(pilot, lambda: app.current_mode == "models")
        await pilot.click(ModeBar, offset=(22, 0))
        await wait_until(pilot, lambda: app.current_mode == "chat")
        await pilot.click(ModeBar, offset=(3, 0))
        await wait_until(pilot, lambda: app.current_mode == "models")


async def test_the_last_line_shows_at_most_six_keys_and_each_can_be_clicked(app, shelf):
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.library.scanned)
        bar = app.screen.query_one(KeyBar)
        await wait_until(pilot, lambda: "chat" in str(bar.render()))
        assert len(bar.live()) == MOST_KEYS
        place = str(bar.render()).index("? help")
        await pilot.click(KeyBar, offset=(place + 1, 0))
        await wait_until(pilot, lambda: app.screen.is_modal)
        await pilot.press("escape")
        await wait_until(pilot, lambda: not app.screen.is_modal)


async def test_every_binding_has_an_id_and_no_id_is_used_twice_for_different_things(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await wait_until(pilot, lambda: app.current_mode == "chat")
        await pilot.press("1")
        seen: dict[str, str] = {}
        nodes = [app, *app.screen_stack, *app.get_screen_stack("chat")]
        own = [node for node in nodes if type(node).__module__.startswith("tui.")]
        for screen in list(own):
            own += [n for n in screen.query("*") if type(n).__module__.startswith("tui.")]
        for node in own:
            for declared in vars(type(node)).get("BINDINGS", []):
                assert declared.id, f"{type(node).__name__}: {declared.key} has no id"
                assert seen.setdefault(declared.id, declared.action) == declared.action
        assert len(seen) > 30


async def test_the_ledger_shows_only_what_is_known(home):
    app = SternaApp(frozen(processor=lambda: ""))
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.memory is not None)
        line = str(app.screen.query_one(Ledger).render())
        assert "RAM 5.2/15.6 GB" in line
        assert "CPU" not in line
        assert "ctx" not in line
        assert line.rstrip().endswith("○ no model")


async def test_a_library_that_cannot_be_read_says_why_and_which_key_tries_again(home):
    nothing = Listing([], [], [], [])
    answers = [SternaError("bad_settings", "The folder [/x] \x1b is gone.", "Mend it."), nothing]

    def library(_settings, _progress):
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, SternaError):
            raise answer
        return answer

    app = SternaApp(frozen(library=library))
    async with app.run_test(size=(80, 24)) as pilot:
        empty = app.screen.query_one("#empty")
        await wait_until(pilot, lambda: "The folder [/x] ␛ is gone." in str(empty.content))
        await pilot.press("r")
        await wait_until(pilot, lambda: "it is empty" in str(empty.content))


async def test_clashing_keys_are_told_once(home):
    paths.settings_file().parent.mkdir(parents=True, exist_ok=True)
    paths.settings_file().write_text(
        '[screen]\nkeys = {"models.sort" = "c", "models.chat" = "c"}\n'
    )
    app = SternaApp(frozen())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("c", "c")
        await wait_until(pilot, lambda: any("taken twice" in text for text in told(app)))
        assert sum("taken twice" in text for text in told(app)) == 1


async def test_a_chat_that_is_gone_from_the_disk_is_told(app):
    import sqlite3

    from backend.chat.store import ChatStore
    from backend.database import Database
    from tui.panes.conversations import ChatList, Conversations

    database = Database.open()
    store = ChatStore(database)
    store.add(store.create().id, "user", "hello")
    store.close()
    database.close()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await wait_until(pilot, lambda: app.screen.query(Conversations))
        await pilot.press("ctrl+o")
        await wait_until(pilot, lambda: app.screen.query_one(ChatList).has_focus)
        with sqlite3.connect(paths.database_file()) as connection:
            connection.execute("DELETE FROM conversations")
        connection.close()
        await pilot.press("f2", *"x", "enter")
        await wait_until(pilot, lambda: told(app))
        await wait_until(pilot, lambda: not app.screen.query_one(ChatList).display)


async def test_training_that_is_missing_is_offered_and_a_failure_is_told(app, monkeypatch):
    """The requirement is a file that is not there, so the real installer fails at once."""
    monkeypatch.setattr("backend.extras.missing", lambda _extra: ["./nowhere.whl"])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        await wait_until(pilot, lambda: app.screen.is_modal)
        await pilot.press("enter")
        progress = app.screen.query_one("#progress")
        await wait_until(pilot, lambda: "nowhere.whl" in str(progress.content))
        keys = app.screen.query_one(".keys")
        await wait_until(pilot, lambda: "try again" in str(keys.content))
        await pilot.press("escape")
        await wait_until(pilot, lambda: not app.screen.is_modal)


def test_the_app_ends_when_its_terminal_is_closed(home):
    """The terminal is nobody's controlling one, so no signal tells: the app must see it."""
    here, there = pty.openpty()
    app = subprocess.Popen(
        [sys.executable, "-c", "import tui.app; tui.app.MEMORY_EVERY = 0.3; tui.app.run()"],
        stdin=there, stdout=there, stderr=there, start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(there)
    try:
        shown = b""
        while b"Welcome" not in shown:  # painted
            shown += os.read(here, 65536)
        os.close(here)
        assert app.wait(15) is not None
    finally:
        app.kill()
        app.wait()
