"""`sterna fit MODEL`: memory and speed of each quant, which one to take, and why."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict

from backend import advice
from backend.advice import Advice
from backend.errors import SternaError
from backend.fit import Candidate, Use, explain, tokens
from backend.library import resolve
from backend.machine import Machine, assume, read_machine
from backend.units import human_bytes, human_count, human_rate, parse_bytes, parse_count
from tui import fitting
from tui.commands import output
from tui.fitting import Asked


def add_arguments(parser: ArgumentParser) -> None:
    """Take the model or its size, and the machine and use to ask for."""
    parser.add_argument(
        "model", nargs="?", help="a path, a name from `sterna ls`, or owner/repo[:QUANT]"
    )
    parser.add_argument(
        "--params", help="in place of a model: its number of parameters, such as 8B"
    )
    parser.add_argument("--ram", help="as if so much memory were free, such as 32GB")
    parser.add_argument("--vram", help="as if so much memory of a GPU were free; 0: no GPU")
    parser.add_argument("--context", type=int, help="tokens of context (default: 4096)")
    parser.add_argument("--kv", default="auto", help="type of the KV cache: auto, f16, q8_0, …")
    parser.add_argument(
        "--prefer", default="balance", help="what comes first: balance, speed or quality"
    )
    parser.add_argument("--no-measure", action="store_true", help="do not measure this machine")


def run(args: Namespace) -> int:
    """Ask, print."""
    use = Use(args.context, args.kv, args.prefer)
    asked = _asked(args)
    machine = _machine(args, asked)
    told = advice.advise(asked.model, asked.offers, machine, use)
    beside = advice.advise(asked.model, asked.others, machine, use) if asked.others else None
    reasons = list(told.reasons)
    if beside is not None:
        reasons += fitting.better_elsewhere(told, beside)
    candidates = fitting.by_quality([*told.candidates, *(beside.candidates if beside else ())])
    output.emit(
        args,
        _data(asked, told, candidates, reasons),
        _text(asked, told, candidates, reasons),
    )
    return 0


def _asked(args: Namespace) -> Asked:
    if (args.model is None) == (args.params is None):
        raise SternaError(
            "bad_argument",
            "Name a model or a number of parameters, one of both.",
            "As in `sterna fit model.gguf` or `sterna fit --params 8B`.",
        )
    if args.params is not None:
        return fitting.of_params(fitting.parsed(parse_count, args.params))
    try:
        path = resolve(args.model)
    except SternaError as error:
        from backend.hub.reference import looks_remote

        if error.kind != "not_found" or not looks_remote(args.model):
            raise
        return fitting.of_hub(args.model)
    return fitting.of_file(path)


def _machine(args: Namespace, asked: Asked) -> Machine:
    if not args.no_measure:
        advice.measure_for(
            asked.model,
            [*asked.offers, *asked.others],
            (lambda _: None) if args.json else output.note,
        )
    return assume(
        read_machine(),
        ram=None if args.ram is None else fitting.parsed(parse_bytes, args.ram),
        vram=None if args.vram is None else fitting.parsed(parse_bytes, args.vram),
    )


def _candidate(c: Candidate) -> dict[str, object]:
    s = c.speed
    return {
        "quant": c.quant,
        "file": c.offer.file or None,
        "bytes": c.offer.bytes,
        "weights": c.needs.weights,
        "kv": c.needs.kv,
        "compute": c.needs.compute,
        "on_disk": c.needs.on_disk,
        "total": c.needs.total,
        "fits": c.fits,
        "verdict": c.verdict.text,
        "over": c.over,
        "quality": c.grade.loss,
        "last_resort": c.grade.last_resort,
        "tokens_per_second": s.answer if s else None,
        "tokens_per_second_full": s.full if s else None,
        "prompt_per_second": s.prompt if s else None,
        "band": s.band if s else None,
        "measured": s.measured if s else False,
        "max_context": c.max_context,
        "gpu": None if c.gpu is None else {**asdict(c.gpu), "whole": c.gpu.whole},
    }


def _data(
    asked: Asked, told: Advice, candidates: Sequence[Candidate], reasons: list[str]
) -> dict[str, object]:
    r, m = told.recommendation, told.machine
    return {
        "model": {
            "name": asked.name,
            "arch": asked.model.arch,
            "params": asked.model.params,
            "quant": asked.model.quant,
            "context": asked.model.context,
        },
        "machine": {
            "ram": m.memory.total,
            "available": m.memory.available,
            "vram": sum(g.free if g.free is not None else g.total or 0 for g in m.gpus),
            "assumed": list(m.assumed),
        },
        "context": told.use.tokens(asked.model.context),
        "kv": told.use.kv,
        "recommended": r.chosen.quant if r.chosen else None,
        "file": (r.chosen.offer.file or None) if r.chosen else None,
        "smaller": r.smaller.quant if r.smaller else None,
        "bigger": r.bigger.quant if r.bigger else None,
        "reasons": reasons,
        "engine": told.runs,
        "candidates": [_candidate(c) for c in candidates],
    }


def _text(asked: Asked, told: Advice, candidates: Sequence[Candidate], reasons: list[str]) -> str:
    model, m = asked.model, told.machine
    context = told.use.tokens(model.context)
    assumed = f"  SIMULATED: {', '.join(m.assumed)} as given" if m.assumed else ""
    head = [
        f"{asked.name} · {human_count(model.params)} parameters · {model.arch} · "
        f"context {tokens(context)} of {tokens(model.context)} · KV {told.use.kv}",
        f"{human_bytes(m.memory.available)} of memory free ({m.memory.probe}) · "
        f"{_gpus(m)}{assumed}",
    ]
    here = [c for c in candidates if c.offer.file or not asked.others]
    rows = [["", "QUANT", "WEIGHTS", "KV", "REST", "NEEDS", "VERDICT", "ANSWER", "PROMPT", "LOSS"]]
    for c in candidates:
        s = c.speed
        mark = "▸" if c is told.recommendation.chosen else " "
        rows.append(
            [
                f"{mark} {'!' if c.fits and c.grade.last_resort else c.verdict.glyph}",
                c.quant,
                human_bytes(c.needs.weights),
                human_bytes(c.needs.kv),
                human_bytes(c.needs.compute),
                human_bytes(c.needs.total),
                c.verdict.text + ("" if c in here else ", not here"),
                f"{'' if s.measured else '~'}{human_rate(s.answer)} tok/s" if s else "–",
                f"{'' if s.measured else '~'}{human_rate(s.prompt)}" if s else "–",
                c.grade.loss,
            ]
        )
    table = output.table(rows, right=frozenset((2, 3, 4, 5, 7, 8)))
    chosen = told.recommendation.chosen
    title = f"Take {chosen.quant}." if chosen else "Nothing fits."
    names = [f"  {line}" for line in explain(chosen.quant)] if chosen else []
    body = [title, *(f"  {line}" for line in reasons)]
    return "\n".join([*head, "", table, "", *body, *(["", "The name:", *names] if names else [])])


def _gpus(m: Machine) -> str:
    if not m.gpus:
        return "no GPU"
    return ", ".join(
        gpu.name if gpu.free is None else f"{gpu.name} {human_bytes(gpu.free)} free"
        for gpu in m.gpus
    )
