"""Where the bytes of a file are now: the Hub's answer to a question for one file at one commit."""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from backend.errors import SternaError
from backend.hub import failures, place
from backend.hub.client import headers

_ETAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Source:
    """An address that serves `size` bytes. `etag` names the content: the sha256 of an LFS file.

    `headers` go with requests to that address; they hold the token only where it is the Hub's own.
    """

    url: str
    size: int
    etag: str
    commit: str
    headers: dict[str, str] = field(repr=False)

    @property
    def sha256(self) -> str | None:
        """The hash that the content must have, where the Hub knows it."""
        return self.etag if _SHA256.fullmatch(self.etag) else None


def locate(repo: str, commit: str, path: str) -> Source:
    """Ask the Hub for a file; raises SternaError."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    if place.offline():
        raise failures.offline_by_wish()
    base = place.endpoint()
    sent = headers()
    try:
        url = hf_hub_url(repo, path, revision=commit, endpoint=base)
        found = get_hf_file_metadata(url, timeout=_TIMEOUT_S, headers=sent, endpoint=base)
    except Exception as error:
        raise failures.translated(error, repo) from error
    if found.commit_hash is None or found.etag is None:
        raise failures.unexpected(f"it says nothing of the file {path!r}")
    if not _ETAG.fullmatch(found.etag):
        raise failures.unexpected(f"it names the content of {path!r} {found.etag[:80]!r}")
    if found.size is None:
        raise SternaError(
            "bad_answer", f"The Hub does not say how large {path!r} is.", "Try again later."
        )
    location = urlsplit(found.location)
    if location.scheme not in ("http", "https"):
        raise failures.unexpected(f"it sends for {path!r} to an address of {location.scheme}:")
    if location.scheme == "http" and base.startswith("https:"):
        raise failures.unexpected(f"it sends for {path!r} to a line that is not encrypted")
    ours = (location.scheme, location.netloc) == urlsplit(base)[:2]
    kept = sent if ours else {"user-agent": sent["user-agent"]}
    return Source(found.location, found.size, found.etag, found.commit_hash, kept)
