"""The one table of GGUF quant types: how tensors are stored, and the mixes that people choose.

Sizes are those of ggml; tests compare them with the `gguf` package. Losses are measured on
Llama-3-8B against its F16 file: rise of perplexity in percent and mean Kullback-Leibler divergence,
from llama.cpp's perplexity tool (its table "LLaMA 3 8b Scoreboard", without an importance matrix
where there is such a row). Bits a weight are those of a whole Llama-3.1-8B file, embeddings and
norms included, from the table of llama.cpp's quantize tool (or the file size in the former). Both are of that model: smaller models
lose more, larger ones less.
"""

from collections.abc import Mapping
from dataclasses import dataclass

I2_S = 36
MXFP4 = 39
# The fork that made the first BitNet files gave these ids a meaning of its own.
_FORK_ARCHITECTURES = ("bitnet-b1.58", "bitnet-25")


@dataclass(frozen=True, slots=True)
class TensorType:
    """How one tensor is stored: `block_size` values take `type_size` bytes."""

    id: int
    name: str
    block_size: int
    type_size: int
    about: str

    @property
    def bits_per_weight(self) -> float:
        """Bits a weight."""
        return 8 * self.type_size / self.block_size


# fmt: off
TENSOR_TYPES: dict[int, TensorType] = {row[0]: TensorType(*row) for row in (
    (0, "F32", 1, 4, "floating point, single precision"),
    (1, "F16", 1, 2, "floating point, half precision"),
    (2, "Q4_0", 32, 18, "4 bits, one scale for 32 weights"),
    (3, "Q4_1", 32, 20, "4 bits, scale and offset for 32 weights"),
    (6, "Q5_0", 32, 22, "5 bits, one scale for 32 weights"),
    (7, "Q5_1", 32, 24, "5 bits, scale and offset for 32 weights"),
    (8, "Q8_0", 32, 34, "8 bits, one scale for 32 weights"),
    (9, "Q8_1", 32, 40, "8 bits with sums, for activations only"),
    (10, "Q2_K", 256, 84, "2 bits, 4-bit scales and offsets for 16 weights"),
    (11, "Q3_K", 256, 110, "3 bits, 6-bit scales for 16 weights"),
    (12, "Q4_K", 256, 144, "4 bits, 6-bit scales and offsets for 32 weights"),
    (13, "Q5_K", 256, 176, "5 bits, 6-bit scales and offsets for 32 weights"),
    (14, "Q6_K", 256, 210, "6 bits, 8-bit scales for 16 weights"),
    (15, "Q8_K", 256, 292, "8 bits with sums, for activations only"),
    (16, "IQ2_XXS", 256, 66, "codebook of 8 weights, about 2 bits"),
    (17, "IQ2_XS", 256, 74, "codebook of 8 weights, about 2.3 bits"),
    (18, "IQ3_XXS", 256, 98, "codebook of 4 weights, about 3 bits"),
    (19, "IQ1_S", 256, 50, "codebook of 8 weights, about 1.6 bits"),
    (20, "IQ4_NL", 32, 18, "4 bits on an uneven scale, one factor for 32 weights"),
    (21, "IQ3_S", 256, 110, "codebook of 4 weights, about 3.4 bits"),
    (22, "IQ2_S", 256, 82, "codebook of 8 weights, about 2.6 bits"),
    (23, "IQ4_XS", 256, 136, "4 bits on an uneven scale, 6-bit factors for 32 weights"),
    (24, "I8", 1, 1, "whole numbers"),
    (25, "I16", 1, 2, "whole numbers"),
    (26, "I32", 1, 4, "whole numbers"),
    (27, "I64", 1, 8, "whole numbers"),
    (28, "F64", 1, 8, "floating point, double precision"),
    (29, "IQ1_M", 256, 56, "codebook of 8 weights, about 1.8 bits"),
    (30, "BF16", 1, 2, "floating point with the range of single precision, as models are trained"),
    (34, "TQ1_0", 256, 54, "ternary, five weights in a byte"),
    (35, "TQ2_0", 256, 66, "ternary, four weights in a byte"),
    (36, "I2_S", 128, 32, "ternary, four weights in a byte, one scale for the tensor"),
    (39, "MXFP4", 32, 17, "4-bit floating point, a power of two as scale for 32 weights"),
    (40, "NVFP4", 64, 36, "4-bit floating point, 8-bit scales for 16 weights"),
    (41, "Q1_0", 128, 18, "1 bit, one scale for 128 weights"),
    (42, "Q2_0", 64, 18, "2 bits, one scale for 64 weights"),
)}

