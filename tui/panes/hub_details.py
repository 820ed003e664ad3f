"""The side pane of the Hub: what is known of the model or the file under the cursor."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from backend.text import clean
from backend.units import human_bytes, human_count
from tui import words
from tui.panes import hub_rows

if TYPE_CHECKING:
    from backend.errors import SternaError
    from backend.fit import Candidate
    from backend.hub.search import FoundModel
    from tui.browsing import Opened
    from tui.panes.hub_rows import Row

Line = Content | str
LABEL = 11  # cells of the first column


def fold(row: Row) -> Content:
    """Return the lines that stand for the pane on a narrow screen."""
    model, opened = row.model, row.opened
    if row.variant is not None and opened is not None:
        candidate = opened.candidate(row.variant)
        best = row.variant.files[0].path == opened.recommended
        if best and opened.advice is not None:
            return Content(clean(opened.advice.reasons[0]))
        if candidate is not None:
            return Content(f"{_loss(candidate)}  {_memory(candidate)}")
        return Content(clean(row.variant.files[0].path))
    licence = f"licence {clean(model.license)}" if model.license else "licence not said"
    facts = [licence, clean(model.arch), "gated" if model.gated else ""]
    return Content.assemble(
        (clean(model.repo), "bold"), "  ", " · ".join(fact for fact in facts if fact)
    )


class HubDetails(VerticalScroll):
    """Shows one row of the table; scrolls when it has the focus."""

    HELP = "All that is known of the chosen model before it is downloaded."

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[Row | None, SternaError | None, float] = (None, None, 0.0)
        self._width = 0

    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    def show(self, row: Row | None, error: SternaError | None, now: float) -> None:
        """Fill the pane. Without a row it is empty."""
        self._shown = row, error, now
        self._width = self.scrollable_content_region.width
        lines = list(_lines(row, error, now, (self._width or 42) - 1)) if row is not None else []
        self.query_one(Static).update(Content("\n").join(lines))
        self.scroll_home(animate=False)

    def on_resize(self) -> None:
        """Wrap anew."""
        if self.scrollable_content_region.width != self._width:
            self.show(*self._shown)


def _lines(row: Row, error: SternaError | None, now: float, width: int) -> Iterator[Line]:
    yield from _heading(row.model)
    yield from _problem(error, width)
    if row.variant is not None and row.opened is not None:
        yield from _file(row, width)
        yield ""
        if (candidate := row.opened.candidate(row.variant)) is not None:
            yield from _verdict(candidate)
            yield ""
    if row.opened is not None and row.opened.advice is not None:
        yield from _reasons(row, width)
        yield ""
    yield from _facts(row.model, row.opened, now, width)


def _heading(model: FoundModel) -> list[Line]:
    owner, _, name = clean(model.repo).rpartition("/")
    return [
        Content.styled(name, "bold"),
        Content.styled(f"by {owner}" if owner else "", "$text-muted"),
        "",
    ]


def _problem(error: SternaError | None, width: int) -> list[Line]:
    if error is None:
        return []
    fact, hint = words.fact_and_hint(error)
    shown: list[Line] = [Content.styled(f"✗ {fact}", "$text-error")]
    return [*shown, *_wrapped(hint, width), ""]


def _file(row: Row, width: int) -> Iterator[Line]:
    variant = row.variant
    assert variant is not None
    size = human_bytes(variant.bytes) if variant.bytes is not None else "size not told"
    parts = f" in {len(variant.files)} files" if len(variant.files) > 1 else ""
    yield Content.assemble((clean(variant.quant) or "?", "bold"), f"  {size}{parts}")
    yield from _wrapped(clean(variant.files[0].path), width)


def _verdict(candidate: Candidate) -> Iterator[Line]:
    style = {"fits": "$text-success", "tight": "$text-warning", "too_big": "$text-error"}
    told = candidate.verdict
    speed = hub_rows.speed(candidate)
    if candidate.speed is not None and not candidate.speed.measured:
        speed += f" (±{candidate.speed.band:.0%})"
    yield Content.assemble((f"{told.glyph} {told.text}", f"{style[told.kind]} bold"), f"   {speed}")
    yield _memory(candidate)
    yield _loss(candidate)


def _memory(candidate: Candidate) -> str:
    needs = candidate.needs
    return (
        f"{human_bytes(needs.total)} at {words.tokens(candidate.context)}: weights "
        f"{human_bytes(max(0, needs.weights - needs.on_disk))}, KV {human_bytes(needs.kv)}"
    )


def _loss(candidate: Candidate) -> str:
    return f"loss: {candidate.grade.loss}."


def _reasons(row: Row, width: int) -> Iterator[Line]:
    assert row.opened is not None
    assert row.opened.advice is not None
    told = row.opened.advice
    chosen = told.recommendation.chosen
    title = f"Take {clean(chosen.quant)}" if chosen else "Nothing of it fits"
    rough = " (told by its size alone)" if row.opened.estimated else ""
    yield Content.assemble((title, "bold $text-primary"), rough)
    for reason in told.reasons:
        yield from _wrapped(clean(reason), width)


def _facts(model: FoundModel, opened: Opened | None, now: float, width: int) -> Iterable[Line]:
    header = opened.advice.model if opened and opened.advice and not opened.estimated else None
    facts = [
        ("licence", clean(model.license) or "not said"),
        ("terms", clean(opened.found.license_url) if opened else ""),
        ("gated", _gate(model.gated)),
        ("parameters", human_count(model.params) if model.params else ""),
        ("arch", clean(model.arch)),
        ("context", f"{header.context:,} tokens" if header else ""),
        ("downloads", f"{model.downloads:,} in 30 days" if model.downloads is not None else ""),
        ("likes", f"{model.likes:,}" if model.likes is not None else ""),
        ("updated", f"{words.ago(model.updated, now)} ago" if model.updated is not None else ""),
    ]
    for name, fact in facts:
        first, *rest = textwrap.wrap(fact, max(width - LABEL, 10)) or [""]
        if first:
            yield Content.assemble((name.ljust(LABEL), "$foreground 60%"), first)
            yield from (" " * LABEL + line for line in rest)


def _gate(gated: str) -> str:
    if not gated:
        return ""
    how = "its owner admits each" if gated == "manual" else "accept its licence on its page"
    return f"yes: {how}; o opens it"


def _wrapped(text: str, width: int) -> list[Line]:
    return [*textwrap.wrap(text, max(width, 20))]
