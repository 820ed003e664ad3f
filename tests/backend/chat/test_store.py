import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from waiting import wait_until, wait_until_now

from backend import paths
from backend.chat.store import ChatStore
from backend.chat.wire import ChatMessage
from backend.database import Database
from backend.errors import SternaError


@pytest.fixture
def store():
    return ChatStore(Database.open())


def reopened():
    return ChatStore(Database.open())


def answered(store, chat, text, reason="stop", **more):
    writer = store.begin_reply(chat.id, **more)
    writer.push(text)
    return writer.finish(reason)


def said(messages):
    return [(message.role, message.content) for message in messages]


def test_a_conversation_is_kept(store):
    chat = store.create(model="starter", system="Be brief.")
    store.add(chat.id, "user", "What is Q4_K_M?\nTell me.")
    writer = store.begin_reply(
        chat.id, model="starter", sampling={"temperature": 0.5, "stop": ["\n"]}
    )
    writer.push("Four bits", reasoning="hm ")
    writer.push(" or so.", reasoning="yes")
    writer.finish("length", stats={"decode_per_second": 9.5}, seed=2**40)

    again = reopened()
    (found,) = again.conversations()
    assert (found.title, found.model, found.system) == ("What is Q4_K_M?", "starter", "Be brief.")
    assert found.messages == 2
    question, reply = again.branch(found.id)
    assert (question.role, question.finish_reason) == ("user", "stop")
    assert (reply.content, reply.reasoning) == ("Four bits or so.", "hm yes")
    assert reply.sampling == {"temperature": 0.5, "stop": ["\n"]}
    assert reply.stats == {"decode_per_second": 9.5}
    assert (reply.seed, reply.finish_reason, reply.model) == (2**40, "length", "starter")
    assert abs(reply.created - time.time()) < 60
    assert again.prompt(found.id) == [
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "What is Q4_K_M?\nTell me."),
        ChatMessage("assistant", "Four bits or so."),
    ]


def test_editing_keeps_the_old_branch(store):
    chat = store.create()
    first = store.add(chat.id, "user", "one")
    old = answered(store, chat, "first answer")
    edited = store.edit(first.id, "one, better")
    assert edited.siblings == (first.id, edited.id)
    assert said(store.branch(chat.id)) == [("user", "one, better")]
    answered(store, chat, "second answer")

    assert said(store.show(first.id)) == [("user", "one"), ("assistant", "first answer")]
    assert store.branch(chat.id)[0].siblings == (first.id, edited.id)
    assert said(store.show(edited.id)) == [("user", "one, better"), ("assistant", "second answer")]
    assert store.branch(chat.id)[-1].id != old.id


def test_answering_again_makes_a_sibling(store):
    chat = store.create()
    question = store.add(chat.id, "user", "?")
    one = answered(store, chat, "a")
    two = answered(store, chat, "b", parent_id=question.id)
    assert store.branch(chat.id)[-1].siblings == (one.id, two.id)
    store.show(one.id)
    store.add(chat.id, "user", "more")
    assert said(store.branch(chat.id)) == [("user", "?"), ("assistant", "a"), ("user", "more")]
    assert said(store.show(question.id))[-1] == ("user", "more")  # the latest leaf below it


def test_a_reply_that_came_to_nothing_leaves_no_trace(store):
    chat = store.create()
    question = store.add(chat.id, "user", "?")
    good = answered(store, chat, "good")
    writer = store.begin_reply(chat.id, parent_id=question.id)
    writer.discard()
    writer.finish("stop")
    assert [message.id for message in store.branch(chat.id)] == [question.id, good.id]
    assert store.branch(chat.id)[-1].siblings == (good.id,)


