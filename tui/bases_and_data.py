"""What a person can choose to train: models that can learn, and files that look like data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from backend import paths
from backend.units import human_bytes, human_count
from tui import words
from tui.screens.choose import Choice

if TYPE_CHECKING:
    from backend.library import LibraryModel
    from tui.runs import Run

KINDS = (".jsonl", ".json", ".csv", ".parquet", ".txt")
MOST = 100  # entries of a folder


def base_choices(models: Iterable[LibraryModel], typed: str) -> Sequence[Choice]:
    """Return the models that contain every word that was typed; else what was typed itself."""
    found = []
    for model in models:
        if model.error is not None or model.kind != "model":
            continue
        name = f"{model.name} {model.quant or ''}".strip()
        if all(word in name.casefold() for word in typed.casefold().split()):
            size = human_count(model.params) if model.params else human_bytes(model.bytes)
            found.append(Choice(str(model.path), name, f"{size} · {model.store}"))
    if typed.strip():
        found.append(
            Choice(typed.strip(), typed.strip(), "a folder, a file, or owner/name of the Hub")
        )
    return found


def example() -> Path:
    """Return the data set that ships with Sterna."""
    return paths.asset("example.jsonl")


def data_choices(runs: Iterable[Run], typed: str) -> Sequence[Choice]:
    """Return the example, what earlier runs used, and files here; for a path, what is in its folder."""
    if typed.startswith("hf:"):
        return [Choice(typed, typed, "a data set of the Hub")]
    if typed.startswith(("/", "~", ".")) or "/" in typed:
        return list(_inside(typed))
    known = [
        Choice(
            str(example()), "example", "159 questions about Sterna: every answer learns a farewell"
        )
    ]
    for path in dict.fromkeys(run.recipe.data.path for run in runs if run.recipe):
        if path != str(example()):
            known.append(Choice(path, words.cut(words.short_text(path), 50), "used before"))
    known += _here(Path.cwd(), "")
    wanted = typed.casefold().split()
    return [c for c in known if all(word in c.name.casefold() for word in wanted)]


def _inside(typed: str) -> Iterable[Choice]:
    """Yield what is in the folder that a path is in, as far as it begins as typed."""
    path = Path(typed).expanduser()
    folder, begins = (path, "") if typed.endswith("/") else (path.parent, path.name)
    if typed.endswith("/"):
        yield Choice(typed.rstrip("/"), ".", "every data file in this folder")
    yield from _here(folder, begins)


def _here(folder: Path, begins: str) -> list[Choice]:
    try:
        found = sorted(folder.iterdir(), key=lambda p: (p.is_dir(), p.name.casefold()))
    except OSError:
        return []
    made = []
    for path in found:
        if not path.name.startswith(begins) or (path.name.startswith(".") and not begins):
            continue
        if path.is_dir():
            made.append(Choice(f"{path}/", f"{path.name}/", "folder", further=True))
        elif path.suffix.lower() in KINDS:
            made.append(Choice(str(path), path.name, human_bytes(path.stat().st_size)))
    return made[:MOST]
