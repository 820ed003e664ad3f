"""Checkpoints that can be believed.

A checkpoint is written beside its place, every file is brought to the disk, a manifest with the size and
SHA-256 of each file is written last, and then the folder gets its name in one step. So a kill at any moment
leaves either a whole checkpoint or a folder that nobody takes for one. Before one is used its manifest is
checked against its files; the newest that agrees is taken.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

MANIFEST = "MANIFEST.json"
SAVING = ".saving"  # where one is written
_NAME = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A finished checkpoint after `step` steps."""

    path: Path
    step: int


def listed(folder: Path) -> list[Checkpoint]:
    """Return the checkpoints of a folder, the newest first, unchecked."""
    try:
        names = [p for p in folder.iterdir() if p.is_dir()]
    except OSError:
        return []
    found = [
        Checkpoint(p, int(match[1]))
        for p in names
        if (match := _NAME.fullmatch(p.name)) is not None
    ]
    return sorted(found, key=lambda c: -c.step)


def verified(checkpoint: Checkpoint) -> bool:
    """Whether every file is as its manifest says."""
    try:
        manifest = json.loads((checkpoint.path / MANIFEST).read_text(encoding="utf-8"))
        files = manifest["files"]
        return bool(files) and all(
            (checkpoint.path / name).stat().st_size == said["size"]
            and file_hash(checkpoint.path / name) == said["sha256"]
            for name, said in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def newest(folder: Path) -> tuple[Checkpoint | None, list[Checkpoint]]:
    """Return the newest checkpoint that verifies, and newer ones that do not."""
    damaged: list[Checkpoint] = []
    for checkpoint in listed(folder):
        if verified(checkpoint):
            return checkpoint, damaged
        damaged.append(checkpoint)
    return None, damaged


def finish(saved: Path, folder: Path) -> Checkpoint:
    """Bring a written checkpoint to the disk and give it its place. Raises OSError."""
    files = sorted(p for p in saved.rglob("*") if p.is_file())
    manifest = {}
    for path in files:
        manifest[path.relative_to(saved).as_posix()] = {
            "size": path.stat().st_size,
            "sha256": file_hash(path, sync=True),
        }
    with (saved / MANIFEST).open("w", encoding="utf-8") as file:
        json.dump({"files": manifest}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    for each in {p.parent for p in files} | {saved}:
        sync_folder(each)
    place = folder / saved.name
    if place.exists():  # trained anew from an older one
        old = folder / f"{SAVING}-old"
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
        saved.rename(place)
        shutil.rmtree(old, ignore_errors=True)
    else:
        saved.rename(place)
    sync_folder(folder)
    match = _NAME.fullmatch(place.name)
    return Checkpoint(place, int(match[1]) if match else 0)


def clear_unfinished(folder: Path) -> None:
    """Remove what a kill left half-written."""
    for path in folder.glob(f"{SAVING}*"):
        shutil.rmtree(path, ignore_errors=True)


def prune(folder: Path, keep: int, best: int | None) -> None:
    """Keep the newest `keep` checkpoints and the one of step `best`."""
    for checkpoint in listed(folder)[keep:]:
        if checkpoint.step != best:
            # the name goes first: a half-removed folder must not be taken for a checkpoint
            doomed = folder / f"{SAVING}-{checkpoint.path.name}"
            with contextlib.suppress(OSError):
                checkpoint.path.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)


def file_hash(path: Path, *, sync: bool = False) -> str:
    """Return the SHA-256 of a file in hexadecimal; with `sync`, after bringing it to the disk."""
    with path.open("rb") as file:
        if sync:
            os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
