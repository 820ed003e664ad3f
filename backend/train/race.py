"""A race: several techniques on the same data and budget, one after another, compared in one table.

Each is a run of its own, made at the start, so that all are known and can be looked at while they wait.
`python -m backend.train.race NAME…` trains them in turn, in a process that outlives whoever started it.
One that fails, or is stopped, does not keep the others from their turn; one that has ended is passed over.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from backend.errors import SternaError
from backend.train import recipe as recipes
from backend.train.begin import Child, check_memory, make_folder, need_extra
from backend.train.recipe import Recipe
from backend.train.run import child
from backend.train.run import folder as folders
from backend.train.run import status as statuses
from backend.train.run.folder import RunFolder
from backend.train.run.status import RunStatus


@dataclass(frozen=True, slots=True)
class Entrant:
    """A run among those that are compared."""

    folder: RunFolder
    recipe: Recipe
    status: RunStatus


def begin_race(
    recipe: Recipe, techniques: Sequence[str], *, force: bool = False
) -> tuple[list[RunFolder], Child]:
    """Make a run for each technique and start to train them in turn. Raises SternaError."""
    need_extra()
    names = list(dict.fromkeys(techniques))
    if len(names) < 2:
        raise SternaError("bad_argument", "A race takes two techniques.", "Name another one.")
    entrants = [_entrant(recipe, name) for name in names]
    if not force:
        for each in entrants:
            check_memory(each)
    runs = [make_folder(each) for each in entrants]
    return runs, _start(runs)


def _entrant(recipe: Recipe, name: str) -> Recipe:
    """Return the recipe for one technique; each has its own defaults, and the budget in common."""
    t = recipe.technique
    same = t.name == name
    technique = t if same else recipes.Technique(name=name, targets=t.targets)  # type: ignore[arg-type]
    schedule = recipe.schedule
    if not same:
        schedule = msgspec.structs.replace(schedule, learning_rate=0.0)
    stem = recipe.name or folders.suggest_name(recipe.base.model, "race")
    made = msgspec.structs.replace(
        recipe, name=f"{stem[:68]}-{name}", technique=technique, schedule=schedule
    )
    recipes.check(made)
    return made


def _start(runs: Sequence[RunFolder]) -> Child:
    with (runs[0].path / "race.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "backend.train.race", *(str(run.path) for run in runs)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=child.environment(),
        )


def rivals(run: RunFolder) -> list[Entrant]:
    """Return all runs of the same base and data as `run`, the best on held-out rows first."""
    mine = recipes.load(run.recipe)
    found = []
    for folder in folders.every():
        recipe = statuses.recipe_of(folder)
        if recipe and (recipe.base.model, recipe.data) == (mine.base.model, mine.data):
            found.append(Entrant(folder, recipe, statuses.status(folder)))
    return ranked(found)


def ranked(entrants: Sequence[Entrant]) -> list[Entrant]:
    """Return the best on held-out rows first, those without an evaluation last."""
    worst = float("inf")
    return sorted(
        entrants,
        key=lambda e: (
            worst if e.status.eval_loss is None else e.status.eval_loss,
            worst if e.status.loss is None else e.status.loss,
        ),
    )


def row(entrant: Entrant) -> dict[str, Any]:
    """Return what is compared, in plain values."""
    s, t = entrant.status, entrant.recipe.technique
    return {
        "name": entrant.folder.name,
        "technique": t.name,
        "rank": t.rank,
        "state": s.state,
        "step": s.step,
        "total": s.total,
        "loss": s.loss,
        "eval_loss": s.eval_loss,
        "base_loss": s.base_loss,
        "best_loss": s.best_loss,
        "trainable_parameters": s.trainable_parameters,
        "peak_memory": s.peak,
        "seconds": s.seconds,
        "adapter_bytes": s.adapter_bytes,
        "losses": [list(point) for point in s.losses],
    }


def main(names: list[str]) -> int:
    """Train runs in turn. SIGTERM lets the one that trains save and stop, and ends the race."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    for name in names:
        folder = RunFolder(Path(name))
        if ended.is_set() or not folder.recipe.exists() or statuses.status(folder).state != "new":
            continue
        recipe = statuses.recipe_of(folder)
        process = child.start(folder, recipe.schedule.processes if recipe else 1)
        while process.poll() is None:
            try:
                process.wait(timeout=1.0)
            except subprocess.TimeoutExpired:
                if ended.is_set():
                    process.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
