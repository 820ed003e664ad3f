"""Files made of models from the app, and models judged: real verbs in real processes."""

import os
import shutil
import signal

import numpy as np
import psutil
import pytest
from checkpoints import checkpoint
from ggufs import tiny_llama
from piloting import wait_until
from sparse_models import sparse_gguf
from stores import Hub
from textual.widgets import Input, Static

from backend import paths
from backend.gguf import describe, open_gguf
from backend.offers import of_file
from tui import making
from tui.panes.library_table import LibraryTable
from tui.screens.ask import AskScreen
from tui.screens.make import Choices, JobScreen, MakeScreen
from tui.widgets.job_line import JobLine

SIZES = [(80, 24), (120, 40)]
TEXT = "A tern flies from pole to pole and back again. " * 60


def told(app) -> str:
    return "\n".join(note.message for note in app._notifications)


def table(app) -> LibraryTable:
    return app.get_screen_stack("models")[0].query_one(LibraryTable)


def shown(app) -> list[str]:
    return [model.path.name for model in table(app).models]


def line(app) -> JobLine:
    return app.get_screen_stack("models")[0].query_one(JobLine)


async def listed(pilot, name) -> None:
    app = pilot.app
    await wait_until(pilot, lambda: app.library.scanned and not app.library.scanning)
    table(app).move_cursor(row=shown(app).index(name))


async def offered(pilot) -> MakeScreen:
    await pilot.press("z")
    await wait_until(pilot, lambda: isinstance(pilot.app.screen, MakeScreen))
    await wait_until(pilot, lambda: pilot.app.screen.query_one(Choices).has_focus)
    return pilot.app.screen


async def made(pilot, name) -> None:
    """Wait for a child process, which a busy machine starts slowly."""
    await wait_until(pilot, lambda: name in shown(pilot.app), seconds=60)


def rows(screen) -> list[str]:
    return [str(option.prompt) for option in screen.query_one(Choices).options]


def children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "tui.cli" in p.cmdline()]


@pytest.fixture
def plain(home):
    """A model in F16 in Sterna's own folder."""
    path = paths.models_dir() / "tern-F16.gguf"
    path.parent.mkdir(parents=True)
    rng = np.random.default_rng(0)
    tiny_llama(
        path, hidden=256, ffn=512, tensor_type="F16", context=600, seed=int(rng.integers(99))
    )
    return path


@pytest.fixture
def long_job(home):
    """A model that takes many seconds to quantise, without room on the disk."""
    path = paths.models_dir() / "whale-F16.gguf"
    path.parent.mkdir(parents=True, exist_ok=True)
    return sparse_gguf(path, layers=150)


@pytest.mark.parametrize("size", SIZES)
async def test_a_smaller_file_is_chosen_by_size_and_loss_and_appears(app, plain, size):
    async with app.run_test(size=size) as pilot:
        await listed(pilot, plain.name)
        screen = await offered(pilot)
        offer = of_file(plain)
        assert f"Now F16, {plain.stat().st_size / 1e6:.2f} MB" in str(
            screen.query_one("#facts", Static).content
        )
        found = rows(screen)
        assert len(found) == len(offer.choices)
        good = next(row for row in found if row.startswith("Q4_K_M"))
        size_of = next(c.bytes for c in offer.choices if c.quant.name == "Q4_K_M")
        assert f"{size_of / 1e3:.0f} kB" in good
        assert "very low (+2.82 %)" in good
        about = screen.query_one("#about", Static)
        assert "small models (below 8B)" in str(about.content)  # the cursor begins at Q5_K_M
        assert "usually taken" in str(about.content)
        for row in found:
            assert len(row) <= screen.query_one(Choices).size.width
        assert screen.query_one("#make").region.bottom <= size[1]
        await pilot.press("down")
        await wait_until(pilot, lambda: "usually taken" not in str(about.content))
        await pilot.press("up", "enter")
        await made(pilot, "tern-Q5_K_M.gguf")
        await wait_until(pilot, lambda: "✓ tern-Q5_K_M.gguf" in told(app))
        file = paths.models_dir() / "tern-Q5_K_M.gguf"
        wanted = next(c.bytes for c in offer.choices if c.quant.name == "Q5_K_M")
        assert file.stat().st_size == wanted
        assert not line(app).display


