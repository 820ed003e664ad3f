"""What a person wants to know of a model file, in one record."""

import math
from dataclasses import dataclass

from backend import quants
from backend.gguf.file import GGUFFile


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model as lists and panes show it. None: the file does not say."""

    name: str
    arch: str
    params: int
    quant: str
    bytes: int
    bits_per_weight: float
    context: int | None
    layers: int | None
    embedding: int | None
    heads: int | None
    kv_heads: int | None
    vocab: int | None
    tokenizer: str | None
    license: str | None
    author: str | None
    description: str | None
    chat_template: str | None
    kind: str  # model, or what general.type says: adapter, mmproj, vocab …


def chat_template(file: GGUFFile) -> str | None:
    """Return the default chat template: the plain key, or the one named `default`, or the first named."""
    plain = file.string("tokenizer.chat_template")
    if plain:
        return plain
    names = file.strings("tokenizer.chat_templates")
    for name in (["default"] if "default" in names else []) + names:
        named = file.string(f"tokenizer.chat_template.{name}")
        if named:
            return named
    return None


def describe(file: GGUFFile) -> ModelCard:
    """Summarise a file from its header alone; never raises on odd metadata."""
    arch = file.architecture
    weights = list(file.tensors.values())
    params = sum(math.prod(t.shape) for t in weights)
    by_type: dict[str, int] = {}
    for t in weights:
        if len(t.shape) > 1:
            by_type[t.type_name] = by_type.get(t.type_name, 0) + (t.nbytes or 1)
    stored = sum(t.nbytes for t in weights)
    table = file.tensors.get("token_embd.weight")
    kind = file.string("general.type") or "model"
    if kind == "model" and not weights and "tokenizer.ggml.tokens" in file.metadata:
        kind = "vocab"
    return ModelCard(
        name=file.string("general.name") or file.path.stem,
        arch=arch,
        params=params,
        quant=quants.quant_name(by_type, file.integer("general.file_type")),
        bytes=file.size,
        bits_per_weight=8 * stored / params if params else 0.0,
        context=file.integer(f"{arch}.context_length"),
        layers=file.integer(f"{arch}.block_count"),
        embedding=file.integer(f"{arch}.embedding_length"),
        heads=file.integer(f"{arch}.attention.head_count"),
        kv_heads=file.integer(f"{arch}.attention.head_count_kv"),
        vocab=table.shape[1] if table and len(table.shape) == 2 else None,
        tokenizer=file.string("tokenizer.ggml.model"),
        license=file.string("general.license"),
        author=file.string("general.author") or file.string("general.organization"),
        description=file.string("general.description"),
        chat_template=chat_template(file),
        kind=kind,
    )
