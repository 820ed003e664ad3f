"""Chat: the real app, the real engine in its child process, the real starter model."""

from collections.abc import Callable

import pytest
from ggufs import tiny_llama
from piloting import wait_until
from talking import (
    answered,
    answering,
    composer,
    cost,
    engines,
    meter,
    notice,
    open_chat,
    say,
    views,
)
from tiny_vocabularies import byte_level, never_ending

from backend import paths
from tui.panes.transcript import Transcript
from tui.state import Phase
from tui.widgets.turns import UserView

SIZES = [(80, 24), (120, 40)]
QUESTION = "What is a ternary model?"
LONG = "Tell me all you know. " * 120


@pytest.fixture(autouse=True)
def settings(home) -> Callable[..., None]:
    """Write the settings of a test: one thread, for a model this small gains nothing from more."""

    def write(context: int | None = None, temperature: float = 0.7) -> None:
        lines = ["[chat]", f"temperature = {temperature}", "[engine]", "threads = 1"]
        lines += [f"context = {context}"] if context else []
        paths.settings_file().parent.mkdir(parents=True, exist_ok=True)
        paths.settings_file().write_text("\n".join(lines))

    write()
    return write


@pytest.mark.parametrize("size", SIZES)
async def test_pick_ask_and_read_the_answer(app, size):
    async with app.run_test(size=size) as pilot:
        await open_chat(pilot)
        await say(pilot, QUESTION)
        reply = await answered(pilot, 2)
        assert reply.text.strip()
        line = cost(reply)
        for part in ("tok/s", "first token", "tokens", "prompt"):
            assert part in line
        await wait_until(pilot, lambda: app.engine.used, what="an exact count")
        assert f"{app.engine.used:,} of 2,048" in meter(app)


async def test_the_second_turn_reads_only_what_is_new(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await open_chat(pilot)
        await say(pilot, QUESTION)
        first = await answered(pilot, 2)
        await say(pilot, "And what is Q4_K_M?")
        second = await answered(pilot, 4)
        assert second.turn.stats.cached >= first.turn.stats.prompt_tokens
        assert second.turn.stats.prompt_tokens > second.turn.stats.cached


async def test_escape_stops_at_once_and_keeps_what_came(app):
    models = paths.models_dir()
    models.mkdir(parents=True)
    # Of a few hundred tokens, random weights soon choose one that ends the turn.
    endless = never_ending(byte_level())
    tiny_llama(
        models / "endless.gguf", hidden=512, layers=4, ffn=1024, context=4096, metadata=endless
    )
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(pilot, "endless")
        await say(pilot, QUESTION)
        await answering(pilot)
        await pilot.press("escape")
        await wait_until(pilot, lambda: app.engine.phase is Phase.READY, seconds=5)
        reply = views(app)[-1]
        await wait_until(pilot, lambda: "stopped by you" in cost(reply))
        assert reply.text
        assert composer(app).has_focus
        assert app.engine.used is None or app.engine.used < 4096


async def test_again_makes_a_second_version_and_both_are_kept(app, settings):
    settings(temperature=1.5)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_chat(pilot)
        await say(pilot, QUESTION)
        first = (await answered(pilot, 2)).text
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: "⑂ 2/2" in cost(views(app)[-1]), seconds=60)
        second = views(app)[-1].text
        await pilot.press("escape", "left")
        await wait_until(pilot, lambda: "⑂ 1/2" in cost(views(app)[-1]))
        assert views(app)[-1].text == first
        await pilot.press("right")
        await wait_until(pilot, lambda: "⑂ 2/2" in cost(views(app)[-1]))
        assert views(app)[-1].text == second


