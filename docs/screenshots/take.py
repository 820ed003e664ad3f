"""Take the pictures of the README again: `python docs/screenshots/take.py [--only NAME] [FOLDER OF MODELS]`.

The app runs for real, on the starter model, with a home folder of its own. What differs from machine to
machine (processor, memory, the clock) is what it is here. The Hub is the one of `shelf.py`.
"""

import argparse
import asyncio
import os
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).parent
QUESTION = "What is a ternary model?"
SIZE = (100, 30)


async def _until(condition, pilot) -> None:  # noqa: ANN001
    for _ in range(3000):
        await pilot.pause(0.1)
        if condition():
            return
    raise SystemExit("the app did not get there within five minutes")


async def _take(only: str | None) -> None:
    from tui.app import SternaApp
    from tui.messages import ChatWanted, TrainWanted
    from tui.panes.composer import Composer
    from tui.state import Phase
    from tui.widgets.turns import ReplyView

    app = SternaApp()
    async with app.run_test(size=SIZE) as pilot:
        await _until(lambda: app.library.scanned and app.memory is not None, pilot)
        starter = next(model for model in app.library.models if model.store == "starter")
        await pilot.pause(0.5)
        if only != "hub":
            app.save_screenshot("models.svg", path=str(HERE))
            await _take_fit(app, pilot)
        await _take_hub(app, pilot)
        if only:
            return
        app.post_message(ChatWanted(starter))
        await _until(lambda: app.current_mode == "chat" and app.engine.phase is Phase.READY, pilot)
        composer = app.screen.query_one(Composer)
        composer.focus()
        composer.text = QUESTION
        await pilot.press("enter")
        await _until(lambda: app.screen.query(ReplyView), pilot)
        await pilot.pause(3)
        app.save_screenshot("chat.svg", path=str(HERE))
        app.post_message(TrainWanted(starter))
        await _until(lambda: app.current_mode == "train", pilot)
        draft = app.screen.draft
        await _until(lambda: draft.seen and draft.estimate, pilot)
        await pilot.pause(0.5)
        app.save_screenshot("train.svg", path=str(HERE))
        await pilot.press("enter")
        await _until(lambda: app.runs.watched and app.runs.watched.status.step > 60, pilot)
        await pilot.press("3")
        await pilot.pause(1)
        app.save_screenshot("train-beside-chat.svg", path=str(HERE))
        await pilot.press("4", "s")
        await _until(lambda: not app.runs.active, pilot)


async def _take_fit(app, pilot) -> None:  # noqa: ANN001
    """Show the grid of a model that the app offers to begin with, in the quants of its repository."""
    from backend import picks
    from backend.fit import Offer
    from tui.fitting import Asked
    from tui.panes.fit_grid import FitGrid
    from tui.screens.fit import FitScreen
    from tui.sources import Sources

    await _until(lambda: app.hardware.machine and app.hardware.machine.speeds, pilot)
    pick = next(pick for pick in picks.picks() if pick.name == "Qwen3 4B")
    asked = Asked(pick.repo, picks.model_of(pick), [Offer(quant) for quant in pick.quants], [])
    screen = FitScreen(Sources(), lambda: asked)
    await app.push_screen(screen)
    await _until(lambda: screen.query_one(FitGrid).chosen and not app.hardware.measuring, pilot)
    await _until(lambda: screen.query_one(FitGrid).chosen.speed, pilot)
    await pilot.pause(1)
    app.save_screenshot("fit.svg", path=str(HERE))
    await pilot.press("escape")


async def _take_hub(app, pilot) -> None:  # noqa: ANN001
    """Show a model of the Hub, opened into its files."""
    from tui.panes.hub_table import HubTable

    await pilot.press("2")
    await _until(lambda: app.current_mode == "hub" and app.screen.query_one(HubTable).rows, pilot)
    await pilot.press("enter")
    await _until(lambda: app.screen.query_one(HubTable).chosen.variant, pilot)
    await _until(lambda: app.screen.query_one(HubTable).chosen.opened.recommended, pilot)
    await _until(lambda: app.hardware.machine.speeds and not app.hardware.measuring, pilot)
    await pilot.pause(1)
    app.save_screenshot("hub.svg", path=str(HERE))


def main() -> None:
    """Open the app in a fresh home and press its keys."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["hub"], help="take this picture alone")
    parser.add_argument("folders", nargs="*")
    options = parser.parse_args()
    from shelf import stocked

    from backend.hub import place

    with tempfile.TemporaryDirectory() as home, stocked(Path(home)) as endpoint:
        place.KNOWN_HOSTS = (urlsplit(endpoint).netloc,)
        clone = HERE.parents[
            1
        ].parent  # paths are then shown from there on, whoever takes the pictures
        os.environ.update(STERNA_HOME=f"{home}/sterna", HF_HOME=f"{home}/hf", HOME=str(clone))
        os.environ["HF_ENDPOINT"] = endpoint
        folders = [str(Path(folder).resolve()) for folder in options.folders]
        settings = Path(home) / "sterna" / "settings.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(f"[library]\nfolders = {folders!r}\n")
        asyncio.run(_take(options.only))


if __name__ == "__main__":
    main()
