"""One file arrives whole, whatever the server, the network or the disk do."""

import threading

import pytest
from downloading import (
    DATA,
    FILE,
    NAME,
    PIECE,
    QUICK,
    SHA,
    Fetch,
    failure,
    journalled,
    order,
    overlaps,
    served_twice,
)
from huggingface_hub import hf_hub_download, scan_cache_dir
from loopback_hub import (
    Fault,
    Repo,
    drop,
    flip,
    gzipped,
    header,
    ignore_range,
    other_content,
    pseudo_random,
    short,
    stall,
    status,
    wrong_total,
)

from backend.hub import partial, place
from backend.hub.cache import blob_path
from backend.hub.work import Patience


def test_it_lands_where_every_tool_looks(hub):
    fetch = Fetch()
    (file,) = fetch.run()
    assert file.path.read_bytes() == DATA
    assert file.sha256 == SHA
    assert served_twice(hub) == 0
    before = len(hub.requests)
    theirs = hf_hub_download(
        NAME, FILE, endpoint=hub.endpoint, cache_dir=place.cache_dir(), local_files_only=True
    )
    assert theirs == str(file.path)
    assert len(hub.requests) == before
    (repo,) = scan_cache_dir(place.cache_dir()).repos
    assert repo.repo_id == NAME
    assert repo.size_on_disk == len(DATA)
    assert {path.name for path in blob_path(NAME, SHA).parent.iterdir()} == {SHA}
    done = fetch.events[-1]
    assert (done["event"], done["bytes"], done["sha256"]) == ("done", len(DATA), SHA)
    assert done["path"] == str(file.path)
    assert fetch.events[0]["license"] == "apache-2.0"


def test_what_is_there_is_not_fetched_again(hub):
    Fetch().run()
    before = len(hub.served())
    (file,) = Fetch().run()
    assert file.linked
    assert len(hub.served()) == before


def test_what_the_library_fetched_is_taken_over(hub):
    theirs = hf_hub_download(NAME, FILE, endpoint=hub.endpoint, cache_dir=place.cache_dir())
    before = len(hub.served())
    (file,) = Fetch().run()
    assert str(file.path) == theirs
    assert len(hub.served()) == before


FAULTS = {
    "dropped at once": [Fault(drop(0), times=3)],
    "dropped after a byte": [Fault(drop(1))],
    "dropped inside a piece": [Fault(drop(PIECE * 2 + 777), times=4)],
    "stalled": [Fault(stall(PIECE + 5), times=2)],
    "busy": [Fault(status(503), times=4)],
    "too many requests": [Fault(status(429, Retry_After="0"), times=3)],
    "failing": [Fault(status(500), times=2), Fault(status(502), after=3)],
    "whole once": [Fault(ignore_range)],
    "whole always": [Fault(ignore_range, times=None)],
    "another total": [Fault(wrong_total(7), times=2)],
    "fewer bytes": [Fault(short(1000), times=2)],
    "no range in the answer": [Fault(header(Content_Range=None), times=2)],
    "another range": [Fault(header(Content_Range=f"bytes 5-9/{len(DATA)}"), times=2)],
    "compressed once": [Fault(gzipped)],
    "compressed always": [Fault(gzipped, times=None)],
    "a bit flipped": [Fault(flip(PIECE * 17 + 5))],
    "the last byte flipped": [Fault(flip(len(DATA) - 1))],
    "another version once": [Fault(other_content(pseudo_random(len(DATA), 9)), after=1)],
    "another version, same etag": [
        Fault(other_content(pseudo_random(len(DATA), 9), f'"{SHA[:32]}"'), after=1)
    ],
    "the Hub fails": [Fault(status(500), kind="resolve")],
}


@pytest.mark.parametrize("name", FAULTS)
def test_it_arrives_right_in_spite_of(hub, name):
    hub.faults = FAULTS[name]
    (file,) = Fetch().run()
    assert file.path.read_bytes() == DATA
    if name.startswith(("dropped", "busy", "failing", "too many")):
        assert served_twice(hub) == 0
    if name == "a bit flipped":
        assert served_twice(hub) < len(DATA)  # found before all of it was fetched again


@pytest.mark.parametrize(
    "fault",
    [
        Fault(wrong_total(7), times=None),
        Fault(header(Content_Range=None), times=None),
        Fault(status(416), times=None),
        Fault(status(302, Location="file:///etc/passwd"), times=None),
        Fault(status(302, Location="/again"), times=None),
        Fault(status(418), times=None),
    ],
    ids=lambda fault: fault.change.__qualname__.partition(".")[0],
)
def test_a_server_that_always_lies_is_told_and_nothing_is_published(hub, fault):
    hub.faults = [fault]
    assert failure(Fetch()).kind == "bad_server"
    assert not blob_path(NAME, SHA).exists()
    hub.faults = []
    assert Fetch().run()[0].sha256 == SHA


def test_a_size_that_the_hub_itself_contradicts(hub):
    wanted = order()
    hub.faults = []
    hub.repos[NAME].stored[FILE].data = DATA[:-5]
    assert failure(Fetch(wanted)).kind == "bad_server"


def test_content_that_is_not_what_it_is_named_after(hub):
    wrong = flip(PIECE)
    hub.faults = [Fault(wrong, times=None)]
    error = failure(Fetch())
    assert error.kind == "hash_mismatch"
    assert not blob_path(NAME, SHA).exists()


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_stopped_and_resumed_no_finished_piece_is_fetched_twice(hub, at):
    hub.rate = 1_500_000
    assert Fetch(stop_at=at * len(DATA)).run() is None
    finished = journalled()
    assert finished
    seen = len(hub.requests)
    hub.rate = None
    assert partial.fetched_bytes(blob_path(NAME, SHA)) >= len(finished) * PIECE - PIECE
    (file,) = Fetch().run()
    assert file.sha256 == SHA
    again = [request for request in hub.requests[seen:] if request in hub.served()]
    assert again
    assert not overlaps(again, finished)


