"""What Markdown makes of entities is cleaned: `&#8238;` turns text around, `&#27;` speaks to the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backend.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token


def cleaning(parser: MarkdownIt) -> MarkdownIt:
    """Let a parser clean the words of every token, last of all; returns it."""
    parser.core.ruler.push("clean", _rule)
    return parser


def _rule(state: StateCore) -> None:
    _clean(state.tokens)


def _clean(tokens: Iterable[Token]) -> None:
    for token in tokens:
        token.content = clean(token.content, newlines=True)
        token.info = clean(token.info)
        for name, value in token.attrs.items():
            if isinstance(value, str):
                token.attrs[name] = clean(value)
        _clean(token.children or ())
