"""The chats that are kept: listed, found, opened, renamed, deleted and brought back. No engine needed."""

import pytest
from piloting import wait_until
from talking import views
from textual.widgets import Input, Static

from backend.chat.store import ChatStore
from backend.database import Database
from tui.panes.conversations import ChatList, Conversations

HOSTILE = "[/nope] \x1b[2J [@click=app.quit]x[/]"


@pytest.fixture
def chats(home):
    """Keep three chats: a long one, a short one and one that means harm."""
    database = Database.open()
    store = ChatStore(database)
    long = store.create(model="tiny F32")
    for number in range(30):
        store.add(long.id, "user", f"question {number}")
        reply = store.begin_reply(long.id, model="tiny F32")
        reply.push(f"answer **{number}** about terns")
        reply.finish("stop", stats={"tokens": number, "per_second": 9.8})
    short = store.create(model="tiny F32")
    store.add(short.id, "user", "a short one")
    bad = store.create(model=HOSTILE, title=HOSTILE)
    store.add(bad.id, "user", HOSTILE)
    store.close()
    database.close()
    return {"long": long.id, "short": short.id, "bad": bad.id}


async def open_list(pilot):
    app = pilot.app
    await pilot.press("3")
    await wait_until(pilot, lambda: app.screen.query(Conversations))
    await pilot.press("ctrl+o")
    await wait_until(pilot, lambda: app.screen.query_one(ChatList).has_focus)
    return app.screen.query_one(ChatList)


def titles(app) -> list[str]:
    chats = app.screen.query_one(ChatList)
    return [str(option.prompt).split("\n")[0].strip(" ▸") for option in chats.options]


async def choose(pilot, chat: int) -> None:
    chats = pilot.app.screen.query_one(ChatList)
    await pilot.press("home")
    for _ in range(chats.option_count):
        if chats.chosen == chat:
            return
        await pilot.press("down")
    raise AssertionError(f"chat {chat} is not listed")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_an_opened_chat_shows_its_end_and_more_on_the_way_up(app, chats, size):
    async with app.run_test(size=size) as pilot:
        await open_list(pilot)
        await choose(pilot, chats["long"])
        await pilot.press("enter")
        await wait_until(pilot, lambda: len(views(app)) == 20)
        assert views(app)[-1].text == "answer **29** about terns"
        assert "9.8 tok/s" in str(views(app)[-1].query_one(".cost", Static).content)
        app.screen.query_one("Transcript").focus()
        await pilot.press("home")
        await wait_until(pilot, lambda: len(views(app)) == 30)


async def test_search_looks_into_every_message(app, chats):
    async with app.run_test(size=(120, 40)) as pilot:
        await open_list(pilot)
        assert len(titles(app)) == 3
        await pilot.press("slash", *"terns")
        await wait_until(pilot, lambda: len(titles(app)) == 1)
        assert app.screen.query_one(ChatList).get_option_at_index(0).id == str(chats["long"])
        await pilot.press(*"zzz")
        await wait_until(pilot, lambda: not titles(app))
        assert "ternszzz" in str(app.screen.query_one(".why-empty", Static).content)


async def test_rename(app, chats):
    async with app.run_test(size=(80, 24)) as pilot:
        await open_list(pilot)
        await choose(pilot, chats["short"])
        await pilot.press("f2")
        await wait_until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press("end", *" [b]", "enter")
        await wait_until(pilot, lambda: "a short one [b]" in titles(app))


async def test_rename_can_be_given_up(app, chats):
    async with app.run_test(size=(80, 24)) as pilot:
        await open_list(pilot)
        before = titles(app)
        await pilot.press("f2", *"xyz", "escape")
        await wait_until(pilot, lambda: not app.screen.is_modal)
        assert titles(app) == before


async def test_delete_and_undo(app, chats):
    async with app.run_test(size=(80, 24)) as pilot:
        await open_list(pilot)
        await choose(pilot, chats["long"])
        await pilot.press("x")
        await wait_until(pilot, lambda: len(titles(app)) == 2)
        await choose(pilot, chats["short"])
        await pilot.press("x")
        await wait_until(pilot, lambda: len(titles(app)) == 1)
        await pilot.press("u", "u")
        await wait_until(pilot, lambda: len(titles(app)) == 3)
        await pilot.press("u")
        assert any("Nothing" in note.message for note in app._notifications)


async def test_deleting_the_open_chat_empties_the_screen(app, chats):
    async with app.run_test(size=(120, 40)) as pilot:
        await open_list(pilot)
        await choose(pilot, chats["short"])
        await pilot.press("enter")
        await wait_until(pilot, lambda: len(views(app)) == 1)
        await pilot.press("escape", "escape", "3", "ctrl+o")
        await wait_until(pilot, lambda: app.screen.query_one(ChatList).has_focus)
        await pilot.press("x")
        await wait_until(pilot, lambda: not views(app))


async def test_hostile_titles_and_messages_are_text(app, chats):
    async with app.run_test(size=(80, 24)) as pilot:
        await open_list(pilot)
        assert "[/nope] ␛[2J [@click=app.quit]x[/]" in titles(app)
        await choose(pilot, chats["bad"])
        await pilot.press("enter")
        await wait_until(pilot, lambda: len(views(app)) == 1)
        assert str(views(app)[0].query_one(".said").content) == "[/nope] ␛[2J [@click=app.quit]x[/]"
        await pilot.press("ctrl+o", "x")
        await wait_until(pilot, lambda: len(titles(app)) == 2)


async def test_chats_survive_the_app(app, chats, home):
    from tui.app import SternaApp

    for _ in range(2):
        again = SternaApp()
        async with again.run_test(size=(120, 40)) as pilot:
            await open_list(pilot)
            assert len(titles(again)) == 3


async def test_a_history_that_cannot_be_opened_is_told_and_chatting_works(home):
    from backend import paths
    from tui.app import SternaApp

    paths.database_file().parent.mkdir(parents=True, exist_ok=True)
    paths.database_file().mkdir()
    app = SternaApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await wait_until(pilot, lambda: app.screen.query(Conversations))
        await wait_until(pilot, lambda: any("kept" in note.message for note in app._notifications))
