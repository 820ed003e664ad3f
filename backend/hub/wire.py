"""Bytes of a file over HTTP, in ranges, with every answer checked before a byte of it is believed.

Bulk data goes through urllib3: huggingface_hub's own client spends several times the processor time
on each byte. Proxies and certificates are those that the rest of the ecosystem uses.
"""

import http.client
import re
import ssl
import threading
import time
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from backend.hub import failures
from backend.hub.locate import Source

CONNECT_S = 15.0
_REDIRECTS = 5
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_MOST_WAIT_S = 300.0
_MOMENT_S = 0.1  # to gather what comes slowly, before it is passed on


class RetryableError(Exception):
    """An attempt failed, and another may not. `wait` is what the server asks for, in seconds."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class ExpiredError(RetryableError):
    """The address of the content is no longer valid: ask the Hub for a new one."""


class MisbehavedError(RetryableError):
    """The server did not do what HTTP says. A few times is bad luck; always is a reason to stop."""


class NoRangesError(MisbehavedError):
    """The server sends the whole file whatever is asked for."""


class ChangedError(MisbehavedError):
    """The server has another version of the file than before."""


@dataclass
class Reply:
    """An answer whose body begins at byte `first` of the file."""

    response: urllib3.BaseHTTPResponse
    first: int
    etag: str
    packed: bool = False
    ranged: bool = True

    def __post_init__(self) -> None:
        # A plain body of known length is read from under urllib3's layers, into one buffer again and again.
        inner = getattr(self.response, "_fp", None)
        self._inner: http.client.HTTPResponse | None = None
        self._failure: RetryableError | None = None
        if isinstance(inner, http.client.HTTPResponse) and not self.packed and not inner.chunked:
            self._inner = inner if inner.length and hasattr(inner.fp, "readinto1") else None

    def fill(self, buffer: memoryview) -> int:
        """Put into `buffer` what comes until it is full, a moment has passed, or the body ends (0).

        What came before a failure counts; the next call raises it, a RetryableError.
        """
        if self._failure is not None:
            raise self._failure
        filled, until = 0, time.monotonic() + _MOMENT_S
        try:
            while filled < len(buffer):
                got = self._read_into(buffer[filled:])
                filled += got
                if not got or time.monotonic() > until:
                    break
        except RetryableError as error:
            if not filled:
                raise
            self._failure = error
        return filled

    def _read_into(self, buffer: memoryview) -> int:
        inner = self._inner
        if inner is None:
            data = self.read(len(buffer))
            buffer[: len(data)] = data
            return len(data)
        if not inner.length:
            return 0
        try:
            got: int = inner.fp.readinto1(buffer[: inner.length])
        except (OSError, ValueError) as error:
            raise RetryableError(failures.reason(error)) from error
        inner.length -= got
        if not inner.length:
            inner.close()  # its connection is free for the next request
        return got

    def read(self, most: int) -> bytes:
        """Return what has come, at most `most` bytes; empty at the end. Raises RetryableError."""
        try:
            if self.packed:
                return self.response.read(most, decode_content=True)
            return self.response.read1(most, decode_content=False)
        except (HTTPError, OSError, ValueError) as error:
            raise RetryableError(failures.reason(error)) from error

    def close(self, *, reuse: bool = False) -> None:
        """Let go of it; the connection is kept for the next range where all of it was read."""
        if reuse:
            self.response.release_conn()
        else:
            self.response.close()

    def interrupt(self) -> None:
        """Make a read that waits in another thread end at once."""
        try:
            self.response.shutdown()
        except (OSError, ValueError, RuntimeError):  # it has ended by itself
            self.response.close()


class Wire:
    """Connections to the hosts that serve one file. Safe to use from several threads."""

    def __init__(self, connections: int, stall: float) -> None:
        """Give up a connection that is silent for `stall` seconds."""
        self._connections = connections
        self._stall = stall
        self._pools: dict[tuple[str | None, str], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close what is idle."""
        for pool in list(self._pools.values()):
            pool.clear()

    def whole(self, source: Source) -> Reply:
        """Ask for the file from its first byte. Raises RetryableError."""
        response = self._get(source, {})
        packed = _packed(response)
        if not packed:
            _check_length(response, source.size)
        return Reply(response, 0, response.headers.get("ETag", ""), packed, ranged=False)

    def range(self, source: Source, first: int, last: int, etag: str = "") -> Reply:
        """Ask for the bytes `first` to `last`, both included. Raises RetryableError.

        `etag` is what this server called the file before.
        """
        asked = {"Range": f"bytes={first}-{last}"}
        response = self._get(source, asked)
        try:
            self._check(response, source, first, last, etag)
        except RetryableError:
            response.close()
            raise
        return Reply(response, first, response.headers.get("ETag", ""))

    @staticmethod
    def _check(
        response: urllib3.BaseHTTPResponse, source: Source, first: int, last: int, etag: str
    ) -> None:
        if _packed(response):
            raise NoRangesError("the server compresses what it was told not to")
        if response.status == 200:
            _check_length(response, source.size)
            raise NoRangesError("the server sends the whole file instead of a part")
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if response.status != 206 or not match:
            raise MisbehavedError("the server does not say which part of the file it sends")
        begin, end, total = int(match[1]), int(match[2]), match[3]
        if total not in ("*", str(source.size)):
            raise MisbehavedError(f"the Hub announces {source.size} bytes and the server {total}")
        if begin != first or not first <= end <= last:
            raise MisbehavedError(
                f"asked for bytes {first} to {last}, the server sends {begin} to {end}"
            )
        now = response.headers.get("ETag", "")
        if etag and now and now != etag:
            raise ChangedError("the file changed on the server")

    def _get(self, source: Source, asked: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """Send a GET and follow redirects. The user's token stays with the host it is for."""
        url = source.url
        headers = {"Accept-Encoding": "identity", **source.headers, **asked}
        for _ in range(_REDIRECTS):
            try:
                response = self._pool(url).request(
                    "GET", url, headers=headers, preload_content=False, redirect=False
                )
            except (HTTPError, OSError) as error:
                raise RetryableError(failures.reason(error)) from error
            target = response.get_redirect_location()
            if not target:
                _raise_for_status(response)
                return response
            response.close()
            following = urljoin(url, str(target))
            check_address(following, url)
            if _origin(following) != _origin(url):
                headers = {k: v for k, v in headers.items() if k.lower() != "authorization"}
            url = following
        raise MisbehavedError("the server redirects without end")

    def _pool(self, url: str) -> urllib3.PoolManager:
        key = (_proxy_for(url), urlsplit(url).scheme)
        with self._lock:
            if key not in self._pools:
                self._pools[key] = self._made(*key)
            return self._pools[key]

    def _made(self, proxy: str | None, scheme: str) -> urllib3.PoolManager:
        options: dict[str, Any] = {
            "num_pools": 8,
            "maxsize": self._connections + 1,
            "retries": False,
            "timeout": urllib3.Timeout(connect=CONNECT_S, read=self._stall),
        }
        if scheme == "https":
            options["ssl_context"] = _certificates()
        if proxy is None:
            return urllib3.PoolManager(**options)
        if proxy.startswith("socks"):
            from urllib3.contrib.socks import SOCKSProxyManager

            return SOCKSProxyManager(proxy, **options)
        return urllib3.ProxyManager(proxy, **options)


def check_address(target: str, before: str) -> None:
    """Refuse to go where a redirect must not lead: other schemes, or from safe to open lines."""
    scheme = urlsplit(target).scheme
    if scheme not in ("http", "https"):
        raise MisbehavedError(f"the server redirects to {scheme}:")
    if scheme == "http" and urlsplit(before).scheme == "https":
        raise MisbehavedError("the server redirects to a line that is not encrypted")


def _raise_for_status(response: urllib3.BaseHTTPResponse) -> None:
    status = response.status
    if status in (200, 206):
        return
    response.close()
    if status in (401, 403, 404, 410):
        raise ExpiredError(f"the address of the content has expired (HTTP {status})")
    if status in (408, 425, 429) or status >= 500:
        raise RetryableError(f"the server answers HTTP {status}", _retry_after(response))
    if status == 416:
        raise MisbehavedError("the server has fewer bytes than the Hub announces")
    raise MisbehavedError(f"the server answers HTTP {status}")


def _retry_after(response: urllib3.BaseHTTPResponse) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), _MOST_WAIT_S) if text.isdigit() else 0.0


def _check_length(response: urllib3.BaseHTTPResponse, size: int) -> None:
    if _packed(response):
        return
    length = response.headers.get("Content-Length")
    if length is not None and length != str(size):
        raise MisbehavedError(f"the Hub announces {size} bytes and the server {length}")


def _packed(response: urllib3.BaseHTTPResponse) -> bool:
    return response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity")


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _proxy_for(url: str) -> str | None:
    """Return the proxy that the environment (or the system's settings) names for this address."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _certificates() -> ssl.SSLContext:
    import httpx2

    return httpx2.create_ssl_context()
