"""The files of a repository as a person chooses among them: one variant a quant, split parts joined."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from backend.errors import SternaError
from backend.quants import QUANTS

_QUANT = re.compile(
    r"(?<![A-Z0-9])(?P<ud>UD[-_])?(?P<name>"
    r"I?Q[1-8](?:_(?:K|[01](?:_\d_\d)?|XXS|XS|S|M|L|NL))(?:_(?:XXL|XL|XS|L|M|S|P))?"
    r"|TQ[12]_0|I2_S|TL[12]|MXFP4(?:_MOE)?|NVFP4|BF16|FP?(?:16|32))(?![A-Z0-9])",
    re.IGNORECASE,
)
_PART = re.compile(r"(?P<stem>.*?)[-.](?P<number>\d{5})-of-(?P<count>\d{5})$", re.DOTALL)
TERNARY = ("I2_S", "TQ2_0", "TQ1_0", "TL1", "TL2")
# Without a wish and without a judgement of this machine: the usual balance, then its neighbours.
_USUAL = (
    *("Q4_K_M", *TERNARY, "MXFP4", "Q5_K_M", "Q4_K_S", "Q5_K_S", "IQ4_NL", "IQ4_XS"),
    *("Q6_K", "Q8_0", "Q4_1", "Q4_0", "BF16", "F16"),
)
_CHECKPOINT = re.compile(
    r"[^/]+\.(?:safetensors|safetensors\.index\.json|json|txt|model|tiktoken|jinja)"
    r"|(?:LICENSE|LICENCE|NOTICE|README)[^/]*"
)
_LISTED = 12


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository. `size` in bytes and `sha256` are None where the Hub does not say."""

    path: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """A model as it can be fetched: the parts of one GGUF, or a checkpoint of safetensors.

    `kind` is model, checkpoint, or for other GGUF files mmproj, imatrix or adapter. `missing` tells
    how many parts of a split file the repository lacks.
    """

    quant: str
    name: str
    files: tuple[RemoteFile, ...]
    kind: str = "model"
    missing: int = 0

    @property
    def bytes(self) -> int | None:
        """All its bytes, None where one file's size is not known."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)


def quant_of(path: str) -> str:
    """Return the quant that a file's name tells, the nearest folder's second; empty: neither does."""
    for part in reversed(PurePosixPath(path).parts):
        found = list(_QUANT.finditer(part))
        if found:
            name = found[-1]["name"].upper()
            name = {"FP16": "F16", "FP32": "F32", "MXFP4_MOE": "MXFP4"}.get(name, name)
            return f"UD-{name}" if found[-1]["ud"] else name
    return ""


def group(files: Sequence[RemoteFile]) -> list[Variant]:
    """Return what a repository offers: GGUF variants best first, then its checkpoint."""
    sets: dict[str, list[tuple[int, int, RemoteFile]]] = {}
    for file in files:
        if file.path.lower().endswith(".gguf"):
            stem = file.path[: -len(".gguf")]
            match = _PART.match(stem)
            name, number, count = (
                (match["stem"], int(match["number"]), int(match["count"]))
                if match
                else (stem, 1, 1)
            )
            sets.setdefault(f"{name}\n{count}", []).append((number, count, file))
    variants = [_gguf(key.partition("\n")[0], parts) for key, parts in sets.items()]
    variants.sort(key=_rank)
    return [*variants, *_checkpoint(files)]


def _gguf(name: str, parts: list[tuple[int, int, RemoteFile]]) -> Variant:
    parts.sort(key=lambda part: part[0])
    numbers = {number for number, _, _ in parts}
    count = parts[0][1]
    missing = sum(number not in numbers for number in range(1, min(count, 10_000) + 1))
    files = tuple(file for _, _, file in parts)
    return Variant(quant_of(files[0].path), name, files, _kind(name), missing)


def _kind(name: str) -> str:
    base = PurePosixPath(name).name.lower()
    for kind in ("mmproj", "imatrix"):
        if kind in base:
            return kind
    return "adapter" if re.search(r"(?:^|[-_.])(?:lora|adapter)(?:[-_.]|$)", base) else "model"


def _rank(variant: Variant) -> tuple[bool, float, str]:
    """Models before helpers; by bits a weight, most first; unknown quants by size."""
    known = QUANTS.get(variant.quant.removeprefix("UD-"))
    family = next((q for name, q in QUANTS.items() if variant.quant.startswith(name)), known)
    bits = known.bits if known else family.bits if family else 0.0
    return variant.kind != "model", -bits, variant.name


def _checkpoint(files: Sequence[RemoteFile]) -> list[Variant]:
    """Return the safetensors checkpoint in the root, with what belongs to it and no code or pickle."""
    names = {file.path for file in files}
    weights = {n for n in names if n.endswith(".safetensors") and "/" not in n}
    split = {n for n in weights if n.startswith("model")}
    if split:  # some repositories hold the same weights a second time, under the maker's own name
        weights = {n for n in weights if not n.startswith("consolidated")}
    if not weights or ("config.json" not in names and "adapter_config.json" not in names):
        return []
    kept = [
        file
        for file in files
        if file.path in weights
        or (_CHECKPOINT.fullmatch(file.path) and not file.path.endswith(".safetensors"))
    ]
    kind = "adapter" if "config.json" not in names else "checkpoint"
    return [Variant("safetensors", "safetensors", tuple(kept), kind)]


def choose(
    variants: Sequence[Variant],
    choice: str,
    about: str,
    recommend: Callable[[Sequence[Variant]], Variant | None] = lambda _: None,
) -> Variant:
    """Return the variant that `choice` names (a quant or a file), or the best without one.

    `recommend` may know better than the usual order which quant is for this machine. Raises
    SternaError: not_found, ambiguous, incomplete_split.
    """
    found = _named(variants, choice) if choice else _best(variants, recommend)
    if not found:
        raise _nothing(variants, choice, about)
    if len(found) > 1:
        paths = ", ".join(variant.files[0].path for variant in found[:_LISTED])
        raise SternaError(
            "ambiguous",
            f"{choice!r} may mean several files of {about}: {paths}.",
            f"Name the file, as in {about}:{found[0].files[0].path}.",
        )
    if found[0].missing:
        raise SternaError(
            "incomplete_split",
            f"{about} lacks {found[0].missing} of the parts of {found[0].name}.",
            "Choose another quant, or tell the owner of the repository.",
        )
    return found[0]


def _named(variants: Iterable[Variant], choice: str) -> list[Variant]:
    """Return the variants of that quant, or those with a file of that name."""
    wanted = choice.casefold()
    variants = list(variants)
    tests: tuple[Callable[[Variant], bool], ...] = (
        lambda v: any(file.path.casefold() == wanted for file in v.files),
        lambda v: v.quant.casefold() == wanted and v.kind in ("model", "checkpoint"),
        lambda v: v.quant.removeprefix("UD-").casefold() == wanted and v.kind == "model",
        lambda v: any(
            wanted
            in (PurePosixPath(file.path).name.casefold(), PurePosixPath(file.path).stem.casefold())
            for file in v.files
        ),
        lambda v: PurePosixPath(v.name).name.casefold() == wanted,
    )
    for test in tests:
        if found := [variant for variant in variants if test(variant)]:
            return found
    return []


def _best(
    variants: Sequence[Variant], recommend: Callable[[Sequence[Variant]], Variant | None]
) -> list[Variant]:
    models = [v for v in variants if v.kind == "model" and not v.missing]
    if len(models) > 1 and (advised := recommend(models)):
        return [advised]
    for quant in _USUAL if len(models) > 1 else ():
        if found := [v for v in models if v.quant == quant]:
            return found[:1]
    return (models or [v for v in variants if v.kind in ("checkpoint", "adapter")])[:1]


def _nothing(variants: Sequence[Variant], choice: str, about: str) -> SternaError:
    names = list(dict.fromkeys(v.quant or v.files[0].path for v in variants if v.kind != "imatrix"))
    if not names:
        return SternaError(
            "not_found",
            f"{about} has no .gguf and no safetensors files.",
            "Look for a GGUF of the same model: `sterna search` with its name.",
        )
    return SternaError(
        "not_found",
        f"{about} has no {choice!r}." if choice else f"{about} has no model that Sterna can fetch.",
        f"It has {', '.join(names[:_LISTED])}{' …' if len(names) > _LISTED else ''}.",
    )
