"""The queue: a table that outlives every process, and the worker that goes through it."""

import json
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest
from downloading import DATA, FILE, NAME, SHA, Fetch, means, order
from loopback_hub import Fault, Repo, pseudo_random, wrong_total
from waiting import wait_until_now

from backend import paths
from backend.database import Database
from backend.errors import SternaError
from backend.hub import partial
from backend.hub.cache import blob_path
from backend.hub.queue import Queue
from backend.hub.worker import Worker

SIZE = len(DATA)


@pytest.fixture
def database(home):
    opened = Database.open()
    yield opened
    opened.close()


@pytest.fixture
def queue(database):
    return Queue(database)


def model(hub, name, size=SIZE):
    hub.add(Repo(f"own/{name}", {FILE: pseudo_random(size, sum(name.encode()))}))
    return order(f"own/{name}")


class Working:
    """A worker in a thread of the test."""

    def __init__(self, queue, **options):
        self.told = []
        self.stop = threading.Event()
        self.worker = Worker(
            queue, means(), tell=lambda i, event: self.told.append((i, event)), **options
        )
        self.thread = threading.Thread(target=self.worker.run, args=(self.stop,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(20)
        assert not self.thread.is_alive()


def states(queue):
    return {item.order.repo.partition("/")[2]: item.state for item in queue.items()}


def all_done(queue):
    return set(states(queue).values()) == {"done"}


def test_it_works_through_everything_in_order(hub, queue):
    for name in ("A", "B", "C"):
        queue.add(model(hub, name, 300_000))
    with Working(queue, at_once=1) as working:
        wait_until_now(lambda: all_done(queue))
    started = [event["repo"] for _, event in working.told if event["event"] == "start"]
    assert started == ["own/A", "own/B", "own/C"]
    item = queue.items()[0]
    assert (item.done, item.bytes) == (300_000, 300_000)
    assert len(item.sha256) == 64
    assert item.path.endswith(FILE)


def test_several_at_once(hub, queue):
    hub.rate = 500_000
    for name in ("A", "B", "C"):
        queue.add(model(hub, name))
    with Working(queue, at_once=2):
        wait_until_now(lambda: list(states(queue).values()).count("running") == 2)
        assert states(queue)["C"] == "queued"
        hub.rate = None
        wait_until_now(lambda: all_done(queue))


def test_the_same_model_stands_there_once(hub, queue):
    first = queue.add(order())
    assert queue.add(order()).id == first.id
    queue.pause(first.id)
    assert queue.add(order()).state == "queued"


def test_pause_resume_cancel_and_remove(hub, queue):
    hub.rate = 300_000
    item = queue.add(order())
    with Working(queue):
        wait_until_now(lambda: queue.get(item.id).done > 100_000)
        queue.pause(item.id)
        seen = len(hub.served())
        blob = blob_path(NAME, SHA)
    assert queue.get(item.id).state == "paused"
    assert partial.fetched_bytes(blob) > 0
    queue.resume(item.id)
    with Working(queue):
        wait_until_now(lambda: queue.get(item.id).state == "running")
        wait_until_now(lambda: len(hub.served()) > seen)
        queue.cancel(item.id)
    assert queue.get(item.id).state == "cancelled"
    assert partial.fetched_bytes(blob) > 0
    queue.resume(item.id)
    assert queue.get(item.id).state == "queued"
    queue.cancel(item.id)
    assert queue.remove(item.id) > 0
    assert queue.get(item.id) is None
    assert not list(blob.parent.iterdir())


def test_a_new_order_of_places_takes_effect_at_once(hub, queue):
    hub.rate = 300_000
    a, b, c = (queue.add(model(hub, name)) for name in "ABC")
    queue.move(c.id, down=False)
    assert [item.id for item in queue.items()] == [a.id, c.id, b.id]
    with Working(queue, at_once=1):
        wait_until_now(lambda: states(queue)["A"] == "running")
        queue.move(a.id, down=True)
        wait_until_now(lambda: states(queue)["C"] == "running")
        wait_until_now(lambda: states(queue)["A"] == "queued")
        hub.rate = None
        wait_until_now(lambda: all_done(queue))
    queue.move(a.id, down=True)
    queue.move(999, down=True)


def test_a_failure_is_kept_with_its_reason_and_can_be_tried_again(hub, queue):
    item = queue.add(order())
    hub.faults = [Fault(wrong_total(3), times=None)]
    with Working(queue) as working:
        wait_until_now(lambda: queue.get(item.id).state == "failed")
    assert queue.get(item.id).error.kind == "bad_server"
    assert working.told[-1][1]["event"] == "error"
    hub.faults = []
    queue.resume(item.id)
    assert queue.get(item.id).error is None
    with Working(queue):
        wait_until_now(lambda: all_done(queue))


def test_a_file_that_was_replaced_meanwhile_is_fetched_anew(hub, queue):
    item = queue.add(order())
    fresh = pseudo_random(200_000, 77)
    repo = hub.repos[NAME]
    repo.put(FILE, fresh)
    repo.commits[item.order.commit] = repo.stored
    with Working(queue):
        wait_until_now(lambda: all_done(queue))
    done = queue.get(item.id)
    assert done.order.commit == repo.sha
    assert done.bytes == len(fresh)


def test_what_a_killed_worker_left_is_gone_on_with(hub, queue):
    hub.rate = 300_000
    item = queue.add(order())
    worker = subprocess.Popen([sys.executable, "-m", "backend.hub"], stdin=subprocess.PIPE)
    wait_until_now(lambda: queue.get(item.id).done > 0, seconds=40)
    worker.kill()
    worker.wait()
    assert queue.get(item.id).state == "running"
    assert [left.state for left in queue.waiting()] == ["queued"]
    hub.rate = None
    with Working(queue):
        wait_until_now(lambda: all_done(queue))


@pytest.mark.parametrize("how", ["closed", "asked"])
def test_the_worker_of_the_app_ends_with_it_and_leaves_the_queue_as_it_is(hub, queue, how):
    hub.rate = 300_000
    item = queue.add(order())
    worker = subprocess.Popen(
        [sys.executable, "-m", "backend.hub"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    wait_until_now(lambda: queue.get(item.id).done > 0, seconds=40)
    if how == "closed":
        worker.stdin.close()
    else:
        worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert worker.stdout.read() == b""
    worker.stdout.close()
    now = queue.get(item.id)
    assert (now.state, now.owner) == ("queued", None)
    assert now.done > 0


def test_a_limit_in_the_settings_reaches_the_worker(hub, queue):
    paths.settings_file().write_text("[downloads]\nmegabytes_per_second = 0.2\n")
    item = queue.add(order())
    with subprocess.Popen([sys.executable, "-m", "backend.hub"], stdin=subprocess.PIPE) as worker:
        wait_until_now(lambda: queue.get(item.id).speed > 0, seconds=40)
        assert queue.get(item.id).speed < 600_000
        worker.stdin.close()


def test_a_table_that_cannot_be_written_stops_no_download(hub, queue, database):
    hub.rate = 600_000
    item = queue.add(order())
    with Working(queue, only=item.id) as working:
        wait_until_now(lambda: queue.get(item.id).done > 0)
        other = sqlite3.connect(paths.database_file())
        other.execute("BEGIN IMMEDIATE")
        hub.rate = None
        wait_until_now(lambda: blob_path(NAME, SHA).exists())
        other.rollback()
        other.close()
        wait_until_now(lambda: all_done(queue))
    assert working.told[-1][1]["event"] == "done"


def test_names_of_the_table_are_data(hub, queue):
    item = queue.add(order())
    with sqlite3.connect(paths.database_file()) as connection:
        connection.execute("UPDATE downloads SET quant = ?", ("'); DROP TABLE downloads; --",))
    connection.close()
    assert queue.get(item.id).order.quant.startswith("')")
    assert json.dumps(queue.get(item.id).order.repo)


def test_what_is_done_is_listed_last_and_not_for_ever(hub, queue, database):
    for number in range(60):
        item = queue.add(model(hub, f"m{number}", 10))
        assert queue.claim(item.id, "1:1")
        queue.finish(item.id, "1:1", [Fetch(item.order).run()[0]], "/x")
    waiting = queue.add(order())
    listed = queue.items()
    assert listed[0].id == waiting.id
    assert len(listed) == 51
    database.close()
    with pytest.raises(SternaError):
        queue.items()
