"""`sterna mark`: a name of your own, a note or a star for a model."""

from argparse import ArgumentParser, BooleanOptionalAction, Namespace

from backend.library import find, mark, scan
from tui.commands import output


def add_arguments(parser: ArgumentParser) -> None:
    """Take the model and what to note; without anything to note, only tell."""
    parser.add_argument("model", help="a path, a name from `sterna ls`, or owner/repo[:QUANT]")
    parser.add_argument(
        "--alias", help="a name that every command takes; an empty one takes it away"
    )
    parser.add_argument("--note", help="a note; an empty one takes it away")
    parser.add_argument("--favourite", action=BooleanOptionalAction, help="a star, or none")


def run(args: Namespace) -> int:
    """Note, then tell what is noted."""
    models = scan()
    model, _ = find(args.model, models)
    mark(model, favourite=args.favourite, alias=args.alias, note=args.note, others=tuple(models))
    model = find(str(model.path))[0]
    data = {
        "name": model.name,
        "path": str(model.path),
        "alias": model.alias or None,
        "note": model.note or None,
        "favourite": model.favourite,
    }
    shown = [["name", model.name], ["path", str(model.path)], ["alias", model.alias or "–"]]
    shown += [["favourite", "★" if model.favourite else "–"], ["note", model.note or "–"]]
    output.emit(args, data, output.table(shown))
    return 0
