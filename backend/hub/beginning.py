"""The beginning of a file on the Hub, in as few bytes as it takes."""

from backend.errors import SternaError
from backend.hub.locate import Source
from backend.hub.wire import NoRangesError, Reply, RetryableError, Wire

_TRIES = 3


def fetch_more(wire: Wire, source: Source, start: int, end: int) -> bytes:
    """Return the bytes from `start` up to `end`, which may take several answers; raises SternaError."""
    data = bytearray()
    failure: Exception | None = None
    for _ in range(_TRIES):
        try:
            while start + len(data) < end:
                reply = _reply(wire, source, start + len(data), end - 1)
                try:
                    _drain(reply, start + len(data) - reply.first, data, end - start)
                finally:
                    reply.close(reuse=reply.ranged and start + len(data) == end)
        except RetryableError as error:
            failure = error
            continue
        return bytes(data)
    raise SternaError(
        "bad_server", f"The start of the file could not be read: {failure}.", "Try again later."
    ) from failure


def _reply(wire: Wire, source: Source, first: int, last: int) -> Reply:
    """Ask for a range; a server that knows none sends the file from its first byte, which will do."""
    try:
        return wire.range(source, first, last)
    except NoRangesError:
        reply = wire.whole(source)
        if reply.packed:
            reply.close()
            raise
        return reply


def _drain(reply: Reply, skipped: int, data: bytearray, most: int) -> None:
    """Read on until `data` has `most` bytes, leaving out the first `skipped`."""
    before = len(data)
    while len(data) < most:
        chunk = reply.read(skipped + most - len(data))
        if not chunk:
            break
        data += chunk[skipped:]
        skipped = max(0, skipped - len(chunk))
    if len(data) == before:
        raise RetryableError("the connection ended early")
