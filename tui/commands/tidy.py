"""`sterna tidy`: what takes room and need not, and having it back."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from backend import settings
from backend.errors import SternaError
from backend.library import survey, trash
from backend.library.background import remember
from backend.library.disk import DiskUse, remove_leftovers, use
from backend.library.duplicates import Duplicate, alike, link
from backend.library.listing import Listing
from backend.library.stores import STORES, roots
from backend.units import human_bytes
from tui.commands import output
from tui.commands.progress import ProgressLine

KINDS = {
    "partial": "unfinished downloads that nobody goes on with",
    "unreferenced": "files that nothing refers to",
    "superseded": "old revisions: a newer one of the same file is there",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Take what to do; without any, only tell."""
    parser.add_argument(
        "--duplicates", action="store_true", help="replace duplicates by hard links"
    )
    for kind, meaning in KINDS.items():
        parser.add_argument(f"--{kind}", action="store_true", help=f"delete {meaning}")
    parser.add_argument("--trash", action="store_true", help="empty the trash: no undo after that")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")


def run(args: Namespace) -> int:
    """Tell what there is, and do what was asked."""
    trash.sweep(roots(settings.load()))
    listing = _looked(args)
    found = use(listing)
    wanted = args.duplicates or args.trash or any(getattr(args, kind) for kind in KINDS)
    if wanted and args.json and not args.yes:
        raise SternaError("not_confirmed", "Nothing was changed.", "Give --yes.")
    if not args.json:
        output.line(_said(found))
    if wanted and not args.yes:
        output.note("Do that? [y/N]")
        if sys.stdin.readline().strip().casefold() not in ("y", "yes"):
            raise SternaError("not_confirmed", "Nothing was changed.", "Answer y, or give --yes.")
    done = _do(args, found) if wanted else None
    if args.json:
        output.emit(args, {**_data(found), "done": done}, "")
    elif done is not None:
        output.line(
            f"{human_bytes(done['linked'])} freed by links, {human_bytes(done['emptied'])} from the"
            f" trash; {human_bytes(done['deleted'])} deleted (`sterna rm --undo` brings that back)."
        )
    return 0


def _looked(args: Namespace) -> Listing:
    """Return the listing, with the hashes that tell whether files of equal size are equal."""
    listing = survey()
    files = alike([*listing.models, *listing.others])
    if not files:
        return listing
    line = ProgressLine(sum(file.size for file in files))
    try:
        remember(files, progress=lambda path, count: line.advance(Path(path).name, count))
    finally:
        line.clear()
    return survey()


def _do(args: Namespace, found: DiskUse) -> dict[str, int]:
    emptied = sum(entry.bytes for entry in found.trash) if args.trash else 0
    if args.trash:
        trash.empty(found.trash)
    left = [left for left in found.leftovers if getattr(args, left.why)]
    if left:
        remove_leftovers(left, "cli")
    linked = _link(found.duplicates) if args.duplicates else 0
    return {"linked": linked, "deleted": sum(one.bytes for one in left), "emptied": emptied}


def _link(found: list[Duplicate]) -> int:
    """Link what can be; what fails is told and the rest goes on."""
    files = [file for one in found if one.others for file in (one.kept, *one.others)]
    line, freed = ProgressLine(sum(file.size for file in files)), 0
    for duplicate in found:
        if duplicate.others:
            try:
                freed += link(duplicate, progress=lambda p, n: line.advance(Path(p).name, n))
            except SternaError as error:
                line.clear()
                output.note(f"sterna: {error.message} {error.hint}")
    line.clear()
    return freed


def _data(found: DiskUse) -> dict[str, object]:
    return {
        "bytes": found.bytes,
        "reclaimable": found.reclaimable,
        "stores": [
            {"store": s.store, "path": s.path, "models": s.models, "bytes": s.bytes, "free": s.free}
            for s in found.stores
        ],
        "duplicates": [
            {
                "sha256": one.sha256,
                "bytes": one.bytes,
                "kept": one.kept.path,
                "others": [file.path for file in one.others],
                "apart": [{"path": file.path, "why": why} for file, why in one.apart],
            }
            for one in found.duplicates
        ],
        "leftovers": [
            {"path": left.path, "store": left.store, "bytes": left.bytes, "why": left.why}
            for left in found.leftovers
        ],
        "trash": sum(entry.bytes for entry in found.trash),
    }


def _said(found: DiskUse) -> str:
    rows = [["STORE", "MODELS", "SIZE", "FREE", "WHERE"]]
    for s in found.stores:
        free = "not connected" if s.free is None else human_bytes(s.free)
        rows.append([STORES[s.store].title, str(s.models), human_bytes(s.bytes), free, s.path])
    lines = [output.table(rows, right=frozenset((1, 2, 3))), f"{human_bytes(found.bytes)} in all"]
    for one in found.duplicates:
        lines.append(f"\n{human_bytes(one.bytes)} by links (--duplicates) to {one.kept.path}")
        lines += [f"  {file.path}" for file in one.others]
        lines += [f"  {file.path}: {why}, stays" for file, why in one.apart]
    for kind, meaning in KINDS.items():
        left = [left for left in found.leftovers if left.why == kind]
        if left:
            total = human_bytes(sum(one.bytes for one in left))
            lines.append(f"\n{total} in {meaning} (--{kind})")
            lines += [f"  {human_bytes(one.bytes):>8}  {one.path}" for one in left]
    if found.trash:
        lines.append(f"\n{human_bytes(sum(e.bytes for e in found.trash))} in the trash (--trash)")
    lines.append(f"\n{human_bytes(found.reclaimable)} can be had back without losing a model.")
    return "\n".join(lines)