def test_dropping_turns_hides_them_from_the_model_only(store):
    chat = store.create(system="S")
    for number in range(4):
        store.add(chat.id, "user", f"q{number}")
        answered(store, chat, f"a{number}")
    store.drop_turns(chat.id, 1)
    store.drop_turns(chat.id, 1)
    assert [message.content for message in store.prompt(chat.id)] == ["S", "q2", "a2", "q3", "a3"]
    assert len(store.branch(chat.id)) == 8
    assert store.get(chat.id).start_id == store.branch(chat.id)[4].id
    with pytest.raises(SternaError, match="Only 1 older"):
        store.drop_turns(chat.id, 2)
    store.drop_turns(chat.id, 0)
    assert len(store.prompt(chat.id)) == 9


def test_list_order_pin_and_rename(store):
    one, two, three = (store.create(title=title) for title in ("one", "two", "three"))
    store.pin(one.id, True)
    store.add(two.id, "user", "newer now")
    store.rename(three.id, "  3 ")
    assert [chat.title for chat in store.conversations()] == ["one", "two", "3"]
    assert [chat.title for chat in store.conversations(limit=1, offset=1)] == ["two"]


def test_delete_can_be_undone_until_close(store):
    chat = store.create(title="precious")
    message = store.add(chat.id, "user", "remember the kestrel")
    store.delete(chat.id)
    assert store.conversations() == []
    assert store.search("kestrel") == []
    for use in (
        lambda: store.get(chat.id),
        lambda: store.branch(chat.id),
        lambda: store.edit(message.id, "x"),
        lambda: store.delete(chat.id),
    ):
        with pytest.raises(SternaError) as caught:
            use()
        assert caught.value.kind == "not_found"

    assert store.undelete(chat.id).title == "precious"
    assert len(store.search("kestrel")) == 1
    store.delete(chat.id)
    store.close()
    with pytest.raises(SternaError):
        reopened().undelete(chat.id)
    files = paths.database_file().parent.glob("sterna.db*")
    assert not [file for file in files if b"kestrel" in file.read_bytes()]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("kestrel", ["birds"]),
        ("KEST", ["birds"]),
        ("hovers kestrel", ["birds"]),
        ("kestrel fish", []),
        ("zurich", ["cities"]),
        ("cit", ["cities"]),
        ("量化", ["japanese"]),
        ('" OR content:* AND (', []),
        ("in c++", ["code"]),
        ("NEAR(", []),
        ("!?", []),
        ("", []),
        ("a\0b", []),
    ],
)
def test_search(store, text, found):
    for title, content in {
        "birds": "The kestrel hovers.",
        "cities": "From Zürich to Kraków",
        "japanese": "モデルの量化とは何ですか",
        "code": "in C++ it is",
    }.items():
        chat = store.create(title=title, model="m")
        store.add(chat.id, "user", content)
    hits = store.search(text)
    assert [hit.conversation.title for hit in hits] == found
    assert all("\x02" in hit.snippet and "\x03" in hit.snippet for hit in hits)
    assert [hit.conversation.title for hit in store.search(text, model="m")] == found
    assert store.search(text, model="other") == []


def test_search_sees_a_reply_once_it_is_complete(store):
    chat = store.create(model="m")
    store.add(chat.id, "user", "?")
    writer = store.begin_reply(chat.id, model="other")
    writer.push("an albatross")
    assert store.search("albatross") == []
    message = writer.finish("stop")
    assert [hit.message_id for hit in store.search("albatross", model="other")] == [message.id]


def test_a_crash_costs_less_than_a_second_of_a_reply(store):
    chat = store.create()
    store.add(chat.id, "user", "?")
    code = f"""
import asyncio
from backend.chat.store import ChatStore
from backend.database import Database
async def main():
    writer = ChatStore(Database.open()).begin_reply({chat.id})
    writer.push("saved at once, ")
    writer.push("saved soon")
    await asyncio.sleep(600)
asyncio.run(main())
"""
    child = subprocess.Popen([sys.executable, "-c", code])

    def content():
        return store.branch(chat.id)[-1].content

    wait_until_now(lambda: content() == "saved at once, saved soon")
    assert (
        reopened().branch(chat.id)[-1].finish_reason is None
    )  # its writer lives: not ours to close
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    last = reopened().branch(chat.id)[-1]
    assert (last.content, last.finish_reason) == ("saved at once, saved soon", "interrupted")
    assert reopened().search("soon")


