"""The words around the fit grid: what is asked about, the chosen cell, what to take and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from backend.text import clean
from backend.units import human_bytes, human_count, human_rate
from tui import words
from tui.panes import fit_words

if TYPE_CHECKING:
    from backend.fit import Candidate
    from backend.machine import Machine
    from tui.reckoning import Reckoned


def about(found: Reckoned, measuring: str = "") -> list[Content]:
    """Return the model and the machine, a line each."""
    model, use = found.asked.model, found.use
    facts = [
        f"{human_count(model.params)} parameters",
        clean(model.arch),
        f"made for {words.tokens(model.context)}",
    ]
    title = Content.assemble((clean(found.asked.name), "bold"), " · ", " · ".join(facts))
    parts = [f"KV {use.kv}", f"{use.prefer} first"]
    if measuring:
        parts.append(f"{clean(measuring)}…")
    return [title, Content.assemble(*_machine(found.machine), " · ", " · ".join(parts))]


def _machine(machine: Machine) -> list[str | tuple[str, str]]:
    memory = machine.memory
    free = f"{human_bytes(memory.available)} free"
    if "ram" not in machine.assumed:
        free += f" of {words.gigabytes(memory.total)} GB"
    gpus = [
        f"{clean(gpu.name)} {human_bytes(gpu.free)} free"
        if gpu.free is not None
        else clean(gpu.name)
        for gpu in machine.gpus
    ]
    said = " · ".join([free, *(gpus or ["no GPU"])])
    return [("SIM", "$text-warning reverse"), f" {said}"] if machine.assumed else [said]


def cell(c: Candidate, machine: Machine, width: int) -> list[Content]:
    """Return what is known of the chosen cell."""
    free = machine.memory.available
    fits = f"✓ {c.verdict.text}" if c.fits else f"✗ too big by {human_bytes(c.over)}"
    tone = fit_words.TONES["fits" if c.fits else "too_big"]
    loss = "as it was trained" if c.grade.native else f"loss {clean(c.grade.loss)}"
    head = Content.assemble(
        (f"{clean(c.quant)} at {words.tokens(c.context)}", "bold"),
        f"  {human_bytes(c.needs.total)} of {human_bytes(free)}  ",
        (fits, tone),
        f"  {loss}",
    )
    lines = [head, *fit_words.memory(c, free, width)]
    if s := c.speed:
        about_ = "" if s.measured else "~"
        said = f"{about_}{human_rate(s.answer)} tok/s in answers"
        if s.measured:
            said += " (it ran here)"
        else:
            low, high = s.answer * (1 - s.band), s.answer * (1 + s.band)
            said += f" ({human_rate(low)} to {human_rate(high)})"
        said += f", {human_rate(s.full)} when {words.tokens(c.context)} are full"
        lines.append(Content(f"{said} · {about_}{human_rate(s.prompt)} tok/s in prompts"))
    if c.gpu is not None and c.gpu.layers:
        where = "all of it" if c.gpu.whole else f"{c.gpu.layers} of {c.gpu.of} layers"
        lines.append(Content(f"llama.cpp on the GPU: {where} in {human_bytes(c.gpu.vram)}"))
    return lines


def reasons(found: Reckoned) -> list[Content]:
    """Return what to take, why, and what the name means."""
    title, *sentences = plain(found)
    names = _names(found)
    lines = [Content.styled(title, "bold $text-accent"), *(Content(f"· {s}") for s in sentences)]
    return [
        *lines,
        *([Content()] if names else []),
        *(Content.styled(n, "$text-muted") for n in names),
    ]


def plain(found: Reckoned) -> list[str]:
    """Return the recommendation as sentences."""
    return [clean(line) for line in (_title(found), *found.advice.reasons)]


def _title(found: Reckoned) -> str:
    chosen, own = found.chosen, found.own
    if chosen is None:
        return "Nothing fits."
    if own is None:
        return f"Take {chosen.quant}."
    if own.quant == chosen.quant:
        return f"{own.quant} is here, and it is the one to take."
    here = f"{own.quant} is here: {own.verdict.text}."
    return f"{here} To take for this machine: {chosen.quant}."


def _names(found: Reckoned) -> list[str]:
    from backend.fit import explain

    quants = [row[0].quant for row in found.grid.rows]
    return [clean(line) for line in dict.fromkeys(line for q in quants for line in explain(q))]
