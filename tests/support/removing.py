"""Deleting models as the app and the command line do, and what is left of folders."""

from stores import sha256

from backend import settings
from backend.library import find, scan, trash
from backend.library.removal import plan, remove
from backend.library.stores import roots


def picture(folder):
    """Return everything below a folder: links by their target, files by their content."""
    out = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            out[name] = f"-> {path.readlink()}"
        else:
            out[name] = "folder" if path.is_dir() else sha256(path.read_bytes())
    return out


def entries():
    return trash.entries(roots(settings.load()))


def delete(text, *, everywhere=False, kind="app"):
    model, copy = find(text)
    removal = plan(model, model.copies if everywhere else (copy,))
    remove(removal, kind)
    return removal


def undo():
    return trash.restore(entries()[-1])


def names():
    return sorted(name for model in scan() if model.store != "starter" for name in model.names)
