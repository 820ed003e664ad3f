"""Killed at any moment, a download goes on: no finished piece is fetched twice, and the hash is right.

The short form runs with every test; `make test-long` kills `sterna pull` 50 times on 210 MB.
"""

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

import killable
import pytest
from downloading import journalled, overlaps
from loopback_hub import Repo, pseudo_random
from waiting import wait_until_now

from backend.hub import partial
from backend.hub.cache import blob_path

REPO, FILE = "own/Big-GGUF", "big-Q4_K_M.gguf"


class Victim:
    """Starts a download again and again, and kills it."""

    def __init__(self, hub, data, piece, command):
        self.hub, self.data, self.piece = hub, data, piece
        self.sha = hashlib.sha256(data).hexdigest()
        self.command = command
        self.finished = []
        self.seen = 0
        hub.add(Repo(REPO, {FILE: data}))

    def start(self):
        self.seen = len(self.hub.requests)
        return subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)

    def sent(self):
        return sum(sent for _, sent in self.hub.ranges())

    def kill_after(self, count):
        """Let so many more bytes leave the server, then kill; at once if it has ended before."""
        goal = self.sent() + count
        process = self.start()
        wait_until_now(lambda: self.sent() >= goal or process.poll() is not None, seconds=1500)
        process.kill()
        process.communicate()
        self.check_requests()
        if partial.journal_path(blob_path(REPO, self.sha)).exists():
            now = journalled(REPO, self.sha)
            assert set(self.finished) <= set(now), "a finished piece was lost"
            self.finished = now

    def check_requests(self):
        since = [r for r in self.hub.requests[self.seen :] if r.host == "cdn"]
        assert not overlaps(since, self.finished, self.piece), "a finished piece was fetched again"

    def end(self):
        """Let it come to its end; return the last event."""
        process = self.start()
        out, _ = process.communicate(timeout=300)
        self.check_requests()
        assert process.returncode == 0
        return json.loads(out.splitlines()[-1])


def survive(victim, kills, rng):
    for number in range(kills):
        left = len(victim.data) - len(victim.finished) * victim.piece
        # Now and then before the first byte; otherwise so that there is something left to the end.
        victim.kill_after(0 if number % 5 == 2 else rng.random() * left * 3 / kills)
    assert victim.finished
    done = victim.end()
    assert (done["event"], done["sha256"]) == ("done", victim.sha)
    assert hashlib.sha256(Path(done["path"]).read_bytes()).hexdigest() == victim.sha
    lost = victim.sent() - len(victim.data)
    # Each kill costs what was under way: a begun piece a connection, and what the sockets held.
    assert lost <= (kills + 1) * 4 * (victim.piece + (8 << 20))


def test_killed_a_few_times(hub):
    hub.rate = 3_000_000
    piece = 64 << 10
    command = [sys.executable, killable.__file__, REPO, str(piece)]
    survive(Victim(hub, pseudo_random(12_000_000, 3), piece, command), 6, random.Random(7))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_killed_fifty_times(hub):
    hub.rate = 10_000_000
    data = pseudo_random(210_000_000, 4)
    command = [sys.executable, "-m", "tui.cli", "pull", REPO, "--json"]
    survive(Victim(hub, data, partial.piece_for(len(data)), command), 50, random.Random(11))
