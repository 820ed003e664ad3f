"""The hash of a file that is still arriving: follows the pieces from the first to the last."""

import hashlib
import re
import threading
from typing import TYPE_CHECKING

from backend.errors import SternaError
from backend.hub.work import Work

if TYPE_CHECKING:
    from hashlib import _Hash

_EVERY = 64  # pieces between two states that are kept to go back to
_AT_ONCE = 256 << 10  # bytes: what stays in the processor's cache between reading and hashing
_BATCH = 4 << 20  # bytes of pieces that are waited for together
_GIT = re.compile(r"[0-9a-f]{40}")


class Hasher(threading.Thread):
    """Reads every piece once it is there, checks those of an earlier run against the journal.

    `digest` is the sha256 when all of it was read. Files outside LFS are named by git's hash of a
    blob instead: SHA-1 of `blob SIZE`, a zero byte, the content.
    """

    def __init__(self, work: Work, first: int = 0, before: "Hasher | None" = None) -> None:
        super().__init__(name="sterna-hasher", daemon=True)
        self._work = work
        self._most = max(1, _BATCH // work.partial.piece)
        self._buffer = bytearray(_AT_ONCE)
        named_by_git = _GIT.fullmatch(work.source.etag)
        self._states: dict[int, tuple[_Hash, _Hash | None]] = {}
        if before is not None:
            self._states = {at: state for at, state in before._states.items() if at <= first}
        start = b"blob %d\0" % work.partial.size
        git = hashlib.sha1(start, usedforsecurity=False) if named_by_git else None
        self._at = max(self._states, default=0)
        self._hashes = self._states.get(self._at, (hashlib.sha256(), git))
        self._unchecked = set(work.partial.found) if before is None else set()
        self.digest = ""
        self._git_digest = ""

    @property
    def finished(self) -> bool:
        """Whether the whole file was read."""
        return bool(self.digest)

    @property
    def right(self) -> bool:
        """Whether the content is what its name says; true where the name is no hash."""
        expected = self._work.source.sha256
        if expected:
            return self.digest == expected
        return not self._git_digest or self._git_digest == self._work.source.etag

    def run(self) -> None:
        """Follow."""
        try:
            self._follow()
        except SternaError as error:
            self._work.fail(error)
        except Exception as error:
            fact = f"Checking failed inside Sterna: {type(error).__name__}: {error}."
            self._work.fail(SternaError("internal", fact, "Please report this."))

    def _follow(self) -> None:
        work, over = self._work, self._work.stop
        sha256, git = (h.copy() if h else None for h in self._hashes)
        assert sha256 is not None
        index = self._at
        while index < work.pieces.count:
            if index % _EVERY == 0:
                self._states[index] = (sha256.copy(), git.copy() if git else None)
            most = min(self._most, _EVERY - index % _EVERY)
            count = work.pieces.wait_for(index, over, most)
            if over.is_set() or not count:
                return
            count = self._sound(index, count)
            for data in work.partial.read(index, self._buffer, count):
                sha256.update(data)
                if git:
                    git.update(data)
            index += count
        self._git_digest = git.hexdigest() if git else ""
        self.digest = sha256.hexdigest()
        work.pieces.wake()

    def _sound(self, first: int, count: int) -> int:
        """Return how many pieces, from the first, are not other than an earlier run journalled them.

        One that is will be asked for again.
        """
        partial = self._work.partial
        for index in sorted(self._unchecked.intersection(range(first, first + count))):
            self._unchecked.discard(index)
            if not partial.is_sound(index, self._buffer):
                partial.forget(index)
                self._work.pieces.lose([index])
                return index - first
        return count
