"""Speed over the last five seconds, and the time that is left."""

from backend.pace import Pace


def test_it_looks_back_five_seconds_and_no_further():
    clock = [0.0]
    pace = Pace(1000, now=lambda: clock[0])
    assert (pace.per_second, pace.seconds_left) == (None, None)
    for _ in range(10):  # 100 a second
        clock[0] += 1
        pace.advance(10)
    assert pace.per_second == 10
    assert pace.seconds_left == 90
    for _ in range(6):
        clock[0] += 1
        pace.advance(40)
    assert pace.per_second == 40
    assert pace.done == 340
    clock[0] += 20
    pace.advance(0)
    assert pace.per_second is None or pace.per_second < 10


def test_more_than_was_announced_is_no_negative_time():
    clock = [0.0]
    pace = Pace(10, now=lambda: clock[0])
    clock[0] = 1
    pace.advance(20)
    assert pace.seconds_left == 0