_BY_NAME = {kind.name: kind for kind in TENSOR_TYPES.values()}
# Known by name only. Those of ggml were taken out of the format again.
_NAMES = {4: "Q4_2", 5: "Q4_3", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 37: "I8_S", 38: "TL1"}
# fmt: on


def _is_fork(architecture: str) -> bool:
    return architecture in _FORK_ARCHITECTURES


def tensor_type(id_: int, architecture: str) -> TensorType | None:
    """Return the type behind an id in a file of this architecture; None: of no known size.

    Ids 36 to 38 were given up upstream, so they are the fork's wherever they stand; 39 has two
    meanings, and the architecture's name tells which program wrote the file.
    """
    if id_ == MXFP4 and _is_fork(architecture):
        return None  # TL2: its size depends on tiles chosen for each processor
    return TENSOR_TYPES.get(id_)


def type_name(id_: int, architecture: str) -> str:
    """Return the name of a type id; of an unknown one `type 99`."""
    if id_ == MXFP4 and _is_fork(architecture):
        return "TL2"
    known = TENSOR_TYPES.get(id_)
    return known.name if known else _NAMES.get(id_, f"type {id_}")


def type_named(name: str) -> TensorType:
    """Return the type of this name; raises KeyError for one of no known size."""
    return _BY_NAME[name]


def tensor_bytes(kind: TensorType, shape: tuple[int, ...]) -> int | None:
    """Return the bytes of a tensor, or None when its rows do not fill whole blocks."""
    count = 1
    for n in shape:
        count *= n
    row = shape[0] if shape else 1
    if kind.id == I2_S:  # rows without gaps, then one float32 scale in 32 bytes
        return count // 4 + 32 if count % kind.block_size == 0 else None
    return count // kind.block_size * kind.type_size if row % kind.block_size == 0 else None


@dataclass(frozen=True, slots=True)
class Quant:
    """A quant as people choose it: a mix of tensor types under one name."""

    name: str
    bits: float  # bits a weight of a whole 8B model
    loss: str
    perplexity_percent: float | None  # rise over F16
    divergence: float | None  # mean KL divergence from F16, in nats
    best_for: str
    imatrix: bool = False  # the figures are of a file made with an importance matrix

    @property
    def keeps(self) -> str:
        """What stays at more bits than the name says, the output matrix aside; mostly nothing."""
        return _KEEPS.get(self.name, "")


_TINY = "squeezing every megabyte out of tight memory"
_LAST = "a last resort: much less coherent, and not reliably faster"
_TERNARY = "ternary models: trained with these weights, not compressed afterwards"
_TRAINED = "models published in this format"

# By llama.cpp's quantize tool; "half" is the first and last eighth of the layers and every third between.
_KEEPS = {
    "Q2_K": "attention values, attention outputs and ffn_down at 3 bits or more",
    "Q2_K_S": "ffn_down of the first eighth of the layers at 4 bits",
    "Q3_K_M": "attention values, attention outputs and ffn_down at 4 bits, a few at 5",
    "Q3_K_L": "attention values, attention outputs and ffn_down at 5 bits",
    "Q4_K_S": "attention values of four layers and ffn_down of the first eighth at 5 bits",
    "Q4_K_M": "attention values and ffn_down of half of the layers at 6 bits",
    "Q5_K_M": "attention values and ffn_down of half of the layers at 6 bits",
    "IQ3_M": "attention values, attention outputs and some of ffn_down at 4 bits",
}

