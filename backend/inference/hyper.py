"""The numbers of a model, read from its header and checked before anything divides by them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.errors import SternaError
from backend.gguf import GGUFFile
from backend.inference.architectures import ARCHITECTURES, Architecture

_LIMIT = 1 << 20  # greatest width, count or vocabulary believed


@dataclass(frozen=True, slots=True)
class Hyper:
    """Shape of a decoder-only transformer. Widths in values."""

    arch: str
    traits: Architecture
    layers: int
    embedding: int
    feed_forward: int
    heads: int
    kv_heads: int
    key_width: int
    value_width: int
    vocab: int
    context: int
    eps: float
    rope_width: int
    rope_base: float
    rope_linear: float
    squared: bool

    def rope_inverse(self, factors: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32]:
        """Return the angle per position of each rotated pair, float32 [rope_width / 2].

        theta_i = base^(-2i / width) (RoFormer, Su et al. 2021), divided by `factors` where the file
        has them (Llama 3) and by the factor of linear scaling.
        """
        i = np.arange(0, self.rope_width, 2, dtype=np.float32)
        inverse = (1.0 / (np.float32(self.rope_base) ** (i / np.float32(self.rope_width)))).astype(
            np.float32
        )
        if factors is not None:
            if factors.shape != inverse.shape or not np.all(factors > 0):
                raise SternaError(
                    "corrupt", "The file's RoPE factors do not fit its heads.", "Download it again."
                )
            inverse = inverse / factors
        return (inverse / np.float32(self.rope_linear)).astype(np.float32)


def _positive(file: GGUFFile, key: str, default: int | None = None) -> int:
    each = file.integers(key)
    if len(set(each)) > 1:
        raise SternaError(
            "unsupported_arch",
            f"The layers of this model differ in {key}, which Sterna's engine does not run yet.",
            "An endpoint such as Ollama or llama-server may serve it.",
        )
    value = file.integer(key, default)
    if value is None or not 0 < value <= _LIMIT:
        said = "is missing" if value is None else f"is {value}"
        raise SternaError(
            "corrupt",
            f"{key} {said} in this file.",
            "Download the model again or take another file.",
        )
    return value


def _traits(file: GGUFFile) -> tuple[str, Architecture]:
    arch = file.architecture
    traits = ARCHITECTURES.get(arch)
    if traits is None:
        raise SternaError(
            "unsupported_arch",
            f"Sterna's engine does not run the architecture {arch or '(none)'} yet.",
            f"It runs {', '.join(ARCHITECTURES)}; an endpoint such as Ollama or llama-server may serve this one.",
        )
    return arch, traits


def _rope(file: GGUFFile, arch: str, key_width: int) -> tuple[int, float, float]:
    width = _positive(file, f"{arch}.rope.dimension_count", key_width)
    base = file.number(f"{arch}.rope.freq_base", 10000.0)
    kind = file.string(f"{arch}.rope.scaling.type", "none")
    linear = file.number(f"{arch}.rope.scaling.factor", 1.0) if kind == "linear" else 1.0
    if kind not in ("none", "linear", "llama3", ""):
        raise SternaError(
            "unsupported_arch",
            f"The file asks for RoPE scaling of the kind {kind}, which Sterna's engine lacks.",
            "An endpoint such as Ollama or llama-server may serve it.",
        )
    if width % 2 or width > key_width or not base or base <= 0 or not linear or linear <= 0:
        raise SternaError(
            "corrupt", "The file's RoPE numbers make no sense.", "Download the model again."
        )
    return width, base, linear


def _squared(file: GGUFFile, arch: str, traits: Architecture, shape: tuple[int, int, int]) -> bool:
    """Return whether the feed-forward uses ReLU squared: the file's word, or what is known of it."""
    said = file.string(f"{arch}.hidden_activation") or file.string(f"{arch}.hidden_act")
    if said is not None:
        return said in ("relu2", "relu_sqr", "relu_squared")
    # BitNet b1.58 2B4T was trained with it; files of it under the older name do not say so.
    return traits.squared or (arch == "bitnet" and shape == (30, 2560, 6912))


def read_hyper(file: GGUFFile) -> Hyper:
    """Read and check the shape of a model; raises SternaError."""
    arch, traits = _traits(file)
    heads = _positive(file, f"{arch}.attention.head_count")
    kv_heads = _positive(file, f"{arch}.attention.head_count_kv", heads)
    embedding = _positive(file, f"{arch}.embedding_length")
    key_width = _positive(file, f"{arch}.attention.key_length", max(embedding // heads, 1))
    table = file.tensors.get("token_embd.weight")
    if table is None or len(table.shape) != 2:
        raise SternaError(
            "not_a_model",
            "The file has no table of token embeddings: it is not a whole language model.",
            "Adapters, projectors and vocabularies are used with a model, not by themselves.",
        )
    if heads % kv_heads or heads // kv_heads > 64:
        raise SternaError(
            "corrupt",
            f"{heads} heads cannot share {kv_heads} key-value heads.",
            "Download the model again.",
        )
    rope_width, base, linear = _rope(file, arch, key_width)
    layers = _positive(file, f"{arch}.block_count")
    feed_forward = _positive(file, f"{arch}.feed_forward_length")
    return Hyper(
        arch=arch,
        traits=traits,
        layers=layers,
        embedding=embedding,
        feed_forward=feed_forward,
        heads=heads,
        kv_heads=kv_heads,
        key_width=key_width,
        value_width=_positive(file, f"{arch}.attention.value_length", key_width),
        vocab=table.shape[1],
        context=_positive(file, f"{arch}.context_length", 2048),
        eps=file.number(f"{arch}.attention.layer_norm_rms_epsilon", 1e-5) or 1e-5,
        rope_width=rope_width,
        rope_base=base,
        rope_linear=linear,
        squared=_squared(file, arch, traits, (layers, embedding, feed_forward)),
    )
