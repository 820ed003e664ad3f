"""The Hub: search as you type, pages, facets, names, verdicts before a download, and what goes wrong."""

import pytest
from loopback_hub import Fault, Repo, status
from piloting import wait_until
from published import NAME, many, tern
from textual.widgets import Input, Static

from tui.panes.hub_details import HubDetails
from tui.panes.hub_table import HubTable
from tui.widgets.choice import Choice

SIZES = [(80, 24), (120, 40)]


def table(app) -> HubTable:
    return app.screen.query_one(HubTable)


def names(app) -> list[str]:
    return [row.model.repo for row in table(app).rows if not (row.variant or row.note)]


def painted(app) -> str:
    """Everything that the table paints, line by line."""
    widget = table(app)
    return "\n".join(
        widget.render_line(y).text.rstrip() for y in range(min(widget.size.height, 40))
    )


def files(app) -> list[str]:
    return [row.variant.quant for row in table(app).rows if row.variant]


def text(app, selector) -> str:
    return str(app.screen.query_one(selector, Static).content)


def details(app) -> str:
    return str(app.screen.query_one(HubDetails).query_one(Static).content)


def searches(hub) -> list[str]:
    return [r.query.get("search", [""])[0] for r in hub.requests if r.path == "/api/models"]


async def opened(pilot):
    await pilot.press("2")
    await wait_until(pilot, lambda: pilot.app.current_mode == "hub")
    await wait_until(pilot, lambda: table(pilot.app).rows)


async def unfolded(pilot):
    """Open the first model and wait for its verdicts."""
    await opened(pilot)
    await pilot.press("enter")
    await wait_until(pilot, lambda: "✓" in painted(pilot.app), what="a verdict")


@pytest.mark.parametrize("size", SIZES)
async def test_it_opens_with_what_is_trending(app, hub, tmp_path, size):
    hub.add(tern(tmp_path))
    for repo in many(3):
        hub.add(repo)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        assert names(app)[:2] == [NAME, "many/Model-000-GGUF"]
        shown = painted(app)
        assert "1.2M" in shown
        assert "1.24B" in shown
        await wait_until(pilot, lambda: "✓ about" in painted(app))
        assert "mit" in (details(app) if size[0] > 100 else text(app, "#fold"))


async def test_search_as_you_type_asks_once_and_escape_brings_all_back(app, hub, tmp_path):
    hub.add(tern(tmp_path))
    for repo in many(3):
        hub.add(repo)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("slash", *"model-002")
        await wait_until(pilot, lambda: names(app) == ["many/Model-002-GGUF"])
        asked = searches(hub)
        assert len(asked) < 5, "every letter was a question"
        await pilot.press("escape")
        await wait_until(pilot, lambda: len(names(app)) == 4)
        await pilot.press(*"model-002")
        await wait_until(pilot, lambda: names(app) == ["many/Model-002-GGUF"])
        assert searches(hub).count("model-002") == 1, "an answer is remembered"


async def test_what_was_typed_last_is_shown_whatever_answers_last(app, hub):
    for repo in many(3):
        hub.add(repo)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        hub.rate = 2000  # the first question is still being answered when the second is asked
        await pilot.press("slash", *"model")
        await wait_until(pilot, lambda: "model" in searches(hub))
        hub.rate = None
        await pilot.press(*"-001")
        await wait_until(pilot, lambda: names(app) == ["many/Model-001-GGUF"])
        await wait_until(pilot, lambda: not app.screen.workers)
        assert names(app) == ["many/Model-001-GGUF"]


async def test_it_scrolls_without_end_page_by_page(app, hub):
    for repo in many(130):
        hub.add(repo)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert len(names(app)) == 50
        await wait_until(pilot, lambda: "the first 50 models" in text(app, "FilterLine Static"))
        await pilot.press("end")
        await wait_until(pilot, lambda: len(names(app)) == 100)
        assert table(app).cursor_row == 49
        await pilot.press("end")
        await wait_until(pilot, lambda: len(names(app)) == 130)
        await pilot.press("end")
        await wait_until(pilot, lambda: "130 models" in text(app, "FilterLine Static"))
        assert len(set(names(app))) == 130


