"""A reply that grows: what is on the screen while it does, and when it has ended."""

import pytest
from piloting import wait_until
from textual.app import App
from textual.widgets import Markdown
from textual.widgets.markdown import MarkdownFence

from backend.text import clean
from tui.widgets.open_text import OpenText
from tui.widgets.streamed import Streamed, parser

CODE = "\n".join(f"line_{number} = {number}" for number in range(100))


class Host(App[None]):
    """Nothing but a reply."""

    def compose(self):
        yield Streamed()


def plain(widget) -> str:
    return "\n".join(str(child.content) for child in widget.children)


@pytest.fixture
async def host():
    app = Host()
    async with app.run_test(size=(60, 20)) as pilot:
        yield pilot, app.query_one(Streamed)


async def test_the_first_piece_is_painted_at_once(host):
    pilot, reply = host
    reply.push("Hel")
    await pilot.pause()
    assert reply.query_one(Markdown).source == "Hel"


async def test_an_open_code_block_is_plain_text_until_it_closes(host):
    pilot, reply = host
    reply.push("Look:\n\n```python\n")
    for line in CODE.splitlines(keepends=True):
        reply.push(line)
    open_text = reply.query_one(OpenText)
    await wait_until(pilot, lambda: plain(open_text) == CODE)
    assert not reply.query(MarkdownFence)
    reply.push("\n```\nDone.\n")
    await wait_until(pilot, lambda: reply.query(MarkdownFence))
    assert not open_text.display
    assert reply.query_one(MarkdownFence).code == CODE


async def test_an_open_code_block_shows_its_last_lines_without_wrapping_the_first_again(host):
    pilot, reply = host
    reply.push("```\n" + CODE)
    open_text = reply.query_one(OpenText)
    await wait_until(pilot, lambda: len(open_text.children) == 4)
    first = open_text.children[0]
    reply.push("\nand more")
    await wait_until(pilot, lambda: plain(open_text).endswith("and more"))
    assert open_text.children[0] is first


async def test_a_block_that_never_closes_is_whole_at_the_end(host):
    _pilot, reply = host
    reply.push("```\n" + CODE)
    await reply.finish()
    assert reply.query_one(MarkdownFence).code == CODE
    assert not reply.query_one(OpenText).display


async def test_a_paint_that_was_due_does_not_bring_old_text_back(host):
    pilot, reply = host
    reply.push("one ")
    reply.push("two")
    await reply.finish()
    await wait_until(pilot, lambda: not reply.busy)
    assert reply.query_one(Markdown).source == "one two"
    assert not reply.query_one(OpenText).display


async def test_control_characters_markup_and_html_are_text(host):
    _pilot, reply = host
    reply.push("\x1b]52;c;aGk=\x07 [/nope] [@click=app.quit]x[/] <b>bold</b> <think>")
    await reply.finish()
    shown = str(reply.query_one("MarkdownParagraph").content)
    assert "\x1b" not in shown
    assert "\x07" not in shown
    for part in ("[/nope]", "[@click=app.quit]x[/]", "<b>bold</b>", "<think>"):
        assert part in shown


@pytest.mark.parametrize(
    "written",
    ["a &#8238;b", "# &#27;[31m", "- &rlm;x", "> &#x9b;", "| &#8234; |\n|---|\n| &#8297; |",
     "```&#8238;\ncode\n```", "![&#8238;](x)", "[a](x '&#8238;')", "**&#8206;** and `&#8238;`"],
)  # fmt: skip
async def test_entities_never_become_what_a_terminal_obeys(host, written):
    pilot, reply = host
    reply.push(written)
    await reply.finish()
    await pilot.pause()
    shown = "".join(
        segment.text for strip in pilot.app.screen._compositor.render_strips() for segment in strip
    )
    assert shown == clean(shown)
    for token in tokens(parser().parse(written)):
        words = [token.content, token.info, *map(str, token.attrs.values())]
        assert words == [clean(word, newlines=True) for word in words]


def tokens(found):
    for token in found:
        yield token
        yield from tokens(token.children or ())
