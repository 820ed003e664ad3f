"""Small downloads with real parts: a model on the loopback Hub, fetched in small pieces."""

import dataclasses
import hashlib
import threading

import pytest
from loopback_hub import Repo, pseudo_random

from backend.errors import SternaError
from backend.hub import partial
from backend.hub.cache import blob_path
from backend.hub.client import HubClient
from backend.hub.download import Download
from backend.hub.order import Order
from backend.hub.repository import read_repository
from backend.hub.transfer import Means, StoppedError
from backend.hub.variants import choose
from backend.hub.work import Patience

NAME = "own/Tiny-GGUF"
FILE = "tiny-Q4_K_M.gguf"
PIECE = 64 << 10
DATA = pseudo_random(30 * PIECE + 12_345)
SHA = hashlib.sha256(DATA).hexdigest()
QUICK = Patience(first=0.01, longest=0.1, stall=0.5, still=0.05)


def tiny_repo(**more):
    """Return a repository with one quant, of 31 pieces."""
    return Repo(NAME, {FILE: DATA, "README.md": b"---\nlicense: mit\n---\n# Tiny\n", **more})


def means(**changes):
    """Return quick means: small pieces, three connections, next to no patience."""
    usual = Means(patience=QUICK, connections=3, piece=PIECE, small=0, tick=0.01)
    return dataclasses.replace(usual, **changes)


def order(repo=NAME, choice=""):
    """Ask the Hub and return the order for a variant."""
    found = read_repository(HubClient(), repo)
    variant = choose(found.variants, choice, repo)
    return Order(repo, found.commit, variant.files, variant.quant, license=found.model.license)


class Fetch:
    """A download whose events are kept. `stop_at` stops it once so many bytes are there."""

    def __init__(self, wanted=None, stop_at=None, **changes):
        self.order = wanted or order()
        self.events = []
        self.stop = threading.Event()
        self._stop_at = stop_at
        find = {"find": changes.pop("find")} if "find" in changes else {}
        self._download = Download(self.order, means(**changes), self.stop, self._tell, **find)

    def _tell(self, event):
        self.events.append(event)
        far = event["event"] == "progress" and event["bytes"] >= (self._stop_at or 0)
        if far and self._stop_at is not None:
            self.stop.set()

    def run(self):
        """Fetch; return the files, or None when it was stopped."""
        try:
            return self._download.run()
        except StoppedError:
            return None

    def of(self, kind):
        """Return the events of a kind."""
        return [event for event in self.events if event["event"] == kind]


def journalled(repo=NAME, sha=SHA):
    """Return the pieces that the journal says are on disk."""
    data = partial.journal_path(blob_path(repo, sha)).read_bytes()
    return sorted(partial._read_journal(data)[1])


def overlaps(requests, pieces, piece=PIECE):
    """Return which of `pieces` any of the requests asked for."""
    asked = set()
    for request in requests:
        first, last = request.range
        asked |= set(range(first // piece, last // piece + 1))
    return asked & set(pieces)


def failure(fetch):
    """Let a download fail; return why."""
    with pytest.raises(SternaError) as caught:
        fetch.run()
    return caught.value


def served_twice(hub):
    """Return the bytes that left the server more than once."""
    return sum(sent for _, sent in hub.ranges()) - len(DATA)
