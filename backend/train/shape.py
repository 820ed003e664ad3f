"""The shape of a model: its matrices and how many there are, with no weights and no PyTorch.

Read from a Hugging Face `config.json` (`config_shape`) or from the header of a GGUF file (`gguf_shape`).
Everything that is told before a run begins (trainable parameters, memory, time) is counted from this.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from backend.errors import SternaError
from backend.train.families import ALWAYS, FAMILIES, Family

_LIMIT = 1 << 24  # greatest width or count believed


@dataclass(frozen=True, slots=True)
class Matrix:
    """A weight matrix inside the layers: `count` of it in the whole model, `module` its last name."""

    module: str
    inputs: int
    outputs: int
    count: int
    bias: bool = False

    @property
    def weights(self) -> int:
        """Values in all of them."""
        return self.inputs * self.outputs * self.count


@dataclass(frozen=True, slots=True)
class Mixture:
    """Experts in place of a feed-forward: each token passes `used` of `count`, each `width` wide."""

    count: int
    used: int
    width: int


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A model as training sees it.

    `rest`: values outside `matrices` (embeddings, output matrix, norms, biases, experts, which stay as
    they are). `feed_forward`: of all experts that a token passes. `ternary`: the weights of the layers are
    -1, 0 or 1 times a scale.
    """

    family: str
    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_width: int
    vocab: int
    context: int
    tied: bool
    matrices: tuple[Matrix, ...]
    rest: int
    ternary: bool = False
    generates: bool = True
    mixture: Mixture | None = None

    @property
    def params(self) -> int:
        """All values of the model."""
        return self.rest + sum(m.weights for m in self.matrices)


def chosen(shape: ModelShape, targets: str | list[str]) -> list[Matrix]:
    """Return the matrices that `targets` name. Raises SternaError `bad_targets`."""
    if targets == "all-linear":
        return list(shape.matrices)
    names = [targets] if isinstance(targets, str) else targets
    known = {m.module for m in shape.matrices}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SternaError(
            "bad_targets",
            f"This model has no matrices named {', '.join(unknown)}.",
            f"It has {', '.join(sorted(known))}.",
        )
    return [m for m in shape.matrices if m.module in names]


def config_shape(config: Mapping[str, Any]) -> ModelShape:
    """Return the shape that a `config.json` describes. Raises SternaError `unsupported_arch`, `corrupt`."""
    text = config.get("text_config")
    if isinstance(text, Mapping) and "model_type" in text:
        config = {**config, **text}
    kind = config.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None or not isinstance(kind, str):
        raise SternaError(
            "unsupported_arch",
            f"Sterna does not know the shape of {kind or 'a model without model_type'}.",
            f"It knows {', '.join(sorted(FAMILIES))}.",
        )
    return _shape_of(kind, family, config)


