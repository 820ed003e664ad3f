"""Every model on disk, over every store, read in place."""

from backend.library.model import LibraryModel
from backend.library.resolve import resolve
from backend.library.scan import scan
from backend.library.usage import mark_used

__all__ = ["LibraryModel", "mark_used", "resolve", "scan"]
