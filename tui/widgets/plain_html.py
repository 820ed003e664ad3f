"""Markdown with HTML in it, as model cards have: the words stay, the tags go, and nothing is obeyed."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from backend.text import clean
from tui.widgets.clean_markdown import cleaning

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_HIDDEN = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_IMAGE = re.compile(
    r"<img\b[^>]*?\balt\s*=\s*(?:\"([^\">]*)\"|'([^'>]*)'|([^\s>]*))[^>]*>", re.IGNORECASE
)
_BREAK = re.compile(r"<(?:br|/p|/div|/li|/tr|/h[1-6])\b[^>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")


def words(text: str) -> str:
    """Return what a reader would see of HTML, clean."""
    text = _IMAGE.sub(r"\1\2\3", _HIDDEN.sub("", _COMMENT.sub("", text)))
    text = html.unescape(_TAG.sub("", _BREAK.sub("\n", text)))
    lines = (line.strip() for line in clean(text, newlines=True).splitlines())
    return "\n".join(line for line in lines if line)


def parser() -> MarkdownIt:
    """Return the parser."""
    from markdown_it import MarkdownIt

    made = MarkdownIt("gfm-like", {"html": True, "linkify": False})
    made.core.ruler.push("plain_html", _plain)
    return cleaning(made)


def _plain(state: StateCore) -> None:
    state.tokens = [made for token in state.tokens for made in _block(token)]


def _block(token: Token) -> Iterator[Token]:
    from markdown_it.token import Token

    if token.type == "html_block":
        if text := words(token.content):
            inline = Token("inline", "", 0, content=text, map=token.map, level=1)
            inline.children = list(_lines(text))
            yield Token("paragraph_open", "p", 1, map=token.map, block=True)
            yield inline
            yield Token("paragraph_close", "p", -1, block=True)
        return
    if token.children is not None:
        token.children = [made for child in token.children for made in _inline(child)]
    yield token


def _lines(text: str) -> Iterator[Token]:
    from markdown_it.token import Token

    for number, line in enumerate(text.splitlines()):
        if number:
            yield Token("hardbreak", "br", 0)
        yield Token("text", "", 0, content=line)


def _inline(token: Token) -> Iterator[Token]:
    from markdown_it.token import Token

    if token.type == "html_inline":
        if _BREAK.fullmatch(token.content.strip()):
            yield Token("hardbreak", "br", 0)
        elif text := words(token.content):
            yield Token("text", "", 0, content=text)
        return
    yield token
