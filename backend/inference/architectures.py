"""The architectures that the engine runs: what differs between them, one line each.

A new one that only differs in these traits is a line here; ARCHITECTURE.md tells how to add one. Sources:
the reference implementations in transformers, and llama.cpp for the names in GGUF files.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """Traits of a decoder-only transformer.

    `neox`: rotary pairs are (i, i + half) and not (2i, 2i + 1).
    `gate`: the activation of the feed-forward's gate: silu, relu2 (squared ReLU) or gelu (by tanh).
    `head_norms`: RMS norms of each query and key head. `sub_norms`: of the input of the output
    projections of attention and feed-forward (BitNet b1.58). `post_norms`: of their outputs (Gemma 2).
    `root_embeddings`: embeddings are multiplied by the square root of their width.
    `window`: the sliding window where the file names none; `full_period`: every so many layers one sees
    all positions, 0: none does. `local_base`: RoPE base of the layers with a window, unscaled; 0: as the
    others. `wide_scale_layers`: the size of so many layers scales scores by (embedding / heads)^-0.5.
    `norm_experts`: the weights of the chosen experts are made to sum to one.
    """

    neox: bool = True
    gate: str = "silu"
    head_norms: bool = False
    sub_norms: bool = False
    post_norms: bool = False
    root_embeddings: bool = False
    window: int = 0
    full_period: int = 0
    local_base: float = 0.0
    wide_scale_layers: int = 0
    norm_experts: bool = True


_GEMMA = Architecture(gate="gelu", root_embeddings=True)
_GEMMA2 = Architecture(
    gate="gelu", root_embeddings=True, post_norms=True, window=4096, full_period=2, wide_scale_layers=46
)  # fmt: skip
_GEMMA3 = Architecture(
    gate="gelu", root_embeddings=True, post_norms=True, head_norms=True, full_period=6,
    local_base=10000.0, wide_scale_layers=62,
)  # fmt: skip

ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture(neox=False),  # Mistral and Mixtral too
    "bitnet": Architecture(sub_norms=True),
    "bitnet-b1.58": Architecture(sub_norms=True, gate="relu2"),
    "bitnet-25": Architecture(sub_norms=True, gate="relu2"),
    "qwen2": Architecture(),
    "qwen3": Architecture(head_norms=True),
    "qwen2moe": Architecture(norm_experts=False),
    "qwen3moe": Architecture(head_norms=True),
    "gemma": _GEMMA,
    "gemma2": _GEMMA2,
    "gemma3": _GEMMA3,
    "phi3": Architecture(),
    "granite": Architecture(neox=False),
    "granitemoe": Architecture(neox=False),
}
