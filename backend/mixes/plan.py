"""From the table of mixes to the type of every tensor, and to the size of the file."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from backend import quants
from backend.mixes.rules import FALCON, MIXES, PLAIN, Mix, Place, first
from backend.mixes.traits import Stored, Traits

ALIGNMENT = 32  # bytes, where a file does not say otherwise

# Matrices that stay as they are: small, or not multiplied with.
_KEPT = re.compile(
    r"_norm\.weight|ffn_gate_inp\.weight|ffn_gate_tid2eid\.weight|altup|laurel|per_layer_model_proj"
    r"|^position_embd\.weight|^token_types\.weight|ssm_conv1d|shortconv\.conv\.weight"
    r"|indexer\.[kq]_proj\.weight|time_mix_(first|[wva][012]|g[12]|decay_w[12]|lerp_fused)\.weight"
    r"|attn_rel_b\.weight|\.position_embd|sam\.(pos_embd|neck\.|net_)|\.rel_pos|\.patch_(embd|merger)"
    r"|a\.rvq\.codebook|mm\.a\.code_embd"
)
_LAYER = re.compile(r"blk\.(\d+)\.")
_ROLES = (
    ("value", re.compile(r"attn_(qkv|kv_b|v)\.weight")),
    ("key", re.compile(r"attn_k\.weight")),
    ("query", re.compile(r"attn_q\.weight")),
    ("out", re.compile(r"attn_output\.weight")),
    ("up", re.compile(r"ffn_up")),
    ("gate", re.compile(r"ffn_gate")),
    ("down", re.compile(r"ffn_down")),
)
_TABLES = ("token_embd.weight", "per_layer_token_embd.weight")
_HEAD = "output.weight"


def names() -> tuple[str, ...]:
    """Return the quants whose mix is known, floating point first, best first."""
    return (*PLAIN, *MIXES)


def plan(
    quant: str, traits: Traits, tensors: Mapping[str, Stored], *, imatrix: bool = False
) -> dict[str, str]:
    """Return the type of every tensor in a file of this quant, in the order of `tensors`.

    `imatrix`: an importance matrix is at hand. Vectors and the small matrices that no quant
    touches keep the type that they are stored in. Raises KeyError for a quant without a mix.
    """
    if quant in PLAIN:
        return {
            name: quant if _is_quantised(name, t.shape) else t.type_name
            for name, t in tensors.items()
        }
    mix = MIXES[quant]
    if traits.architecture == "falcon":
        mix = replace(FALCON.get(quant, mix), head="Q8_0")
    types = dict(_choose(quant, mix, traits, tensors, imatrix))
    return {name: types[name] for name in tensors}


def planned_bytes(
    types: Mapping[str, str], tensors: Mapping[str, Stored], alignment: int = ALIGNMENT
) -> int:
    """Return the bytes of all tensors in a file of this plan, padding included, header not.

    Raises KeyError for a type of no known size.
    """
    return sum(
        -(-_bytes(types[name], tensor.shape) // alignment) * alignment
        for name, tensor in tensors.items()
    )


def _choose(
    quant: str, mix: Mix, traits: Traits, tensors: Mapping[str, Stored], imatrix: bool
) -> Iterator[tuple[str, str]]:
    ordered = sorted(tensors, key=lambda name: (_layer(name), name))
    roles = {name: _role(name) for name in ordered}
    values = sum(role == "value" for role in roles.values())
    tied = _HEAD not in tensors
    seen: dict[str, int] = {}
    for name in ordered:
        shape, role = tensors[name].shape, roles[name]
        if not _is_quantised(name, shape):
            yield name, tensors[name].type_name
            continue
        index = seen.get(role, 0)
        seen[role] = index + 1
        if role != "value" and traits.experts > 1 and not mix.few_bits:
            index = _layer(name)  # experts need not come in the order of layers
        count = values if role == "value" else traits.layers
        if role == "head" or (role == "table" and tied):
            fills = shape[0] % _block(mix.base) == 0
            chosen = mix.head if fills else "Q8_0"
        elif quant == "MXFP4" and traits.experts and len(shape) < 3:
            chosen = "Q8_0"
        else:
            chosen = _by_role(mix, role, Place(index, count, traits, imatrix))
        yield name, _fitting(chosen, shape)


def _by_role(mix: Mix, role: str, at: Place) -> str:
    """Return the type of a matrix, before its shape has a say."""
    eight = at.traits.experts == 8
    if role == "table":
        return mix.table or mix.base
    if role == "value":
        chosen = first(mix.value, at, mix.base)
        if mix.few_bits:
            return chosen
        if at.traits.is_70b and chosen in ("Q3_K", "Q4_K"):
            chosen = "Q5_K"  # an eighth of the query's matrix: hardly any bytes
        return "Q8_0" if eight else chosen
    if role == "key" and eight:
        return mix.key_of_eight
    if role in ("key", "query"):
        return first(mix.query_key, at, mix.base)
    if role == "out":
        if eight and at.traits.architecture != "falcon":
            return mix.out_of_eight or mix.base
        return first(mix.out, at, mix.base)
    if role in ("gate", "up"):
        return first(mix.gate_up, at, mix.base)
    return first(mix.down, at, mix.base) if role == "down" else mix.base


def _fitting(name: str, shape: tuple[int, ...]) -> str:
    """Return the type, or what stands in for it where rows do not fill its blocks."""
    for candidate in (name, quants.substitute(name)):
        if candidate and shape[0] % _block(candidate) == 0:
            return candidate
    return "F16"


def _is_quantised(name: str, shape: tuple[int, ...]) -> bool:
    dimensions = max((i + 1 for i, extent in enumerate(shape) if extent > 1), default=1)
    return dimensions > 1 and name.endswith("weight") and not _KEPT.search(name)


def _role(name: str) -> str:
    if name == _HEAD:
        return "head"
    if name in _TABLES:
        return "table"
    return next((role for role, pattern in _ROLES if pattern.search(name)), "other")


def _layer(name: str) -> int:
    match = _LAYER.match(name)
    return int(match[1]) if match else -1


def _block(name: str) -> int:
    return quants.type_named(name).block_size


def _bytes(name: str, shape: tuple[int, ...]) -> int:
    size = quants.tensor_bytes(quants.type_named(name), shape)
    if size is None:
        raise KeyError(name)
    return size