async def test_editing_the_last_message_asks_again_and_keeps_the_old_branch(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(pilot)
        await say(pilot, "What is ternary")
        await answered(pilot, 2)
        await pilot.press("up")
        assert composer(app).text == "What is ternary"
        await say(pilot, "?")
        await wait_until(pilot, lambda: views(app)[0].turn.text == "What is ternary?")
        await answered(pilot, 2)
        assert views(app)[0].turn.version == "⑂ 2/2"


async def test_an_edit_that_is_given_up_changes_nothing(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(pilot)
        await say(pilot, QUESTION)
        await answered(pilot, 2)
        await pilot.press("up", *"more", "escape")
        assert composer(app).text == ""
        await wait_until(pilot, lambda: app.engine.phase is Phase.READY)
        assert [view.turn.version for view in views(app)] == ["", ""]


async def test_a_full_context_refuses_and_offers_ways_out(app, settings):
    settings(context=512)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_chat(pilot)
        await say(pilot, QUESTION)
        await answered(pilot, 2)
        composer(app).load_text(LONG)
        await pilot.press("enter")
        await wait_until(pilot, lambda: "512" in notice(app), what="a refusal")
        assert composer(app).text == LONG
        assert len(views(app)) == 2
        assert "ctrl+n" in notice(app)


async def test_leaving_out_the_oldest_turns_is_asked_for_and_shown(app, settings):
    settings(context=256)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_chat(pilot)
        for count in range(2, 40, 2):
            await say(pilot, QUESTION)
            await wait_until(
                pilot,
                lambda count=count: (
                    "ctrl+t" in notice(app)
                    or (len(views(app)) == count and "tok/s" in cost(views(app)[-1]))
                ),
                seconds=60,
            )
            if notice(app):
                break
            await wait_until(pilot, lambda: app.engine.phase is Phase.READY)
        before = len(views(app))
        await pilot.press("ctrl+t")
        await answered(pilot, before + 2)
        assert [view.turn.text for view in views(app) if isinstance(view, UserView)] == [
            QUESTION
        ] * (before // 2 + 1)
        left_out = [view for view in views(app) if not view.turn.sent]
        assert left_out == views(app)[: len(left_out)]
        assert left_out
        assert "no longer sent" in str(left_out[0].notes)
        assert app.engine.used < 256


async def test_a_killed_engine_is_told_and_starts_again(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(pilot)
        await say(pilot, QUESTION)
        await answered(pilot, 2)
        (engine,) = engines()
        engine.kill()
        await wait_until(pilot, lambda: app.engine.phase is Phase.FAILED, what="its end")
        await wait_until(pilot, lambda: "ctrl+r" in notice(app))
        assert len(views(app)) == 2
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: app.engine.phase is Phase.READY, seconds=60)
        assert notice(app) == ""
        await say(pilot, "Are you there?")
        await answered(pilot, 4)


async def test_a_message_to_a_dead_engine_waits_for_the_next_one(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(pilot)
        (engine,) = engines()
        engine.kill()
        await wait_until(pilot, lambda: app.engine.phase is Phase.FAILED)
        await say(pilot, QUESTION)
        await wait_until(pilot, lambda: len(views(app)) == 1)
        await pilot.press("ctrl+r")
        await answered(pilot, 2)


async def test_a_model_that_cannot_be_loaded_says_why(app, shelf):
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(pilot, "hostile")
        assert app.engine.phase is Phase.FAILED
        await wait_until(pilot, lambda: "✗" in notice(app))
        assert "evil [/nope] ␛[2J" in notice(app)
        assert "\x1b" not in notice(app)


async def test_leaving_ends_the_engine(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(pilot)
        assert len(engines()) == 1
        await pilot.press("ctrl+q")
    assert not engines()


async def test_what_is_typed_stays_text(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(pilot)
        composer(app).insert("[/nope] [@click=app.quit]x[/] \x1b[2J 13q?\nline two")
        await pilot.press("enter")
        await answered(pilot, 2)
        shown = str(views(app)[0].query_one(".said").content)
        assert shown == "[/nope] [@click=app.quit]x[/] ␛[2J 13q?\nline two"
        assert app.current_mode == "chat"


async def test_a_new_line_by_key_and_by_backslash(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(pilot)
        await pilot.press(*"one", "alt+enter", *"two", "backslash", "enter", *"three")
        assert composer(app).text == "one\ntwo\nthree"


async def test_copy_takes_the_chosen_message(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(pilot)
        await say(pilot, QUESTION)
        reply = await answered(pilot, 2)
        await pilot.press("escape")
        await wait_until(pilot, lambda: app.screen.query_one(Transcript).has_focus)
        await pilot.press("y")
        await wait_until(pilot, lambda: app.clipboard == reply.text)
        await pilot.press("up", "y")
        await wait_until(pilot, lambda: app.clipboard == QUESTION)
        await pilot.press("c")
        assert composer(app).has_focus


async def test_without_a_model_a_message_is_not_lost(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.library.scanned)
        await pilot.press("3")
        await wait_until(pilot, lambda: app.screen.query("Composer"))
        await pilot.press("c")
        await say(pilot, "hello")
        assert composer(app).text == "hello"
        assert not views(app)
