"""Bars of parts: they fill their cells, in proportion, and nothing that is there vanishes."""

from hypothesis import given
from hypothesis import strategies as st

from tui.widgets.stacked import Part, bar, widths


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=6), st.integers(6, 200))
def test_parts_fill_the_bar_and_none_vanishes(amounts, cells):
    taken = widths(amounts, cells)
    if not sum(amounts):
        assert not any(taken)
        return
    assert sum(taken) == cells
    for amount, count in zip(amounts, taken, strict=True):
        assert (count > 0) == (amount > 0)
        assert abs(count - amount * cells / sum(amounts)) <= len(amounts)


def test_every_part_has_its_glyph():
    assert bar([Part(3, "█"), Part(0, "▓"), Part(1, "·")], 8).plain == "██████··"
    assert bar([Part(0, "█")], 8).plain == ""
