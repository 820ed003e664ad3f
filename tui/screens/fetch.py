"""What a download would bring, before it begins: which files, how many bytes, under which licence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from backend.text import clean
from backend.units import human_bytes
from tui import words

if TYPE_CHECKING:
    from pathlib import Path

    from backend.hub.variants import Variant
    from tui.browsing import Opened

MOST = 5  # names that are shown


class FetchScreen(ModalScreen[bool]):
    """Returns whether to fetch it."""

    CSS_PATH = "ask.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,d", "dismiss(True)", "download", key_display="⏎", id="fetch.go"),
        Binding("escape", "dismiss(False)", "leave it", key_display="esc", id="fetch.leave"),
    ]

    def __init__(self, opened: Opened, variant: Variant, folder: Path, free: int | None) -> None:
        super().__init__()
        self._lines = list(_lines(opened, variant, folder, free))

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="ask"):
            yield Static(Content("\n").join(self._lines), id="preview")
            yield Static("⏎ download   esc leave it", markup=False, classes="keys")


def _lines(
    opened: Opened, variant: Variant, folder: Path, free: int | None
) -> Iterable[Content | str]:
    model = opened.found.model
    yield Content.assemble(
        ("Download ", "bold"), (clean(model.repo), "bold"), "  ", clean(variant.quant), "?"
    )
    yield ""
    yield _labelled("licence", clean(model.license) or "not said: ask its owner before you use it")
    if opened.found.license_url:
        yield _labelled("terms", clean(opened.found.license_url))
    parts = f" in {len(variant.files)} files" if len(variant.files) > 1 else ""
    size = human_bytes(variant.bytes) if variant.bytes is not None else "not told by the Hub"
    yield _labelled("size", f"{size}{parts}")
    if (candidate := opened.candidate(variant)) is not None:
        yield _labelled("here", f"{candidate.verdict.glyph} {candidate.verdict.text}")
    for at, file in enumerate(variant.files[:MOST]):
        yield _labelled("" if at else "files", clean(file.path))
    if len(variant.files) > MOST:
        yield _labelled("", f"and {len(variant.files) - MOST} more")
    room = f" ({human_bytes(free)} free)" if free is not None else ""
    yield _labelled("goes to", f"{words.short_path(folder)}{room}")
    if free is not None and variant.bytes is not None and variant.bytes > free:
        lacking = human_bytes(variant.bytes - free)
        yield Content.styled(f"✗ {lacking} too much for that disk.", "$text-error bold")
    yield ""


def _labelled(label: str, text: str) -> Content:
    return Content.assemble((label.ljust(9), "$foreground 60%"), text)
