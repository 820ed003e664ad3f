"""Several techniques on the same data, one after another, and what came of them in one table."""

from argparse import Namespace
from collections.abc import Sequence

from backend.errors import SternaError
from backend.train import race
from backend.train.begin import Child
from backend.train.catalogue import CATALOGUE
from backend.train.race import Entrant
from backend.train.recipe import Recipe
from backend.train.run import child
from backend.train.run import status as statuses
from backend.train.run.folder import RunFolder
from backend.units import human_bytes, human_count, human_seconds
from tui.commands import output, training_lines


def names_of(text: str) -> list[str]:
    """Return the techniques of `lora,vera` or `all` (every one but full). Raises SternaError."""
    names = [name for name in text.replace(" ", ",").split(",") if name]
    if names == ["all"]:
        return [name for name in CATALOGUE if name != "sft"]
    unknown = [name for name in names if name not in CATALOGUE]
    if unknown:
        raise SternaError(
            "bad_argument",
            f"There is no technique {unknown[0]}.",
            f"There are {', '.join(CATALOGUE)}; all is every one but sft.",
        )
    return names


def run(args: Namespace, recipe: Recipe) -> int:
    """Race, and tell how it goes. Ctrl-C saves the run that trains and ends the race."""
    runs, process = race.begin_race(recipe, names_of(args.race), force=args.force)
    if args.detach:
        names = ", ".join(run.name for run in runs)
        text = f"In turn, in the background: {names}. `sterna runs {runs[0].name} --compare` tells."
        output.emit(args, {"runs": [run.name for run in runs], "pid": process.pid}, text)
        return 0
    try:
        for folder in runs:
            _follow(args, folder, process)
    except KeyboardInterrupt:
        process.terminate()
        output.note("the run that trains is saved and stops")
        process.wait()
        return 130
    process.wait()
    return show(args, race.ranked([_entrant(folder) for folder in runs]))


def _follow(args: Namespace, folder: RunFolder, process: Child) -> None:
    teller = training_lines.Teller(args.json)
    if not args.json:
        output.note(f"run {folder.name}")

    def alive() -> bool:
        return process.poll() is None or folder.is_running()

    for event in child.follow(folder, alive):
        if event is not None:
            teller.tell({**event, "run": folder.name} if args.json else event)
            if event["event"] == "error" and not args.json:
                output.note(f"✗ {event['message']}")


def _entrant(folder: RunFolder) -> Entrant:
    recipe = statuses.recipe_of(folder)
    assert recipe is not None
    return Entrant(folder, recipe, statuses.status(folder))


def compare(args: Namespace, folder: RunFolder) -> int:
    """Tell the runs of the same base and data apart."""
    return show(args, race.rivals(folder))


def show(args: Namespace, entrants: Sequence[Entrant]) -> int:
    """Write the table, the best on held-out rows first."""
    heads = ["RUN", "TECHNIQUE", "STATE", "HELD OUT", "LOSS", "TRAINED", "PEAK", "TIME", "ADAPTER"]
    table = output.table([heads, *map(_cells, entrants)], right=frozenset(range(3, 9)))
    output.emit(args, {"runs": [race.row(each) for each in entrants]}, table)
    return 0


def _cells(entrant: Entrant) -> list[str]:
    s = entrant.status
    return [
        entrant.folder.name,
        entrant.recipe.technique.name,
        s.state,
        "–" if s.eval_loss is None else f"{s.eval_loss:.3f}",
        "–" if s.loss is None else f"{s.loss:.3f}",
        human_count(s.trainable_parameters) if s.trainable_parameters else "–",
        human_bytes(s.peak) if s.peak else "–",
        human_seconds(s.seconds) if s.seconds else "–",
        human_bytes(s.adapter_bytes) if s.adapter_bytes else "–",
    ]
