"""`sterna show MODEL`: what is inside a model file."""

import math
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from backend import quants
from backend.errors import SternaError
from backend.gguf import GGUFContents, ModelCard, TensorInfo, Value, describe, open_gguf
from backend.library import resolve
from backend.units import human_bytes, human_count
from tui.commands import output

_LISTED = 16  # items of an array that are listed; of longer ones only their number is told
_WIDE = 200  # characters of a value on one line for people


def add_arguments(parser: ArgumentParser) -> None:
    """Take the model."""
    parser.add_argument("model", help="a path, a name from `sterna ls`, or owner/repo[:QUANT]")
    parser.add_argument("--tensors", action="store_true", help="list every tensor")
    parser.add_argument("--template", action="store_true", help="print the chat template")
    parser.add_argument("--metadata", action="store_true", help="list every key of the header")
    parser.add_argument("--remote", action="store_true", help="look on the Hub, not on this disk")


def run(args: Namespace) -> int:
    """Print what lies on disk; what does not is looked up on the Hub."""
    path = None if args.remote else _on_disk(args.model)
    if path is None:
        from tui.commands import show_remote

        return show_remote.run(args)
    with open_gguf(path) as file:
        card = describe(file)
        output.emit(args, data(file, card), text(file, card, args))
    return 0


def _on_disk(model: str) -> Path | None:
    """Return the file of a model, None where only the Hub can have it; raises SternaError."""
    from backend.hub.reference import looks_remote

    try:
        return resolve(model)
    except SternaError as error:
        if error.kind != "not_found" or not looks_remote(model):
            raise
        return None


def data(file: GGUFContents, card: ModelCard) -> dict[str, object]:
    """Return the contract's JSON."""
    return {
        "name": card.name,
        "path": str(file.path),
        "parts": [str(part) for part in file.shards],
        "kind": card.kind,
        "arch": card.arch,
        "params": card.params,
        "context": card.context,
        "quant": card.quant,
        "bytes": card.bytes,
        "bits_per_weight": card.bits_per_weight,
        "layers": card.layers,
        "embedding": card.embedding,
        "feed_forward": card.feed_forward,
        "heads": card.heads,
        "kv_heads": card.kv_heads,
        "head_width": card.head_width,
        "experts": card.experts,
        "vocab": card.vocab,
        "tokenizer": card.tokenizer,
        "license": card.license,
        "author": card.author,
        "description": card.description,
        "chat_template": card.chat_template,
        "metadata": {
            key: _plain(file, key) for key in file.metadata if key != "tokenizer.chat_template"
        },
        "tensors": [
            {
                "name": t.name,
                "type": t.type_name,
                "shape": list(t.shape),
                "bytes": t.nbytes,
                "supported": t.supported,
            }
            for t in file.tensors.values()
        ],
    }


def _plain(file: GGUFContents, key: str) -> object:
    """Return a value as JSON has it; of a long array the number of its items, under `count`."""
    if (count := file.count(key)) > _LISTED:
        return {"count": count}
    value: Value = file.metadata[key]
    if isinstance(value, np.ndarray):
        return [_finite(item) for item in value.tolist()]
    return _finite(value)


def _readable(file: GGUFContents, key: str) -> str:
    if (count := file.count(key)) > _LISTED:
        return f"{count:,} items"
    value = _plain(file, key)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def _finite(value: object) -> object:
    """JSON knows neither infinity nor NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def text(file: GGUFContents, card: ModelCard, args: Namespace) -> str:
    """Return the same for people."""
    facts = [[name, _cut(fact)] for name, fact in _facts(file, card) if fact]
    parts = [output.table(facts)]
    if args.metadata:
        keys = [[_cut(key), _cut(_readable(file, key))] for key in file.metadata]
        parts.append(output.table([["KEY", "VALUE"], *keys]))
    if args.template:
        parts.append(card.chat_template or "no chat template")
    if args.tensors:
        parts.append(_tensor_table(file.tensors.values()))
    return "\n\n".join(parts)


def _facts(file: GGUFContents, card: ModelCard) -> Iterable[tuple[str, str]]:
    """Yield name and fact; an empty fact is not shown."""
    unknown = sum(not t.supported for t in file.tensors.values())
    yield "name", card.name
    yield "file", str(file.path)
    yield "parts", f"{len(file.shards)} files" if len(file.shards) > 1 else ""
    yield (
        "kind",
        {"model": "", "unknown": "no model: a GGUF file without one"}.get(card.kind, card.kind),
    )
    yield "architecture", card.arch
    yield "parameters", human_count(card.params) if card.params else ""
    yield "quant", _quant(card) if file.tensors else ""
    yield "tensors", _types(file)
    yield (
        "unsupported",
        f"{unknown} tensors are of types that Sterna does not know" if unknown else "",
    )
    bits = f", {card.bits_per_weight:.2f} bits a weight" if card.params else ""
    yield "size", human_bytes(card.bytes) + bits
    yield "context", f"{card.context:,} tokens" if card.context else ""
    yield "layers", f"{card.layers:,}" if card.layers else ""
    yield "heads", _heads(card)
    yield "experts", f"{card.experts:,}" if card.experts else ""
    tokenizer = f" ({card.tokenizer})" if card.tokenizer else ""
    yield "vocabulary", f"{card.vocab:,} tokens{tokenizer}" if card.vocab else ""
    yield "author", card.author or ""
    yield "licence", card.license or "not said"
    yield "chat template", "yes (--template prints it)" if card.chat_template else "none"
    yield "description", card.description or ""


def _quant(card: ModelCard) -> str:
    known = quants.QUANTS.get(card.quant)
    if known is None:
        return card.quant
    loss = "" if known.loss in ("none", "as trained") else f"; loss {known.loss}"
    return f"{card.quant}: {known.best_for}{loss}"


def _types(file: GGUFContents) -> str:
    """Return how many tensors there are of each type, the type with most bytes first."""
    counts: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for t in file.tensors.values():
        counts[t.type_name] = counts.get(t.type_name, 0) + 1
        sizes[t.type_name] = sizes.get(t.type_name, 0) + t.nbytes
    order = sorted(counts, key=lambda name: -sizes[name])
    return ", ".join(f"{counts[name]} {name}" for name in order)


def _heads(card: ModelCard) -> str:
    if not card.heads:
        return ""
    shared = f", {card.kv_heads} for keys and values" if card.kv_heads != card.heads else ""
    width = f", {card.head_width} wide" if card.head_width else ""
    return f"{card.heads}{shared}{width}"


def _tensor_table(tensors: Iterable[TensorInfo]) -> str:
    rows = [
        [
            t.name,
            t.type_name + ("" if t.supported else " (unknown)"),
            "×".join(map(str, t.shape)),
            human_bytes(t.nbytes),
        ]
        for t in tensors
    ]
    return output.table([["TENSOR", "TYPE", "SHAPE", "SIZE"], *rows], right=frozenset((3,)))


def _cut(text: str) -> str:
    return text if len(text) <= _WIDE else text[: _WIDE - 1] + "…"
