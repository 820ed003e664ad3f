"""The one table of GGUF quant types.

Block and type sizes as ggml defines them (the `gguf` package is the oracle in tests). Losses: change
of perplexity and mean KL divergence of Llama-3.1-8B against its F16 file, as published with
llama.cpp's quantize tool and in its table of Llama-3 results.
"""

from dataclasses import dataclass

I2_S = 36
MXFP4 = 39
# The fork that made the first BitNet files gave these ids a meaning of its own.
_FORK_ARCHITECTURES = ("bitnet-b1.58", "bitnet-25")
_FORK_TYPES = {37: "I8_S", 38: "TL1", 39: "TL2"}


@dataclass(frozen=True, slots=True)
class TensorType:
    """How one tensor is stored: `block` values take `size` bytes."""

    id: int
    name: str
    block: int
    size: int

    @property
    def bits(self) -> float:
        """Bits a weight."""
        return 8 * self.size / self.block


_ROWS = """
0 F32 1 4|1 F16 1 2|2 Q4_0 32 18|3 Q4_1 32 20|6 Q5_0 32 22|7 Q5_1 32 24|8 Q8_0 32 34|9 Q8_1 32 40
10 Q2_K 256 84|11 Q3_K 256 110|12 Q4_K 256 144|13 Q5_K 256 176|14 Q6_K 256 210|15 Q8_K 256 292
16 IQ2_XXS 256 66|17 IQ2_XS 256 74|18 IQ3_XXS 256 98|19 IQ1_S 256 50|20 IQ4_NL 32 18|21 IQ3_S 256 110
22 IQ2_S 256 82|23 IQ4_XS 256 136|24 I8 1 1|25 I16 1 2|26 I32 1 4|27 I64 1 8|28 F64 1 8|29 IQ1_M 256 56
30 BF16 1 2|34 TQ1_0 256 54|35 TQ2_0 256 66|36 I2_S 128 32|39 MXFP4 32 17|40 NVFP4 64 36|41 Q1_0 128 18
"""


def _read_table() -> dict[int, TensorType]:
    table = {}
    for row in _ROWS.replace("|", "\n").split("\n"):
        if row:
            id_, name, block, size = row.split()
            table[int(id_)] = TensorType(int(id_), name, int(block), int(size))
    return table


TENSOR_TYPES: dict[int, TensorType] = _read_table()


def tensor_type(id_: int, architecture: str) -> TensorType | None:
    """Return the type behind an id in a file of this architecture, or None: unknown, or of no known size."""
    if architecture in _FORK_ARCHITECTURES and id_ in _FORK_TYPES:
        return None
    return TENSOR_TYPES.get(id_)


def type_name(id_: int, architecture: str) -> str:
    """Return the name of a type id; unknown ones as `type 99`."""
    if architecture in _FORK_ARCHITECTURES and id_ in _FORK_TYPES:
        return _FORK_TYPES[id_]
    known = TENSOR_TYPES.get(id_)
    return known.name if known else f"type {id_}"


def tensor_bytes(kind: TensorType, shape: tuple[int, ...]) -> int | None:
    """Return the bytes of a tensor, or None when its rows do not fill whole blocks."""
    count = 1
    for n in shape:
        count *= n
    row = shape[0] if shape else 1
    if kind.id == I2_S:  # rows without gaps, then one float32 scale in 32 bytes
        return count // 4 + 32 if count % kind.block == 0 else None
    return count // kind.block * kind.size if row % kind.block == 0 else None


@dataclass(frozen=True, slots=True)
class Quant:
    """A quant as people choose it: a mix of tensor types under one name."""

    name: str
    bits: float  # bits a weight of a whole 8B model
    loss: str
    perplexity_percent: float | None  # rise over F16
    divergence: float | None  # mean KL divergence from F16
    best_for: str


