"""What the fit asks of a model, read from a header that lies on disk, came from the Hub, or was made up."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

from backend import quants
from backend.errors import SternaError
from backend.fit.layers import Layer, read_layers
from backend.gguf import Metadata, TensorInfo, bytes_by_type
from backend.mixes import Traits, plan, planned_bytes

_TERNARY = ("TQ1_0", "TQ2_0", "I2_S", "TL1", "TL2")
_TRAINED = ("MXFP4", "NVFP4", "Q1_0", "Q2_0")  # few bits by training, too
_BITNETS = ("bitnet", "bitnet-b1.58", "bitnet-25")
_CONSTANTS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
TABLE, HEAD = "token_embd.weight", "output.weight"


class Source(Protocol):
    """A `GGUFFile`, or a `Header` alone."""

    @property
    def metadata(self) -> Metadata: ...

    @property
    def tensors(self) -> Mapping[str, TensorInfo]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model whose memory and speed can be told. Widths in values.

    `tensors` have the types of the file that the header is of; `quant` is its name; `file_bytes` what
    they take as they are stored. `ternary`: the model was trained with ternary weights, whatever the
    file has. Two are the same model only if they are the same object.
    """

    metadata: Metadata
    tensors: Mapping[str, TensorInfo]
    file_bytes: int
    arch: str
    params: int
    quant: str
    ternary: bool
    context: int
    layers: tuple[Layer, ...]
    embedding: int
    heads: int
    vocab: int
    experts: int
    experts_used: int

    def native(self, quant: str) -> bool:
        """Whether a file of this quant has the model as it was trained."""
        if self.ternary:
            return quant in _TERNARY
        return quant in _TRAINED and (quant == self.quant or self.arch == "gpt-oss")


def read_model(source: Source) -> Model:
    """Read a header; raises SternaError when it is of no language model."""
    data, tensors = source.metadata.detached(), source.tensors
    arch = data.string("general.architecture") or ""
    layers = read_layers(data)
    table = tensors.get(TABLE)
    if table is None or len(table.shape) != 2:
        raise SternaError(
            "not_a_model",
            "The header lists no table of token embeddings: it is not of a whole language model.",
            "Take the first part of a split model, or another file.",
        )
    heads = data.integers(f"{arch}.attention.head_count")
    name = quants.quant_name(bytes_by_type(tensors), data.integer("general.file_type"))
    context = data.integer(f"{arch}.context_length", 0) or 0
    return Model(
        metadata=data,
        tensors=tensors,
        file_bytes=sum(t.nbytes for t in tensors.values()),
        arch=arch,
        params=sum(t.elements for t in tensors.values() if not t.name.endswith(_CONSTANTS)),
        quant=name,
        ternary=_is_ternary(arch, data),
        context=context if 0 < context < 1 << 31 else 2048,
        layers=layers,
        embedding=table.shape[0],
        heads=max(heads, default=0) or data.integer(f"{arch}.attention.head_count", 0) or 0,
        vocab=table.shape[1],
        experts=max(0, data.integer(f"{arch}.expert_count", 0) or 0),
        experts_used=max(0, data.integer(f"{arch}.expert_used_count", 0) or 0),
    )


def _is_ternary(arch: str, data: Metadata) -> bool:
    """Tell a ternary model from one that was compressed to ternary weights, which ruins it."""
    if arch in _BITNETS:
        return True
    said = f"{data.string('general.name') or ''} {data.string('general.basename') or ''}".casefold()
    return any(word in said for word in ("1.58", "1_58", "bitnet", "ternary", "trilm"))


@lru_cache(maxsize=128)
def quantised(model: Model, quant: str) -> Model:
    """Return the model as a file of another quant has it, tensor by tensor.

    Raises KeyError for a quant whose mix is not known.
    """
    if quant == model.quant:
        return model
    types = plan(
        quant,
        Traits.read(model.metadata),
        model.tensors,
        imatrix=quant.startswith(("IQ1", "IQ2", "IQ3")),  # these are not made without
    )
    tensors = {name: _retyped(t, types[name]) for name, t in model.tensors.items()}
    size = sum(t.nbytes for t in tensors.values())
    return replace(model, tensors=tensors, file_bytes=size, quant=quant)


def _retyped(tensor: TensorInfo, name: str) -> TensorInfo:
    if name == tensor.type_name:
        return tensor
    kind = quants.type_named(name)
    return replace(
        tensor,
        type=kind.id,
        type_name=name,
        nbytes=planned_bytes({tensor.name: name}, {tensor.name: tensor}, 1),
        supported=True,
    )


def weights_per_token(model: Model) -> dict[str, float]:
    """Return how many weights of each tensor type one token is multiplied with.

    Of the experts of a layer only those that are used count. The table of embeddings is only looked
    up; where the file has no output matrix of its own it is that, too. The output matrix is under the
    name `head TYPE`, for it is read otherwise than those of the layers.
    """
    share = model.experts_used / model.experts if model.experts else 1.0
    head = HEAD if HEAD in model.tensors else TABLE
    sums: dict[str, float] = {}
    for name, tensor in model.tensors.items():
        if len(tensor.shape) < 2 or (name == TABLE and name != head) or "position_embd" in name:
            continue
        key = f"head {tensor.type_name}" if name == head else tensor.type_name
        used = share if "_exps" in name else 1.0
        sums[key] = sums.get(key, 0.0) + tensor.elements * used
    return sums


@dataclass(frozen=True, slots=True)
class Work:
    """What a token takes beside attention: weights by tensor type, layers, values that are normalised for
    the products, values of queries, keys and values that are turned to their position and kept, words of
    the vocabulary.
    """

    weights: dict[str, float]
    layers: int
    normalised: int
    turned: int
    vocab: int


def work_per_token(model: Model) -> Work:
    """Return what one token of an answer takes."""
    return Work(
        weights_per_token(model), len(model.layers), _normalised(model), _turned(model), model.vocab
    )


def _turned(model: Model) -> int:
    """Return how many values of queries, keys and values a token has, over all layers."""
    return sum(
        model.heads * layer.key_width + layer.kv_heads * (layer.key_width + layer.value_width)
        for layer in model.layers
        if layer.kv_heads
    )


def _normalised(model: Model) -> int:
    """Return how many values are normalised for a token: the columns of each product, once for those that
    share their input.
    """
    shared = ("attn_k", "attn_v", "ffn_gate", "ffn_gate_exps")  # the input of attn_q, of ffn_up
    total = model.embedding  # for the output matrix
    for name, tensor in model.tensors.items():
        part = name.split(".")[2] if name.startswith("blk.") and name.count(".") > 2 else ""
        if part and len(tensor.shape) > 1 and part not in shared:
            times = model.experts_used if part == "ffn_down_exps" else 1
            total += tensor.shape[0] * times
    return total
