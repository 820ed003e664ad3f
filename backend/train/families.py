"""How model families of transformers are built, one entry each: their matrices, norms and defaults.

Read from the modeling code of transformers; tests count each family's parameters with the library on
its meta device.
"""

from dataclasses import dataclass

ALWAYS = ""  # in `biases`: whatever the configuration says


@dataclass(frozen=True, slots=True)
class Family:
    """What a `config.json` of this `model_type` means.

    `matrices` of a layer: module, inputs and outputs in words for widths: `hidden`, `q` (all heads),
    `kv` (key-value heads), `qkv`, `ffn`, `2ffn`. `norms`: widths of the norms of a layer. `biases`: the
    key that switches them on, and the modules that then have one. `experts`: the keys of how many there
    are and how wide each is.
    """

    matrices: tuple[tuple[str, str, str], ...]
    norms: tuple[str, ...] = ("hidden", "hidden")
    outer_norms: int = 1
    norm_bias: bool = False
    biases: tuple[tuple[str, frozenset[str]], ...] = ()
    tied: bool = False
    encoder: bool = False
    learned_positions: bool = False
    hidden: str = "hidden_size"
    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    feed_forward: str = "intermediate_size"
    context: str = "max_position_embeddings"
    experts: tuple[str, str] | None = None


_ATTENTION = (
    ("q_proj", "hidden", "q"),
    ("k_proj", "hidden", "kv"),
    ("v_proj", "hidden", "kv"),
    ("o_proj", "q", "hidden"),
)
_GATED = (
    ("gate_proj", "hidden", "ffn"),
    ("up_proj", "hidden", "ffn"),
    ("down_proj", "ffn", "hidden"),
)
_LLAMA = (*_ATTENTION, *_GATED)
_PHI3 = (
    ("qkv_proj", "hidden", "qkv"),
    ("o_proj", "q", "hidden"),
    ("gate_up_proj", "hidden", "2ffn"),
    ("down_proj", "ffn", "hidden"),
)
_GPT2 = (
    ("c_attn", "hidden", "qkv"),
    ("c_proj", "hidden", "hidden"),
    ("c_fc", "hidden", "ffn"),
    ("c_proj", "ffn", "hidden"),
)
_DENSE = (("dense", "hidden", "hidden"), ("dense", "hidden", "ffn"), ("dense", "ffn", "hidden"))
_BERT = tuple((name, "hidden", "hidden") for name in ("query", "key", "value")) + _DENSE
_DEBERTA = (
    tuple((f"{name}_proj", "hidden", "hidden") for name in ("query", "key", "value")) + _DENSE
)

_QKV = frozenset(("q_proj", "k_proj", "v_proj"))
_ATTENTION_NAMES = frozenset(row[0] for row in _ATTENTION)
_GATED_NAMES = frozenset(row[0] for row in _GATED)
_BY_KEY = (("attention_bias", _ATTENTION_NAMES), ("mlp_bias", _GATED_NAMES))
_HEAD_NORMS = ("hidden", "hidden", "head", "head")


def _all_biased(rows: tuple[tuple[str, str, str], ...]) -> tuple[tuple[str, frozenset[str]], ...]:
    return ((ALWAYS, frozenset(row[0] for row in rows)),)


FAMILIES: dict[str, Family] = {
    "llama": Family(_LLAMA, biases=_BY_KEY),
    "mistral": Family(_LLAMA),
    "smollm3": Family(_LLAMA, biases=_BY_KEY, tied=True),
    "granite": Family(_LLAMA, biases=_BY_KEY),
    "qwen2": Family(_LLAMA, biases=((ALWAYS, _QKV),)),
    "qwen3": Family(_LLAMA, norms=_HEAD_NORMS, biases=_BY_KEY[:1]),
    "qwen3_moe": Family(
        _ATTENTION,
        norms=_HEAD_NORMS,
        biases=(("attention_bias", _ATTENTION_NAMES),),
        experts=("num_experts", "moe_intermediate_size"),
    ),
    "mixtral": Family(_ATTENTION, experts=("num_local_experts", "intermediate_size")),
    "gemma": Family(_LLAMA, tied=True, biases=_BY_KEY[:1]),
    "gemma2": Family(_LLAMA, norms=("hidden",) * 4, tied=True, biases=_BY_KEY[:1]),
    "gemma3_text": Family(
        _LLAMA, norms=("hidden",) * 4 + ("head", "head"), tied=True, biases=_BY_KEY[:1]
    ),
    "bitnet": Family(_LLAMA, norms=("hidden", "hidden", "hidden", "ffn"), biases=_BY_KEY[:1]),
    "phi3": Family(_PHI3),
    "gpt2": Family(
        _GPT2,
        norm_bias=True,
        biases=_all_biased(_GPT2),
        tied=True,
        learned_positions=True,
        hidden="n_embd",
        layers="n_layer",
        heads="n_head",
        feed_forward="n_inner",
        context="n_positions",
    ),
    "bert": Family(
        _BERT, norm_bias=True, biases=_all_biased(_BERT), encoder=True, learned_positions=True
    ),
    "roberta": Family(
        _BERT, norm_bias=True, biases=_all_biased(_BERT), encoder=True, learned_positions=True
    ),
    "deberta-v2": Family(_DEBERTA, norm_bias=True, biases=_all_biased(_DEBERTA), encoder=True),
}