async def test_a_name_that_is_taken_is_not_written_over(app, plain):
    taken = plain.with_name("tern-Q5_K_M.gguf")
    taken.write_bytes(b"mine")
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot, plain.name)
        await offered(pilot)
        await pilot.press("enter")
        await made(pilot, "tern-Q5_K_M-2.gguf")
    assert taken.read_bytes() == b"mine"


@pytest.mark.parametrize("size", SIZES[:1])
async def test_a_job_shows_how_far_it_is_in_every_mode_and_stops(app, long_job, size):
    async with app.run_test(size=size) as pilot:
        await listed(pilot, long_job.name)
        await offered(pilot)
        await pilot.press("enter")
        await wait_until(pilot, lambda: "/s" in str(line(app).content), seconds=60)
        assert "making whale-F16 Q5_K_M" in str(line(app).content)
        assert "% of 5.04 GB" in str(line(app).content)
        await pilot.press("3")
        await wait_until(pilot, lambda: app.current_mode == "chat")
        await pilot.press("1")
        await wait_until(pilot, lambda: app.current_mode == "models")
        await pilot.press("z")
        await wait_until(pilot, lambda: isinstance(app.screen, JobScreen))
        await wait_until(pilot, lambda: "left" in str(app.screen.query_one("#far").content))
        await pilot.press("escape")
        await wait_until(pilot, lambda: not app.screen.is_modal)
        assert line(app).display
        await pilot.press("z")
        await wait_until(pilot, lambda: isinstance(app.screen, JobScreen))
        await pilot.press("x")
        await wait_until(pilot, lambda: not line(app).display)
        await wait_until(pilot, lambda: not children())
        assert told(app) == ""
    assert [path.name for path in paths.models_dir().iterdir()] == [long_job.name]


async def test_the_end_of_the_app_is_the_end_of_the_job(app, long_job):
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot, long_job.name)
        await offered(pilot)
        await pilot.press("enter")
        await wait_until(pilot, lambda: "/s" in str(line(app).content), seconds=60)
        (job,) = children()
    job.wait(timeout=30)
    assert [path.name for path in paths.models_dir().iterdir()] == [long_job.name]


async def test_a_job_that_is_killed_is_told_and_leaves_nothing(app, long_job):
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot, long_job.name)
        await offered(pilot)
        await pilot.press("enter")
        await wait_until(pilot, lambda: "/s" in str(line(app).content), seconds=60)
        os.kill(children()[0].pid, signal.SIGKILL)
        await wait_until(pilot, lambda: "The job was killed" in told(app))
        assert not line(app).display
    assert [path.name for path in paths.models_dir().iterdir()] == [long_job.name]


async def test_a_file_that_is_quantised_already_says_so(app, home):
    path = paths.models_dir() / "small-Q8_0.gguf"
    path.parent.mkdir(parents=True)
    tiny_llama(path, hidden=256, ffn=512, tensor_type="Q8_0")
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot, path.name)
        screen = await offered(pilot)
        assert "Quantised already" in str(screen.query_one("#facts", Static).content)
        await pilot.press("enter")
        await made(pilot, "small-Q5_K_M.gguf")


async def test_a_file_that_changed_meanwhile_is_told(app, plain):
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot, plain.name)
        await offered(pilot)
        plain.write_bytes(plain.read_bytes()[:4000])
        await pilot.press("enter")
        await wait_until(pilot, lambda: "Download" in told(app), seconds=60)
        assert not line(app).display
    assert [path.name for path in paths.models_dir().iterdir()] == [plain.name]


@pytest.mark.parametrize("size", SIZES)
async def test_a_checkpoint_becomes_a_file(app, home, tmp_path, size):
    folder = checkpoint(tmp_path / "made", dtype="bfloat16").folder
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    snapshot = Hub(home / "huggingface/hub").add("someone/Tiny-1B", files)
    async with app.run_test(size=size) as pilot:
        await listed(pilot, snapshot.name)
        screen = await offered(pilot)
        assert "A GGUF file of Tiny-1B" in str(screen.query_one("#title", Static).content)
        assert rows(screen)[0].startswith("BF16")
        await pilot.press("enter")
        await made(pilot, "Tiny-1B-BF16.gguf")
    with open_gguf(paths.models_dir() / "Tiny-1B-BF16.gguf") as file:
        assert describe(file).quant == "BF16"
        assert file.string("general.name") == "Tiny-1B"


