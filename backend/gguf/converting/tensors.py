"""From the tensors of a checkpoint to those of a GGUF file: names, shapes, and where rows come from."""

import re
from dataclasses import dataclass

import gguf
import numpy as np

from backend.errors import SternaError
from backend.gguf.converting.checkpoint import Stored, StoredRows
from backend.gguf.converting.documents import Config, bad_checkpoint
from backend.gguf.converting.families import Family
from backend.gguf.converting.numbers import head_width, rope_factors
from backend.gguf.converting.rearranged import Band, Constant, PlusOne, RotaryPairs, Stacked
from backend.gguf.converting.ternary import PackedTernary, RoundedMasters, scale_of
from backend.gguf.file_rows import Files
from backend.gguf.rows import Rows

# Computed again at load, or parts of another model.
_LEFT_OUT = re.compile(
    r"rotary_emb|attention\.(masked_)?bias$|vision_tower|multi_modal_projector|vision_model"
)
_EXPERT = re.compile(r"(.*\.experts)\.(\d+)\.(.+)\.weight")
_FUSED_EXPERTS = re.compile(r"(.*\.experts)\.(gate_up_proj|down_proj)")
_FUSED_NAMES = {"input_linear.weight": "gate_up_proj", "output_linear.weight": "down_proj"}
_GRANITE_EXPERTS = re.compile(rf"(.*\.block_sparse_moe)\.({'|'.join(_FUSED_NAMES)})")
_GRANITE_SHARED = re.compile(rf"(.*\.shared_mlp)\.({'|'.join(_FUSED_NAMES)})")
_LINEAR = re.compile(r"(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)\.weight$")
# Names that the package does not have: of transformers' BitNet, and of layers without experts among
# others that have some.
_MORE_NAMES = {
    "self_attn.attn_sub_norm": "attn_sub_norm", "mlp.ffn_sub_norm": "ffn_sub_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
_SCALE = ".weight_scale"


@dataclass(frozen=True, slots=True)
class Made:
    """A tensor of the file: `shape` in ggml's order, `dtype` of the checkpoint."""

    name: str
    shape: tuple[int, ...]
    rows: Rows
    dtype: str
    ternary: bool = False


class Translation:
    """Turns every tensor of a checkpoint; what it does not know it refuses."""

    def __init__(
        self, family: Family, config: Config, stored: dict[str, Stored], files: Files
    ) -> None:
        self._family, self._config, self._stored, self._files = family, config, stored, files
        self._layers = config.integer("num_hidden_layers")
        if not 0 < self._layers <= 4096:
            raise bad_checkpoint(f"it has {self._layers} layers")
        enum = next(e for e, name in gguf.MODEL_ARCH_NAMES.items() if name == family.arch)
        self._names = gguf.get_tensor_name_map(enum, self._layers)
        quantisation = config.part("quantization_config")
        self._bitnet = family.ternary or quantisation.string("quant_method") == "bitnet"
        self._divides = quantisation.string("linear_class", "bitlinear") != "autobitlinear"
        self._spared = quantisation.strings("modules_to_not_convert")
        method = quantisation.string("quant_method")
        if method not in ("", "bitnet"):
            raise SternaError(
                "already_quantised",
                f"This checkpoint is quantised already, in the manner {method!r}.",
                "Convert the original checkpoint of the model, in BF16 or F16.",
            )

    def tensors(self) -> list[Made]:
        """Return the tensors of the file, in order; raises SternaError."""
        made = [
            Made(name, values.shape, Constant(values), "F32")
            for name, values in rope_factors(self._family, self._config).items()
        ]
        experts: dict[tuple[str, str], dict[int, Stored]] = {}
        for name, stored in self._stored.items():
            plain = name.replace("language_model.model.", "model.").replace(
                "model.language_model.", "model."
            )
            plain = plain.removeprefix("language_model.")
            if _LEFT_OUT.search(plain) or plain.endswith(_SCALE):
                continue
            if match := _EXPERT.fullmatch(plain):
                experts.setdefault((match[1], match[3]), {})[int(match[2])] = stored
            elif match := _FUSED_EXPERTS.fullmatch(plain):
                made += self._fused(match[1], match[2], stored)
            elif match := _GRANITE_EXPERTS.fullmatch(plain):
                made += self._fused(f"{match[1]}.experts", _FUSED_NAMES[match[2]], stored)
            elif match := _GRANITE_SHARED.fullmatch(plain):
                stem = match[1].replace("shared_mlp", "mlp.shared_expert")
                made += self._fused(stem, _FUSED_NAMES[match[2]], stored, dimensions=2)
            elif not self._is_tied_head(plain):
                made.append(self._single(plain, stored))
        made += [self._stacked(*key, found) for key, found in experts.items()]
        names = [tensor.name for tensor in made]
        if len(set(names)) != len(names):
            raise bad_checkpoint("two of its tensors mean the same")
        return sorted(made, key=_place)

    def _is_tied_head(self, name: str) -> bool:
        return name == "lm_head.weight" and self._config.flag("tie_word_embeddings")

    def _name(self, name: str) -> str:
        """Return the name in GGUF; raises SternaError."""
        stem, _, ending = name.rpartition(".")
        found = self._names.get_name(stem) if ending in ("weight", "bias") else None
        if stem == "lm_head":  # also of families whose models all share it with the embeddings
            found = "output"
        if found is None and (match := re.fullmatch(r"model\.layers\.(\d+)\.(.+)", stem)):
            more = _MORE_NAMES.get(match[2])
            found = f"blk.{match[1]}.{more}" if more else None
        if found is None:
            raise SternaError(
                "unsupported_arch",
                f"The checkpoint has a tensor {name[:80]!r} that Sterna does not know for {self._family.arch}.",
                "llama.cpp's convert_hf_to_gguf.py may know it.",
            )
        return f"{found}.{ending}"

    def _single(self, name: str, stored: Stored) -> Made:
        to = self._name(name)
        rows: Rows = StoredRows(self._files, stored)
        shape = stored.shape[::-1] or (1,)
        if len(shape) > 2:
            raise bad_checkpoint(f"{name[:80]} has {len(shape)} dimensions")
        ternary = self._bitnet and bool(_LINEAR.search(name)) and not self._is_spared(name)
        if ternary:
            shape, rows = self._ternary(stored, shape)
        if self._family.pairs and re.search(r"attn_[qk]\.(weight|bias)$", to):
            rows = self._paired(stored, shape, rows)
        elif self._family.plus_one and to.endswith("norm.weight"):
            rows = PlusOne(rows)
        return Made(to, shape, rows, stored.dtype, ternary)

    def _is_spared(self, name: str) -> bool:
        return any(part in name for part in self._spared)

    def _paired(self, stored: Stored, shape: tuple[int, ...], rows: Rows) -> Rows:
        head = head_width(self._config)
        if shape[-1] % head:
            raise bad_checkpoint(f"{stored.name[:80]} has {shape[-1]} rows for heads of {head}")
        if len(shape) > 1:
            return RotaryPairs(rows, head)
        values = StoredRows(self._files, stored).read(0, 1).reshape(-1, head)
        return Constant(values[:, np.arange(head).reshape(2, -1).T.reshape(-1)].reshape(1, -1))

    def _ternary(self, stored: Stored, shape: tuple[int, ...]) -> tuple[tuple[int, ...], Rows]:
        beside = self._stored.get(stored.name.removesuffix(".weight") + _SCALE)
        scale = None
        if beside is not None:
            if beside.rows * beside.cols != 1:
                raise bad_checkpoint(f"{beside.name[:80]} is not a single scale")
            scale = scale_of(float(StoredRows(self._files, beside).read(0, 1)[0, 0]), self._divides)
        rows = StoredRows(self._files, stored)
        if stored.dtype != "U8":
            return shape, RoundedMasters(rows, stored.rows, stored.cols, scale)
        if scale is None:
            raise bad_checkpoint(f"{stored.name[:80]} is packed and has no scale")
        return (shape[0], 4 * shape[1]), PackedTernary(rows, stored.rows, scale)

    def _stacked(self, stem: str, part: str, found: dict[int, Stored]) -> Made:
        first = found.get(0)
        if first is None or sorted(found) != list(range(len(found))):
            raise bad_checkpoint(f"some experts of {stem[:80]} are missing")
        if any(one.shape != first.shape or one.dtype != first.dtype for one in found.values()):
            raise bad_checkpoint(f"the experts of {stem[:80]} differ in shape")
        rows = Stacked([StoredRows(self._files, found[i]) for i in range(len(found))], first.rows)
        return Made(
            self._name(f"{stem}.{part}.weight"),
            (first.cols, first.rows, len(found)),
            rows,
            first.dtype,
        )

    def _fused(self, stem: str, part: str, stored: Stored, dimensions: int = 3) -> list[Made]:
        """Gate above up in one tensor, [rows, cols], of all experts [experts, rows, cols]; or what is beside it."""
        fits = len(stored.shape) == dimensions
        if not fits or (part == "gate_up_proj" and stored.shape[-2] % 2):
            raise bad_checkpoint(f"{stored.name[:80]} has the shape {list(stored.shape)}")
        *count, whole, cols = stored.shape
        rows = StoredRows(self._files, stored)
        stem = stem.replace("block_sparse_moe", "mlp")
        if part == "down_proj":
            name = self._name(f"{stem}.down_proj.weight")
            return [Made(name, (cols, whole, *count), rows, stored.dtype)]
        half = whole // 2
        return [
            Made(
                self._name(f"{stem}.{name}.weight"),
                (cols, half, *count),
                Band(rows, start, half, whole),
                stored.dtype,
            )
            for name, start in (("gate_proj", 0), ("up_proj", half))
        ]


def _place(made: Made) -> tuple[int, int, str]:
    """Tables first, then layer by layer, then what comes last."""
    match = re.match(r"blk\.(\d+)\.", made.name)
    if match:
        return (1, int(match[1]), made.name)
    return (2 if made.name.startswith("output") else 0, 0, made.name)
