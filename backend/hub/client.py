"""Questions to the Hub's API: through huggingface_hub's session and headers, answers remembered."""

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from backend.errors import SternaError
from backend.hub import failures, place

_KEPT_S = 300.0  # how long an answer is believed
_KEPT = 128  # answers
_TIMEOUT_S = 15.0
_TRIES = 3
_AGAIN = (500, 502, 503, 504)
_LONGEST_WAIT_S = 5.0  # a person waits: what takes longer is told instead
_MOST_BYTES = 64 << 20

Params = Mapping[str, str | int | bool | list[str]]


def headers() -> dict[str, str]:
    """Return what goes with every question to the Hub: who asks, and the user's token if there is one.

    The token never leaves for another host, and is never written anywhere by Sterna.
    """
    from huggingface_hub.utils import build_hf_headers

    try:
        ours = version("sterna")
    except PackageNotFoundError:
        ours = "0"
    made: dict[str, str] = build_hf_headers(library_name="sterna", library_version=ours)
    return made


class HubClient:
    """Asks the Hub. Safe to use from several threads."""

    def __init__(self) -> None:
        self._answers: OrderedDict[object, tuple[float, Any, str | None]] = OrderedDict()
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Ask anew from now on: after a token was given, or when the user asks to look again."""
        with self._lock:
            self._answers.clear()

    def get(
        self, path: str, params: Params | None = None, *, about: str = "it"
    ) -> tuple[Any, str | None]:
        """Return a JSON answer and the address of the next page, if there is one.

        `path` begins with a slash, or is a next page's address. Raises SternaError.
        """
        base = place.endpoint()
        url = path if path.startswith(("http://", "https://")) else base + path
        if not url.startswith(base + "/"):
            raise failures.unexpected("its next page is on another host")
        key = (url, repr(sorted((params or {}).items())))
        with self._lock:
            kept = self._answers.get(key)
            if kept and time.monotonic() - kept[0] < _KEPT_S:
                self._answers.move_to_end(key)
                return kept[1], kept[2]
        answer, following = self._ask(url, params, about)
        with self._lock:
            self._answers[key] = (time.monotonic(), answer, following)
            while len(self._answers) > _KEPT:
                self._answers.popitem(last=False)
        return answer, following

    def text(self, repo: str, revision: str, path: str, *, limit: int = 1 << 20) -> str | None:
        """Return the start of a text file of a repository; None where there is none."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import get_session

        url = hf_hub_url(repo, path, revision=revision, endpoint=place.endpoint())
        data = bytearray()
        try:
            self._require_online()
            session = get_session()
            with session.stream("GET", url, headers=headers(), timeout=_TIMEOUT_S) as response:
                if response.status_code == 404:
                    return None
                self._raise_for_status(response)
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) >= limit:
                        break
        except Exception as error:
            raise failures.translated(error, repo) from error
        return bytes(data[:limit]).decode("utf-8", "replace")

    def _ask(self, url: str, params: Params | None, about: str) -> tuple[Any, str | None]:
        import httpx2

        for attempt in range(1, _TRIES + 1):
            wait = 0.3 * 2**attempt
            try:
                self._require_online()
                response, data = self._response(url, params)
                if response.status_code in _AGAIN and attempt < _TRIES:
                    wait = _seconds(response.headers.get("Retry-After"), wait)
                else:
                    self._raise_for_status(response)
                    return _json(data), _next_page(response)
            except httpx2.ConnectError as error:
                raise failures.unreachable(error) from error
            except httpx2.TransportError as error:
                if attempt == _TRIES:
                    raise failures.unreachable(error) from error
            except SternaError:
                raise
            except Exception as error:
                raise failures.translated(error, about) from error
            time.sleep(min(wait, _LONGEST_WAIT_S))
        raise AssertionError

    @staticmethod
    def _response(url: str, params: Params | None) -> tuple[Any, bytes]:
        """Return an answer and its content, however it claims to be packed."""
        from huggingface_hub.utils import get_session

        data = bytearray()
        with get_session().stream(
            "GET", url, headers=headers(), params=params, timeout=_TIMEOUT_S
        ) as response:
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > _MOST_BYTES:
                    raise failures.unexpected("it sends without end")
        return response, bytes(data)

    @staticmethod
    def _raise_for_status(response: Any) -> None:
        from huggingface_hub.utils import hf_raise_for_status

        hf_raise_for_status(response)

    @staticmethod
    def _require_online() -> None:
        if place.offline():
            raise failures.offline_by_wish()


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise failures.unexpected("what it sent is not JSON") from error


def _next_page(response: Any) -> str | None:
    """Return the next page's address, at the mirror that was asked if it was a mirror."""
    from huggingface_hub.utils import fix_hf_endpoint_in_url

    url = response.links.get("next", {}).get("url")
    return None if url is None else str(fix_hf_endpoint_in_url(url, place.endpoint()))


def _seconds(text: str | None, default: float) -> float:
    return float(text) if text and text.isdigit() else default
