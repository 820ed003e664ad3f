"""What a person wants to know of a model file, in one record."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from backend import quants
from backend.errors import SternaError
from backend.gguf.contents import GGUFContents
from backend.gguf.tensors import TensorInfo

_TABLE = "token_embd.weight"
_HEADS = ("output.weight", _TABLE)
_LINE, _PARAGRAPH = 300, 4000  # characters
# What general.type may name beside a model; other words are not believed.
_OTHER_KINDS = {
    "adapter": "an adapter (LoRA), not a model",
    "mmproj": "a projector for images or sound, not a language model",
    "imatrix": "an importance matrix for quantising, not a model",
}
# Constants that some files carry as tensors: they are no parameters.
_NO_PARAMETERS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model as lists and panes show it. None: the file does not say, or says nonsense.

    Texts come from the file as they are, only cut to a length that a screen can hold (the template
    is whole): clean them before they are shown.
    """

    name: str
    arch: str
    params: int  # values in weight tensors
    quant: str
    bytes: int  # of all parts on disk
    bits_per_weight: float
    context: int | None  # tokens the model was trained for
    layers: int | None
    embedding: int | None
    feed_forward: int | None  # the largest, where layers differ
    heads: int | None
    kv_heads: int | None  # the most, where layers differ
    kv_heads_per_layer: tuple[int, ...]  # empty where unknown
    head_width: int | None  # of a key
    experts: int | None
    vocab: int | None
    tokenizer: str | None
    bos: int | None
    eos: int | None
    license: str | None
    author: str | None
    description: str | None
    chat_template: str | None
    kind: str  # model, adapter, mmproj, imatrix, vocab; unknown: a GGUF without a model in it


def describe(file: GGUFContents) -> ModelCard:
    """Summarise a file from its header alone. Odd metadata never makes it fail."""
    arch = file.architecture
    params = sum(t.elements for t in file.tensors.values() if not _is_constant(t.name))
    stored = sum(t.nbytes for t in file.tensors.values())
    heads = _most(file, f"{arch}.attention.head_count")
    layers = _count(file, f"{arch}.block_count")
    per_layer = _kv_heads(file, arch, layers, heads)
    return ModelCard(
        name=_line(file, "general.name") or file.path.stem,
        arch=arch[:_LINE],
        params=params,
        quant=quants.quant_name(bytes_by_type(file.tensors), file.integer("general.file_type")),
        bytes=file.size,
        bits_per_weight=8 * stored / params if params else 0.0,
        context=_count(file, f"{arch}.context_length"),
        layers=layers,
        embedding=_count(file, f"{arch}.embedding_length"),
        feed_forward=_most(file, f"{arch}.feed_forward_length"),
        heads=heads,
        kv_heads=_most(file, f"{arch}.attention.head_count_kv") or heads,
        kv_heads_per_layer=per_layer,
        head_width=_head_width(file, arch, heads),
        experts=_count(file, f"{arch}.expert_count"),
        vocab=_vocab(file, arch),
        tokenizer=_line(file, "tokenizer.ggml.model"),
        bos=file.token_id("bos"),
        eos=file.token_id("eos"),
        license=_line(file, "general.license"),
        author=_line(file, "general.author") or _line(file, "general.organization"),
        description=_line(file, "general.description", _PARAGRAPH),
        chat_template=chat_template(file),
        kind=_kind(file),
    )


def require_model(file: GGUFContents) -> None:
    """Raise SternaError `not_a_model` unless the file is a whole language model."""
    kind = _kind(file)
    if kind == "model":
        return
    what = {
        **_OTHER_KINDS,
        "vocab": "a vocabulary without weights",
        "unknown": "a GGUF file with no model in it",
    }
    raise SternaError(
        "not_a_model",
        f"{file.path.name} is {what[kind]}.",
        "Load a model; adapters and projectors are used together with theirs.",
    )


def chat_template(file: GGUFContents) -> str | None:
    """Return the default chat template: the plain key, or the one named `default`, or the first named.

    None when there is none; a template of another type than text is none.
    """
    plain = file.string("tokenizer.chat_template")
    if plain:
        return plain
    names = file.strings("tokenizer.chat_templates")[:64]
    for name in (["default"] if "default" in names else []) + names:
        named = file.string(f"tokenizer.chat_template.{name}")
        if named:
            return named
    return None


def fingerprint(tensors: Mapping[str, TensorInfo]) -> str:
    """Return a name for what a file costs to run: equal for equal names, shapes and types of tensors."""
    lines = (f"{t.name} {t.type_name} {t.shape}" for t in tensors.values())
    return hashlib.sha256("\n".join(sorted(lines)).encode("utf-8", "replace")).hexdigest()[:24]


def bytes_by_type(tensors: Mapping[str, TensorInfo]) -> dict[str, int]:
    """Return the bytes of the matrices by type name, as `quants.quant_name` judges them.

    Embeddings and output matrix count only in a file that has nothing else: mixes give them types
    of their own, and in small models they outweigh all layers.
    """
    matrices = [t for t in tensors.values() if len(t.shape) > 1 and not _is_constant(t.name)]
    layers = [t for t in matrices if t.name not in _HEADS]
    sums: dict[str, int] = {}
    for t in layers or matrices:
        sums[t.type_name] = sums.get(t.type_name, 0) + t.nbytes
    return sums


def _line(file: GGUFContents, key: str, limit: int = _LINE) -> str | None:
    text = file.string(key)
    return text if text is None or len(text) <= limit else text[: limit - 1] + "…"


def _is_constant(name: str) -> bool:
    return name.endswith(_NO_PARAMETERS)


def _count(file: GGUFContents, key: str) -> int | None:
    """Return a number of things: at least one."""
    value = file.integer(key)
    return value if value is not None and value > 0 else None


def _most(file: GGUFContents, key: str) -> int | None:
    """Return the same where each layer may have its own."""
    return _count(file, key) or max((n for n in file.integers(key) if n > 0), default=None)


def _kv_heads(
    file: GGUFContents, arch: str, layers: int | None, heads: int | None
) -> tuple[int, ...]:
    key = f"{arch}.attention.head_count_kv"
    listed = file.integers(key)
    if listed:
        fits = len(listed) == (layers or len(listed)) and all(n >= 0 for n in listed)
        return tuple(listed) if fits else ()
    every = _count(file, key) or heads
    return (every,) * layers if every and layers and layers <= len(file.tensors) else ()


def _head_width(file: GGUFContents, arch: str, heads: int | None) -> int | None:
    width = _count(file, f"{arch}.attention.key_length")
    embedding = _count(file, f"{arch}.embedding_length")
    if width or not embedding or not heads or embedding % heads:
        return width
    return embedding // heads


def _vocab(file: GGUFContents, arch: str) -> int | None:
    table = file.tensors.get(_TABLE)
    if table and len(table.shape) == 2 and table.shape[1] > 0:
        return table.shape[1]
    return _count(file, f"{arch}.vocab_size") or file.count("tokenizer.ggml.tokens") or None


def _kind(file: GGUFContents) -> str:
    said = file.string("general.type")
    if said in _OTHER_KINDS:
        return said
    if file.architecture == "clip":  # projectors from before general.type
        return "mmproj"
    if file.architecture and file.tensors:
        return "model"
    return "vocab" if file.count("tokenizer.ggml.tokens") else "unknown"
