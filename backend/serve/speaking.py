"""A generation as an HTTP response, streamed or whole. When the client leaves, the engine stops."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend.errors import SternaError
from backend.serve.logs import log_failure
from backend.serve.replies import Shape, error_body, json_reply
from backend.serve.worker import Finish, Job, Piece

SILENCE_S = 5.0  # a comment after so much silence tells client and proxies that it goes on

_log = logging.getLogger(__name__)
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


async def whole(request: Request, job: Job, shape: Shape) -> Response:
    """Return the reply in one piece; raises ClientDisconnect when nobody waits for it any more."""

    async def collect() -> Response:
        text = ""
        async with contextlib.aclosing(job.events(SILENCE_S)) as events:
            async for event in events:
                if isinstance(event, Piece):
                    text += event.text
                elif isinstance(event, Finish):
                    return json_reply(shape.whole(text, event.report, event.queued_s))
        raise AssertionError("a job always finishes")

    work = asyncio.create_task(collect())
    leaving = asyncio.create_task(_left(request.receive))
    try:
        await asyncio.wait((work, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    finally:
        job.cancel()
        await _end(work, leaving)


class EventStream(Response):
    """The reply as server-sent events."""

    def __init__(self, job: Job, shape: Shape, *, with_usage: bool) -> None:
        self.status_code = 200
        self.background = None
        self._job = job
        self._shape = shape
        self._with_usage = with_usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the reply ends or the client leaves."""
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                with contextlib.suppress(OSError):  # the client left in between
                    sending.result()
        finally:
            self._job.cancel()
            await _end(sending, leaving)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        async with contextlib.aclosing(self._lines()) as lines:
            async for line in lines:
                await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _lines(self) -> AsyncGenerator[bytes, None]:
        shape = self._shape
        opening = shape.opening()
        if opening is not None:
            yield _event(opening)
        try:
            async with contextlib.aclosing(self._job.events(SILENCE_S)) as events:
                async for event in events:
                    if isinstance(event, Piece):
                        yield _event(shape.piece(event.text))
                    elif isinstance(event, Finish):
                        yield _event(shape.closing(event.report, event.queued_s))
                        if self._with_usage:
                            yield _event(shape.usage(event.report, event.queued_s))
                    else:
                        yield b": still at work\n\n"
        except SternaError as error:
            yield _event(error_body(error))
        except Exception as error:  # the headers are out: this is the only way left to say it
            log_failure(_log, "A streamed reply failed", error)
            yield _event(error_body(SternaError("internal", "The server failed on this request.")))
        yield b"data: [DONE]\n\n"


def _event(value: object) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(*tasks: asyncio.Task[object] | asyncio.Task[None] | asyncio.Task[Response]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
