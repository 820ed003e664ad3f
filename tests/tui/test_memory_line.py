"""Memory in a chat: the parts make up the whole, and the line tells what the engine really holds."""

import pytest
from frozen import frozen
from hypothesis import given
from hypothesis import strategies as st
from piloting import wait_until
from talking import open_chat

from tui.app import SternaApp
from tui.sources import read_resident
from tui.state import Engine, Memory, Phase
from tui.widgets.memory_line import MemoryLine, legends, shares

GB = 10**9
SIZES = [(80, 24), (120, 40)]


@given(st.data())
def test_the_parts_make_up_the_memory(data):
    total = data.draw(st.integers(1, 10**12))
    used = data.draw(st.integers(0, total))
    held = data.draw(st.integers(0, used))
    engine = Engine(
        Phase.READY,
        weights=data.draw(st.integers(0, held)),
        cache=data.draw(st.integers(0, total)),
        context=4096,
        used=data.draw(st.integers(0, 5000)),
    )
    parts = shares(Memory(used, total, held), engine)
    assert all(part.amount >= 0 for part in parts)
    filled = parts[1].amount
    assert sum(part.amount for part in parts) <= total + filled
    assert parts[4].amount == used - held


def test_the_words():
    engine = Engine(Phase.READY, weights=2 * GB, cache=GB, context=4096, used=1024)
    full, *_, least = legends(Memory(6 * GB, 16 * GB, 3 * GB), engine)
    assert full == "█ weights 2.0G  ▓▒ KV 250M of 1.0G  ▚ rest 750M  ░ others 3.0G  free 10G"
    assert least == "free 10G"


@pytest.mark.parametrize("size", SIZES)
async def test_it_stands_in_the_chat_while_a_model_is_loaded(home, size):
    app = SternaApp(frozen(resident=read_resident))
    async with app.run_test(size=size) as pilot:
        await pilot.press("3")
        await wait_until(pilot, lambda: app.screen.query(MemoryLine))
        assert not app.screen.query_one(MemoryLine).display
        await pilot.press("1")
        await open_chat(pilot)
        line = app.screen.query_one(MemoryLine)
        await wait_until(pilot, lambda: line.display and app.memory.engine > 20_000_000)
        assert app.engine.weights > 1_000_000
        said = line.render().plain
        assert len(said) <= size[0]
        assert "█ weights 1.8M" in said
        assert "of 13M" in said
        assert "free 10G" in said
