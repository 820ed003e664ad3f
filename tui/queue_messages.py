"""What is wished of downloads, and how they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from backend.hub.order import Order
    from tui.state import Downloads


@dataclass
class DownloadsChanged(Message):
    """The queue of downloads is another."""

    downloads: Downloads


@dataclass
class DownloadWanted(Message):
    """Fetch this."""

    order: Order


@dataclass
class DownloadWish(Message):
    """Do something with a download: pause, resume, cancel, remove, up or down."""

    verb: str
    id: int


@dataclass
class LimitWanted(Message):
    """Let all downloads together take so many megabytes a second; 0 is no limit."""

    megabytes: float