def test_an_empty_interrupted_reply_is_removed(store):
    chat = store.create()
    question = store.add(chat.id, "user", "?")
    code = (
        "from backend.chat.store import ChatStore\nfrom backend.database import Database\n"
        f"import os\nChatStore(Database.open()).begin_reply({chat.id})\nos._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert [message.id for message in reopened().branch(chat.id)] == [question.id]


async def test_pieces_are_saved_in_batches(store, monkeypatch):
    chat = store.create()
    writer = store.begin_reply(chat.id)
    other = reopened()
    saves = []
    monkeypatch.setattr(
        writer, "_save", lambda save=writer._save: (saves.append(time.monotonic()), save())
    )
    for number in range(500):
        writer.push(f"{number} ")
        await asyncio.sleep(0)
    await wait_until(lambda: "499" in other.branch(chat.id)[-1].content, seconds=2)
    assert len(saves) <= 4
    writer.finish("stop")
    assert other.branch(chat.id)[-1].content == "".join(f"{number} " for number in range(500))


def test_what_no_database_could_hold_is_kept_as_well_as_it_can_be(store):
    chat = store.create(title="a\ud800b")
    store.add(chat.id, "user", "lone \udfff surrogate and \0 and 🦅")
    assert store.branch(chat.id)[0].content == "lone ? surrogate and \0 and 🦅"


def test_a_reply_that_cannot_be_saved_is_not_lost_to_its_reader():
    database = Database.open()
    store = ChatStore(database)
    chat = store.create()
    store.add(chat.id, "user", "?")
    writer = store.begin_reply(chat.id)
    with database.reading() as connection:
        connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(SternaError) as caught:
        writer.push("long " * 100_000)
    assert caught.value.kind == "disk_full"
    assert len(writer.message.content) == 500_000
    with database.reading() as connection:
        connection.execute("PRAGMA max_page_count = 100000")
    assert writer.finish("stop").content == store.branch(chat.id)[-1].content


def test_exports(store):
    chat = store.create(system="Be brief.")
    first = store.add(chat.id, "user", "one")
    answered(store, chat, "**uno**", "cancelled", model="starter")
    store.edit(first.id, "eins")
    store.show(first.id)
    text = store.export_markdown(chat.id)
    assert text.startswith("# one\n")
    parts = ["## System\n\nBe brief.", "## You\n\none", "## starter\n\n**uno**\n\n*(cancelled)*"]
    assert all(part in text for part in parts)
    assert "eins" not in text
    tree = json.loads(store.export_json(chat.id))
    assert [message["content"] for message in tree["messages"]] == ["one", "**uno**", "eins"]
    assert tree["conversation"]["system"] == "Be brief."
    assert tree["messages"][1]["parent_id"] == tree["messages"][0]["id"]


def test_a_parent_of_another_conversation_is_refused(store):
    one, two = store.create(), store.create()
    message = store.add(one.id, "user", "here")
    with pytest.raises(SternaError, match="another conversation"):
        store.add(two.id, "user", "there", parent_id=message.id)


def test_a_long_history_opens_by_few_queries():
    database = Database.open()
    store = ChatStore(database)
    chat = store.create()
    for number in range(1000):
        store.add(chat.id, "user" if number % 2 == 0 else "assistant", f"message {number} " * 50)
    asked: list[str] = []
    with database.reading() as connection:
        connection.set_trace_callback(asked.append)
    assert len(store.branch(chat.id)) == 1000
    assert 0 < len(asked) < 6


def test_titles_are_short_and_clean(store):
    chat = store.create()
    store.add(chat.id, "user", "\n\n \x1b[31m" + "word " * 40)
    title = store.get(chat.id).title
    assert title.startswith("␛[31mword")
    assert len(title) <= 61
    assert title.endswith("word…")
