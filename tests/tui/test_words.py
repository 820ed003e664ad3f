"""Numbers and names as they stand on a screen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui import words
from tui.widgets import meter


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (840, "840"), (2048, "2k"), (2150, "2.1k"), (32768, "32k"), (131072, "128k")],
)
def test_tokens(count, shown):
    assert words.tokens(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "now"), (59, "now"), (300, "5 min"), (7300, "2 h"), (9 * 86400, "1 w"), (8e7, "2 y")],
)
def test_ago(seconds, shown):
    assert words.ago(1e9, 1e9 + seconds) == shown


def test_rates_and_seconds():
    assert (words.rate(9.84), words.rate(1844.2)) == ("9.8", "1,844")
    assert (words.seconds(0.035), words.seconds(1.44)) == ("35 ms", "1.4 s")


def test_a_clock_set_back_is_no_error():
    assert words.ago(1e9 + 50, 1e9) == "now"


@given(st.text(max_size=40), st.integers(0, 20))
def test_cut_never_exceeds_its_width(text, width):
    assert cell_len(words.cut(text, width)) <= width


def test_cut_keeps_both_ends_and_makes_escapes_visible():
    assert words.cut("bitnet-b1.58-2B-4T-instruct", 12) == "bitnet…truct"
    assert words.cut("\x1b[2J", 20) == "␛[2J"


@given(st.integers(0, 9000), st.integers(1, 9000))
def test_a_meter_is_as_wide_as_it_says(used, total):
    drawn = meter.bar(used, total)
    assert len(drawn) == meter.CELLS
    assert (drawn == "·" * meter.CELLS) == (used == 0)


def test_the_meter_shows_only_what_is_known():
    assert meter.context(None, None) == ""
    assert meter.context(None, 2048) == "context 2,048"
    assert meter.context(1024, 2048, 34) == "context ████▏··· 1,024 +34 of 2,048"
