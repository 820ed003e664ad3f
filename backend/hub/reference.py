"""What a person types or pastes for a model on the Hub: an address, or owner/repo[:QUANT]."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from backend.errors import SternaError
from backend.hub import place

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_CHOSEN = re.compile(r"(?P<head>[^/:]+(?:/[^/:]+)?):(?P<choice>.+)", re.DOTALL)
_MAX_REPO = 96


@dataclass(frozen=True, slots=True)
class Reference:
    """A model on the Hub. `choice` is a quant or a file in it, empty when it is left to Sterna."""

    repo: str
    choice: str = ""
    revision: str = "main"

    def __str__(self) -> str:
        revision = "" if self.revision == "main" else f"@{self.revision}"
        return f"{self.repo}{revision}{':' if self.choice else ''}{self.choice}"


def looks_remote(text: str) -> bool:
    """Whether `text` has the form of a model on the Hub."""
    try:
        return "/" in parse(text).repo
    except SternaError:
        return False


def parse(text: str) -> Reference:
    """Return what `text` names; raises SternaError(bad_argument) with the forms that are understood."""
    text = text.strip()
    for prefix in ("hf://", "hf:"):
        if text.startswith(prefix):
            return _from_path(text.removeprefix(prefix).strip("/").removeprefix("models/"), text)
    address = _address(text)
    if address is None and "://" in text:
        raise SternaError(
            "bad_argument",
            f"{text!r} is no address of {place.endpoint()}.",
            "Give owner/model, owner/model:QUANT, or the address of its page.",
        )
    return _from_path(text if address is None else address, text)


def _address(text: str) -> str | None:
    """Return the part of a Hub address behind the host, with its query; None: no Hub address."""
    bare = text if "://" in text else f"https://{text}"
    parts = urlsplit(bare)
    hub = urlsplit(place.endpoint())
    known = parts.hostname in place.KNOWN_HOSTS or parts.netloc == hub.netloc
    if not known:
        return None
    shown = parse_qs(parts.query).get("show_file_info")  # the Hub's own window on a GGUF file
    path = unquote(parts.path).strip("/")
    base = hub.path.strip("/")
    if base and parts.netloc == hub.netloc:
        path = path.removeprefix(base).strip("/")
    return f"{path}/{shown[0]}" if shown else path


def _from_path(path: str, text: str) -> Reference:
    """Read owner/repo[@revision][:choice] or owner/repo/[blob|resolve|tree/revision/]file."""
    if path.startswith(("datasets/", "spaces/")):
        raise SternaError(
            "bad_argument", f"{text!r} is no model.", "Give the address of a model's page."
        )
    first, *rest = path.split("/", 2)
    head, choice, revision = path, "", "main"
    if named := _CHOSEN.fullmatch(path):
        head, choice = named["head"], named["choice"]
    elif len(rest) == 2:
        head, choice = f"{first}/{rest[0]}", rest[1]
        kind, _, inside = choice.partition("/")
        if kind in ("blob", "resolve", "raw", "tree"):
            revision, _, choice = inside.partition("/")
        elif kind in ("discussions", "commits", "commit", "edit", "settings"):
            choice = ""
    head, _, at = head.partition("@")
    revision = at or revision or "main"
    if not _REPO.fullmatch(head) or len(head) > _MAX_REPO or "--" in head or ".." in head:
        raise SternaError(
            "bad_argument",
            f"{text!r} is no name of a model on the Hub.",
            "Give owner/model, owner/model:QUANT, or the address of its page.",
        )
    return Reference(head, choice, revision)
