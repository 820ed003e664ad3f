"""`sterna verify`: whether models on disk still are what they should be."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from backend.errors import SternaError
from backend.library import find, survey
from backend.library.verification import STATES, Check, files_of, verify
from tui.commands import output
from tui.commands.progress import ProgressLine


def add_arguments(parser: ArgumentParser) -> None:
    """Take which models."""
    parser.add_argument(
        "model", nargs="?", help="a path, a name from `sterna ls`, or owner/repo[:QUANT]"
    )
    parser.add_argument("--all", action="store_true", help="every model on this computer")


def _data(check: Check) -> dict[str, object]:
    return {
        "path": check.path,
        "bytes": check.bytes,
        "state": check.state,
        "sha256": check.sha256,
        "expected": check.expected,
        "error": check.error.as_dict() if check.error else None,
    }


def _said(check: Check) -> str:
    words = STATES[check.state]
    if check.error is not None:
        words = f"{words}: {check.error.message}"
    if check.state == "damaged":
        words = f"{words}: its hash is {check.sha256} and should be {check.expected}"
    return words


def run(args: Namespace) -> int:
    """Read the files and tell."""
    if bool(args.model) == args.all:
        raise SternaError("bad_argument", "Give a model, or --all.", "See `sterna verify --help`.")
    listing = survey()
    models = (
        [find(args.model, listing.models)[0]] if args.model else [*listing.models, *listing.others]
    )
    files = files_of(models)
    line = ProgressLine(sum(file.size for copy, file in files if copy.connected))
    checks = []
    try:
        for check in verify(files, progress=lambda path, n: line.advance(Path(path).name, n)):
            checks.append(check)
            if not args.json:
                line.clear()
                mark = "✓" if check.state in ("ok", "recorded") else "✗"
                output.line(f"{mark} {check.path}  {_said(check)}")
    finally:
        line.clear()
    bad = [check for check in checks if check.state in ("damaged", "unreadable")]
    if args.json:
        output.emit(args, {"ok": not bad, "files": [_data(check) for check in checks]}, "")
    else:
        output.line(f"{len(checks)} files, {len(bad)} of them bad.")
        if any(check.state == "damaged" for check in bad):
            output.note("Delete what is damaged (`sterna rm`) and download it again.")
    return 1 if bad else 0
