"""A server that answers with bytes given beforehand: other people's dialects, and broken ones."""

import asyncio
import contextlib
import json


class CannedServer:
    """`answers` maps a path to (status, content type, chunks); what was asked is in `requests`.

    With `close_early` the connection ends in the middle of the body.
    """

    def __init__(self, answers, *, close_early=False):
        self.answers = answers
        self.close_early = close_early
        self.requests = []
        self.hung_up = asyncio.Event()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _serve(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split()[1]
            headers = dict(
                line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line
            )
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.requests.append((path, headers, json.loads(body) if body else None))
            missing = (404, "application/json", [b'{"detail":"Not Found"}'])
            status, kind, chunks = self.answers.get(path, missing)
            writer.write(
                f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n"
                "Connection: close\r\n\r\n".encode()
            )
            for chunk in chunks:
                if chunk is None:  # wait until the client leaves
                    await reader.read()
                    self.hung_up.set()
                    return
                writer.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                await writer.drain()
            if not self.close_early:
                writer.write(b"0\r\n\r\n")
        writer.close()


def sse(*values):
    """Return the chunks of a stream of events, ended by [DONE]."""
    lines = [f"data: {json.dumps(value)}\n\n" for value in values]
    return [line.encode() for line in [*lines, "data: [DONE]\n\n"]]


def delta(text=None, reason=None, **more):
    """Return a chunk of a chat."""
    return {"choices": [{"index": 0, "delta": {"content": text, **more}, "finish_reason": reason}]}