async def test_a_checkpoint_in_a_folder_of_ones_own_is_made_a_file_or_trained(app, home, tmp_path):
    folder = checkpoint(tmp_path / "made", dtype="bfloat16").folder
    own = paths.models_dir() / "mine" / "tiny"
    shutil.copytree(folder, own)
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot, own.name)
        await pilot.press("c")
        await wait_until(pilot, lambda: "becomes a GGUF file first" in told(app))
        await offered(pilot)
        assert "weigh" not in str(app.screen.query(".keys").first(Static).content)
        await pilot.press("i", "enter")  # nothing is asked: there is nothing to collect
        await made(pilot, "tiny-BF16.gguf")
        await listed(pilot, own.name)
        await pilot.press("t")
        await wait_until(pilot, lambda: app.current_mode == "train")
        await wait_until(pilot, lambda: app.screen.draft.recipe.base.model == str(own))
        await wait_until(pilot, lambda: app.screen.draft.shape is not None)
        assert app.screen.draft.base_error is None


async def test_bits_go_where_a_text_needs_them(app, plain, tmp_path):
    text = tmp_path / "mine.txt"
    text.write_text(TEXT)
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot, plain.name)
        await offered(pilot)
        await pilot.press("i")
        await wait_until(pilot, lambda: isinstance(app.screen, AskScreen))
        app.screen.query_one(Input).value = "/nowhere"
        await pilot.press("enter")
        await wait_until(pilot, lambda: "There is no file /nowhere" in told(app))
        await pilot.press("i")
        await wait_until(pilot, lambda: isinstance(app.screen, AskScreen))
        app.screen.query_one(Input).value = str(text)
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(app.screen, MakeScreen))
        facts = app.screen.query_one("#facts", Static)
        await wait_until(pilot, lambda: "where mine.txt needs them" in str(facts.content))
        assert app.screen.query_one("#make").region.bottom <= 24
        await pilot.press("enter")
        await made(pilot, "tern-Q5_K_M.gguf")
    with open_gguf(paths.models_dir() / "tern-Q5_K_M.gguf") as file:
        assert file.string("quantize.imatrix.dataset") == "mine.txt"


async def test_what_cannot_be_made_smaller_is_told(app, shelf):
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot, shelf.broken.name)
        await pilot.press("z")
        await wait_until(pilot, lambda: told(app))
        assert not app.screen.is_modal
        table(app).move_cursor(row=shown(app).index(shelf.hostile.name))
        screen = await offered(pilot)
        await pilot.press("enter")
        await wait_until(pilot, lambda: "hostile-" in " ".join(shown(app)))
        assert screen is not app.screen


def test_a_name_from_outside_is_no_path(home):
    out = making.target("../../evil \x1b[2J/x:7b-F16", "Q4_K_M")
    assert out.parent == paths.models_dir()
    assert out.name == "evil-2J-x-7b-Q4_K_M.gguf"
    assert making.target("///", "Q8_0").name == "model-Q8_0.gguf"


async def test_a_model_is_judged_by_a_text(app, plain, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot, plain.name)
        await pilot.press("p")
        await wait_until(pilot, lambda: app.screen.is_modal)
        app.screen.query_one(Input).value = str(text)
        await pilot.press("enter")
        await wait_until(pilot, lambda: "perplexity" in told(app), seconds=60)
        assert "tern-F16: perplexity" in told(app)
        await pilot.press("p")
        await wait_until(pilot, lambda: app.screen.is_modal)
        await pilot.press(*"nowhere", "enter")
        await wait_until(pilot, lambda: "nowhere cannot be read" in told(app), seconds=60)
        assert not line(app).display


async def test_what_was_measured_stands_beside_the_choice(app, plain, tmp_path):
    text = tmp_path / "mine.txt"
    text.write_text(TEXT)
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot, plain.name)
        await offered(pilot)
        await pilot.press("enter")
        await made(pilot, "tern-Q5_K_M.gguf")
        await listed(pilot, "tern-Q5_K_M.gguf")
        await pilot.press("p")
        await wait_until(pilot, lambda: app.screen.is_modal)
        app.screen.query_one(Input).value = str(text)
        await pilot.press("enter")
        await wait_until(pilot, lambda: "In full precision" in told(app), seconds=60)
        await listed(pilot, plain.name)
        screen = await offered(pilot)
        row = next(row for row in rows(screen) if row.startswith("Q5_K_M"))
        assert "% measured here" in row
        assert "same token" in row
        assert "measured by mine.txt" in str(screen.query_one("#about", Static).content)
        assert "measured" not in next(row for row in rows(screen) if row.startswith("Q4_K_M"))