@pytest.mark.parametrize("size", SIZES)
async def test_files_with_exact_sizes_verdicts_and_the_recommended_one(app, hub, tmp_path, size):
    repo = hub.add(tern(tmp_path))
    async with app.run_test(size=size) as pilot:
        await unfolded(pilot)
        assert files(app) == ["F16", "Q8_0", "Q4_0"]
        shown = painted(app)
        for quant in files(app):
            count = len(repo.files[f"Tern-{quant}.gguf"])
            assert f"{count / 1e6:.2f} MB" in shown or f"{count / 1e3:.0f} kB" in shown
        assert "fits to 256" in shown
        (best,) = [line for line in shown.splitlines() if "←" in line]
        assert "Q8_0" in best
        await wait_until(pilot, lambda: table(app).chosen.variant is not None)
        assert table(app).chosen.variant.quant == "Q8_0", "the cursor waits on it"
        reason = details(app) if size[0] > 100 else text(app, "#fold")
        assert "no redundancy" in " ".join(reason.split())
        await pilot.press("left")
        await wait_until(pilot, lambda: not files(app))
        read = {r.path for r in hub.requests if r.path.endswith(".gguf")}
        assert len(read) <= 1, "one header tells of all"  # it may be known already


async def test_parts_of_a_split_model_are_one_line_and_one_that_lacks_some_says_so(app, hub):
    parts = {f"m-Q4_K_M-0000{n}-of-00002.gguf": b"x" * 2_000_000 for n in (1, 2)}
    hub.add(Repo("own/Split-GGUF", parts | {"m-Q8_0-00001-of-00002.gguf": b"x"}))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("enter")
        await wait_until(pilot, lambda: files(app) == ["Q8_0", "Q4_K_M"])
        assert "4.00 MB" in painted(app)
        assert "1 of its parts are missing" in painted(app)
        await wait_until(pilot, lambda: "cannot be told" in painted(app))
        table(app).move_cursor(row=1)
        await pilot.press("d")
        await wait_until(
            pilot, lambda: any("fetched whole" in n.message for n in app._notifications)
        )
        assert not app.screen.is_modal


@pytest.mark.parametrize("form", ["{0}:Q4_0", "{1}/{0}/blob/main/Tern-Q4_0.gguf"])
async def test_a_pasted_name_opens_there_with_the_cursor_on_the_file(app, hub, tmp_path, form):
    hub.add(tern(tmp_path))
    for repo in many(3):
        hub.add(repo)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("slash")
        app.screen.query_one(Input).value = form.format(NAME, hub.endpoint)
        await wait_until(pilot, lambda: names(app) == [NAME] and files(app))
        await wait_until(pilot, lambda: table(app).chosen.variant is not None)
        assert table(app).chosen.variant.quant == "Q4_0"


async def test_a_pasted_name_that_is_not_there_is_told(app, hub):
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await wait_until(pilot, lambda: "nothing" in text(app, "#empty"))
        await pilot.press("slash")
        app.screen.query_one(Input).value = "own/none:Q4_K_M"
        await wait_until(pilot, lambda: "no model own/none" in text(app, "#empty"))


@pytest.mark.parametrize("size", SIZES)
async def test_facets_narrow_the_search(app, hub, tmp_path, size):
    hub.add(tern(tmp_path))
    for repo in many(30):
        hub.add(repo)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("f")
        await wait_until(pilot, lambda: app.screen.query(Choice))
        app.screen.query_one("#from", Input).value = "1B"
        app.screen.query_one("#to", Input).value = "1.2B"
        app.screen.query_one("#arch", Input).value = "qwen3"
        await pilot.press("enter")
        await wait_until(
            pilot, lambda: names(app) == [f"many/Model-0{n:02d}-GGUF" for n in (9, 10, 11)]
        )
        assert "1B–1.2B" in text(app, "#asked")
        await pilot.press("f")
        await wait_until(pilot, lambda: app.screen.query(Choice))
        app.screen.query_one("#from", Input).value = "a few"
        await pilot.press("enter")
        await wait_until(pilot, lambda: "✗" in text(app, "#wrong"))
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: len(names(app)) == 31)


async def test_sorting_and_facets_that_are_typed(app, hub, tmp_path):
    hub.add(tern(tmp_path))
    for repo in many(30):
        hub.add(repo)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("s")
        await wait_until(pilot, lambda: names(app)[1] == "many/Model-029-GGUF")
        assert "sorted by downloads" in text(app, "#asked")
        assert [h.key for h in table(app).headings] == ["name", "downloads", "params", "here"]
        await pilot.press("s")
        await wait_until(pilot, lambda: "sorted by likes" in text(app, "#asked"))
        await wait_until(pilot, lambda: table(app).headings[1].key == "likes")
        await wait_until(pilot, lambda: names(app)[0] == NAME)
        await pilot.press("slash", *"license:mit")
        await wait_until(pilot, lambda: names(app) == [NAME])


