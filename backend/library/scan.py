"""The listing: every store's files, looked into once, equal contents joined."""

import os
from dataclasses import replace
from pathlib import Path

from backend import settings as configuration
from backend.errors import SternaError
from backend.library import stores
from backend.library.index import Entry, Index
from backend.library.model import Found, LibraryModel
from backend.library.usage import last_used


def _look_into(path: Path, size: int, modified: int) -> Entry:
    from backend.gguf import describe, open_gguf  # numpy: only when a file is new

    try:
        with open_gguf(path) as file:
            card = describe(file)
        return Entry(
            size,
            modified,
            card.name,
            card.arch,
            card.params,
            card.quant,
            card.bytes,
            card.context,
            card.kind,
            None,
        )
    except SternaError as error:
        return Entry(size, modified, "", "", 0, "", size, None, "model", error.message)


def _model(found: Found, entry: Entry, used: dict[str, float], real: str) -> LibraryModel:
    inside = entry.name if found.store == "starter" else ""
    stem = (
        found.path.name[: -len(".gguf")]
        if found.path.name.lower().endswith(".gguf")
        else found.path.name
    )
    return LibraryModel(
        name=found.name or inside or stem,
        path=found.path,
        store=found.store,
        arch=entry.arch,
        params=entry.params,
        quant=entry.quant,
        bytes=entry.bytes,
        context=entry.context,
        last_used=used.get(real),
        sha256=found.sha256,
        kind=entry.kind,
        error=entry.error,
    )


def _joined(models: list[tuple[str, LibraryModel]]) -> list[LibraryModel]:
    """Join entries of the same content: the same file, or the same hash by the stores' word."""
    kept: dict[str, LibraryModel] = {}
    for real, model in models:
        key = model.sha256 or real
        first = kept.get(key)
        if first is None:
            kept[key] = model
        elif model.store != first.store and model.store not in first.also_in:
            kept[key] = replace(first, also_in=(*first.also_in, model.store))
    return list(kept.values())


def scan(settings: configuration.Settings | None = None) -> list[LibraryModel]:
    """List every model on disk; files that cannot be used are listed with their error."""
    index, used = Index(), last_used()
    models: list[tuple[str, LibraryModel]] = []
    for found in stores.every(settings or configuration.load()):
        try:
            real = os.path.realpath(found.path)
            status = Path(real).stat()
        except (OSError, ValueError):
            continue
        entry = index.get(real, status.st_size, status.st_mtime_ns)
        if entry is None:
            entry = _look_into(found.path, status.st_size, status.st_mtime_ns)
            index.put(real, entry)
        if entry.kind in ("model", "adapter") or entry.error:
            models.append((real, _model(found, entry, used, real)))
    index.save()
    return _joined(models)
