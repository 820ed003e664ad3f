"""Who may talk to the server.

A web page in the user's browser can send requests to loopback addresses. So the Host header must name
this machine by an address or a known name (a page that rebinds its own domain to 127.0.0.1 still sends
that domain), a foreign Origin is refused, and no CORS header is ever sent.
"""

import hmac
import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.errors import SternaError
from backend.serve.replies import refusal

_OPEN_PATHS = frozenset(("/health",))


class Guard:
    """ASGI middleware: Host, Origin and API key are checked before anything is read."""

    def __init__(
        self, app: ASGIApp, *, api_key: str | None = None, hosts: Collection[str] = ()
    ) -> None:
        self._app = app
        self._key = api_key.encode() if api_key else None
        name = socket.gethostname().lower()
        self._names = {"localhost", name, f"{name}.local", *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on or refuse it."""
        if scope["type"] != "http":
            return
        error = self._objection(Headers(scope=scope), scope["path"])
        if error is None:
            await self._app(scope, receive, send)
        else:
            await refusal(error)(scope, receive, send)

    def _objection(self, headers: Headers, path: str) -> SternaError | None:
        host = _host_of(headers.get("host", ""))
        # An address needs no name to be looked up, so it cannot have been rebound.
        if host not in self._names and not _is_address(host):
            return SternaError(
                "forbidden",
                "This Host header does not name this computer.",
                "Use the server's address, or localhost.",
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_local(_host_of(urlsplit(origin).netloc), host):
            return SternaError(
                "forbidden",
                "Web pages of other sites may not use this server.",
                "Call it from a program.",
            )
        if self._key is not None and path not in _OPEN_PATHS and not self._authorised(headers):
            return SternaError(
                "unauthorised",
                "The API key is missing or wrong.",
                "Send it as: Authorization: Bearer KEY.",
            )
        return None

    def _is_local(self, origin: str, host: str) -> bool:
        if origin in self._names or (origin and origin == host):
            return True
        return _is_address(origin) and ipaddress.ip_address(origin).is_loopback

    def _authorised(self, headers: Headers) -> bool:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        assert self._key is not None
        given = key.strip().encode("latin-1", "replace")
        return hmac.compare_digest(given, self._key) and scheme.lower() == "bearer"


def _host_of(netloc: str) -> str:
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
