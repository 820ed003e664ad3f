"""Whether a model on disk fits here: computed in a thread, from the header of its file, and kept.

A list asks for the rows that it paints and shows what is known; the rest follows.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from backend.errors import SternaError
from backend.text import clean

if TYPE_CHECKING:
    from backend.fit import Candidate, Use
    from backend.fit import Model as FitModel
    from backend.library import LibraryModel
    from backend.machine import Machine
    from backend.settings import Settings

Key = tuple[str, str]
_HEADERS = 48  # that are kept in memory
_WAITING = 200  # models that wait for their verdict


@dataclass(frozen=True, slots=True)
class Verdict:
    """A model on a machine. `candidate` is None where its file says too little to tell.

    `why_not` says why Sterna's engine does not run it; its figures are then llama.cpp's. `reading` is
    that of the machine for which it was told, `free` what was free.
    """

    candidate: Candidate | None
    why_not: str
    free: int
    reading: int
    types: tuple[str, ...] = ()  # of its tensors, whose speed nobody measured yet

    @property
    def kind(self) -> str:
        """How good it is: fits, tight, too_big, or unknown."""
        if self.candidate is None or self.why_not:
            return "unknown"
        return self.candidate.verdict.kind


def key_of(model: LibraryModel) -> Key:
    """Return what names a model and its content."""
    files = model.copies[0].files if model.copies else ()
    stamp = "/".join(f"{file.size}:{file.modified}" for file in files) or str(model.bytes)
    return str(model.path), stamp


def can_be_told(model: LibraryModel) -> bool:
    """Whether there is a model to tell about."""
    return model.error is None and model.kind == "model" and model.connected


def use_of(settings: Settings) -> Use:
    """Return how the person loads models."""
    from backend.fit import Use

    wish = settings.engine
    return Use(context=wish.context, kv=wish.kv)


def tell(model: LibraryModel, machine: Machine, use: Use, reading: int) -> Verdict:
    """Return the verdict; a file that cannot be read has none. Takes some 50 ms the first time."""
    from backend import advice, fit

    free = machine.memory.available
    try:
        read = _header(*key_of(model))
    except SternaError as error:
        return Verdict(None, clean(error.message), free, reading)
    except Exception:  # a list goes on without one row's verdict
        logging.exception("reckoning %s failed", model.path)
        return Verdict(None, "", free, reading)
    candidate = advice.judged(read, fit.Offer(read.quant, None, str(model.path)), machine, use)
    why_not = advice.refusal(read)
    missing: tuple[str, ...] = ()
    if not why_not and candidate.speed is None:
        missing = tuple(fit.weights_per_token(read))
    return Verdict(candidate, clean(why_not), free, reading, missing)


@lru_cache(maxsize=_HEADERS)
def _header(path: str, _stamp: str) -> FitModel:
    from backend.fit import read_model
    from backend.gguf import open_gguf

    with open_gguf(path) as file:
        return read_model(file)


class Verdicts:
    """What is known, and what was asked for and is not. `take` may be called in a thread."""

    def __init__(self) -> None:
        self._known: dict[Key, Verdict] = {}
        self._wanted: dict[Key, LibraryModel] = {}
        self._lock = threading.Lock()
        self.reading = 0  # of the machine as it is now

    @property
    def waiting(self) -> bool:
        """Whether something is asked for."""
        return bool(self._wanted)

    def of(self, model: LibraryModel) -> Verdict | None:
        """Return what is known of a model, and remember to ask where that is not of this machine."""
        if not can_be_told(model):
            return None
        key = key_of(model)
        known = self._known.get(key)
        if known is None or known.reading != self.reading:
            with self._lock:
                self._wanted.pop(key, None)  # what was asked for last stands last
                self._wanted[key] = model
                if len(self._wanted) > _WAITING:  # the rows have long left the screen
                    del self._wanted[next(iter(self._wanted))]
        return known

    def take(self, most: int) -> list[LibraryModel]:
        """Return some of what is asked for, what was asked last first."""
        with self._lock:
            taken = list(self._wanted.items())[::-1][:most]
            for key, _ in taken:
                del self._wanted[key]
        return [model for _, model in taken]

    def know(self, told: Iterable[tuple[Key, Verdict]]) -> None:
        """Take in verdicts."""
        self._known.update(told)


def tell_all(
    models: Iterable[LibraryModel],
    machine: Machine,
    settings: Callable[[], Settings],
    reading: int,
) -> list[tuple[Key, Verdict]]:
    """Return the verdicts of some models. Settings that cannot be read are the usual ones."""
    from backend.fit import Use

    try:
        use = use_of(settings())
    except SternaError:
        use = Use()
    return [(key_of(model), tell(model, machine, use, reading)) for model in models]
