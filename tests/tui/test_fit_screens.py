"""What fits, on the screen: verdicts of rows, the side pane, the grid of quants, the machine."""

import dataclasses

import pytest
from frozen import frozen, machine
from piloting import wait_until
from published_models import LLAMA_8B, decoder
from textual.widgets import Input, Static

from backend import advice
from backend.fit import Offer, read_model
from backend.machine import GPU, Memory, read_machine, speeds, suppose
from tui import fitting
from tui.app import SternaApp
from tui.fitting import Asked
from tui.hardware import simulation
from tui.panes.details import Details
from tui.panes.fit_grid import FitGrid
from tui.panes.library_table import LibraryTable
from tui.screens.fit import FitScreen
from tui.screens.machine import MachineScreen
from tui.state import Memory as Seen
from tui.widgets.ledger import Ledger

SIZES = [(80, 24), (120, 40)]


@pytest.fixture(autouse=True)
def really():
    """Suppose nothing before and after."""
    suppose()
    yield
    suppose()


def with_memory(free, total=15_600_000_000):
    """Return a machine with so much memory free."""
    return dataclasses.replace(machine(), memory=Memory(total, free, 0, 0, "psutil"))


def of_memory(free):
    """Return sources of a machine with so much memory free."""
    return frozen(
        hardware=lambda: with_memory(free),
        memory=lambda: Seen(used=15_600_000_000 - free, total=15_600_000_000),
    )


def cells(app) -> dict[str, str]:
    """Return what each row says of this machine, by the name of its file."""
    table = app.screen_stack[0].query_one(LibraryTable)
    place = [heading.key for heading in table.headings].index("fits")
    return {model.path.name: table.cells(row)[place] for row, model in enumerate(table.models)}


async def judged(pilot) -> None:
    await wait_until(pilot, lambda: pilot.app.library.scanned and not pilot.app.library.scanning)
    await wait_until(pilot, lambda: cells(pilot.app)["tiny-Q8_0.gguf"], what="a verdict")
    await wait_until(pilot, lambda: cells(pilot.app)["hostile.gguf"], what="the others")


def choose(app, path) -> None:
    table = app.screen.query_one(LibraryTable)
    table.move_cursor(row=[model.path for model in table.models].index(path))


def shown(app, query) -> str:
    return str(app.screen.query_one(query, Static).content)


@pytest.mark.parametrize("size", SIZES)
async def test_each_row_has_a_verdict_with_a_number(app, shelf, size):
    async with app.run_test(size=size) as pilot:
        await judged(pilot)
        said = cells(app)
        assert said["tiny-Q8_0.gguf"] == "✓ fits 256"
        assert said["ternary-I2_S.gguf"].startswith("✓ fits")
        assert said["hostile.gguf"] == "– not run"
        assert said["broken.gguf"] == ""


@pytest.mark.parametrize(("share", "glyph", "word"), [(1.05, "≈", "tight"), (0.5, "✗", "over")])
async def test_a_machine_with_little_memory(home, shelf, share, glyph, word):
    model = fitting.of_file(shelf.cached).model
    needed = advice.engine(model, 256, "auto", threads=8).total
    app = SternaApp(of_memory(round(share * needed)))
    async with app.run_test(size=(120, 40)) as pilot:
        await judged(pilot)
        said = cells(app)["tiny-Q8_0.gguf"]
        assert said.startswith(glyph)
        assert word in said


async def test_verdicts_follow_what_is_free(home, shelf):
    free = [10_400_000_000]
    sources = frozen(memory=lambda: Seen(15_600_000_000 - free[0], 15_600_000_000))
    app = SternaApp(sources)
    async with app.run_test(size=(120, 40)) as pilot:
        await judged(pilot)
        assert cells(app)["tiny-Q8_0.gguf"].startswith("✓")
        free[0] = 20_000_000
        app._tick()
        await wait_until(pilot, lambda: cells(app)["tiny-Q8_0.gguf"].startswith("✗"))


@pytest.mark.parametrize("size", SIZES)
async def test_the_chosen_model_tells_memory_and_speed(app, shelf, size):
    async with app.run_test(size=size) as pilot:
        await judged(pilot)
        choose(app, shelf.cached)
        place = "#fold" if size[0] < 100 else "Details Static"
        await wait_until(pilot, lambda: "✓ fits to 256" in shown(app, place))
        assert "tok/s (±" in shown(app, place)
        if size[0] >= 100:
            assert "weights" in shown(app, place)
            assert "at a context of 256" in shown(app, place)


async def test_what_the_engine_does_not_run_says_why(app, shelf):
    async with app.run_test(size=(120, 40)) as pilot:
        await judged(pilot)
        choose(app, shelf.hostile)
        pane = app.screen.query_one(Details).query_one(Static)
        await wait_until(pilot, lambda: "not run by Sterna" in str(pane.content))
        assert "\x1b" not in str(pane.content)


async def open_grid(pilot, path):
    await judged(pilot)
    choose(pilot.app, path)
    await pilot.press("e")
    await wait_until(pilot, lambda: isinstance(pilot.app.screen, FitScreen))
    await wait_until(pilot, lambda: pilot.app.screen.query_one(FitGrid).chosen, what="a grid")
    await wait_until(pilot, lambda: shown(pilot.app, "#reasons"))