async def test_offline_is_said_and_the_rest_goes_on(app, hub, shelf, tmp_path):
    hub.add(tern(tmp_path))
    hub.go_down()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await wait_until(pilot, lambda: "cannot be reached" in text(app, "#empty"))
        assert "works without the Hub" in " ".join(text(app, "#empty").split())
        assert "offline" in text(app, "FilterLine Static")
        hub.come_back()
        await pilot.press("r")
        await wait_until(pilot, lambda: names(app) == [NAME])
        await pilot.press("1")
        await wait_until(pilot, lambda: app.current_mode == "models")


async def test_offline_by_wish(app, hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await wait_until(pilot, lambda: "HF_HUB_OFFLINE is set" in text(app, "#empty"))
    assert not hub.requests


async def test_an_address_that_is_none(app, hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await wait_until(pilot, lambda: "HF_ENDPOINT" in text(app, "#empty"))


async def test_a_page_that_fails_keeps_what_was_found(app, hub):
    for repo in many(80):
        hub.add(repo)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        hub.faults = [Fault(status(404), kind="api", times=None)]
        await pilot.press("end")
        await wait_until(pilot, lambda: app._notifications)
        assert len(names(app)) == 50


async def test_the_card_is_text_whatever_is_in_it(app, hub, tmp_path):
    evil = b"<div align=center><img src=x alt=logo> <b>Hi</b></div>\n\n# Tern [/nope]\n\n<b>html</b> \x1b[2J [@click=app.quit]q[/] [l](http://x)\n\n| a |\n|--|\n| 1 |\n"
    hub.add(tern(tmp_path, files={"README.md": evil}))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("m")
        await wait_until(pilot, lambda: app.screen.is_modal and app.screen.query("MarkdownTable"))
        svg = app.export_screenshot()
        assert "␛" in svg
        assert "\x1b" not in svg
        shown = svg.replace("&#160;", " ")
        assert "html" in shown
        assert "logo Hi" in shown
        assert "&lt;b&gt;" not in shown
        await pilot.press("escape")
        await wait_until(pilot, lambda: not app.screen.is_modal)


async def test_names_that_mean_harm_are_shown_as_they_are(app, hub):
    name = "evil/[bold]x\x1b[2J[@click=app.quit]"
    hub.add(Repo(name, {"a\x1b-Q4_0.gguf": b"junk"}, license="[/nope]"))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        assert "␛[2J[@click" in painted(app) + details(app)
        await pilot.press("enter")
        await wait_until(pilot, lambda: "✗" in painted(app) + details(app))
        assert "\x1b" not in painted(app) + details(app)


async def test_gated_and_its_two_ways_out(app, hub, tmp_path, token_store):
    hub.add(tern(tmp_path, gated="manual"))
    hub.tokens = {"hf_other": set(), "hf_admitted": {NAME}}
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        assert "🔒" in painted(app)
        await pilot.press("enter")
        await wait_until(pilot, lambda: "l gives a token" in painted(app))
        assert "no token on this computer" in " ".join(details(app).split())
        assert "verdicts are rough" in painted(app)
        await pilot.press("d")
        await wait_until(pilot, lambda: app.screen.is_modal)
        line = app.screen.query_one(Input)
        assert line.password
        line.value = "hf_wrong"
        await pilot.press("enter")
        progress = app.screen.query_one("#progress", Static)
        await wait_until(pilot, lambda: "does not know that token" in str(progress.content))
        line.value = "hf_other"
        await pilot.press("enter")
        await wait_until(pilot, lambda: not app.screen.is_modal)
        await wait_until(pilot, lambda: names(app) == [NAME])
        await pilot.press("enter")
        await wait_until(pilot, lambda: "o opens its licence" in painted(app))
        assert "has not been admitted" in " ".join(details(app).split())
        hub.tokens["hf_other"].add(NAME)
        await pilot.press("r")
        await wait_until(pilot, lambda: not files(app) and names(app) == [NAME])
        await pilot.press("enter")
        await wait_until(pilot, lambda: "← recommended" in painted(app) or "← best" in painted(app))
    from backend import paths

    assert token_store.read_text() == "hf_other"
    for log in paths.log_dir().glob("*"):
        assert "hf_o" not in log.read_text()
