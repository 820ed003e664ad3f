"""How smoothly many models scroll: `python -m bench.library_table [--models 10000]`.

Fills the table of Models and Textual's own with as many rows, in an app without a terminal, and times
the fill until it is painted and one step of the cursor. The filter is timed as a person meets it: a
keystroke, until the rows that match are painted.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.text import Text
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import DataTable

from backend.library import LibraryModel
from tui.panes import columns
from tui.panes.library_table import LibraryTable

QUANTS = ("Q4_K_M", "Q5_K_M", "Q8_0", "IQ4_XS")
Work = Callable[[], None]


def make_models(count: int) -> list[LibraryModel]:
    """Return that many models that differ in everything that a table shows."""
    return [
        LibraryModel(
            name=f"owner{n % 97}/model-{n}-GGUF/model-{n}.gguf",
            path=Path(f"/models/owner{n % 97}/model-{n}.gguf"),
            store="huggingface" if n % 2 else "ollama",
            arch="llama" if n % 3 else "qwen3",
            params=n * 1_000_003,
            quant=QUANTS[n % len(QUANTS)],
            bytes=n * 600_011,
            context=4096,
            last_used=float(n),
            sha256=None,
        )
        for n in range(count)
    ]


class Ours(App[None]):
    """The table of Models."""

    def compose(self):  # type: ignore[no-untyped-def]  # noqa: ANN201
        yield LibraryTable()

    def fill(self, models: list[LibraryModel]) -> None:
        """Show models."""
        self.query_one(LibraryTable).fill(models, sort=("used", False), now=1e6)


class Theirs(App[None]):
    """Textual's own table."""

    def compose(self):  # type: ignore[no-untyped-def]  # noqa: ANN201
        yield DataTable[Text](cursor_type="row")

    def fill(self, models: list[LibraryModel]) -> None:
        """Show models, with the same texts."""
        table = self.query_one(DataTable)
        table.clear(columns=True)
        for column in columns.COLUMNS:
            table.add_column(column.title, width=column.width or 30)
        for model in models:
            table.add_row(*(Text(columns.cell(c, model, 1e6)) for c in columns.COLUMNS))


async def _seconds(pilot: Pilot[None], work: Work, repeats: int) -> float:
    """Return the median time of `work` until all that follows from it is painted."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        await pilot.pause()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


async def _measured(
    app: Ours | Theirs, models: list[LibraryModel], step: Callable[[Pilot[None]], Work]
) -> dict[str, float]:
    async with app.run_test(size=(120, 40)) as pilot:
        fill = await _seconds(pilot, lambda: app.fill(models), 3)
        return {"fill": fill, "step": await _seconds(pilot, step(pilot), 20)}


def _our_step(pilot: Pilot[None]) -> Work:
    return pilot.app.query_one(LibraryTable).action_cursor_down


def _their_step(pilot: Pilot[None]) -> Work:
    return pilot.app.query_one(DataTable).action_cursor_down


def filter_seconds(models: list[LibraryModel], repeats: int = 5) -> float:
    """Return the time to leave out the models that do not match, before anything is painted."""
    ordered = [(model, columns.haystack(model)) for model in columns.ordered(models, "used")]
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        columns.matching(ordered, "qwen3 77")
        times.append(time.perf_counter() - start)
    return statistics.median(times)


async def measure(count: int) -> dict[str, dict[str, float]]:
    """Return the seconds of both tables."""
    models = make_models(count)
    runs: list[tuple[str, Awaitable[dict[str, float]]]] = [
        ("ours", _measured(Ours(), models, _our_step)),
        ("theirs", _measured(Theirs(), models, _their_step)),
    ]
    return {name: await run for name, run in runs}


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench.library_table", description=__doc__)
    parser.add_argument("--models", type=int, default=10_000)
    options = parser.parse_args(arguments)
    found = asyncio.run(measure(options.models))
    print(f"{options.models} models       Sterna    Textual's table    ratio")
    for what in ("fill", "step"):
        ours, theirs = found["ours"][what], found["theirs"][what]
        print(f"{what:<12} {ours * 1e3:9.1f} ms {theirs * 1e3:12.1f} ms {theirs / ours:9.1f} x")
    print(f"filter       {filter_seconds(make_models(options.models)) * 1e3:9.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
