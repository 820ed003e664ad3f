"""Take the pictures of the README again: `python docs/screenshots/take.py [FOLDER OF MODELS]`.

The app runs for real, on the starter model, with a home folder of its own. What differs from machine to
machine (processor, memory, the clock) is what it is here.
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
QUESTION = "What is a ternary model?"
SIZE = (100, 30)


async def _until(condition, pilot) -> None:  # noqa: ANN001
    for _ in range(600):
        await pilot.pause(0.1)
        if condition():
            return
    raise SystemExit("the app did not get there within a minute")


async def _take() -> None:
    from tui.app import SternaApp
    from tui.messages import ChatWanted
    from tui.panes.composer import Composer
    from tui.state import Phase
    from tui.widgets.turns import ReplyView

    app = SternaApp()
    async with app.run_test(size=SIZE) as pilot:
        await _until(lambda: app.library.scanned and app.memory is not None, pilot)
        starter = next(model for model in app.library.models if model.store == "starter")
        await pilot.pause(0.5)
        app.save_screenshot("models.svg", path=str(HERE))
        app.post_message(ChatWanted(starter))
        await _until(lambda: app.current_mode == "chat" and app.engine.phase is Phase.READY, pilot)
        composer = app.screen.query_one(Composer)
        composer.focus()
        composer.text = QUESTION
        await pilot.press("enter")
        await _until(lambda: app.screen.query(ReplyView), pilot)
        await pilot.pause(3)
        app.save_screenshot("chat.svg", path=str(HERE))


def main() -> None:
    """Open the app in a fresh home and press its keys."""
    with tempfile.TemporaryDirectory() as home:
        clone = HERE.parents[
            1
        ].parent  # paths are then shown from there on, whoever takes the pictures
        os.environ.update(STERNA_HOME=f"{home}/sterna", HF_HOME=f"{home}/hf", HOME=str(clone))
        folders = [str(Path(folder).resolve()) for folder in sys.argv[1:]]
        settings = Path(home) / "sterna" / "settings.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(f"[library]\nfolders = {folders!r}\n")
        asyncio.run(_take())


if __name__ == "__main__":
    main()
