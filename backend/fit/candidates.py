"""The quants of a model on a machine: what each needs, whether it fits, how fast it would be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from backend import mixes
from backend.fit.grades import Grade, grade
from backend.fit.model import Model, quantised
from backend.fit.needs import Needs, Runtime, longest_context
from backend.fit.runtimes import Offload, offload
from backend.fit.speed import Speed
from backend.fit.use import Use
from backend.machine import Machine
from backend.quants import QUANTS
from backend.units import human_bytes

TIGHT = 0.9  # of what is free: beyond it a fit is called tight
_SHORTEST = 512  # tokens: a shorter context is no use

# How fast a model is here with so many tokens in its context; None: nobody knows.
Pace = Callable[[Model, int], Speed | None]


@dataclass(frozen=True, slots=True)
class Offer:
    """A file that can be had: its quant, its bytes where known, its name (of the first part)."""

    quant: str
    bytes: int | None = None
    file: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A number with a word, a glyph, and how good it is: fits, tight, or too_big."""

    kind: str
    text: str

    @property
    def glyph(self) -> str:
        """One character; a colour may only repeat it."""
        return {"fits": "✓", "tight": "≈", "too_big": "✗"}[self.kind]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A quant on a machine. Bytes, tokens; `over`: how many bytes it is too big at this context."""

    offer: Offer
    grade: Grade
    needs: Needs
    context: int
    max_context: int
    over: int
    verdict: Verdict
    speed: Speed | None
    gpu: Offload | None

    @property
    def quant(self) -> str:
        """Its name."""
        return self.offer.quant

    @property
    def fits(self) -> bool:
        """Whether it fits at the context asked for."""
        return not self.over


def judge(
    model: Model,
    offers: Sequence[Offer],
    machine: Machine,
    use: Use,
    runtime: Runtime,
    pace: Pace = lambda _model, _context: None,
) -> list[Candidate]:
    """Return a candidate for each offer, best quality first. Pure: everything is in the arguments."""
    found = [judged(model, offer, machine, use, runtime, pace) for offer in offers]
    return sorted(found, key=lambda c: (c.grade.rank, c.needs.total, c.quant))


def judged(
    model: Model, offer: Offer, machine: Machine, use: Use, runtime: Runtime, pace: Pace
) -> Candidate:
    """Return one candidate."""
    made, factor = as_offered(model, offer)
    context, free = use.tokens(model.context), machine.memory.available

    def needs(tokens: int) -> Needs:
        plain = runtime(made, tokens, use.kv)
        more = round(plain.weights * factor) - plain.weights
        return replace(plain, weights=plain.weights + more)

    here = needs(context)
    most = longest_context(lambda tokens: needs(tokens).total, max(model.context, context), free)
    bits = 8 * made.file_bytes * factor / model.params if model.params else None
    return Candidate(
        offer=offer,
        grade=grade(offer.quant, bits, native=model.native(offer.quant)),
        needs=here,
        context=context,
        max_context=most,
        over=max(0, here.total - free),
        verdict=verdict(here.total, most, free),
        speed=pace(made, context),
        gpu=_gpu(made, context, use.kv, machine),
    )


def as_offered(model: Model, offer: Offer) -> tuple[Model, float]:
    """Return the model in the quant of an offer, and by what factor the file's size differs from it.

    A maker's own mix is taken as the standard one that its name is nearest to, and its size from the
    file.
    """
    try:
        made = quantised(model, offer.quant)
    except KeyError:
        made = quantised(model, _nearest_mix(model, offer))
    if offer.bytes is None or offer.quant == model.quant:
        return made, 1.0
    return made, offer.bytes / made.file_bytes


def _nearest_mix(model: Model, offer: Offer) -> str:
    """Return the standard mix for a name that has none: by name, else by the bits of the file."""
    if model.native(offer.quant):
        return "TQ2_0" if model.ternary else "MXFP4"
    bits = 8 * offer.bytes / model.params if offer.bytes and model.params else None
    like = grade(offer.quant, bits).like
    if like.name in mixes.names():
        return like.name
    return min(mixes.names(), key=lambda name: abs(QUANTS[name].bits - (bits or like.bits)))


def verdict(total: int, max_context: int, free: int) -> Verdict:
    """Return the verdict of what needs `total` bytes at the context asked for."""
    if total <= free:
        tight = total > TIGHT * free
        return Verdict(
            "tight" if tight else "fits",
            f"fits to {tokens(max_context)}" + (", tight" if tight else ""),
        )
    if max_context >= _SHORTEST:
        return Verdict("tight", f"fits to {tokens(max_context)}")
    return Verdict("too_big", f"too big by {human_bytes(total - free)}")


def tokens(count: int) -> str:
    """Return a number of tokens as `840`, `2.5k` or `24k` (k = 1,024), never more than it is."""
    if count < 1024:
        return str(count)
    tenths = count * 10 // 1024
    return f"{tenths / 10:g}k" if tenths < 100 else f"{count // 1024}k"


def _gpu(model: Model, context: int, kv: str, machine: Machine) -> Offload | None:
    """Tell how another runtime could use the machine's GPUs; None where there is none to speak of."""
    known = [gpu.free if gpu.free is not None else gpu.total for gpu in machine.gpus]
    vram = sum(n for n in known if n)
    return offload(model, context, "f16" if kv == "auto" else kv, vram) if vram else None
