"""Curves in Braille dots."""

import math

from tui.widgets.plot import MARKS, Curve, curve_lines, plot, smoothed


def dots(lines):
    """Return the dots of Braille lines as (column, row)."""
    places = {
        0: (0, 0),
        1: (0, 1),
        2: (0, 2),
        3: (1, 0),
        4: (1, 1),
        5: (1, 2),
        6: (0, 3),
        7: (1, 3),
    }
    return {
        (2 * x + places[bit][0], 4 * y + places[bit][1])
        for y, line in enumerate(lines)
        for x, sign in enumerate(line)
        for bit in range(8)
        if ord(sign) - 0x2800 & 1 << bit
    }


def test_a_falling_line_goes_from_corner_to_corner():
    found = dots(curve_lines([(0, 10.0), (100, 0.0)], 10, 5))
    assert (0, 0) in found
    assert (19, 19) in found
    assert all(abs(x - y) <= 1 for x, y in found)


def test_a_run_that_has_just_begun_takes_its_share_of_the_width():
    found = dots(curve_lines([(1, 3.0), (50, 1.0)], 10, 4, right=101))
    assert max(x for x, _ in found) in (9, 10)


def test_one_point_no_point_and_no_numbers():
    assert dots(curve_lines([(5, 2.0)], 8, 2))
    assert curve_lines([], 8, 2) == []
    assert curve_lines([(1, math.nan)], 8, 2) == []
    assert dots(curve_lines([(1, 1.0), (2, math.nan), (3, 2.0)], 8, 2))
    assert not plot([Curve("a", [])], 60, 12)


def test_a_plot_has_axes_and_tells_curves_apart_without_colour():
    a = Curve("lora", [(1, 4.0), (100, 1.0)])
    b = Curve("vera", [(1, 4.0), (100, 2.0)])
    text = str(plot([a, b], 60, 14))
    lines = text.splitlines()
    assert f"{MARKS[0]} lora" in lines[0]
    assert f"{MARKS[1]} vera" in lines[0]
    assert text.count(MARKS[0]) == 2  # the legend, and the end of the curve
    assert "4┤" in lines[1]
    assert "1┤" in text
    assert lines[-1].split() == ["1", "step", "100"]
    assert all(len(line) <= 60 for line in lines)


def test_smoothing_starts_without_bias_and_ends_near_the_last_values():
    flat = smoothed([(i, 3.0) for i in range(50)])
    assert all(abs(y - 3.0) < 1e-9 for _, y in flat)
    falling = smoothed([(i, 10.0 if i < 100 else 1.0) for i in range(300)])
    assert abs(falling[-1][1] - 1.0) < 0.01
