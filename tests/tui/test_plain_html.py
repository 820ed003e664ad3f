"""HTML in Markdown: words stay, tags go, and what entities hide is cleaned."""

import pytest

from tui.widgets.plain_html import parser, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<p align='center'><b>Tern</b> &amp; co</p>", "Tern & co"),
        ('<img src="http://x/y.png" alt="logo"/>', "logo"),
        ("<img alt=logo src=x> <img alt='' src=y>b", "logo b"),
        ("a<br/>b", "a\nb"),
        ("<!-- hidden -->shown", "shown"),
        ("<script>alert('<b>')</script>after", "after"),
        ("<script>never closed", ""),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("&#27;[2J&#8238;x", "[2J\ufffdx"),
        ("<a href='x' onclick='y'>link</a>", "link"),
    ],
)
def test_what_a_reader_sees(text, expected):
    assert words(text) == expected


def said(text: str) -> str:
    tokens = parser().parse(text)
    return "\n".join(
        "".join(child.content for child in token.children) if token.children else token.content
        for token in tokens
        if token.content
    )


def test_code_is_left_alone():
    assert "`<s>`".strip("`") in said("Write `<s>` and\n\n```\n<b>code</b>\n```\n")
    assert "<b>code</b>" in said("```\n<b>code</b>\n```\n")


def test_blocks_and_inline_html_become_text():
    shown = said("<div>\nHello <b>you</b>\n</div>\n\nand <i>me</i> &#8238;")
    assert shown.splitlines() == ["Hello you", "and me \ufffd"]
