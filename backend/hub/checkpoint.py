"""A checkpoint of safetensors on the Hub: its config and the headers of its files, without the weights.

A file of safetensors begins with the length of its header (u64, little-endian) and the header as JSON:
name → dtype, shape, data_offsets.
"""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from backend.errors import SternaError
from backend.hub.beginning import fetch_more
from backend.hub.client import HubClient
from backend.hub.locate import locate
from backend.hub.repository import Repository
from backend.hub.variants import RemoteFile, Variant
from backend.hub.wire import Wire

_FIRST = 64 << 10
_MOST_HEADER = 32 << 20
_MOST_TEXT = 8 << 20
_AT_ONCE = 4
_STALL_S = 10.0
_CONTEXTS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as a header lists it; `shape` in the order of PyTorch."""

    name: str
    type: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says of itself. None or empty: it does not. Texts come from outside."""

    name: str
    kind: str
    arch: str
    params: int
    dtype: str
    context: int | None
    license: str | None
    chat_template: str | None
    tensors: tuple[StoredTensor, ...]


def read_checkpoint(client: HubClient, found: Repository, variant: Variant) -> Checkpoint:
    """Read config and headers; raises SternaError."""
    config = _json(client, found, "config.json")
    inner = config.get("text_config")
    text = inner if isinstance(inner, dict) else config
    weights = [file for file in variant.files if file.path.endswith(".safetensors")]
    wire = Wire(_AT_ONCE, _STALL_S)
    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            headers = list(pool.map(lambda file: _header(wire, found, file), weights))
    finally:
        wire.close()
    tensors = tuple(tensor for header in headers for tensor in header)
    by_type: dict[str, int] = {}
    for tensor in tensors:
        by_type[tensor.type] = by_type.get(tensor.type, 0) + tensor.bytes
    return Checkpoint(
        name=found.repo,
        kind=variant.kind,
        arch=str(config.get("model_type") or found.model.arch or ""),
        params=sum(math.prod(tensor.shape) for tensor in tensors),
        dtype=max(by_type, key=lambda name: by_type[name], default=""),
        context=next((text[key] for key in _CONTEXTS if _is_count(text.get(key))), None),
        license=found.model.license or None,
        chat_template=_template(client, found),
        tensors=tensors,
    )


def _header(wire: Wire, found: Repository, file: RemoteFile) -> list[StoredTensor]:
    source = locate(found.repo, found.commit, file.path)
    data = fetch_more(wire, source, 0, min(_FIRST, source.size))
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= length <= min(_MOST_HEADER, source.size - 8):
        raise _damaged(file, "its header has an impossible length")
    if len(data) < 8 + length:
        data += fetch_more(wire, source, len(data), 8 + length)
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise _damaged(file, "its header is no JSON") from error
    if not isinstance(header, dict):
        raise _damaged(file, "its header is no list of tensors")
    return [_tensor(file, name, entry) for name, entry in header.items() if name != "__metadata__"]


def _tensor(file: RemoteFile, name: str, entry: Any) -> StoredTensor:
    try:
        shape = tuple(entry["shape"])
        begin, end = entry["data_offsets"]
        good = all(_is_count(n) for n in shape) and 0 <= begin <= end and isinstance(end, int)
        dtype = entry["dtype"]
    except (KeyError, TypeError, ValueError):
        good = False
    if not good or not isinstance(dtype, str):
        raise _damaged(file, f"its header does not describe {name[:80]!r} rightly")
    return StoredTensor(name, dtype, shape, end - begin)


def _template(client: HubClient, found: Repository) -> str | None:
    names = {file.path for file in found.files}
    if "chat_template.jinja" in names:
        return client.text(found.repo, found.commit, "chat_template.jinja")
    said = _json(client, found, "tokenizer_config.json").get("chat_template")
    if isinstance(said, list):  # several, each with a name
        named = {e.get("name"): e.get("template") for e in said if isinstance(e, dict)}
        said = named.get("default") or next(iter(named.values()), None)
    return said if isinstance(said, str) and said else None


def _json(client: HubClient, found: Repository, path: str) -> dict[str, Any]:
    """Return a file of settings; empty where there is none, or it is no such file."""
    if path not in {file.path for file in found.files}:
        return {}
    text = client.text(found.repo, found.commit, path, limit=_MOST_TEXT)
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _damaged(file: RemoteFile, what: str) -> SternaError:
    return SternaError("corrupt", f"{file.path} is damaged: {what}.", "Choose another model.")