def _shape_of(kind: str, family: Family, config: Mapping[str, Any]) -> ModelShape:
    hidden = _number(config, family.hidden)
    layers = _number(config, family.layers)
    heads = _number(config, family.heads)
    head_width = _number(config, "head_dim", default=max(hidden // heads, 1))
    kv_heads = _number(config, "num_key_value_heads", default=heads)
    wide = _number(config, family.feed_forward, default=4 * hidden)
    mixture = _mixture(config, family)
    context = _number(config, family.context, default=2048)
    widths = {
        "hidden": hidden,
        "head": head_width,
        "q": heads * head_width,
        "kv": kv_heads * head_width,
        "qkv": (heads + 2 * kv_heads) * head_width,
        "ffn": wide,
        "2ffn": 2 * wide,
    }
    biased = {
        name for key, names in family.biases if key == ALWAYS or config.get(key) for name in names
    }
    matrices = tuple(
        Matrix(name, widths[inputs], widths[outputs], layers, name in biased)
        for name, inputs, outputs in family.matrices
    )
    tied = config.get("tie_word_embeddings")
    tied = family.tied if tied is None else bool(tied)
    quantization = config.get("quantization_config")
    method = quantization.get("quant_method") if isinstance(quantization, Mapping) else None
    vocab = _number(config, "vocab_size")
    embeddings = vocab * hidden * (1 if tied or family.encoder else 2)
    if family.learned_positions:
        embeddings += context * hidden
    if family.encoder:
        types = config.get("type_vocab_size")
        embeddings += hidden * (types if isinstance(types, int) and types > 0 else 0)
    experts = 0
    if mixture is not None:
        experts = layers * mixture.count * hidden * (3 * mixture.width + 1)  # and the router
        wide = mixture.used * mixture.width
    norm = 2 if family.norm_bias else 1
    norms = (layers * sum(widths[w] for w in family.norms) + family.outer_norms * hidden) * norm
    biases = sum(m.outputs * m.count for m in matrices if m.bias)
    return ModelShape(
        family=kind,
        layers=layers,
        hidden=hidden,
        feed_forward=wide,
        heads=heads,
        kv_heads=kv_heads,
        head_width=head_width,
        vocab=vocab,
        context=context,
        tied=tied,
        matrices=matrices,
        rest=embeddings + norms + biases + experts,
        ternary=method == "bitnet",
        generates=not family.encoder,
        mixture=mixture,
    )


def _mixture(config: Mapping[str, Any], family: Family) -> Mixture | None:
    if family.experts is None:
        return None
    if config.get("mlp_only_layers") or config.get("decoder_sparse_step", 1) != 1:
        raise SternaError(
            "unsupported_arch",
            "Only some layers of this model have experts.",
            "Take another model.",
        )
    count, width = (_number(config, key) for key in family.experts)
    return Mixture(count, _number(config, "num_experts_per_tok"), width)


def _number(config: Mapping[str, Any], name: str, *, default: int | None = None) -> int:
    value = config.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LIMIT:
        return value
    if value is None and default is not None:
        return default
    said = "does not say" if value is None else f"gives {value!r} as"
    raise SternaError("corrupt", f"config.json {said} {name}.", "Download the model again.")


# How GGUF names the matrices of a layer, and the modules of transformers that they become.
GGUF_MODULES = {
    "attn_q": "q_proj",
    "attn_k": "k_proj",
    "attn_v": "v_proj",
    "attn_qkv": "qkv_proj",
    "attn_output": "o_proj",
    "ffn_gate": "gate_proj",
    "ffn_up": "up_proj",
    "ffn_down": "down_proj",
}
TRAINED_MIXTURES = ("llama", "qwen3moe")  # whose attention learns, while experts stay as they are
TERNARY_TYPES = frozenset(("I2_S", "TQ1_0", "TQ2_0"))


@dataclass(slots=True)
class _Read:
    """What the tensors of a file say. `widths`: (inputs, outputs) of every matrix by module."""

    widths: dict[str, list[tuple[int, int]]]
    biased: set[str]
    ternary: int = 0
    matrices: int = 0
    rest: int = 0
    vocab: int = 0
    hidden: int = 0
    tied: bool = True
    experts: tuple[int, int] | None = None  # how many, and how wide each

    def add(self, name: str, shape: tuple[int, ...], type_name: str) -> None:
        """Take up a tensor."""
        stem, _, part = name.rpartition(".")
        module = GGUF_MODULES.get(stem.rpartition(".")[2])
        if name.startswith("blk.") and module and part == "weight" and len(shape) == 2:
            self.widths.setdefault(module, []).append((shape[0], shape[1]))
            self.ternary += type_name in TERNARY_TYPES
            self.matrices += 1
            return
        if name.startswith("rope_"):
            return  # constants, no parameters
        if name.startswith("blk.") and module and part == "bias":
            self.biased.add(module)
        if name == "token_embd.weight" and len(shape) == 2:
            self.hidden, self.vocab = shape
        if stem.endswith("ffn_gate_exps") and len(shape) == 3:
            self.experts = shape[2], shape[1]
        self.tied = self.tied and name != "output.weight"
        self.rest += math.prod(shape)


def gguf_shape(
    arch: str,
    tensors: Iterable[tuple[str, tuple[int, ...], str]],
    numbers: Mapping[str, int | None],
) -> ModelShape:
    """Return the shape of a GGUF model.

    `tensors`: name, shape in ggml's order, type name of each. `numbers`: layers, heads, kv_heads,
    head_width, context, experts_used of the header. Raises SternaError `unsupported_arch`, `corrupt`.
    """
    read = _Read({}, set())
    for tensor in tensors:
        read.add(*tensor)
    _check_widths(arch, read)
    heads = numbers.get("heads") or 1
    matrices = tuple(
        Matrix(module, *each[0], len(each), module in read.biased)
        for module, each in read.widths.items()
    )
    mixture = None
    if read.experts is not None:
        mixture = Mixture(read.experts[0], numbers.get("experts_used") or 1, read.experts[1])
        wide = mixture.used * mixture.width
    else:
        wide = next((m.inputs for m in matrices if m.module == "down_proj"), 4 * read.hidden)
    return ModelShape(
        family=arch,
        layers=numbers.get("layers") or max(len(each) for each in read.widths.values()),
        hidden=read.hidden,
        feed_forward=wide,
        heads=heads,
        kv_heads=numbers.get("kv_heads") or heads,
        head_width=numbers.get("head_width") or max(read.hidden // heads, 1),
        vocab=read.vocab,
        context=numbers.get("context") or 2048,
        tied=read.tied,
        matrices=matrices,
        rest=read.rest,
        ternary=read.ternary > read.matrices // 2,
        mixture=mixture,
    )


def _check_widths(arch: str, read: _Read) -> None:
    if not read.widths or not read.hidden:
        raise SternaError(
            "unsupported_arch",
            f"The layers of this {arch or 'file'} are not made of matrices that Sterna can train.",
            "Take a dense model: llama, qwen2, qwen3, gemma, mistral, phi3, bitnet.",
        )
    if read.experts is not None and arch not in TRAINED_MIXTURES:
        raise SternaError(
            "unsupported_arch",
            f"Sterna does not train the mixture of experts of {arch}.",
            "Take Mixtral, Qwen3-MoE, or a dense model.",
        )
    if any(len(set(each)) > 1 for each in read.widths.values()):
        raise SternaError(
            "unsupported_arch", "The layers of this model differ in width.", "Take another model."
        )
