"""From what a user types to a file: a path, a name of the library, or owner/repo[:QUANT]."""

import difflib
from pathlib import Path

from backend.errors import SternaError
from backend.library.model import LibraryModel
from backend.library.scan import scan


def _matches(text: str, models: list[LibraryModel]) -> list[LibraryModel]:
    wanted = text.casefold()
    exact = [m for m in models if m.name.casefold() == wanted]
    if exact:
        return exact
    name, _, quant = wanted.rpartition(":")
    if name and quant:
        both = [m for m in models if quant == m.quant.casefold() and _named(name, m)]
        if both:
            return both
    return [m for m in models if _named(wanted, m)]


def _named(wanted: str, model: LibraryModel) -> bool:
    """Whether `wanted` is the model's file name, its repository, or its name without the tag."""
    name = model.name.casefold()
    parts = name.split("/")
    return wanted in (
        parts[-1],
        parts[-1].removesuffix(".gguf"),
        "/".join(parts[:2]),
        name.removesuffix(":latest"),
        model.path.name.casefold(),
        model.store if model.store == "starter" else None,
    )


def resolve(text: str) -> Path:
    """Return the path of the model meant; raises SternaError `not_found` or `ambiguous`."""
    path = Path(text).expanduser()
    if path.is_file() or (text.endswith(".gguf") and ("/" in text or path.exists())):
        return path
    models = scan()
    found = _matches(text, models)
    if len({m.path for m in found}) == 1:
        return found[0].path
    if found:
        names = ", ".join(sorted(f"{m.name} ({m.quant}, {m.path})" for m in found)[:5])
        raise SternaError(
            "ambiguous",
            f"{text!r} may mean {names}.",
            "Add the quant (name:Q4_K_M) or give the path.",
        )
    if path.is_dir():
        raise SternaError("not_gguf", f"{text} is a folder.", "Give a .gguf file in it.")
    near = difflib.get_close_matches(text, [m.name for m in models], n=3, cutoff=0.5)
    hint = (
        f"Did you mean {' or '.join(near)}?"
        if near
        else "`sterna ls` lists the models on this computer."
    )
    raise SternaError("not_found", f"There is no model {text!r} on this computer.", hint)
