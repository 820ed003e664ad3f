"""The GGUF adapter of a run, as it is now: of the end, or of the newest checkpoint while it trains.

It is written once for each step and kept in the run's folder.
"""

from dataclasses import dataclass
from pathlib import Path

from backend.errors import SternaError
from backend.progress import Report, nothing
from backend.train import recipe as recipes
from backend.train.export.gguf_adapter import write_adapter
from backend.train.export.learned import read_changes
from backend.train.export.target import target_of
from backend.train.run import checkpoints
from backend.train.run.folder import RunFolder
from backend.train.source import Source, find


@dataclass(frozen=True, slots=True)
class Written:
    """An adapter file: `path`, and the `step` of the run that it is of; 0: of its end."""

    path: Path
    step: int


def newest(folder: RunFolder) -> tuple[Path, int]:
    """Return the folder of what was learned so far, and its step. Raises SternaError `not_found`.

    A finished adapter counts as long as nothing was trained after it.
    """
    kept, _ = checkpoints.newest(folder.checkpoints)
    if folder.adapter.is_dir() and not (kept and _made(kept.path) > _made(folder.adapter)):
        return folder.adapter, kept.step if kept else 0
    if kept is None:
        raise SternaError(
            "not_found", f"{folder.name} has learned nothing yet.", "Wait for a checkpoint."
        )
    return kept.path, kept.step


def _made(folder: Path) -> float:
    return folder.stat().st_mtime


def adapter_of(folder: RunFolder) -> Written:
    """Write the adapter of a run, unless it is there. Raises SternaError."""
    learned, step = newest(folder)
    name = f"{folder.name}-{step}" if learned != folder.adapter else folder.name
    out = folder.path / "export" / f"{name}-gguf.gguf"
    if out.exists() and _made(out) >= _made(learned):
        return Written(out, step)
    if not (learned / "adapter_config.json").exists():
        raise SternaError(
            "no_factors",
            "A full fine-tune changes every weight: there is no adapter.",
            f"`sterna export {folder.name} --as merged-gguf` writes a model.",
        )
    base = find(recipes.load(folder.recipe).base.model)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_adapter(read_changes(learned), target_of(base), out, folder.name)
    return Written(out, step)


def base_of(folder: RunFolder, report: Report = nothing) -> Path:
    """Return a GGUF file of a run's base: itself, or what a folder is converted to. Raises SternaError."""
    source = find(recipes.load(folder.recipe).base.model)
    return source.path if source.kind == "gguf" else _converted(source, folder, report)


def _converted(source: Source, folder: RunFolder, report: Report) -> Path:
    from backend.gguf.converting import convert

    out = folder.path / "export" / "base.gguf"
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        convert(source.path, out, quant=None, report=report)
    return out
