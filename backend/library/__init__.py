"""Every model on disk, over every store, read in place."""

from backend.library.listing import Listing, scan, survey
from backend.library.marks import mark, mark_used
from backend.library.model import Copy, File, LibraryModel
from backend.library.resolve import find, resolve

__all__ = [
    "Copy",
    "File",
    "LibraryModel",
    "Listing",
    "find",
    "mark",
    "mark_used",
    "resolve",
    "scan",
    "survey",
]
