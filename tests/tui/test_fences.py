"""The splitter of growing text, checked against what Markdown itself sees."""

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tui.widgets.fences import FenceTracker

PIECES = ["```py\n", "```\n", "~~~\n", "````\n", "x = 1\n", "- item\n", "text `code` more\n", "\n"]


def split_at_end(text: str) -> tuple[str, str]:
    tracker = FenceTracker()
    ready = tracker.split(text)
    return text[:ready], tracker.code(text)


def test_prose_goes_to_markdown_at_once():
    assert split_at_end("A line\nand `half") == ("A line\nand `half", "")


def test_an_open_fence_is_held_back_without_its_opening_line():
    assert split_at_end("Look:\n```python\nx = 1\ny") == ("Look:\n", "x = 1\ny")


def test_a_closed_fence_goes_to_markdown():
    text = "```\nx\n```\nafter"
    assert split_at_end(text) == (text, "")


def test_a_line_that_may_become_a_fence_waits():
    assert split_at_end("Look:\n``") == ("Look:\n", "")
    assert split_at_end("Look:\n- ```p") == ("Look:\n", "")
    assert split_at_end("Look:\n- `code` is") == ("Look:\n- `code` is", "")


def test_a_shorter_or_other_mark_does_not_close():
    assert split_at_end("````\n```\n~~~~\n")[1] == "```\n~~~~\n"


def test_a_fence_in_a_list_is_found():
    assert split_at_end("1. do this\n   ```sh\n   ls\n")[0] == "1. do this\n"


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.integers(1, 5))
def test_pieces_or_whole_give_the_same(pieces, size):
    text = "".join(pieces)
    grown = FenceTracker()
    ready = 0
    for end in range(size, len(text) + size, size):
        ready = grown.split(text[:end])
        assert ready <= len(text[:end])
    whole = FenceTracker()
    assert ready == whole.split(text) or not text
    assert grown.code(text) == whole.code(text)


@given(st.lists(st.sampled_from(["```\n", "~~~\n", "x\n", "\n", "text\n"]), max_size=12))
def test_open_exactly_when_markdown_says_so(pieces):
    text = "".join(pieces)
    tokens = [token for token in MarkdownIt().parse(text) if token.type == "fence"]
    marked = [
        token
        for token in tokens
        if text.splitlines()[token.map[1] - 1].strip() != token.markup
        or token.map[1] - token.map[0] == 1
    ]
    assert bool(FenceTracker().split(text) < len(text)) == bool(marked)
