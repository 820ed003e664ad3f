"""`sterna runs`: training runs, and what can be done with them."""

import shutil
from argparse import ArgumentParser, Namespace
from typing import Any

from backend.errors import SternaError
from backend.train.run import child, control
from backend.train.run import folder as folders
from backend.train.run import status as statuses
from backend.train.run.folder import RunFolder
from backend.train.run.status import RunStatus
from backend.units import human_bytes, human_count, human_seconds
from tui.commands import output, training_lines


def add_arguments(parser: ArgumentParser) -> None:
    """Take a run and what to do with it."""
    parser.add_argument("name", nargs="?", help="a run; without one, all are listed")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--follow", action="store_true", help="watch it until it ends")
    what.add_argument(
        "--compare", action="store_true", help="beside all runs of the same base and data"
    )
    what.add_argument("--pause", action="store_true", help="let it wait")
    what.add_argument("--go", action="store_true", help="let a paused one go on")
    what.add_argument("--stop", action="store_true", help="save a checkpoint and stop")
    what.add_argument("--kill", action="store_true", help="end it at once")
    what.add_argument("--delete", action="store_true", help="remove the run and all it learned")


def run(args: Namespace) -> int:
    """List, show, or act."""
    if args.name is None:
        if any((args.follow, args.compare, args.pause, args.go, args.stop, args.kill, args.delete)):
            raise SternaError(
                "bad_argument", "Which run?", "Give its name; `sterna runs` lists them."
            )
        return _list(args)
    folder = folders.find(args.name)
    if args.follow:
        return _follow(args, folder)
    if args.compare:
        from tui.commands import racing

        return racing.compare(args, folder)
    if args.pause or args.go:
        return _ask(args, folder, control.Wish.PAUSE if args.pause else control.Wish.GO)
    if args.stop:
        child.stop(folder)
        return _said(args, folder, "it saves and stops after this step")
    if args.kill:
        child.kill(folder)
        return _said(args, folder, "ended; its last checkpoint stays")
    if args.delete:
        return _delete(args, folder)
    made = statuses.status(folder)
    output.emit(args, run_data(folder, made), _text(folder, made))
    return 0


def _list(args: Namespace) -> int:
    found = [(folder, statuses.status(folder)) for folder in folders.every()]
    rows = [["RUN", "STATE", "TECHNIQUE", "STEP", "LOSS", "EVAL", "TRAINABLE", "UPDATED"]]
    rows += [_row(folder, made) for folder, made in found]
    text = output.table(rows, right=frozenset((3, 4, 5, 6, 7)))
    if not found:
        text = "no runs yet: `sterna train --base MODEL --data FILE` begins one"
    output.emit(args, {"runs": [run_data(f, m) for f, m in found]}, text)
    return 0


def _row(folder: RunFolder, made: RunStatus) -> list[str]:
    recipe = statuses.recipe_of(folder)
    return [
        folder.name,
        made.state,
        recipe.technique.name if recipe else "?",
        f"{made.step}/{made.total}" if made.total else "–",
        _number(made.loss),
        _number(made.eval_loss),
        human_count(made.trainable_parameters) if made.trainable_parameters else "–",
        output.ago(made.updated),
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def run_data(folder: RunFolder, made: RunStatus) -> dict[str, Any]:
    """Return a run for programs."""
    recipe = statuses.recipe_of(folder)
    return {
        "name": folder.name,
        "path": str(folder.path),
        "state": made.state,
        "base": recipe.base.model if recipe else None,
        "data": recipe.data.path if recipe else None,
        "technique": recipe.technique.name if recipe else None,
        "rank": recipe.technique.rank if recipe else None,
        "step": made.step,
        "total": made.total,
        "loss": made.loss,
        "eval_loss": made.eval_loss,
        "base_loss": made.base_loss,
        "best_loss": made.best_loss,
        "tokens_per_second": made.tokens_per_second,
        "eta_s": made.eta_s if made.state in ("training", "paused") else None,
        "peak_memory": made.peak,
        "seconds": made.seconds,
        "trainable_parameters": made.trainable_parameters,
        "adapter": str(folder.adapter) if folder.adapter.is_dir() else None,
        "adapter_bytes": made.adapter_bytes,
        "started": made.started,
        "updated": made.updated,
        "warnings": made.warnings,
        "error": made.error.as_dict() if made.error else None,
    }


def _text(folder: RunFolder, made: RunStatus) -> str:
    facts = [
        ["run", folder.name],
        ["state", made.state],
        ["folder", str(folder.path)],
        ["step", f"{made.step} of {made.total}" if made.total else "–"],
        ["loss", _number(made.loss)],
        ["evaluation", f"{_number(made.eval_loss)} (before training {_number(made.base_loss)})"],
        ["memory", human_bytes(made.peak) if made.peak else "–"],
        ["time", human_seconds(made.seconds) if made.seconds else "–"],
        ["adapter", str(folder.adapter) if folder.adapter.is_dir() else "none yet"],
    ]
    if made.error:
        facts.append(["error", f"{made.error.message} {made.error.hint}"])
    facts += [["warning", text] for text in made.warnings[-5:]]
    return output.table(facts)


def _follow(args: Namespace, folder: RunFolder) -> int:
    teller = training_lines.Teller(args.json)
    last = None
    for event in child.follow(folder, folder.is_running):
        if event is not None:
            last = event
            teller.tell(event)
    if last is not None and last["event"] == "error":
        raise SternaError(last["kind"], last["message"], last.get("hint", ""))
    return 0


def _ask(args: Namespace, folder: RunFolder, wish: control.Wish) -> int:
    if not folder.is_running():
        raise SternaError(
            "not_running",
            f"The run {folder.name} does not run.",
            f"`sterna train --resume {folder.name}` lets it go on.",
        )
    control.ask(folder, wish)
    paused = wish is control.Wish.PAUSE
    return _said(args, folder, "it pauses after this step" if paused else "it goes on")


def _said(args: Namespace, folder: RunFolder, text: str) -> int:
    output.emit(args, {"run": folder.name, "state": statuses.status(folder).state}, text)
    return 0


def _delete(args: Namespace, folder: RunFolder) -> int:
    if folder.is_running():
        raise SternaError(
            "run_is_running", f"The run {folder.name} is running.", "Stop it first: --stop."
        )
    try:
        shutil.rmtree(folder.path)
    except OSError as error:
        raise SternaError(
            "unwritable", f"{folder.path} cannot be removed: {error.strerror}.", ""
        ) from error
    output.emit(args, {"run": folder.name, "deleted": True}, f"{folder.name} is deleted")
    return 0
