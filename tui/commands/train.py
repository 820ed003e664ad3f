"""`sterna train`: teach a model, from a recipe or from arguments that write one."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from backend.errors import SternaError
from backend.train import begin
from backend.train import recipe as recipes
from backend.train.catalogue import CATALOGUE
from backend.train.recipe import Recipe
from backend.train.run import child
from backend.train.run import folder as folders
from backend.train.run.events import Event
from backend.train.run.folder import RunFolder
from tui.commands import output, training_lines, training_options


def add_arguments(parser: ArgumentParser) -> None:
    """Take a recipe, or what makes one."""
    parser.add_argument("recipe", nargs="?", type=Path, help="a run.toml to repeat")
    training_options.add_arguments(parser, tuple(CATALOGUE))
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--estimate", action="store_true", help="tell parameters, memory and time, and stop"
    )
    what.add_argument(
        "--preview", type=int, nargs="?", const=3, metavar="ROWS",
        help="show what would be learned, and stop",
    )  # fmt: skip
    what.add_argument("--resume", metavar="RUN", help="go on with a run that stopped")
    parser.add_argument(
        "--race", metavar="NAMES", help="train several techniques in turn, as in lora,vera or all"
    )
    parser.add_argument("--detach", action="store_true", help="return while it trains")
    parser.add_argument("--force", action="store_true", help="begin although memory seems short")


def run(args: Namespace) -> int:
    """Train, or tell what training would be."""
    if args.resume:
        return _resume(args)
    recipe = training_options.recipe_of(args)
    if args.estimate:
        return _estimate(args, recipe)
    if args.preview is not None:
        return _preview(args, recipe)
    if args.race:
        from tui.commands import racing

        return racing.run(args, recipe)
    return _follow_new(args, *begin.begin(recipe, force=args.force), 0)


def _resume(args: Namespace) -> int:
    folder = folders.find(args.resume)
    recipe = training_options.longer(args, recipes.load(folder.recipe))
    offset = folder.events.stat().st_size if folder.events.exists() else 0
    return _follow_new(args, folder, begin.go_on(folder, recipe), offset)


def _follow_new(args: Namespace, folder: RunFolder, process: begin.Child, offset: int) -> int:
    if args.detach:
        text = f"{folder.name} trains in the background; `sterna runs {folder.name}` tells how it does."
        output.emit(args, {"run": folder.name, "path": str(folder.path), "pid": process.pid}, text)
        return 0
    if not args.json:
        output.note(f"run {folder.name} in {folder.path}")
    return _follow(args, folder, process, offset)


def _follow(args: Namespace, folder: RunFolder, process: begin.Child, offset: int) -> int:
    """Tell events until the end. Ctrl-C asks to save and stop; again, it is left to itself."""
    teller = training_lines.Teller(args.json)
    last: Event | None = None
    asked = False
    events = child.follow(folder, lambda: process.poll() is None, offset)
    while True:
        try:
            for event in events:
                if event is not None:
                    last = event
                    teller.tell(event)
            break
        except KeyboardInterrupt:
            if asked:
                raise
            asked = True
            if folder.is_running():
                child.stop(folder)
            output.note("saving and stopping; ctrl-c again leaves it to itself")
            events = child.follow(folder, lambda: process.poll() is None, teller.offset(folder))
    process.wait()
    return _ended(args, folder, last)


def _ended(args: Namespace, folder: RunFolder, last: Event | None) -> int:
    kind = last["event"] if last else "error"
    if kind == "error":
        said = last or {"kind": "train_died", "message": "The run ended.", "hint": ""}
        raise SternaError(said["kind"], said["message"], said.get("hint", ""))
    if kind == "stopped":
        if not args.json:
            output.line(f"stopped; `sterna train --resume {folder.name}` goes on")
        return 130
    if not args.json:
        output.line(
            f"adapter in {folder.adapter}\n`sterna export {folder.name}` writes it for chat"
        )
    return 0


def _estimate(args: Namespace, recipe: Recipe) -> int:
    from backend.train.estimate import assumed, estimate
    from backend.train.looking import ENOUGH, look, sequences
    from backend.train.remote_shape import shape_anywhere

    shape = shape_anywhere(recipe.base.model)
    data = assumed(recipe)
    if recipe.data.path:
        data = sequences(look(recipe, 0, ENOUGH))
    made = estimate(recipe, shape, data)
    output.emit(
        args, training_lines.estimate_data(made, data), training_lines.estimate_text(made, data)
    )
    return 0


def _preview(args: Namespace, recipe: Recipe) -> int:
    if not recipe.data.path:
        raise SternaError("bad_argument", "A preview needs data.", "Give it with --data.")
    from backend.train.looking import look

    seen = look(recipe, args.preview, None)
    output.emit(args, seen, training_lines.preview_text(seen))
    return 0
