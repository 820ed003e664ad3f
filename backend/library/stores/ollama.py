"""Ollama: manifests/REGISTRY/NAMESPACE/MODEL/TAG name layers, and blobs/sha256-HASH are those layers."""

import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from backend.library.files import LINKING, entries, look_at, walk
from backend.library.model import Copy, Found
from backend.library.stores.json_files import read_object
from backend.library.stores.store import Belongings, Leftover, Store, is_settled, leftover
from backend.settings import Settings

_DIGEST = re.compile(r"sha256[:-](?P<hash>[0-9a-f]{64})")
_BLOB = re.compile(r"sha256[:-](?P<hash>[0-9a-f]{64})(?P<rest>.*)", re.DOTALL)
_MODEL = "application/vnd.ollama.image.model"
_USUAL = ("registry.ollama.ai", "library")


def _layers(manifest: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield media type and hash of everything that a manifest names."""
    layers = manifest.get("layers")
    for layer in [*(layers if isinstance(layers, list) else []), manifest.get("config")]:
        if isinstance(layer, dict):
            match = _DIGEST.fullmatch(str(layer.get("digest", "")))
            if match:
                yield str(layer.get("mediaType")), match["hash"]


def _manifests(root: str) -> Iterator[str]:
    for _where, files in walk(f"{root}/manifests", follow=False):
        for entry in files:
            if not entry.name.startswith("."):
                yield entry.path


def _shown(root: str, manifest: str) -> str:
    """Return the name by which Ollama knows a manifest: the usual registry and namespace left out."""
    *parts, tag = manifest[len(f"{root}/manifests/") :].split("/")
    for usual in _USUAL:
        if len(parts) > 1 and parts[0] == usual:
            parts = parts[1:]
    return f"{'/'.join(parts)}:{tag}"


def _blob(root: str, digest: str) -> str:
    """Return the path of a blob; the first versions wrote a colon."""
    usual = f"{root}/blobs/sha256-{digest}"
    old = f"{root}/blobs/sha256:{digest}"
    return old if not os.path.lexists(usual) and os.path.lexists(old) else usual


class Ollama(Store):
    """The models of Ollama."""

    name, title = "ollama", "Ollama"

    def roots(self, settings: Settings) -> list[Path]:
        """Return the folder that the environment names, or those of a user and of the service."""
        if not settings.library.ollama:
            return []
        explicit = os.environ.get("OLLAMA_MODELS")
        if explicit:
            return [Path(explicit).expanduser()]
        return [Path("~/.ollama/models").expanduser(), Path("/usr/share/ollama/.ollama/models")]

    def models(self, root: str) -> Iterator[Found]:
        """Yield a model for every manifest: its layer of weights."""
        for manifest in _manifests(root):
            for kind, digest in _layers(read_object(Path(manifest))):
                if kind == _MODEL and (file := look_at(_blob(root, digest), digest)) is not None:
                    name = _shown(root, manifest)
                    yield Found(file.path, self.name, root, (file,), name, manifest)

    def hash_in_name(self, path: str) -> str | None:
        """Return the digest that names a blob."""
        match = _DIGEST.fullmatch(os.path.basename(path))
        return match["hash"] if match else None

    def leftovers(self, root: str) -> Iterator[Leftover]:
        """Yield unfinished downloads and blobs that no manifest names, if all manifests are whole."""
        needed = _needed(root)
        for entry in entries(f"{root}/blobs"):
            match = _BLOB.fullmatch(entry.name)
            linking = entry.name.endswith(LINKING)
            file = look_at(entry.path) if match or linking else None
            if file is None or not is_settled(file):
                continue
            if match is None or match["rest"].startswith("-partial"):
                yield leftover(self, root, "partial", file)
            elif not match["rest"] and needed is not None and match["hash"] not in needed:
                yield leftover(self, root, "unreferenced", file)

    def belongings(self, copies: Sequence[Copy]) -> Belongings:
        """Return the manifests, and those of their layers that no other manifest names."""
        manifests = tuple(dict.fromkeys(copy.origin for copy in copies))
        root = copies[0].root
        needed = _needed(root, but=manifests)
        if needed is None:
            unknown = "Its layers stay: another manifest cannot be read, and may need them."
            return Belongings(manifests, (unknown,))
        named = [_layers(read_object(Path(manifest))) for manifest in manifests]
        mine = dict.fromkeys(digest for layers in named for _, digest in layers)
        shared = sum(digest in needed for digest in mine)
        kept = (f"{shared} of its {len(mine)} layers belong to other models, too, and stay.",)
        blobs = (_blob(root, digest) for digest in mine if digest not in needed)
        there = [blob for blob in blobs if os.path.lexists(blob)]
        return Belongings((*manifests, *there), kept if shared else ())


def _needed(root: str, *, but: Collection[str] = ()) -> set[str] | None:
    """Return the hashes that all manifests `but` some name; None when one cannot be understood."""
    needed: set[str] = set()
    for manifest in _manifests(root):
        if manifest in but:
            continue
        layers = [digest for _, digest in _layers(read_object(Path(manifest)))]
        if not layers:
            return None
        needed.update(layers)
    return needed
