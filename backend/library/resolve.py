"""From what a person types to a model: a path, a name, an alias, or owner/repo[:QUANT]."""

import difflib
import os
from pathlib import Path

from backend.errors import SternaError
from backend.library.files import look_at
from backend.library.listing import scan
from backend.library.model import Copy, LibraryModel

_HUBS = ("hf.co/", "huggingface.co/")  # how Ollama names models of the Hub


def _matches(text: str, models: list[LibraryModel]) -> list[LibraryModel]:
    wanted = text.casefold()
    for same in (
        lambda model: wanted == model.alias.casefold(),
        lambda model: wanted in (name.casefold() for name in model.names),
        lambda model: _with_quant(wanted, model),
        lambda model: _named(wanted, model),
    ):
        if found := [model for model in models if same(model)]:
            return found
    return []


def _with_quant(wanted: str, model: LibraryModel) -> bool:
    name, _, quant = wanted.rpartition(":")
    return bool(name) and quant == model.quant.casefold() and _named(name, model)


def _named(wanted: str, model: LibraryModel) -> bool:
    """Whether `wanted` is the model's file name, its repository, or its name without the tag."""
    if wanted == model.path.name.casefold() or (wanted, model.store) == ("starter", "starter"):
        return True
    return any(_is_name(wanted, name) for name in model.names)


def _is_name(wanted: str, full: str) -> bool:
    name = full.casefold()
    for hub in _HUBS:
        name = name.removeprefix(hub)
    parts = name.split("/")
    return wanted in (
        parts[-1],
        parts[-1].removesuffix(".gguf"),
        "/".join(parts[:2]).partition(":")[0],
        name,
        name.removesuffix(":latest"),
    )


def _meant(wanted: str, model: LibraryModel) -> Copy:
    """Return the place of a model whose own name was given, else the first."""
    without_quant = wanted.rpartition(":")[0] or wanted
    for name in (wanted, without_quant):
        for copy in model.copies:
            if _is_name(name, copy.name) or name == copy.path.name.casefold():
                return copy
    return model.copies[0]


def _preferred(found: list[LibraryModel]) -> list[LibraryModel]:
    """Return those that are meant among several: what can be used, and models before checkpoints."""
    for better in (
        lambda model: model.error is None and model.kind == "model",
        lambda model: model.error is None,
    ):
        if chosen := [model for model in found if better(model)]:
            return chosen
    return found


def find(text: str, models: list[LibraryModel] | None = None) -> tuple[LibraryModel, Copy]:
    """Return what `text` names: a model of the library, and the one of its places that was meant.

    A path means the model that lies there. Raises SternaError: not_found, ambiguous.
    """
    models = scan() if models is None else models
    if (lying := _lying_at(text, models)) is not None:
        return lying
    found = _matches(text, models)
    if len(found) > 1:
        found = _preferred(found)
    if len(found) == 1:
        return found[0], _meant(text.casefold(), found[0])
    if found:
        names = ", ".join(sorted(f"{m.name} ({m.quant}, {m.path})" for m in found)[:5])
        raise SternaError(
            "ambiguous",
            f"{text!r} may mean {names}.",
            "Add the quant (name:Q4_K_M) or give the path.",
        )
    every = [name for model in models for name in model.names]
    near = difflib.get_close_matches(text, every, n=3, cutoff=0.5)
    hint = (
        f"Did you mean {' or '.join(near)}?"
        if near
        else "`sterna ls` lists the models on this computer."
    )
    raise SternaError("not_found", f"There is no model {text!r} on this computer.", hint)


def _lying_at(text: str, models: list[LibraryModel]) -> tuple[LibraryModel, Copy] | None:
    """Return the model whose file has this path, or is this file by another name."""
    path = os.path.abspath(Path(text).expanduser())
    same = None
    file = look_at(path) if "/" in text or Path(path).exists() else None
    for model in models:
        for copy in model.copies:
            if str(copy.path) == path or copy.origin == path:
                return model, copy
            if file and any((f.device, f.inode) == (file.device, file.inode) for f in copy.files):
                same = model, copy
    return same


def resolve(text: str) -> Path:
    """Return the path of the model meant; raises SternaError: not_found, ambiguous, not_connected."""
    path = Path(text).expanduser()
    if path.is_file() or (text.endswith(".gguf") and ("/" in text or path.exists())):
        return path
    try:
        model, _ = find(text)
    except SternaError as error:
        if error.kind == "not_found" and path.is_dir():
            raise SternaError(
                "not_gguf", f"{text} is a folder.", "Give a .gguf file in it."
            ) from None
        raise
    if not model.connected:
        raise SternaError(
            "not_connected",
            f"{model.name} lies on a disk that is not connected ({model.path}).",
            "Connect the disk, then try again.",
        )
    return model.path
