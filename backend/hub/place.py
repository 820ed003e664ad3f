"""Where the Hub is and where its files go, by the ecosystem's own variables, read when asked."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from backend.errors import SternaError

_USUAL = "https://huggingface.co"
_TRUE = ("1", "ON", "YES", "TRUE")
KNOWN_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")


def endpoint() -> str:
    """Return the Hub's address (`HF_ENDPOINT`), without a slash at its end; raises SternaError."""
    address = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or _USUAL
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SternaError(
            "bad_settings",
            f"HF_ENDPOINT is {address!r}, which is no address of a Hub.",
            f"Set it to something like {_USUAL}, or unset it.",
        )
    return address


def offline() -> bool:
    """Whether the user forbids the network (`HF_HUB_OFFLINE`)."""
    wish = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return wish.upper() in _TRUE


def cache_dir() -> Path:
    """Return the Hugging Face cache that all tools share (`HF_HUB_CACHE`, `HF_HOME`)."""
    explicit = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if explicit:
        return _path(explicit)
    home = os.environ.get("HF_HOME")
    if home:
        return _path(home) / "hub"
    return _path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface" / "hub"


def page(repo: str) -> str:
    """Return the address of a model's page, where a person reads and accepts its licence."""
    return f"{endpoint()}/{repo}"


def _path(text: str) -> Path:
    return Path(os.path.expandvars(text)).expanduser()
