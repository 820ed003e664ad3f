"""Rotary position embedding (RoFormer, Su et al. 2021), and the ways to stretch it over longer contexts."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.errors import SternaError
from backend.inference.source import Source

Angles = npt.NDArray[np.float32]
_KINDS = ("none", "linear", "llama3", "yarn", "longrope")


@dataclass(frozen=True, slots=True)
class Rope:
    """What the header says. `width`: rotated values of a head. `original`: tokens of the first training.

    `kind`: none; linear: positions divided by `factor`; llama3: by tensors of factors; yarn; longrope: by
    one tensor of factors up to `original` tokens and by another beyond. `attention`: the factor of sine
    and cosine that goes with it, None where the file leaves it to the formula.
    """

    width: int
    base: float
    kind: str = "none"
    factor: float = 1.0
    original: int = 0
    attention: float | None = None
    beta_fast: float = 32.0
    beta_slow: float = 1.0

    def plain(self, base: float | None = None) -> Angles:
        """Return the unscaled angle per position of each pair: base^(-2i / width), float32 [width / 2]."""
        i = np.arange(0, self.width, 2, dtype=np.float32) / np.float32(self.width)
        return (1 / np.float32(base or self.base) ** i).astype(np.float32)

    def angles(self, factors: Angles | None) -> Angles:
        """Return the angles that hold for the whole model, divided by `factors` where the file has them."""
        inverse = self.plain()
        if factors is not None:
            if factors.shape != inverse.shape or not np.all(factors > 0):
                raise SternaError(
                    "corrupt", "The file's RoPE factors do not fit its heads.", "Download it again."
                )
            inverse = (inverse / factors).astype(np.float32)
        if self.kind == "linear":
            return (inverse / np.float32(self.factor)).astype(np.float32)
        if self.kind == "yarn":
            return self._yarn(inverse)
        return inverse

    def scale(self, context: int) -> float:
        """Return the factor of sine and cosine, of a model made for `context` tokens."""
        if self.kind == "yarn":  # YaRN, Peng et al. 2023, section 3.4
            return (self.attention or 1.0) * (0.1 * math.log(max(self.factor, 1.0)) + 1.0)
        if self.kind == "longrope" and self.attention is None and context > self.original > 1:
            # LongRoPE, Ding et al. 2024, as Phi-3 uses it
            return math.sqrt(1 + math.log(context / self.original) / math.log(self.original))
        return self.attention or 1.0

    def _yarn(self, inverse: Angles) -> Angles:
        """Blend: pairs that turn often in the original context keep their angle, slow ones are stretched."""

        def pair(turns: float) -> float:  # the pair that turns so often in the original context
            return (
                self.width * math.log(self.original / (turns * 2 * math.pi)) / (2 * math.log(self.base))
            )  # fmt: skip

        low = max(math.floor(pair(self.beta_fast)), 0)
        high = min(math.ceil(pair(self.beta_slow)), self.width - 1)
        ramp = (np.arange(self.width // 2, dtype=np.float32) - low) / max(high - low, 0.001)
        stretched = np.clip(ramp, 0, 1)
        blend = inverse / np.float32(self.factor) * stretched + inverse * (1 - stretched)
        return np.asarray(blend, dtype=np.float32)


def read_rope(source: Source, arch: str, key_width: int) -> Rope:
    """Read and check the header's RoPE; raises SternaError."""
    data = source.metadata
    width = data.integer(f"{arch}.rope.dimension_count", key_width) or 0
    base = data.number(f"{arch}.rope.freq_base", 10000.0) or 0.0
    old = data.number(f"{arch}.rope.scale_linear", 1.0)
    factor = data.number(f"{arch}.rope.scaling.factor", old) or 1.0
    kind = data.string(f"{arch}.rope.scaling.type") or ("linear" if factor != 1 else "none")
    if "rope_factors_long.weight" in source.tensors and kind in ("none", "su"):
        kind = "longrope"
    if kind not in _KINDS:
        raise SternaError(
            "unsupported_arch",
            f"The file asks for RoPE scaling of the kind {kind}, which Sterna's engine lacks.",
            "An endpoint such as Ollama or llama-server may serve it.",
        )
    original = data.integer(f"{arch}.rope.scaling.original_context_length", 0) or 0
    original = original or data.integer(f"{arch}.context_length", 0) or 2048
    sizes_fit = 0 < width <= key_width and width % 2 == 0
    numbers_fit = math.isfinite(base) and base > 1 and math.isfinite(factor) and factor > 0
    if not sizes_fit or not numbers_fit or original < 1:
        raise SternaError(
            "corrupt", "The file's RoPE numbers make no sense.", "Download the model again."
        )
    return Rope(
        width=width,
        base=base,
        kind=kind,
        factor=factor,
        original=original,
        attention=data.number(f"{arch}.rope.scaling.attn_factor") or None,
        beta_fast=data.number(f"{arch}.rope.scaling.yarn_beta_fast") or 32.0,
        beta_slow=data.number(f"{arch}.rope.scaling.yarn_beta_slow") or 1.0,
    )
