"""Text that grows without a new layout for every word: most words do not add a line.

A layout of the whole screen costs some 10 ms, a repaint of one widget less than 1 ms.
"""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Markdown, Static
from textual.widgets._markdown import MarkdownBlock, MarkdownParagraph


def update_in_place(widget: Static, content: Content) -> None:
    """Show `content`; lay out anew only when its height changes."""
    size = widget.content_size
    rules = widget.styles.get_rules()
    height = content.get_height(rules, size.width) if size.width else -1
    widget.update(content, layout=height != size.height)


class SteadyParagraph(MarkdownParagraph):
    """A paragraph that a stream adds to."""

    def set_content(self, content: Content) -> None:
        """Show more of the paragraph."""
        self._content = content
        update_in_place(self, content)


class SteadyMarkdown(Markdown):
    """Textual's Markdown with paragraphs that grow in place."""

    BLOCKS: dict[str, type[MarkdownBlock]] = {  # noqa: RUF012
        **Markdown.BLOCKS,
        "paragraph_open": SteadyParagraph,
    }
