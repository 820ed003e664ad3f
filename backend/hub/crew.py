"""The threads that fetch one file: as many connections as bring more, and no more.

Where the line is what is slow, several connections fetch more than one. Where the processor is, they only
stand in each other's way: so one begins, and others join as long as all of them mostly wait.
"""

import threading
import time

from backend.hub.connection import Connection, WholeReader
from backend.hub.hashing import Hasher
from backend.hub.work import Work

_POLITE_S = 2.0  # to wait for threads that are to stop


class Crew:
    """Connections of one transfer, `most` at most, and the hasher that follows them if there is one."""

    def __init__(self, work: Work, most: int, hasher: Hasher | None) -> None:
        self._work = work
        self._most = most
        self._members: list[Connection | WholeReader] = []
        self._threads: list[threading.Thread] = []
        if hasher is not None:
            self._start(hasher)
        self.reinforce()

    def reinforce(self) -> None:
        """Start who is needed: one at first, then as many again with each call."""
        members = self._members
        if self._work.only_whole:
            if not any(isinstance(member, WholeReader) for member in members):
                self._enlist(WholeReader(self._work))
        elif all(member.waits for member in members):
            more = min(max(1, len(members)), self._most - len(members))
            for _ in range(more):
                self._enlist(Connection(self._work, len(members)))

    def hurry(self) -> None:
        """While somebody has nothing to do, let those that are much slower than others begin anew."""
        if self._work.throttle.rate is None and any(member.idle for member in self._members):
            for member in self._members:
                member.interrupt_if_slow()

    def dismiss(self) -> None:
        """End all threads. One that waits for a host to answer may take a little longer: it touches
        nothing any more, and the file stays open under it.
        """
        work = self._work
        work.end()
        until = time.monotonic() + _POLITE_S
        for member in self._members:
            member.interrupt()
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        work.pieces_in_use |= any(thread.is_alive() for thread in self._threads)

    def _enlist(self, member: Connection | WholeReader) -> None:
        self._members.append(member)
        self._start(member)

    def _start(self, thread: threading.Thread) -> None:
        self._threads.append(thread)
        thread.start()
