"""Failures become a line on the screen. A bug costs the app at worst, never the terminal."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from backend.errors import SternaError
from tui import words

if TYPE_CHECKING:
    from textual.dom import DOMNode
    from textual.worker import Worker

LONG_ENOUGH = 15  # seconds to read what went wrong


def tell(node: DOMNode, error: BaseException) -> None:
    """Show a failure; one that nobody foresaw goes to the log as well."""
    if not isinstance(error, SternaError):
        logging.error("unforeseen", exc_info=error)
        fact = f"Something went wrong inside Sterna: {type(error).__name__}: {error}"
        error = SternaError("internal", fact, "The log has the details; please report them.")
    said = " ".join(part for part in words.fact_and_hint(error) if part)
    node.app.notify(said, severity="error", timeout=LONG_ENOUGH, markup=False)


@contextlib.contextmanager
def telling(node: DOMNode) -> Iterator[None]:
    """Tell a SternaError instead of raising it: what follows in the block is left undone."""
    try:
        yield
    except SternaError as error:
        tell(node, error)


def tell_failed(node: DOMNode, worker: Worker[object]) -> None:
    """Show why a worker failed, if it did."""
    if worker.error is not None:
        tell(node, worker.error)
