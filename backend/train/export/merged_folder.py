"""A Hugging Face folder with what was learned in its weights, in the type that each tensor had."""

import shutil
from pathlib import Path
from typing import BinaryIO

from backend.errors import SternaError
from backend.train.export import tensors
from backend.train.export.learned import Change
from backend.train.tensor_names import Floats

_BESIDE = ("*.json", "*.jinja", "*.model", "*.txt")


def write_merged_folder(changes: list[Change], base: Path, adapter: Path, out: Path) -> int:
    """Write the folder whole or not at all; return its bytes. Raises SternaError."""
    if out.exists():
        raise SternaError("unwritable", f"{out} exists already.", "Give the name of a new folder.")
    by_name = {f"{change.module}.weight": change for change in changes}
    fresh = out.with_name(f".{out.name}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        for folder in (base, adapter):  # the adapter's tokenizer and template are the newer ones
            for path in (p for pattern in _BESIDE for p in folder.glob(pattern)):
                if path.name != "adapter_config.json":
                    shutil.copyfile(path, fresh / path.name)
        left = set(by_name)
        for path in sorted(base.glob("*.safetensors")):
            left -= _write_file(path, fresh / path.name, by_name)
        if left:
            raise SternaError(
                "wrong_base", f"{base.name} has no {min(left)}.", "Name the adapter's own base."
            )
        fresh.rename(out)
    except OSError as error:
        raise SternaError(
            "unwritable", f"{out} cannot be written: {error}.", "Check the disk."
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return sum(p.stat().st_size for p in out.iterdir())


def copy_folder(folder: Path, out: Path) -> int:
    """Copy what a full fine-tune left; return its bytes. Raises SternaError."""
    return write_merged_folder([], folder, folder, out)


def _write_file(path: Path, out: Path, changes: dict[str, Change]) -> set[str]:
    """Write one file; return the names that were changed in it. Types and places stay as they were."""
    changed = set()
    every = tensors.entries(path)
    with path.open("rb") as old, out.open("wb") as new:
        new.write(old.read(every[0].start if every else path.stat().st_size))
        for entry in every:
            change = changes.get(entry.name)
            if change is None:
                old.seek(entry.start)
                new.write(old.read(entry.stop - entry.start))
                continue
            new.write(tensors.stored(entry, _merged(old, entry, change)))
            changed.add(entry.name)
    return changed


def _merged(file: BinaryIO, entry: tensors.Entry, change: Change) -> Floats:
    weight = tensors.read(file, entry)
    if weight is None:
        raise SternaError(
            "ternary_merge",
            f"{entry.name} is packed: a merge would round away what was learned.",
            "Use the adapter beside its base.",
        )
    change = change.fitting(weight.shape[1])
    if weight.shape != (change.b.shape[0], change.a.shape[1]):
        raise SternaError(
            "wrong_base", f"{entry.name} has another size.", "Name the adapter's own base."
        )
    return change.onto(weight)