# Best first. Loss and best_for in words: the table of roles that recommendations keep.
# fmt: off
QUANTS: dict[str, Quant] = {row[0]: Quant(*row) for row in (
    ("F32", 32.0, "none", None, None, "conversion and reference"),
    ("BF16", 16.0, "none", None, None, "the weights as most models are published"),
    ("F16", 16.0, "none", 0.0, 0.0, "the weights in half precision"),
    ("Q8_0", 8.50, "virtually none", 0.04, 0.0014, "computers with large amounts of memory"),
    ("Q6_K", 6.56, "nearly none", 0.35, 0.0055, "quality close to Q8_0 at three quarters of its size"),
    ("Q5_K_M", 5.70, "near zero", 0.91, 0.0108, "small models (below 8B), where precision matters"),
    ("Q5_K_S", 5.57, "negligible", 1.68, 0.0166, "high quality when Q5_K_M is slightly too big"),
    ("Q5_1", 6.04, "low", 1.70, 0.0180, "older files: Q5_K_M is smaller and better"),
    ("Q5_0", 5.57, "low", 2.11, 0.0222, "older files: Q5_K_S is better at the same size"),
    ("Q4_K_M", 4.89, "very low", 2.82, 0.0313, "the default recommendation for balance"),
    ("Q4_K_S", 4.67, "medium", 4.31, 0.0431, "old or slow hardware where speed is top priority"),
    ("IQ4_NL", 4.68, "low to medium", 3.59, 0.0357, _TINY, True),
    ("IQ4_XS", 4.46, "low to medium", 3.66, 0.0363, _TINY, True),
    ("Q4_1", 5.11, "medium", 7.24, 0.0717, "older files: Q4_K_M is smaller and better"),
    ("Q4_0", 4.64, "medium", 7.52, 0.0719, "older files: Q4_K_S is better at the same size"),
    ("MXFP4", 4.25, "as trained", None, None, _TRAINED),
    ("NVFP4", 4.50, "as trained", None, None, _TRAINED),
    ("Q3_K_L", 4.30, "high", 8.93, 0.0872, _LAST),
    ("Q3_K_M", 4.00, "high", 10.54, 0.1019, _LAST),
    ("IQ3_M", 3.76, "high", 10.70, 0.1025, _LAST, True),
    ("IQ3_S", 3.66, "high", 11.78, 0.1113, _LAST, True),
    ("IQ3_XS", 3.50, "high", 14.95, 0.1387, _LAST, True),
    ("IQ3_XXS", 3.25, "high", 19.69, 0.1836, _LAST, True),
    ("Q3_K_S", 3.64, "high", 26.19, 0.2282, _LAST),
    ("IQ2_M", 2.93, "very high", 38.02, 0.3260, _LAST, True),
    ("Q2_K", 3.16, "very high", 56.48, 0.4451, _LAST),
    ("Q2_K_S", 2.97, "very high", 49.62, 0.4034, _LAST, True),
    ("IQ2_S", 2.74, "very high", 54.87, 0.4392, _LAST, True),
    ("IQ2_XS", 2.59, "very high", 72.69, 0.5463, _LAST, True),
    ("IQ2_XXS", 2.38, "extreme", 126.1, 0.8120, _LAST, True),
    ("IQ1_M", 2.15, "extreme", 309.1, 1.3931, _LAST, True),
    ("IQ1_S", 2.00, "extreme", 873.8, 2.2546, _LAST, True),
    ("Q2_0", 2.25, "as trained", None, None, _TRAINED),
    ("Q1_0", 1.12, "as trained", None, None, _TRAINED),
    ("I2_S", 2.00, "as trained", None, None, _TERNARY),
    ("TQ2_0", 2.06, "as trained", None, None, _TERNARY),
    ("TQ1_0", 1.69, "as trained", None, None, _TERNARY),
    ("TL1", 2.00, "as trained", None, None, _TERNARY),
    ("TL2", 1.67, "as trained", None, None, _TERNARY),
)}

