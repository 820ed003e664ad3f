"""The side pane of Models: what a file says about itself."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from backend.quants import QUANTS
from backend.text import clean
from backend.units import human_bytes, human_count
from tui import words
from tui.panes import columns, fit_words

if TYPE_CHECKING:
    from backend.errors import SternaError
    from backend.gguf import ModelCard
    from backend.library import Copy, LibraryModel
    from tui.verdicts import Verdict

Line = Content | str
LABEL = 11  # cells of the first column


def fold(model: LibraryModel, verdict: Verdict | None = None) -> Content:
    """Return the one line that stands for the pane on a narrow screen."""
    if model.error:
        return Content.assemble((" ✗ ", "$text-error"), clean(model.error))
    fits = fit_words.line(verdict) if verdict else Content()
    facts = [
        clean(model.quant) if model.quant else "",
        f"{human_count(model.params)} parameters" if model.params else "",
        clean(model.arch) if model.arch else "",
        human_bytes(model.bytes),
        f"context {words.tokens(model.context)}" if model.context else "",
    ]
    name = columns.short_name(model)
    told = [Content.styled(clean(name), "bold"), fits, Content(" · ".join(filter(None, facts)))]
    return Content(" ") + Content("  ").join([part for part in told if part])


class Details(VerticalScroll, can_focus=False):
    """Shows one model: the index's line at once, the file's own card when it has been read."""

    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    def show(
        self,
        model: LibraryModel | None,
        card: ModelCard | None = None,
        error: SternaError | None = None,
        fits: Callable[[int], Sequence[Line]] = lambda _: (),
    ) -> None:
        """Fill the pane; `fits` gives the lines on memory and speed. Without a model it is empty."""
        lines: list[Line] = []
        width = self.scrollable_content_region.width or 40
        if model is not None:
            lines = [*_heading(model), *fits(width), *_problem(model, error)]
            if card is not None:
                lines += _card(card, width)
            lines += _place(model)
        self.query_one(Static).update(Content("\n").join(lines))
        self.scroll_home(animate=False)


def _heading(model: LibraryModel) -> list[Line]:
    star = "★ " if model.favourite else ""
    title = Content.assemble(
        (star + clean(model.name), "bold"), "  ", (clean(model.quant or ""), "bold")
    )
    parts = [
        f"{human_count(model.params)} parameters" if model.params else "",
        clean(model.arch or ""),
        human_bytes(model.bytes),
    ]
    return [title, " · ".join(part for part in parts if part), ""]


def _problem(model: LibraryModel, error: SternaError | None) -> list[Line]:
    """Say why a file cannot be used; the file's own reading knows the way out, too."""
    if error is None and model.error is None:
        return []
    fact, hint = words.fact_and_hint(error) if error else (clean(model.error or ""), "")
    return [Content.styled(f"✗ {fact}", "$text-error"), *([hint] if hint else []), ""]


def _card(card: ModelCard, width: int) -> list[Line]:
    """Return what the header of the file says, line by line; nothing it does not say."""
    heads = f"{card.heads} heads" if card.heads else ""
    if card.heads and card.kv_heads and card.kv_heads != card.heads:
        heads = f"{card.heads} heads, {card.kv_heads} for keys and values"
    shape = [
        f"{card.layers} layers" if card.layers else "",
        f"{card.embedding:,} wide" if card.embedding else "",
        heads,
    ]
    facts = [
        ("licence", clean(card.license or "")),
        ("author", clean(card.author or "")),
        ("context", f"{card.context:,} tokens" if card.context else ""),
        ("tokenizer", clean(card.tokenizer or "")),
        ("vocabulary", f"{card.vocab:,} tokens" if card.vocab else ""),
        ("shape", ", ".join(part for part in shape if part)),
        ("template", "yes" if card.chat_template else "none: it gets plain text"),
        ("kind", clean(card.kind) if card.kind != "model" else ""),
    ]
    lines = [*_quant(card), ""]
    for name, fact in facts:
        first, *rest = textwrap.wrap(fact, max(width - LABEL, 10)) or [""]
        if first:
            lines.append(Content.assemble((name.ljust(LABEL), "$foreground 60%"), first))
            lines += [" " * LABEL + line for line in rest]
    if card.description:
        lines += ["", clean(card.description)]
    return [*lines, ""]


def _quant(card: ModelCard) -> list[Line]:
    """Explain the quant where it stands."""
    name, bits = clean(card.quant), card.bits_per_weight
    quant = QUANTS.get(card.quant)
    lines: list[Line] = [f"{name} · {bits:.2f} bits a weight" if bits else name]
    if quant is not None:
        loss = quant.loss
        if quant.perplexity_percent:
            loss += f" (perplexity +{quant.perplexity_percent:g} % at 8B)"
        lines += [f"loss: {loss}", f"for {quant.best_for}"]
    return lines


def _place(model: LibraryModel) -> list[Line]:
    """Say where the file is, where else the same content is, and what the person noted."""
    lines: list[Line] = [Content.styled(words.short_path(model.path), "$foreground 60%")]
    lines += [_other(model, copy) for copy in model.copies[1:]]
    if model.sha256:
        lines.append(Content.styled(f"sha256 {model.sha256[:16]}…", "$foreground 60%"))
    if model.note:
        lines += ["", clean(model.note)]
    return lines


def _other(model: LibraryModel, copy: Copy) -> Line:
    """Say of another place whether it is the same file or takes room of its own."""
    first = model.copies[0].files[0]
    one = copy.files[0]
    if not copy.connected:
        how = "not connected"
    elif (one.device, one.inode) == (first.device, first.inode):
        how = "the same file"
    else:
        how = f"a second copy, {human_bytes(sum(file.size for file in copy.files))}"
    return f"also in {columns.store_name(copy.store)}: {how}"
