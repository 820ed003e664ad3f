"""Where programs keep models: one generator a store, tolerant of anything it meets."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backend import paths
from backend.library.model import Found
from backend.settings import Settings

_SHA = re.compile(r"^[0-9a-f]{64}$")
_LATER_PART = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
_MAX_DEPTH = 8


def _walk(folder: Path) -> Iterator[Path]:
    """Yield .gguf files below a folder; the first part stands for a split model."""
    root_depth = len(folder.parts)
    for where, folders, names in os.walk(folder, followlinks=False, onerror=lambda _: None):
        if len(Path(where).parts) - root_depth >= _MAX_DEPTH:
            folders.clear()
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(".gguf") and not _LATER_PART.search(name):
                yield Path(where) / name


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def starter() -> Iterator[Found]:
    """Yield the model that ships with Sterna."""
    path = paths.asset("starter.gguf")
    if path.is_file():
        yield Found(path, "starter")


def folder(path: Path, store: str) -> Iterator[Found]:
    """Yield the models below a plain folder."""
    for file in _walk(path):
        yield Found(file, store)


def _hub_cache() -> Path:
    explicit = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if explicit:
        return Path(explicit).expanduser()
    home = os.environ.get("HF_HOME")
    if home:
        return Path(home).expanduser() / "hub"
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "huggingface" / "hub"


def hugging_face() -> Iterator[Found]:
    """Yield the GGUF files of the Hugging Face cache; blobs of LFS files are named by their hash."""
    for repo in _children(_hub_cache()):
        if not repo.name.startswith("models--"):
            continue
        owner_and_name = repo.name.removeprefix("models--").replace("--", "/", 1)
        for file in _walk(repo / "snapshots"):
            try:
                blob = file.resolve(strict=True).name
            except (OSError, RuntimeError):
                continue  # a link to a blob that is gone, or to itself
            relative = file.relative_to(repo / "snapshots").parts[1:]
            yield Found(
                file,
                "huggingface",
                f"{owner_and_name}/{'/'.join(relative)}",
                blob if _SHA.match(blob) else None,
            )


def _ollama_roots() -> list[Path]:
    explicit = os.environ.get("OLLAMA_MODELS")
    if explicit:
        return [Path(explicit).expanduser()]
    return [Path("~/.ollama/models").expanduser(), Path("/usr/share/ollama/.ollama/models")]


def _manifest(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > 1 << 20:
            return {}
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def ollama() -> Iterator[Found]:
    """Yield Ollama's models: a manifest names the blob, which is named by its hash."""
    for root in _ollama_roots():
        manifests = root / "manifests"
        for where, _, names in os.walk(manifests, onerror=lambda _: None):
            for tag in sorted(names):
                layers = _manifest(Path(where) / tag).get("layers")
                for layer in layers if isinstance(layers, list) else []:
                    if not isinstance(layer, dict):
                        continue
                    digest = str(layer.get("digest", "")).removeprefix("sha256:")
                    kind = layer.get("mediaType")
                    if kind != "application/vnd.ollama.image.model" or not _SHA.match(digest):
                        continue
                    parts = (Path(where) / tag).relative_to(manifests).parts
                    # registry / namespace / model / tag, the usual registry and namespace left out
                    shown = [p for p in parts[1:-1] if p != "library"]
                    blob = root / "blobs" / f"sha256-{digest}"
                    if blob.is_file():
                        yield Found(blob, "ollama", f"{'/'.join(shown)}:{tag}", digest)


def lm_studio() -> Iterator[Found]:
    """Yield the models of LM Studio."""
    roots = [Path("~/.lmstudio/models"), Path("~/.cache/lm-studio/models")]
    pointer = Path("~/.lmstudio-home-pointer").expanduser()
    try:
        if pointer.stat().st_size < 4096:
            roots.append(Path(pointer.read_text(errors="replace").strip()) / "models")
    except OSError:
        pass
    for root in roots:
        yield from folder(root.expanduser(), "lmstudio")


def llama_cpp() -> Iterator[Found]:
    """Yield what llama.cpp downloaded."""
    cache = os.environ.get("LLAMA_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    yield from folder(Path(cache or Path(base) / "llama.cpp").expanduser(), "llama.cpp")


def every(settings: Settings) -> Iterator[Found]:
    """Yield the files of all stores, Sterna's own first."""
    yield from starter()
    yield from folder(paths.models_dir(), "sterna")
    if settings.library.hugging_face:
        yield from hugging_face()
    if settings.library.ollama:
        yield from ollama()
    if settings.library.lm_studio:
        yield from lm_studio()
    yield from llama_cpp()
    for name in settings.library.folders:
        yield from folder(Path(name).expanduser(), "folder")
