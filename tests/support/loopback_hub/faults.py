"""What can go wrong on the way. A fault changes an answer, or how its body is sent."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Fault:
    """`change` is applied to the next `times` answers (None: all) of a kind.

    `kind` is `api`, `resolve` or `file` (bytes of a file, whichever host sends them); `path` is a
    part of the path asked for; `after` answers of that kind pass unharmed first.
    """

    change: Callable
    kind: str = "file"
    times: int | None = 1
    path: str = ""
    after: int = 0

    def strike(self, request, answer):
        """Change this answer, if it is meant; counts. A change that finds nothing to do says False."""
        if answer.kind != self.kind or self.path not in request.path or request.method != "GET":
            return
        if self.after > 0:
            self.after -= 1
        elif (self.times is None or self.times > 0) and (
            self.change(request, answer) is not False and self.times is not None
        ):
            self.times -= 1


def drop(after):
    """Close the connection when this many bytes of the body are sent."""

    def change(_request, answer):
        answer.cut = after
        return after < len(answer.body)

    return change


def stall(after):
    """Send this many bytes of the body and then nothing, the connection open."""

    def change(_request, answer):
        answer.stall = after

    return change


def status(code, **headers):
    """Answer with another status and no content."""

    def change(_request, answer):
        answer.status, answer.body, answer.file = code, b"", None
        answer.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    return change


def header(**headers):
    """Set headers; None takes one away."""

    def change(_request, answer):
        for name, value in headers.items():
            answer.headers.pop(name.replace("_", "-"), None)
            if value is not None:
                answer.headers[name.replace("_", "-")] = value

    return change


def ignore_range(_request, answer):
    """Answer 200 with the whole file."""
    if answer.file is not None:
        answer.status, answer.body = 200, memoryview(answer.file.data)
        answer.headers.pop("Content-Range", None)


def wrong_total(total):
    """Claim that the whole file has another size."""

    def change(_request, answer):
        claimed = answer.headers.get("Content-Range", "")
        answer.headers["Content-Range"] = f"{claimed.partition('/')[0]}/{total}"

    return change


def short(count):
    """Send so many bytes less than were asked for, and say so."""

    def change(_request, answer):
        answer.body = answer.body[: len(answer.body) - count]

    return change


def flip(offset):
    """Turn over one bit of the file's byte at `offset`, if it is in this answer."""

    def change(_request, answer):
        place = offset - answer.start
        if not 0 <= place < len(answer.body):
            return False
        data = bytearray(answer.body)
        data[place] ^= 1
        answer.body = bytes(data)
        return True

    return change


def other_content(data, etag='"other"'):
    """Send the bytes of another version of the file, under another ETag."""

    def change(_request, answer):
        answer.body = data[answer.start : answer.start + len(answer.body)]
        answer.headers["ETag"] = etag

    return change


def gzipped(_request, answer):
    """Compress the body, whatever was accepted."""
    answer.body = gzip.compress(bytes(answer.body), 1)
    answer.headers["Content-Encoding"] = "gzip"
