"""One of the connections that fetch a file, each a thread."""

import threading
import time

from xxhash import xxh3_64

from backend.errors import SternaError
from backend.hub.pace import MOUTHFUL
from backend.hub.pieces import Span
from backend.hub.wire import (
    ChangedError,
    ExpiredError,
    MisbehavedError,
    NoRangesError,
    Reply,
    RetryableError,
)
from backend.hub.work import Work

_JUDGED_AFTER_S = 5.0
_SLOW = 8  # times slower than the quickest: opened anew while others have nothing to do
_BUSY = 0.5  # share of its time that a connection works when the line is faster than the processor
_REFUSALS = 3  # answers without ranges before the server is believed to know none


class Connection(threading.Thread):
    """Takes spans and fetches them until the work is over. Errors that are final end the work."""

    def __init__(self, work: Work, number: int) -> None:
        super().__init__(name=f"sterna-connection-{number}", daemon=True)
        self.idle = False
        self._work = work
        self._over = work.stop
        self._reply: Reply | None = None
        self._failures = 0  # in a row, of this connection
        self._refusals = 0
        self._began = 0.0
        self._got = 0  # bytes of the answer that is being read
        self._busy = 0.0
        self._buffer = memoryview(bytearray(MOUTHFUL))

    def run(self) -> None:
        """Work."""
        try:
            while not self._over.is_set() and not self._work.only_whole:
                span = self._work.pieces.take()
                self.idle = span is None
                if span is None:
                    self._work.pieces.wait_for_work(self._over)
                else:
                    self._try(span)
        except SternaError as error:
            self._work.fail(error)
        except Exception as error:  # a bug must end the transfer, not leave it waiting for ever
            fact = f"A connection failed inside Sterna: {type(error).__name__}: {error}."
            self._work.fail(SternaError("internal", fact, "Please report this."))

    @property
    def waits(self) -> bool:
        """Whether most of its time passes without work: another connection would bring more."""
        return self._busy < _BUSY

    def interrupt(self) -> None:
        """Make it stop reading at once."""
        if (reply := self._reply) is not None:
            reply.interrupt()

    def interrupt_if_slow(self) -> None:
        """Give up an answer that comes much slower than others did."""
        age = time.monotonic() - self._began
        slow = self._got / max(age, 1e-3) * _SLOW < self._work.best_rate
        if self._reply is not None and age > _JUDGED_AFTER_S and slow:
            self.interrupt()

    def _try(self, span: Span) -> None:
        work, at, source = self._work, span.at, self._work.source
        try:
            self._fetch(span)
        except RetryableError as error:
            if span.at > at:
                self._failures = 0
            self._failures += 1
            work.pieces.give_back(span)
            if not self._over.is_set():
                work.trouble.note(error)
                self._recover(error, source)
        except BaseException:
            work.pieces.give_back(span)
            raise
        else:
            self._failures = self._refusals = 0
            work.behaved()
            work.pieces.done(span)

    def _recover(self, error: RetryableError, source: object) -> None:
        """Do what this failure asks for, then wait."""
        work = self._work
        if isinstance(error, NoRangesError):
            self._refusals += 1
            if self._refusals >= _REFUSALS:
                work.only_whole = True
                return
        elif isinstance(error, MisbehavedError):
            work.misbehaved(error)
        if isinstance(error, ChangedError):
            # Which version each piece is of, only the hash of the whole can tell.
            work.suspects |= {i for i in range(work.pieces.count) if work.pieces.is_there(i)}
            work.etag = ""
        if isinstance(error, ExpiredError | ChangedError) and source is work.source:
            try:
                work.locate_again(work.source)
            except RetryableError as refused:
                error = refused
            else:
                if self._failures <= 1:
                    return
        work.trouble.wait(self._failures, error.wait, self._over)

    def _fetch(self, span: Span) -> None:
        work = self._work
        last = span.end - 1
        reply = work.wire.range(work.source, span.at, last, work.etag)
        work.etag = work.etag or reply.etag
        self._began, self._got, self._reply = time.monotonic(), 0, reply
        worked = time.thread_time()
        complete = False
        try:
            while span.at < span.end:
                most = min(work.throttle.mouthful, span.end - span.at)
                data = self._buffer[: reply.fill(self._buffer[:most])]
                if not data:
                    raise RetryableError("the connection ended early")
                work.throttle.take(len(data), self._over)
                if self._over.is_set():
                    raise RetryableError("stopped")
                self._land(span, data)
                self._busy = (time.thread_time() - worked) / (time.monotonic() - self._began)
            complete = span.end - 1 == last
            age = time.monotonic() - self._began
            work.best_rate = max(work.best_rate, self._got / max(age, 1e-3))
        finally:
            self._reply = None
            reply.close(reuse=complete)

    def _land(self, span: Span, data: memoryview) -> None:
        """Write what came; journal the pieces that are whole with it."""
        work = self._work
        work.partial.write(span.at, data)
        whole: dict[int, int] = {}
        while data:
            index = span.at // work.pieces.piece
            end = work.partial.extent(index)[1]
            part = data[: end - span.at]
            span.checksum.update(part)
            span.at += len(part)
            self._got += len(part)
            data = data[len(part) :]
            if span.at == end:
                whole[index] = span.checksum.intdigest()
                span.checksum.reset()
        if whole:
            work.partial.finish(whole)
            work.pieces.arrived(whole)
        work.trouble.over()