# general.file_type of llama.cpp, and the tensor type that such a file mostly consists of.
_FILE_TYPES: dict[int, tuple[str, tuple[str, ...]]] = {
    0: ("F32", ("F32",)), 1: ("F16", ("F16",)), 32: ("BF16", ("BF16",)),
    2: ("Q4_0", ("Q4_0",)), 3: ("Q4_1", ("Q4_1",)), 7: ("Q8_0", ("Q8_0",)),
    8: ("Q5_0", ("Q5_0",)), 9: ("Q5_1", ("Q5_1",)),
    10: ("Q2_K", ("Q2_K", "Q3_K")), 21: ("Q2_K_S", ("Q2_K",)),
    11: ("Q3_K_S", ("Q3_K",)), 12: ("Q3_K_M", ("Q3_K",)), 13: ("Q3_K_L", ("Q3_K", "Q5_K")),
    14: ("Q4_K_S", ("Q4_K",)), 15: ("Q4_K_M", ("Q4_K",)),
    16: ("Q5_K_S", ("Q5_K",)), 17: ("Q5_K_M", ("Q5_K",)), 18: ("Q6_K", ("Q6_K",)),
    19: ("IQ2_XXS", ("IQ2_XXS",)), 20: ("IQ2_XS", ("IQ2_XS",)), 28: ("IQ2_S", ("IQ2_XS", "IQ2_S")),
    29: ("IQ2_M", ("IQ2_S",)), 23: ("IQ3_XXS", ("IQ3_XXS",)), 22: ("IQ3_XS", ("IQ3_S", "IQ3_XXS")),
    26: ("IQ3_S", ("IQ3_S",)), 27: ("IQ3_M", ("IQ3_S",)), 24: ("IQ1_S", ("IQ1_S",)),
    31: ("IQ1_M", ("IQ1_M",)), 25: ("IQ4_NL", ("IQ4_NL",)), 30: ("IQ4_XS", ("IQ4_XS",)),
    36: ("TQ1_0", ("TQ1_0",)), 37: ("TQ2_0", ("TQ2_0",)), 38: ("MXFP4", ("MXFP4",)),
    39: ("NVFP4", ("NVFP4",)), 40: ("Q1_0", ("Q1_0",)), 41: ("Q2_0", ("Q2_0",)),
}

# What a tensor becomes whose rows do not fill blocks of 256.
_SUBSTITUTES = {
    "Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0", "TQ1_0": "Q4_0",
    "TQ2_0": "Q4_0", **dict.fromkeys(
        ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"),
}
# fmt: on


def file_type(quant: str) -> int | None:
    """Return the `general.file_type` of a quant, or None where it has none."""
    return next((id_ for id_, (name, _) in _FILE_TYPES.items() if name == quant), None)


def substitute(name: str) -> str | None:
    """Return the type that stands in for `name` where rows do not fill its blocks of 256, or None."""
    return _SUBSTITUTES.get(name)


def quant_name(bytes_by_type: Mapping[str, int], file_type: int | None) -> str:
    """Name the quant of a file from the bytes that each tensor type takes in its layers.

    `file_type` is the file's own word for it. It is believed where the tensors agree, for only it
    tells mixes of the same types apart; but it may be wrong, and ids 38 to 40 mean other things in
    BitNet files. Otherwise the type with most bytes names the file.
    """
    if not any(bytes_by_type.values()):
        return "unknown"
    main = max(bytes_by_type, key=lambda name: bytes_by_type[name])
    name, types = _FILE_TYPES.get(-1 if file_type is None else file_type, ("", ()))
    substituted = any(_SUBSTITUTES.get(t) == main and bytes_by_type.get(t) for t in types)
    # A mix may give most bytes to another type than its own, but not all of them.
    named = main in types and (main == types[0] or bytes_by_type.get(types[0]))
    if named or substituted:
        return name
    return _mix_name(main, bytes_by_type)


def _mix_name(main: str, bytes_by_type: Mapping[str, int]) -> str:
    """Name a mix whose file does not say: `_M` keeps some matrices of its layers in Q6_K."""
    if main in ("Q4_K", "Q5_K"):
        return main + ("_M" if bytes_by_type.get("Q6_K") else "_S")
    return main
