"""The columns of the Models table: what each shows, how wide it is, how it sorts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from backend.text import clean
from backend.units import human_count
from tui import words

if TYPE_CHECKING:
    from backend.library import LibraryModel

NAME_AT_LEAST = 20
STORES = {
    "starter": "⌂ Sterna",
    "sterna": "⌂ Sterna",
    "huggingface": "HF cache",
    "ollama": "Ollama",
    "lmstudio": "LM Studio",
}
PADDING = 2  # one blank on either side of every cell


@dataclass(frozen=True, slots=True)
class Column:
    """One column. Rank 0 is always there; the higher the rank, the more room it waits for.

    Numbers stand right and sort largest first; words stand left and sort from A.
    """

    key: str
    title: str
    width: int  # 0: takes what is left
    rank: int
    value: Callable[[LibraryModel], Any]
    show: Callable[[Any], str]
    number: bool = False


def store_name(store: str) -> str:
    """Return a store's name as people know it."""
    return STORES.get(store, clean(store))


def short_name(model: LibraryModel) -> str:
    """Return the person's name for a model, or its own without the folders of its store."""
    return (
        model.alias or model.name.rstrip("/").rsplit("/", 1)[-1].removesuffix(".gguf") or model.name
    )


COLUMNS = (
    Column("favourite", "★", 1, 0, attrgetter("favourite"), str, number=True),
    Column("name", "NAME", 0, 0, short_name, clean),
    Column("arch", "ARCH", 10, 4, attrgetter("arch"), clean),
    Column("params", "PARAMS", 7, 2, attrgetter("params"), human_count, number=True),
    Column("quant", "QUANT", 7, 0, attrgetter("quant"), clean),
    Column("size", "SIZE", 6, 0, attrgetter("bytes"), words.compact_bytes, number=True),
    Column("context", "CTX", 5, 2, attrgetter("context"), words.tokens, number=True),
    Column("fits", "HERE", 11, 0, attrgetter("bytes"), str),
    Column("used", "LAST", 6, 3, attrgetter("last_used"), str, number=True),
    Column("store", "IN", 9, 1, attrgetter("store"), store_name),
)
BY_KEY = {column.key: column for column in COLUMNS}


def fitting(width: int) -> tuple[list[Column], int]:
    """Return the columns for a table `width` cells wide, and the width of the name."""
    for most in (4, 3, 2, 1, 0):
        columns = [column for column in COLUMNS if column.rank <= most]
        left = width - sum(column.width + PADDING for column in columns)
        if left >= NAME_AT_LEAST:
            break
    return columns, max(left, 8)


def cell(column: Column, model: LibraryModel, now: float) -> str:
    """Return what `column` says about `model`; a dash where nothing is known."""
    value = column.value(model)
    if column.key == "fits":  # the table knows
        return ""
    if column.key == "favourite":
        return "★" if value else ""
    if value is None or value == "" or (value == 0 and column.number):
        return words.UNKNOWN
    if column.key == "used":
        return words.ago(value, now)
    return column.show(value)


def _usual_place(model: LibraryModel) -> tuple[bool, bool, str]:
    """Where a model stands among equals: the starter first, files that cannot be used last."""
    return bool(model.error), model.store != "starter", short_name(model).casefold()


def ordered(
    models: Iterable[LibraryModel], key: str, *, reverse: bool = False
) -> list[LibraryModel]:
    """Return `models` sorted by a column, its natural direction first, unknown values last."""
    column = BY_KEY[key]
    known: list[LibraryModel] = []
    unknown: list[LibraryModel] = []
    for model in sorted(models, key=_usual_place):
        (unknown if column.value(model) in (None, "") else known).append(model)
    known.sort(
        key=lambda model: column.value(model) if column.number else column.value(model).casefold(),
        reverse=column.number != reverse,
    )
    return known + unknown


def haystack(model: LibraryModel) -> str:
    """Return what a filter looks for words in: every name, the note and the columns of words."""
    parts = (*model.names, model.note, model.arch, model.quant, model.store, model.path)
    return " ".join(str(part) for part in parts if part).casefold()


def matching(models: Iterable[tuple[LibraryModel, str]], text: str) -> list[LibraryModel]:
    """Return the models whose haystack contains every word of `text`."""
    wanted = text.casefold().split()
    return [model for model, words in models if all(word in words for word in wanted)]