def test_what_the_disk_spoilt_between_two_runs_is_fetched_again_and_nothing_else(hub):
    hub.rate = 1_500_000
    Fetch(stop_at=len(DATA) // 2).run()
    hub.rate = None
    finished = journalled()
    spoilt = finished[len(finished) // 2]
    with partial.partial_path(blob_path(NAME, SHA)).open("r+b") as file:
        file.seek(spoilt * PIECE + 10)
        file.write(b"\0\0\0\0")
    seen = len(hub.requests)
    (fetched,) = Fetch().run()
    assert fetched.path.read_bytes() == DATA
    again = [request for request in hub.requests[seen:] if request in hub.served()]
    assert overlaps(again, finished) == {spoilt}


@pytest.mark.parametrize("harm", ["cut", "garbage", "gone", "of another size"])
def test_a_damaged_journal_costs_no_more_than_a_download(hub, harm):
    hub.rate = 1_500_000
    Fetch(stop_at=len(DATA) // 2).run()
    hub.rate = None
    journal = partial.journal_path(blob_path(NAME, SHA))
    data = journal.read_bytes()
    changed = {
        "cut": data[:-4],
        "garbage": data + b"\0\0\xff 7 zz\n99999 00000000\n-x\n5 1234567\n",
        "gone": None,
        "of another size": data.replace(str(len(DATA)).encode(), b"77"),
    }[harm]
    journal.unlink() if changed is None else journal.write_bytes(changed)
    (file,) = Fetch().run()
    assert file.path.read_bytes() == DATA


def test_it_waits_for_a_network_that_is_gone_and_says_so(hub):
    hub.rate = 2_000_000
    fetch = Fetch(patience=Patience(first=0.01, longest=0.05, stall=0.5, still=0.02))
    told = threading.Event()
    tell = fetch._download._tell

    def watch(event):
        tell(event)
        if event["event"] == "progress" and event["bytes"] > len(DATA) // 4 and not told.is_set():
            told.set()
            hub.go_down()
        elif event["event"] == "stalled" and event["retry"] >= 3 and event["seconds"] > 0:
            hub.rate = None
            hub.come_back()
            fetch._download._tell = tell

    fetch._download._tell = watch
    (file,) = fetch.run()
    assert file.sha256 == SHA
    assert any(event["seconds"] > 0 and event["message"] for event in fetch.of("stalled"))


def test_it_begins_when_the_hub_comes_back(hub):
    wanted = order()
    hub.go_down()
    fetch = Fetch(wanted)
    tell = fetch._download._tell

    def watch(event):
        tell(event)
        if event["event"] == "stalled" and event["retry"] == 3:
            hub.come_back()

    fetch._download._tell = watch
    assert fetch.run()[0].sha256 == SHA


def test_patience_has_an_end(hub):
    wanted = order()
    hub.go_down()
    error = failure(Fetch(wanted, patience=Patience(first=0.01, longest=0.02, total=0.2)))
    assert error.kind == "offline"
    assert "kept" in error.hint


def test_an_expired_address_is_asked_for_again(hub):
    hub.rate = 1_500_000
    fetch = Fetch()
    tell = fetch._download._tell

    def watch(event):
        tell(event)
        if event["event"] == "progress" and event["bytes"] > len(DATA) // 4:
            hub.signature = "second"

    fetch._download._tell = watch
    (file,) = fetch.run()
    assert file.sha256 == SHA
    assert any("second" in request.target for request in hub.served())


def test_a_gated_model_and_its_two_ways_out(hub, monkeypatch):
    hub.add(Repo("own/Locked", {FILE: DATA}, gated="manual"))
    hub.tokens = {"hf_member": {"own/Locked"}, "hf_stranger": set()}
    wanted = order("own/Locked")
    error = failure(Fetch(wanted))
    assert error.kind == "gated_no_token"
    assert "settings/tokens" in error.hint
    monkeypatch.setenv("HF_TOKEN", "hf_stranger")
    error = failure(Fetch(wanted))
    assert error.kind == "gated_licence"
    assert f"{hub.endpoint}/own/Locked" in error.hint
    assert "hf_stranger" not in error.message + error.hint
    monkeypatch.setenv("HF_TOKEN", "hf_member")
    assert Fetch(wanted).run()[0].sha256 == SHA
    assert not any("authorization" in request.headers for request in hub.served())


@pytest.mark.parametrize("connections", [1, 3])
def test_a_slow_line_gets_as_many_connections_as_there_may_be(hub, connections):
    hub.rate = 700_000
    fetch, seen = Fetch(connections=connections), []
    tell = fetch._download._tell

    def watch(event):
        tell(event)
        seen.append(sum("sterna-connection" in t.name for t in threading.enumerate()))

    fetch._download._tell = watch
    assert fetch.run()[0].sha256 == SHA
    assert max(seen) == connections


def test_a_limit_on_bandwidth_holds_for_all_connections_together(hub):
    import time

    from backend.hub.pace import Throttle

    began = time.monotonic()
    Fetch(throttle=Throttle(4_000_000)).run()
    assert time.monotonic() - began > len(DATA) / 4_000_000 * 0.8


def test_quick_patience_is_only_for_tests():
    assert Patience().total > 3600 > QUICK.longest
