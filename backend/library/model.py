"""One model of the library."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Found:
    """A file that a store claims to be a model, not looked into yet."""

    path: Path
    store: str
    name: str | None = None  # what the store calls it
    sha256: str | None = None  # what the store says of its content


@dataclass(frozen=True, slots=True)
class LibraryModel:
    """A model as a list shows it. With `error` set the file cannot be used, and that is why.

    `last_used` is seconds since 1970, None when Sterna never used it. `also_in` names other stores
    that hold the same content.
    """

    name: str
    path: Path
    store: str
    arch: str
    params: int
    quant: str
    bytes: int
    context: int | None
    last_used: float | None
    sha256: str | None
    kind: str = "model"
    error: str | None = None
    also_in: tuple[str, ...] = ()
