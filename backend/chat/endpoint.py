"""HTTP to one endpoint: where it is, what its refusals mean.

Loaded only once a chat begins: the HTTP library takes longer to import than the first screen to paint.
"""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2
import msgspec

from backend.chat.lenient import Fields, fields, string
from backend.errors import SternaError
from backend.text import clean

CONNECT_S = 10.0
ANSWER_S = 30.0  # for questions that need no generation
SILENCE_S = 900.0  # a long prompt on a slow processor keeps an endpoint quiet for minutes
_ERROR_BYTES = 65_536
_ERROR_CHARS = 500
_LOCAL = ("localhost", "127.", "[::1]", "::1")
_FULL = ("context_length_exceeded", "exceed_context_size", "context_full")
_FULL_WORDS = ("context length", "context size", "context window", "maximum context")


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event: the fields of its JSON object, or None for the final `[DONE]`."""

    value: Fields | None


class Endpoint:
    """One address. Its methods raise SternaError alone."""

    def __init__(self, address: str, api_key: str | None) -> None:
        self.address = address
        base, transport = _where(address)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        try:
            self._http = httpx2.AsyncClient(
                base_url=base,
                transport=transport,
                headers=headers,
                timeout=httpx2.Timeout(ANSWER_S, connect=CONNECT_S, pool=None),
                trust_env=not base.split("//")[1].startswith(_LOCAL),  # no proxy sees local talk
            )
        except (httpx2.InvalidURL, UnicodeError) as error:
            raise _bad_address(address) from error

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def get(self, path: str) -> Fields | None:
        """Return the JSON object at `path`, or None where the endpoint has no such thing."""
        return await self._ask("GET", path, None)

    async def post(self, path: str, body: Mapping[str, object]) -> Fields | None:
        """Return the JSON object that answers `body`, or None where there is no such thing."""
        return await self._ask("POST", path, body)

    async def events(self, path: str, body: Mapping[str, object]) -> AsyncGenerator[Event, None]:
        """Yield the answer's events; an answer in one piece counts as one event.

        Closing the generator closes the connection.
        """
        timeout = httpx2.Timeout(SILENCE_S, connect=CONNECT_S)
        with self._explained():
            async with self._http.stream("POST", path, json=body, timeout=timeout) as response:
                if response.status_code >= 400:
                    raise _refusal(response.status_code, await _start_of(response))
                if not _is(response, "text/event-stream"):
                    yield Event(_object(await response.aread()))
                    return
                events = aiter(httpx2.EventSource(response))
                async with contextlib.aclosing(_closable(events)) as stream:
                    async for event in stream:
                        data = event.data.strip()
                        if data == "[DONE]":
                            yield Event(None)
                            return
                        if data:
                            yield Event(_object(data.encode()))

    async def _ask(
        self, method: str, path: str, body: Mapping[str, object] | None
    ) -> Fields | None:
        with self._explained():
            response = await self._http.request(method, path, json=body)
        if response.status_code in (404, 405, 501):
            return None
        if response.status_code >= 400:
            raise _refusal(response.status_code, response.content[:_ERROR_BYTES])
        try:
            return _object(response.content)
        except SternaError:
            return None  # some servers answer unknown paths with a page and status 200

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise SternaError(
                "engine_unreachable",
                f"Nothing answers at {clean(self.address)}.",
                "Check the address, and that the server runs.",
            ) from error
        except httpx2.TimeoutException as error:
            raise SternaError(
                "engine_unreachable",
                f"{clean(self.address)} stopped answering.",
                "Try again; the server may be overloaded.",
            ) from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, UnicodeError) as error:
            raise _bad_address(self.address) from error
        except httpx2.HTTPError as error:
            raise SternaError(
                "engine_unreachable",
                f"The connection to {clean(self.address)} broke off.",
                "Try again.",
            ) from error


def _where(address: str) -> tuple[str, httpx2.AsyncBaseTransport | None]:
    """Return the base URL without `/v1`, and the transport for a Unix socket."""
    if address.startswith("unix:"):
        return "http://localhost", httpx2.AsyncHTTPTransport(uds=address.removeprefix("unix:"))
    base = address.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    try:
        parts = urlsplit(base)
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port beyond 65535, a broken IPv6 address
        whole = False
    if not whole:
        raise _bad_address(address)
    return base, None


def _bad_address(address: str) -> SternaError:
    return SternaError(
        "bad_argument",
        f"{clean(address)!r} is no address of a server.",
        "Write it as http://host:port, https://host or unix:/path/to/socket.",
    )


def _is(response: httpx2.Response, media_type: str) -> bool:
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower() == media_type


async def _closable(
    events: AsyncIterator[httpx2.ServerSentEvent],
) -> AsyncGenerator[httpx2.ServerSentEvent, None]:
    async for event in events:
        yield event


async def _start_of(response: httpx2.Response) -> bytes:
    content = b""
    async for part in response.aiter_bytes():
        content += part
        if len(content) > _ERROR_BYTES:
            break
    return content[:_ERROR_BYTES]


def _object(data: bytes) -> Fields:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise SternaError(
            "bad_reply",
            "The endpoint answered with something that is not JSON.",
            "Check that the address is that of an OpenAI-compatible server.",
        ) from error
    found = fields(value)
    if found.get("error"):
        raise _refusal(0, data)
    return found


def _refusal(status: int, body: bytes) -> SternaError:
    """Return what an error body of any of the usual shapes says."""
    try:
        value = fields(msgspec.json.decode(body))
    except (msgspec.DecodeError, RecursionError):
        value = {"message": body.decode("utf-8", "replace")}
    inner = fields(value.get("error")) or value
    said = (value.get("error"), inner.get("message"), value.get("detail"), value.get("message"))
    message = next((text for text in map(string, said) if text), "")
    message = clean(message).strip()[:_ERROR_CHARS] or f"The endpoint refused with status {status}."
    kind = _kind(status, inner, message.lower())
    return SternaError(kind, message, clean(string(inner.get("hint")))[:_ERROR_CHARS])


def _kind(status: int, error: Fields, message: str) -> str:
    named = f"{string(error.get('code'))} {string(error.get('type'))}"
    if any(word in named for word in _FULL) or any(word in message for word in _FULL_WORDS):
        return "context_full"
    if "hint" in error and error.get("code"):  # Sterna's own engine: it names the kind itself
        return string(error.get("code"))
    if status in (401, 403):
        return "unauthorised"
    if status == 404:
        return "not_found"
    if status in (429, 503):
        return "busy"
    return "bad_argument" if 400 <= status < 500 else "engine_failed"
