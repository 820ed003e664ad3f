"""`sterna rm`: delete a model, after showing what that frees; bring it back."""

import sys
from argparse import ArgumentParser, Namespace

from backend import settings
from backend.errors import SternaError
from backend.library import find, trash
from backend.library.removal import Removal, plan, remove, remove_for_good
from backend.library.stores import STORES, roots
from backend.units import human_bytes
from tui.commands import output


def add_arguments(parser: ArgumentParser) -> None:
    """Take the model, or what to do with what was deleted before."""
    parser.add_argument(
        "model", nargs="?", help="a path, a name from `sterna ls`, or owner/repo[:QUANT]"
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    parser.add_argument(
        "--everywhere", action="store_true", help="delete it from every store that holds it"
    )
    parser.add_argument("--preview", action="store_true", help="only tell what would be deleted")
    parser.add_argument("--now", action="store_true", help="free the space at once; no undo")
    parser.add_argument("--undo", action="store_true", help="bring the last deletion back")
    parser.add_argument(
        "--empty", action="store_true", help="free what was deleted; no undo after that"
    )


def run(args: Namespace) -> int:
    """Delete, undo or empty."""
    if bool(args.model) + args.undo + args.empty != 1:
        raise SternaError(
            "bad_argument", "Give a model, --undo or --empty.", "See `sterna rm --help`."
        )
    trash.sweep(roots(settings.load()))
    if args.undo:
        return _undo(args)
    if args.empty:
        return _empty(args)
    return _delete(args)


def _entries() -> list[trash.Entry]:
    found = trash.entries(roots(settings.load()))
    return [entry for entry in found if entry.kind == "cli" and not entry.state]


def _undo(args: Namespace) -> int:
    found = _entries()
    if not found:
        raise SternaError("nothing_deleted", "There is nothing to bring back.", "")
    paths = found[-1].paths
    trash.restore(found[-1])
    output.emit(args, {"restored": paths}, "\n".join(f"back: {path}" for path in paths))
    return 0


def _empty(args: Namespace) -> int:
    found = _entries()
    freed = sum(entry.bytes for entry in found)
    trash.empty(found)
    output.emit(args, {"freed": freed}, f"{human_bytes(freed)} freed.")
    return 0


def _delete(args: Namespace) -> int:
    model, copy = find(args.model)
    removal = plan(model, model.copies if args.everywhere else (copy,))
    if args.preview:
        output.emit(args, {"deleted": False, **_data(removal)}, _said(removal, args.now))
        return 0
    if not args.yes:
        _ask(args, removal)
    if args.now:
        remove_for_good(removal)
        undo = None
    else:
        undo = "sterna rm --undo" if remove(removal, "cli") else None
    done = f"Deleted {model.name}." if not removal.forgets else f"{model.name} is off the list."
    if undo:
        done += f" `{undo}` brings it back for a day; `sterna rm --empty` frees the space now."
    output.emit(args, {"deleted": True, "undo": undo, **_data(removal)}, done)
    return 0


def _ask(args: Namespace, removal: Removal) -> None:
    """Show what would go and read the answer; raises SternaError `not_confirmed` unless it is yes."""
    if not args.json:
        for text in _said(removal, args.now).split("\n"):
            output.note(text)
        output.note("Delete? [y/N]")
        if sys.stdin.readline().strip().casefold() in ("y", "yes"):
            return
    raise SternaError("not_confirmed", "Nothing was deleted.", "Answer y, or give --yes.")


def _data(removal: Removal) -> dict[str, object]:
    return {
        "name": removal.model.name,
        "stores": [copy.store for copy in removal.copies],
        "paths": list(removal.paths),
        "frees": removal.frees,
        "kept": list(removal.kept),
        "remains": [{"store": c.store, "path": str(c.path)} for c in removal.remains],
    }


def _said(removal: Removal, now: bool) -> str:
    model = removal.model
    stores = ", ".join(dict.fromkeys(STORES[copy.store].title for copy in removal.copies))
    if removal.forgets:
        return f"{model.name}: its disk is not connected; it will be struck off the list."
    frees = f"{human_bytes(removal.frees)} will be freed" + (
        "" if now else ", for good after a day"
    )
    lines = [f"{model.name}  {model.quant}  in: {stores}", *(f"  {path}" for path in removal.paths)]
    lines += [f"  {sentence}" for sentence in removal.kept]
    lines += [f"  also in {STORES[c.store].title}: {c.path} (stays)" for c in removal.remains]
    return "\n".join([*lines, f"{frees}."])