@pytest.mark.parametrize("size", SIZES)
async def test_the_grid_marks_what_is_here_and_what_to_take(app, shelf, size):
    async with app.run_test(size=size) as pilot:
        await open_grid(pilot, shelf.cached)
        grid = app.screen.query_one(FitGrid)
        lines = [grid.render_line(y).text for y in range(grid.size.height)]
        assert [line.split()[1] for line in lines if line.startswith("▸")] == ["Q8_0"]
        assert "Q4_K_M" in " ".join(lines)
        assert all(len(line) <= size[0] for line in lines)
        assert "Q8_0 is here, and it is the one to take." in shown(app, "#reasons")
        assert shown(app, "#cell").startswith("Q8_0 at 256")
        await pilot.press("down")
        await wait_until(pilot, lambda: shown(app, "#cell").startswith("Q6_K at 256"))
        await pilot.press("escape")
        await wait_until(pilot, lambda: not isinstance(app.screen, FitScreen))


@pytest.mark.parametrize("size", SIZES)
async def test_several_files_to_choose_from(app, size):
    """As a repository of the Hub offers them."""
    model = read_model(decoder(**LLAMA_8B, quant="Q8_0"))
    offers = [Offer(q) for q in ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q2_K")]
    async with app.run_test(size=size) as pilot:
        app.push_screen(FitScreen(app._sources, lambda: Asked("Llama 8B", model, offers, [])))
        await wait_until(pilot, lambda: isinstance(app.screen, FitScreen))
        await wait_until(pilot, lambda: shown(app, "#reasons"))
        said = shown(app, "#reasons")
        assert said.startswith("Take Q5_K_M.")
        assert "Smaller: Q4_K_M needs" in said
        assert "Better: Q6_K needs" in said
        assert shown(app, "#cell").startswith("Q5_K_M at 4k")
        grid = app.screen.query_one(FitGrid)
        *_, last = (grid.render_line(y).text for y in range(6))
        assert "Q2_K" in last
        assert "!" in last  # the last resort is marked as such
        await pilot.press("right", "right", "right", "right", "right")
        await wait_until(pilot, lambda: "✗ too big by" in shown(app, "#cell"))


async def test_another_cache_needs_another_amount(app, shelf):
    async with app.run_test(size=(120, 40)) as pilot:
        await open_grid(pilot, shelf.cached)
        grid = app.screen.query_one(FitGrid)
        needed = {}
        for kv in ("auto", "f16", "q8_0", "f32"):
            await wait_until(pilot, lambda kv=kv: f"KV {kv}" in shown(app, "#about"))
            needed[kv] = grid.chosen.needs.kv
            await pilot.press("K")
        assert needed["q8_0"] < needed["f16"] < needed["f32"] == needed["auto"]
        await pilot.press("P")
        await wait_until(pilot, lambda: "speed first" in shown(app, "#about"))


async def test_supposing_another_machine_is_marked_everywhere(home, shelf):
    app = SternaApp(frozen(hardware=read_machine))
    async with app.run_test(size=(120, 40)) as pilot:
        await open_grid(pilot, shelf.cached)
        await pilot.press("S", *"20MB 8GB", "enter")
        await wait_until(pilot, lambda: "SIM" in shown(app, "#about"))
        assert "20.0 MB free" in shown(app, "#about")
        await wait_until(pilot, lambda: "Nothing fits." in shown(app, "#reasons"))
        assert " SIM 20.0 MB GPU 0.0/8.0 GB " in app.screen.query_one(Ledger).render().plain
        await pilot.press("escape")
        await wait_until(pilot, lambda: cells(app)["tiny-Q8_0.gguf"].startswith("✗"))
        await pilot.press("f3", "S")
        await wait_until(pilot, lambda: app.screen.query(Input))
        assert app.screen.query_one(Input).value == "20.0MB 8.00GB"
        await pilot.press("ctrl+u", "enter")
        await wait_until(pilot, lambda: "SIM" not in app.screen.query_one(Ledger).render().plain)


async def test_a_size_that_is_none(app, shelf):
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f3", "S", *"much", "enter")
        await wait_until(pilot, lambda: any("no size" in n.message for n in app._notifications))


def test_what_can_be_supposed():
    assert simulation("") == (None, None)
    assert simulation("32GB") == (32 * 10**9, None)
    assert simulation("32 GB, 8GiB".replace(" GB", "GB")) == (32 * 10**9, 8 << 30)


@pytest.mark.parametrize("size", SIZES)
async def test_the_machine_and_its_probes(home, size):
    gpu = GPU(
        "Radeon [/nope] \x1b[2J", "AMD", 24_000_000_000, 22_000_000_000, "/sys/class/drm, VRAM"
    )
    here = dataclasses.replace(machine(), gpus=(gpu,))
    app = SternaApp(frozen(hardware=lambda: here))
    async with app.run_test(size=size) as pilot:
        await pilot.press("f3")
        await wait_until(pilot, lambda: isinstance(app.screen, MachineScreen))
        await wait_until(pilot, lambda: "psutil" in shown(app, "#found"))
        said = shown(app, "#found")
        assert "10.4 GB free of 15.6 GB" in said
        assert "/sys/class/drm, VRAM" in said
        assert "40.0 GB/s read" in said
        assert "measured 2 h ago" in said
        assert "Q4_K 60.0 / 400" in said
        assert "\x1b" not in said
        assert "GPU 2.0/24.0 GB" in app.screen.query_one(Ledger).render().plain or size[0] < 100
        await pilot.press("escape")
        await wait_until(pilot, lambda: not isinstance(app.screen, MachineScreen))


async def test_measuring_again_is_done_by_a_child_and_kept(home):
    app = SternaApp(frozen(hardware=read_machine))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f3")
        await wait_until(pilot, lambda: "not measured yet" in shown(app, "#found"))
        await pilot.press("m")
        await wait_until(pilot, lambda: "GB/s read" in shown(app, "#found"), seconds=60)
        assert speeds.known() is not None
        assert app.hardware.machine.speeds == speeds.known()
