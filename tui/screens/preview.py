"""What will be learned: the first rows as the model reads them, what is not learned dimmed."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from backend.errors import SternaError
from backend.text import clean
from tui import words

ROWS = 8  # that are shown
_REFUSED = 20


class PreviewScreen(ModalScreen[None]):
    """Shows the answer of a look at the data, or why there is none."""

    CSS_PATH = "preview.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,p,q", "dismiss", "close", key_display="esc", id="preview.close"),
        Binding("down,j", "scroll(2)", "Down", show=False, id="preview.down"),
        Binding("up,k", "scroll(-2)", "Up", show=False, id="preview.up"),
        Binding("pagedown,space", "scroll(15)", "Page down", show=False, id="preview.page_down"),
        Binding("pageup", "scroll(-15)", "Page up", show=False, id="preview.page_up"),
    ]

    def __init__(self, seen: dict[str, Any] | None, error: SternaError | None) -> None:
        super().__init__()
        self._seen, self._error = seen, error

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="preview"):
            yield Static(self._content(), markup=False)

    def action_scroll(self, by: int) -> None:
        """Move what is shown."""
        self.query_one("#preview").scroll_relative(y=by, animate=False)

    def _content(self) -> Content:
        if self._error is not None:
            fact, hint = words.fact_and_hint(self._error)
            return Content("\n").join(
                [Content.styled(f"✗ {fact}", "$text-error"), Content(hint), *_ways(self._error)]
            )
        seen = self._seen or {}
        lines = [*_facts(seen), Content()]
        for sample in seen["samples"]:
            lines += [*_sample(sample), Content()]
        return Content("\n").join(lines)


def _ways(error: SternaError) -> list[Content]:
    if error.kind != "bad_rows":
        return []
    return [Content(), Content("m shows every choice: “leave out” takes the others without them.")]


def _facts(seen: dict[str, Any]) -> list[Content]:
    share = 100 * seen["supervised_share"]
    mean = seen["tokens"] / max(1, seen["samples_made"])
    lines = [
        Content.assemble(
            (f"{seen['rows_total']:,} rows", "bold"), f" · {clean(seen['title'])} · "
            f"{seen['train']:,} to learn from, {seen['validation']:,} held back",
        ),
        Content(
            f"{share:.0f} % of {seen['tokens']:,} tokens are learned · longest row {seen['longest']}, "
            f"{mean:.0f} on average · {seen['truncated']} cut · {seen['refused']} left out"
        ),
    ]  # fmt: skip
    lines += [Content.styled(f"! {clean(note)}", "$text-warning") for note in seen["notes"]]
    if seen["unlearned_turns"]:
        lines.append(
            Content.styled(
                f"! {seen['unlearned_turns']} answers lie behind the cut and are not learned.",
                "$text-warning",
            )
        )
    for refusal in seen["refusals"][:_REFUSED]:
        text = f"left out: {refusal['where']}: {refusal['reason']}"
        lines.append(Content.styled(clean(text), "$text-warning"))
    legend = Content.assemble(("learned", "bold"), "  ", ("read, but not learned", "dim"))
    return [*lines, Content(), legend]


def _sample(sample: dict[str, Any]) -> list[Content]:
    head = f"{clean(sample['where'])} · {sample['tokens']} tokens, {sample['supervised_tokens']} learned"
    if sample["cut"]:
        head += f" · {sample['cut']} cut off"
    text = Content("").join(
        Content.styled(clean(piece["text"], newlines=True), "bold" if piece["learned"] else "dim")
        for piece in sample["pieces"]
    )
    return [Content.styled(f"── {head}", "$text-primary"), text]