QUANTS: dict[str, Quant] = {
    q.name: q
    for q in (
        Quant("F32", 32, "none", 0, 0, "conversion and reference"),
        Quant("BF16", 16, "none", 0, 0, "the weights as most models are published"),
        Quant("F16", 16, "none", 0, 0, "the weights in half precision"),
        Quant(
            "Q8_0",
            8.50,
            "virtually none",
            0.04,
            0.0014,
            "PCs with large amounts of memory; tiny models",
        ),
        Quant(
            "Q6_K",
            6.56,
            "nearly none",
            0.35,
            0.0055,
            "quality close to Q8_0 at three quarters of its size",
        ),
        Quant(
            "Q5_K_M",
            5.70,
            "near zero",
            0.9,
            0.0108,
            "small models (below 8B), where precision matters",
        ),
        Quant(
            "Q5_K_S",
            5.57,
            "negligible",
            1.7,
            0.0166,
            "high quality when Q5_K_M is slightly too big",
        ),
        Quant(
            "Q5_1", 6.00, "negligible", None, None, "older files; Q5_K_M is better at the same size"
        ),
        Quant("Q5_0", 5.50, "low", None, None, "older files; Q5_K_S is better at the same size"),
        Quant("Q4_K_M", 4.89, "very low", 2.8, 0.0313, "the default of balance"),
        Quant(
            "Q4_K_S",
            4.67,
            "low to medium",
            4.3,
            0.0431,
            "old or slow hardware where speed comes first",
        ),
        Quant("IQ4_NL", 4.68, "low to medium", 3.6, 0.0357, "when every megabyte counts"),
        Quant("IQ4_XS", 4.46, "low to medium", 3.7, 0.0363, "when every megabyte counts"),
        Quant("Q4_1", 5.00, "medium", None, None, "older files; Q4_K_M is better at the same size"),
        Quant("Q4_0", 4.55, "medium", None, None, "older files; Q4_K_S is better at the same size"),
        Quant("MXFP4", 4.25, "as trained", None, None, "models published in this format"),
        Quant("Q3_K_L", 4.30, "high", None, None, "a last resort: much less coherent"),
        Quant(
            "Q3_K_M",
            4.00,
            "high",
            10.5,
            0.102,
            "a last resort: much less coherent, not reliably faster",
        ),
        Quant(
            "Q3_K_S",
            3.64,
            "high",
            None,
            None,
            "a last resort: much less coherent, not reliably faster",
        ),
        Quant(
            "Q2_K",
            3.16,
            "very high",
            56,
            0.445,
            "a last resort: much less coherent, not reliably faster",
        ),
        Quant(
            "I2_S",
            2.00,
            "as trained",
            None,
            None,
            "ternary models: trained with these weights, not compressed",
        ),
        Quant(
            "TQ2_0",
            2.06,
            "as trained",
            None,
            None,
            "ternary models: trained with these weights, not compressed",
        ),
        Quant(
            "TQ1_0",
            1.69,
            "as trained",
            None,
            None,
            "ternary models: trained with these weights, not compressed",
        ),
    )
}

# general.file_type of llama.cpp
_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
    12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K",
    19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL",
    26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16",
    36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4",
}  # fmt: skip


def quant_name(bytes_by_type: dict[str, int], file_type: int | None) -> str:
    """Name the quant of a file from what its tensors are; `file_type` only tells mixes apart.

    The type that takes most bytes among the two-dimensional tensors decides, for a file's own word
    is sometimes wrong. A ternary type decides as soon as it takes a fifth: the embeddings of such
    models often outweigh it.
    """
    if not bytes_by_type:
        return "unknown"
    total = sum(bytes_by_type.values())
    for ternary in ("I2_S", "TQ2_0", "TQ1_0", "TL1", "TL2"):
        if bytes_by_type.get(ternary, 0) * 5 >= total:
            return ternary
    main = max(bytes_by_type, key=lambda name: bytes_by_type[name])
    said = _FILE_TYPES.get(file_type) if file_type is not None else None
    if said and (said == main or said.startswith(main + "_")):
        return said
    return main
