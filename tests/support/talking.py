"""Driving a chat by keys alone, as the chat tests do."""

import psutil
from piloting import wait_until
from textual.widgets import Static

from tui.panes.composer import Composer
from tui.panes.transcript import Transcript
from tui.state import Phase
from tui.widgets.notice import Notice


def views(app):
    """Return the messages on the screen."""
    return app.screen.query_one(Transcript).views


def cost(view) -> str:
    """Return the line under a reply."""
    return str(view.query_one(".cost", Static).content)


def notice(app) -> str:
    """Return what the notice says, empty while it is hidden."""
    widget = app.screen.query_one(Notice)
    return str(widget.content) if widget.display else ""


def composer(app) -> Composer:
    """Return the line to write in."""
    return app.screen.query_one(Composer)


def meter(app) -> str:
    """Return the context meter."""
    return str(composer(app).border_title)


async def open_chat(pilot, name: str = "starter") -> None:
    """Open a chat with the model of this name and wait until the engine has loaded or failed."""
    app = pilot.app
    await wait_until(pilot, lambda: app.library.scanned, what="the library")
    await pilot.press("slash", *name, "enter", "c")
    await wait_until(pilot, lambda: app.screen.query(Composer), what="the chat")
    phases = (Phase.READY, Phase.FAILED)
    await wait_until(pilot, lambda: app.engine.phase in phases, seconds=60, what="an engine")
    await wait_until(pilot, lambda: composer(app).has_focus)


async def say(pilot, text: str) -> None:
    """Type a message and send it."""
    await pilot.press(*text, "enter")


async def answered(pilot, count: int):
    """Wait until message number `count` is a whole reply and the engine rests; return its view."""
    app = pilot.app

    def whole() -> bool:
        shown = views(app)
        return (
            len(shown) == count and app.engine.phase is Phase.READY and "tok/s" in cost(shown[-1])
        )

    await wait_until(pilot, whole, seconds=60, what="a whole reply")
    return views(app)[-1]


async def answering(pilot) -> None:
    """Wait until a reply has begun to come."""
    app = pilot.app
    await wait_until(
        pilot,
        lambda: app.engine.phase is Phase.ANSWERING and views(app) and views(app)[-1].text,
        seconds=60,
        what="the first words",
    )


def engines() -> list[psutil.Process]:
    """Return the engine children of this process that live."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "backend.serve" in process.cmdline():
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found
