"""What a recipe's base is: a GGUF file, a folder, or a repository of the Hub; and its shape."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend import library
from backend.errors import SternaError
from backend.gguf import describe, open_gguf, require_model
from backend.gguf.contents import GGUFContents
from backend.hub.reference import looks_remote, parse
from backend.train.shape import ModelShape, config_shape, gguf_shape

_PARTS = {  # of a repository, by what is needed of it
    "shape": ("config.json",),
    "words": ("*.json", "*.jinja"),
    "weights": ("*.json", "*.jinja", "*.safetensors"),
}
_CONFIG = 4 << 20  # bytes of a config.json that are believed


@dataclass(frozen=True, slots=True)
class Source:
    """A base on this computer. `kind`: gguf (a file) or folder; `revision`: its commit on the Hub."""

    kind: str
    path: Path
    name: str
    revision: str = ""

    @property
    def files(self) -> list[Path]:
        """The files that make it what it is."""
        if self.kind == "gguf":
            with open_gguf(self.path) as file:
                return list(file.shards)
        names = sorted(self.path.iterdir())
        return [p for p in names if p.suffix in (".safetensors", ".json", ".jinja") and p.is_file()]


def find(text: str, need: str = "weights") -> Source:
    """Return the base that a text means. Of a repository only what is needed is fetched: its `shape`,
    its `words` or its `weights`.

    Raises SternaError: not_found, ambiguous, not_a_model, offline, gated.
    """
    return find_here(text) or _fetch(text, need)


def find_here(text: str) -> Source | None:
    """Return the base on this computer that a text means, None where it can only be on the Hub.

    Raises SternaError: not_found, ambiguous, not_a_model.
    """
    path = Path(text).expanduser()
    if path.name == "config.json" and path.is_file():
        path = path.parent
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise SternaError(
                "not_a_model",
                f"{text} has no config.json.",
                "Name a model's folder or a .gguf file.",
            )
        return Source("folder", path.resolve(), path.resolve().name)
    try:
        found = library.resolve(text)
    except SternaError as error:
        if error.kind != "not_found" or path.exists() or not looks_remote(text):
            raise
        return None
    if found.is_dir():
        return Source("folder", found.resolve(), found.resolve().name)
    return Source("gguf", found, found.name)


def shape_of(source: Source) -> ModelShape:
    """Return the shape of a base, from its header or configuration alone. Raises SternaError."""
    if source.kind == "folder":
        return config_shape(_config(source.path / "config.json"))
    with open_gguf(source.path) as file:
        return shape_of_header(file)


def shape_of_header(file: GGUFContents) -> ModelShape:
    """Return the shape that a GGUF header describes, of a file here or elsewhere."""
    require_model(file)
    card = describe(file)
    return gguf_shape(
        card.arch,
        ((t.name, t.shape, t.type_name) for t in file.tensors.values()),
        {
            "layers": card.layers,
            "heads": card.heads,
            "kv_heads": card.kv_heads,
            "head_width": card.head_width,
            "context": card.context,
            "experts_used": file.integer(f"{card.arch}.expert_used_count"),
        },
    )


def _config(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _CONFIG:
            raise ValueError("it is too large")
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SternaError(
            "corrupt", f"{path} cannot be read: {error}.", "Download the model again."
        ) from error
    if not isinstance(config, dict):
        raise SternaError("corrupt", f"{path} is no object.", "Download the model again.")
    return config


def _fetch(text: str, need: str) -> Source:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    meant = parse(text)
    name = meant.repo
    try:
        folder = Path(
            snapshot_download(
                name,
                revision=meant.revision,
                allow_patterns=list(_PARTS[need]),
            )
        )
    except GatedRepoError as error:
        raise SternaError(
            "gated",
            f"{name} is not open to everybody.",
            "Accept its licence, then `hf auth login`.",
        ) from error
    except RepositoryNotFoundError as error:
        raise SternaError(
            "not_found", f"Neither this computer nor the Hub has {name}.", "Check the name."
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise SternaError(
            "offline", f"{name} cannot be fetched from the Hub.", "Check the connection."
        ) from error
    if not (folder / "config.json").is_file():
        raise SternaError(
            "not_a_model",
            f"{name} has no config.json.",
            "If it holds GGUF files, download one of them first and name it.",
        )
    return Source("folder", folder, name, folder.name)
