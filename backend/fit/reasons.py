"""The reasons of a recommendation, in plain sentences; and what to do when nothing fits."""

from collections.abc import Iterator, Sequence

from backend.fit.candidates import Candidate, tokens
from backend.fit.model import Model
from backend.fit.recommend import Recommendation, ideal_quant
from backend.fit.rules import rules
from backend.fit.use import Use
from backend.machine import Machine
from backend.units import human_bytes, human_rate


def reasons(model: Model, r: Recommendation, machine: Machine, use: Use, largest: int) -> list[str]:
    """Return why this quant, what it costs, and its neighbours.

    `largest`: the parameters of the largest model that fits here in 4 bits (only the last resort asks).
    """
    chosen = r.chosen
    if chosen is None:
        raise ValueError("nothing was chosen")
    return [
        *_why(model, r, use, largest),
        _memory(chosen, machine),
        *_speed(chosen),
        *_neighbours(r),
        *_elsewhere(chosen),
    ]


def _why(model: Model, r: Recommendation, use: Use, largest: int) -> Iterator[str]:
    told, chosen = rules(), r.chosen
    assert chosen is not None
    size = told.size_class(model.params)
    sentence = {
        "ideal": size.why,
        "plenty": told.plenty.why,
        "speed": told.speed.why,
        "quality": told.quality.why,
        "native": told.native.ternary if model.ternary else told.native.other,
        "role": told.roles.get(chosen.grade.like.name, told.roles["other"]),
    }
    if r.because == "last_resort":
        if largest:  # before the file that loses much, the smaller model that does not
            yield told.last_resort.offer.format(params=_params(largest))
        yield told.last_resort.warning.format(quant=chosen.quant)
        return
    yield sentence[r.because].format(quant=chosen.quant)
    if r.because == "role":
        ideal = ideal_quant(model, use)
        yield (
            size.why.format(quant=ideal)
            if ideal == size.ideal
            else told.speed.why.format(quant=ideal)
        )


def _memory(c: Candidate, machine: Machine) -> str:
    n, free = c.needs, machine.memory.available
    disk = f", less {human_bytes(n.on_disk)} that stay on disk" if n.on_disk else ""
    return (
        f"At {tokens(c.context)} of context it needs {human_bytes(n.total)} (weights "
        f"{human_bytes(n.weights)}{disk}, KV cache {human_bytes(n.kv)}, buffers and program "
        f"{human_bytes(n.compute)}) of {human_bytes(free)} free; it {c.verdict.text}."
    )


def _speed(c: Candidate) -> Iterator[str]:
    s = c.speed
    if s is None:
        return
    if s.measured:
        yield (
            f"It ran here before: {human_rate(s.answer)} tokens a second in answers, "
            f"{human_rate(s.prompt)} in prompts."
        )
        return
    low, high = s.answer * (1 - s.band), s.answer * (1 + s.band)
    yield (
        f"It should answer at about {human_rate(s.answer)} tokens a second ({human_rate(low)} to "
        f"{human_rate(high)}), and read a prompt at about {human_rate(s.prompt)}, by what was measured of "
        "this machine."
    )


def _params(count: int) -> str:
    """Return a size of models as people write it, `6.5B`."""
    return f"{count / 1e9:.2g}B" if count >= 1e9 else f"{count / 1e6:.2g}M"


def _neighbours(r: Recommendation) -> Iterator[str]:
    chosen = r.chosen
    assert chosen is not None
    if r.smaller is not None:
        yield f"Smaller: {_beside(r.smaller, chosen)}."
    if r.bigger is not None:
        yield f"Better: {_beside(r.bigger, chosen)}."


def _beside(other: Candidate, chosen: Candidate) -> str:
    """Return `Q4_K_M needs 3.0 GB, loss very low, 1.2 times as fast`."""
    text = f"{other.quant} needs {human_bytes(other.needs.total)}, its loss is {other.grade.loss}"
    if other.speed and chosen.speed:
        ratio = other.speed.answer / chosen.speed.answer
        if ratio > 1.03:
            text += f", and it is {ratio:.1f} times as fast"
        elif ratio < 0.97:
            text += f", and it is {1 - ratio:.0%} slower"
        else:
            text += ", and it is no faster here" if other.needs.total < chosen.needs.total else ""
    return text


def _elsewhere(c: Candidate) -> Iterator[str]:
    if c.gpu is None or not c.gpu.layers:
        return
    held = "all of it" if c.gpu.whole else f"{c.gpu.layers} of its {c.gpu.of} layers"
    yield (
        f"Sterna runs it on the processor; a runtime for the GPU, such as llama.cpp, could hold {held} "
        f"there ({human_bytes(c.gpu.vram)})."
    )


def ways_out(
    candidates: Sequence[Candidate],
    machine: Machine,
    *,
    with_q8: Candidate | None,
    largest: int,
) -> list[str]:
    """Return by how much nothing fits, and what to do.

    `with_q8`: the smallest candidate with an 8-bit KV cache. `largest`: parameters of the largest model
    that fits here in 4 bits.
    """
    free = machine.memory.available
    if not candidates:
        return ["No file of a quant that Sterna knows is offered."]
    least = min(candidates, key=lambda c: c.needs.total)
    said = [
        f"The smallest, {least.quant}, needs {human_bytes(least.needs.total)} at {tokens(least.context)} "
        f"of context: {human_bytes(least.over)} more than the {human_bytes(free)} that is free."
    ]
    if least.max_context >= 512:
        said.append(f"A shorter context helps: {least.quant} fits to {tokens(least.max_context)}.")
    if with_q8 is not None and with_q8.fits:
        said.append(
            f"With an 8-bit KV cache (q8_0) {with_q8.quant} needs {human_bytes(with_q8.needs.total)}, and fits."
        )
    if least.gpu is not None and least.gpu.whole:
        said.append("The GPU could hold all of it: serve it there, and chat with it from here.")
    if largest:
        said.append(f"A smaller model fits: up to about {_params(largest)} parameters in Q4_K_M.")
    said.append(
        "Or close other programs, or serve it on a larger machine and chat with it here as an endpoint."
    )
    return said
