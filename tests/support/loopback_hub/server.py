"""HTTP/1.1 on two ports of loopback, in a thread of its own: the Hub and its content network."""

import asyncio
import contextlib
import threading

from loopback_hub.protocol import Answer, Protocol, Request

_CHUNK = 256 * 1024


class LoopbackHub:
    """Use as a context manager. `endpoint` is what HF_ENDPOINT takes.

    `repos` by id; `tokens` maps a token to the gated repositories whose licence its owner accepted;
    `faults` strike in order; `requests` is all that was asked. `rate` caps each connection in bytes
    a second. Another `signature` makes all earlier addresses of the content network expire.
    """

    def __init__(self, *repos):
        self.repos = {repo.id: repo for repo in repos}
        self.tokens = {}
        self.faults = []
        self.requests = []
        self.signature = "first"
        self.rate = None
        self.endpoint = self.cdn = ""
        self._protocol = Protocol(self)
        self._loop = asyncio.new_event_loop()
        self._connections = set()
        self._ports = {}

    def add(self, repo):
        self.repos[repo.id] = repo
        return repo

    def served(self, path=""):
        """Return the requests for bytes of files."""
        return [
            r for r in self.requests if r.method == "GET" and r.host == "cdn" and path in r.path
        ]

    def ranges(self):
        """Return first byte and number of bytes of everything that the content network sent."""
        return [((r.range or (0, None))[0], r.sent) for r in self.served()]

    def go_down(self):
        """Take the whole Hub off the network; `come_back` puts it back on the same ports."""
        self._call(self._stop())

    def come_back(self):
        self._call(self._start())

    def __enter__(self):
        started = threading.Event()

        def work():
            asyncio.set_event_loop(self._loop)
            self._loop.call_soon(started.set)
            self._loop.run_forever()

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()
        started.wait()
        self._call(self._start())
        return self

    def __exit__(self, *_):
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _start(self):
        self._servers = []
        for host in ("hub", "cdn"):
            server = await asyncio.start_server(
                lambda reader, writer, host=host: self._serve(host, reader, writer),
                "127.0.0.1",
                self._ports.get(host, 0),
                limit=1 << 20,
            )
            self._ports[host] = server.sockets[0].getsockname()[1]
            self._servers.append(server)
        self.endpoint = f"http://127.0.0.1:{self._ports['hub']}"
        # Another name is another host: nothing of the user's may follow there.
        self.cdn = f"http://localhost:{self._ports['cdn']}"

    async def _stop(self):
        for server in self._servers:
            server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, host, reader, writer):
        task = asyncio.current_task()
        self._connections.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(host, reader, writer):
                    pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._connections.discard(task)
            writer.close()

    async def _one(self, host, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        pairs = (line.split(": ", 1) for line in head[1:] if ": " in line)
        request = Request(host, method, target, {name.lower(): value for name, value in pairs})
        await reader.readexactly(int(request.headers.get("content-length", 0)))
        self.requests.append(request)
        answer = self._protocol.answer(request)
        for fault in self.faults:
            fault.strike(request, answer)
        return await self._send(request, answer, reader, writer)

    async def _send(self, request, answer: Answer, reader, writer):
        headers = {"Content-Length": str(len(answer.body)), **answer.headers}
        lines = [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([f"HTTP/1.1 {answer.status} X", *lines, "", ""]).encode("utf-8"))
        if request.method == "HEAD":
            await writer.drain()
            return True
        rate = answer.rate or self.rate
        untouched = answer.cut is None and answer.stall is None and rate is None
        if (
            untouched
            and answer.file is not None
            and answer.file.origin
            and answer.status in (200, 206)
        ):
            await writer.drain()
            with answer.file.origin.open("rb") as file:
                count = len(answer.body)
                request.sent = await self._loop.sendfile(
                    writer.transport, file, answer.start, count
                )
            return True
        ends = [n for n in (answer.cut, answer.stall) if n is not None]
        stop = min([len(answer.body), *ends])
        step = _CHUNK if rate is None else max(1, min(_CHUNK, int(rate / 50)))
        view = memoryview(answer.body)
        while request.sent < stop:
            piece = view[request.sent : min(request.sent + step, stop)]
            writer.write(piece)
            await writer.drain()
            request.sent += len(piece)
            if rate is not None:
                await asyncio.sleep(len(piece) / rate)
        if answer.stall is not None and stop < len(answer.body):
            await reader.read()  # until the client leaves
            return False
        if stop < len(answer.body):
            return False
        await writer.drain()
        return True
