"""An adapter of the library is chatted with beside a model of its architecture."""

import numpy as np
import pytest
from ggufs import tiny_llama
from piloting import wait_until
from textual.widgets import OptionList
from tiny_adapters import write_adapter

from backend import paths
from backend.gguf import open_gguf
from tui.panes.library_table import LibraryTable
from tui.screens.choose import ChooseScreen
from tui.state import Phase


async def put_cursor_on(pilot, path):
    """Wait for the list, and go to the row of a file."""
    app = pilot.app
    await wait_until(pilot, lambda: app.library.scanned and not app.library.scanning)
    table = app.screen.query_one(LibraryTable)
    row = next(i for i, model in enumerate(table.models) if model.path == path)
    table.move_cursor(row=row)


def put_adapter(base, path):
    """Write an adapter that fits a model's first query matrix."""
    with open_gguf(base) as file:
        cols, rows = file.tensors["blk.0.attn_q.weight"].shape
    rng = np.random.default_rng(1)
    down, up = (rng.standard_normal(s).astype(np.float32) for s in ((4, cols), (rows, 4)))
    name = "blk.0.attn_q.weight.lora_"
    write_adapter(path, "llama", {name + "a": down, name + "b": up}, 8)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_it_stands_beside_the_model_that_is_chosen(app, shelf, size):
    adapter = paths.models_dir() / "manners-lora.gguf"
    put_adapter(shelf.cached, adapter)
    async with app.run_test(size=size) as pilot:
        await put_cursor_on(pilot, adapter)
        await pilot.press("c")
        await wait_until(pilot, lambda: isinstance(app.screen, ChooseScreen))
        options = app.screen.query_one(OptionList)
        assert options.option_count == 1  # neither the ternary model nor what is broken
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.engine.phase is Phase.READY, seconds=60, what="ready")
        assert app.engine.path == shelf.cached
        assert "manners" in app.engine.adapter
        assert app.current_mode == "chat"


async def test_without_a_model_of_its_architecture_it_says_what_is_missing(app, home):
    adapter = paths.models_dir() / "manners-lora.gguf"
    adapter.parent.mkdir(parents=True)
    base = tiny_llama(home / "elsewhere.gguf").path
    put_adapter(base, adapter)
    async with app.run_test(size=(120, 40)) as pilot:
        await put_cursor_on(pilot, adapter)
        await pilot.press("c")
        await wait_until(pilot, lambda: app._notifications)
        assert "llama" in next(iter(app._notifications)).message
        assert not isinstance(app.screen, ChooseScreen)