class WholeReader(threading.Thread):
    """Fetches a file from a server that knows no ranges: from the start, in one go, again and again.

    What is on disk already is received again, as there is no other way, but not written again.
    """

    def __init__(self, work: Work) -> None:
        super().__init__(name="sterna-whole", daemon=True)
        self.idle = self.waits = False
        self._work = work
        self._over = work.stop
        self._reply: Reply | None = None

    def run(self) -> None:
        """Work."""
        work, failures = self._work, 0
        try:
            while not self._over.is_set() and not work.pieces.complete:
                source = work.source
                try:
                    self._fetch()
                    work.behaved()
                    failures = 0
                except RetryableError as error:
                    if self._over.is_set():
                        return
                    failures += 1
                    work.trouble.note(error)
                    if isinstance(error, MisbehavedError):
                        work.misbehaved(error)
                    if isinstance(error, ExpiredError):
                        work.locate_again(source)
                    work.trouble.wait(failures, error.wait, self._over)
        except RetryableError as error:
            work.fail(SternaError("offline", f"The Hub does not answer: {error}.", "Resume later."))
        except SternaError as error:
            work.fail(error)
        except Exception as error:
            fact = f"A connection failed inside Sterna: {type(error).__name__}: {error}."
            work.fail(SternaError("internal", fact, "Please report this."))

    def interrupt(self) -> None:
        """Make it stop reading at once."""
        if (reply := self._reply) is not None:
            reply.interrupt()

    def interrupt_if_slow(self) -> None:
        """Leave it: there is no other to take over."""

    def _fetch(self) -> None:
        work = self._work
        reply = self._reply = work.wire.whole(work.source)
        at, checksum, buffer = 0, xxh3_64(), memoryview(bytearray(MOUTHFUL))
        try:
            while got := reply.fill(buffer[: work.throttle.mouthful]):
                work.throttle.take(got, self._over)
                if self._over.is_set():
                    raise RetryableError("stopped")
                at = self._land(at, checksum, buffer[:got])
        finally:
            self._reply = None
            reply.close()
        if at != work.pieces.size:
            raise RetryableError(f"the connection ended after {at} of {work.pieces.size} bytes")

    def _land(self, at: int, checksum: xxh3_64, data: memoryview) -> int:
        work = self._work
        if at + len(data) > work.pieces.size:
            raise MisbehavedError(
                f"the server sends more than the {work.pieces.size} bytes announced"
            )
        while data:
            index = at // work.pieces.piece
            end = work.partial.extent(index)[1]
            part = data[: end - at]
            wanted = not work.pieces.is_there(index)
            if wanted:
                work.partial.write(at, part)
            checksum.update(part)
            at += len(part)
            data = data[len(part) :]
            if at == end:
                if wanted:
                    work.partial.finish({index: checksum.intdigest()})
                    work.pieces.arrived([index])
                checksum.reset()
        work.trouble.over()
        return at
