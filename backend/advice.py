"""Advice about a model on this machine: the pure fit, over the engine's own plan and what ran here.

`backend.fit` takes everything as arguments; here are the arguments. The engine is asked dry, from the
header alone, so the same figures stand before a download and after it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from backend import fit
from backend.errors import SternaError
from backend.fit import Candidate, Grid, Model, Needs, Offer, Recommendation, Speed, Use
from backend.fit.speed import correction, predict
from backend.gguf import fingerprint
from backend.inference import Model as LoadedModel
from backend.inference import memory
from backend.inference.hyper import Hyper, read_hyper
from backend.inference.sampling import GenerationReport
from backend.machine import Machine, history, physical_cores, speeds
from backend.machine.trial_programs import can_multiply

# The quants that people choose from, best first: those of an offer that nobody made yet.
LADDER = ("Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "IQ4_XS", "Q3_K_M", "Q2_K")
_TERNARY_LADDER = ("TQ2_0", "TQ1_0")


@dataclass(frozen=True, slots=True)
class Advice:
    """What to take of a model on a machine, and why.

    `candidates`, best first, are the files that can be had; `runs`: Sterna's engine runs the model, so
    figures are its own; else they are those of llama.cpp, and `why_not` says what is missing.
    """

    model: Model
    machine: Machine
    use: Use
    candidates: tuple[Candidate, ...]
    recommendation: Recommendation
    reasons: tuple[str, ...]
    runs: bool
    why_not: str


def advise(model: Model, offers: Sequence[Offer], machine: Machine, use: Use) -> Advice:
    """Return advice; `machine` may be another one. Nothing is measured or read here but kept runs."""
    why_not = refusal(model)
    pace, runtime = pace_on(machine, model), engine_on(machine)
    found = fit.judge(model, offers, machine, use, runtime, pace)
    chosen = fit.recommend(model, found, machine, use, runtime, pace)
    return Advice(
        model,
        machine,
        use,
        tuple(found),
        chosen,
        tuple(_reasons(model, offers, found, chosen, machine, use, why_not)),
        not why_not,
        why_not,
    )


def judged(model: Model, offer: Offer, machine: Machine, use: Use) -> Candidate:
    """Return what one file needs on a machine, and how fast it is."""
    pace, runtime = pace_on(machine, model), engine_on(machine)
    return fit.judge(model, [offer], machine, use, runtime, pace)[0]


def grid(
    model: Model, offers: Sequence[Offer], machine: Machine, use: Use, columns: Sequence[int]
) -> Grid:
    """Return quant by context."""
    pace = pace_on(machine, model)
    return fit.grid(model, offers, machine, use, columns, engine_on(machine), pace)


def ladder(model: Model) -> list[Offer]:
    """Return the usual quants of a model, of which no file is known."""
    return [Offer(name) for name in (_TERNARY_LADDER if model.ternary else LADDER)]


def measure_for(
    model: Model, offers: Sequence[Offer], on_progress: Callable[[str], None] = lambda _: None
) -> speeds.Speeds:
    """Measure what predictions of these quants ask for and is not known yet."""
    wanted: set[str] = set()
    for offer in offers:
        wanted |= fit.weights_per_token(fit.as_offered(model, offer)[0]).keys()
    return speeds.measured(wanted, on_progress)


# The engine, asked dry


def engine_on(machine: Machine) -> fit.Runtime:
    """Return what asks the engine with as many threads as it takes on a machine."""
    return partial(engine, threads=max(1, min(machine.cpu.cores, machine.cpu.usable)))


def engine(model: Model, context: int, kv: str, threads: int | None = None) -> Needs:
    """Return what Sterna's engine needs; where it does not run the model, what llama.cpp does.

    More context never needs more on the way to less: where the engine's own choice of a cache would
    grow out of float32 into half the bytes, it is reckoned at what it had.
    """
    if refusal(model) or kv not in memory.KV_TYPES:
        return fit.llama_cpp(model, context, kv)
    h, (standing, on_disk) = _hyper(model), _standing(model)
    plan = memory.estimate(model, h, context, kv, threads or physical_cores(), standing)
    grown = kv == "auto" and plan.kv != "f32"
    return Needs(
        weights=model.file_bytes,
        kv=max(plan.cache, memory.SMALL_CACHE) if grown else plan.cache,
        compute=plan.weights + on_disk - model.file_bytes + plan.buffers + plan.program,
        on_disk=on_disk,
    )


@lru_cache(maxsize=64)
def refusal(model: Model) -> str:
    """Return why Sterna's engine does not run a model; empty: it does, as far as its header tells."""
    try:
        _hyper(model)
    except SternaError as error:
        return error.message
    for tensor in model.tensors.values():
        if len(tensor.shape) > 1 and not can_multiply(tensor.type_name):
            return f"Sterna's engine does not run tensors of the type {tensor.type_name} yet."
    return ""


@lru_cache(maxsize=64)
def _hyper(model: Model) -> Hyper:
    return read_hyper(model)


@lru_cache(maxsize=64)
def _standing(model: Model) -> tuple[memory.Standing, int]:
    """Return what no context changes, and the bytes of a table that stays on disk."""
    return memory.standing(model, _hyper(model)), max(0, memory.table_bytes(model))


# Speed


def pace_on(machine: Machine, model: Model) -> fit.Pace:
    """Return how fast quants of `model` are on a machine: what ran there, else a prediction.

    Another machine's processor is not known, so its speed is told as if it had this one's.
    """
    known = machine.speeds
    if known is None or refusal(model):
        return lambda _model, _context: None
    runs = history.runs(known.cpu, known.isa, known.threads)
    factor = correction(runs, known)

    def pace(made: Model, context: int) -> Speed | None:
        told = predict(made, context, known, factor)
        ran = history.typical(runs, fingerprint(made.tensors))
        if ran is None or told is None:
            return told
        prompt, answer, _count = ran
        return Speed(
            prompt=prompt or told.prompt,
            answer=answer,
            full=told.full * answer / told.answer,
            band=0.05,
            measured=True,
        )

    return pace


class Follower:
    """Notes how fast a loaded model really ran, as predictions want it."""

    def __init__(self, model: LoadedModel) -> None:
        seen = fit.read_model(model.file)
        self._key = fingerprint(seen.tensors)
        self._work = fit.work_per_token(seen)
        self._loaded = model

    def note(self, report: GenerationReport) -> None:
        """Note a generation."""
        fresh = report.prompt_tokens - report.cached_tokens
        prompt, answer = history.rates(
            (fresh, report.prompt_seconds), (report.completion_tokens - 1, report.decode_seconds)
        )
        self.note_rates(prompt, answer, report.prompt_tokens + report.completion_tokens // 2)

    def note_rates(self, prompt: float, answer: float, context: int) -> None:
        """Note tokens per second of a prompt and an answer, 0 where one is not known."""
        history.note(
            history.Run(
                at=time.time(),
                key=self._key,
                cpu=speeds.processor(),
                isa=self._loaded.isa,
                threads=self._loaded.threads,
                context=context,
                prompt=prompt,
                answer=answer,
                weights=self._work.weights,
                layers=self._work.layers,
                normalised=self._work.normalised,
                turned=self._work.turned,
                vocab=self._work.vocab,
            )
        )


def follow(model: LoadedModel) -> Follower:
    """Note every generation of a loaded model from now on."""
    follower = Follower(model)
    model.on_report = follower.note
    return follower


# Words


def _reasons(
    model: Model,
    offers: Sequence[Offer],
    found: Sequence[Candidate],
    chosen: Recommendation,
    machine: Machine,
    use: Use,
    why_not: str,
) -> list[str]:
    wants_largest = chosen.chosen is None or chosen.because == "last_resort"
    largest = fit.largest_model(machine, use, engine_on(machine)) if wants_largest else 0
    if chosen.chosen is not None:
        said = fit.reasons(model, chosen, machine, use, largest)
    else:
        eight = None
        if use.kv in ("auto", "f16", "f32"):
            smaller = Use(use.context, "q8_0", use.prefer)
            with_q8 = fit.judge(model, offers, machine, smaller, engine_on(machine))
            eight = min(with_q8, key=lambda c: c.needs.total, default=None)
        said = fit.ways_out(found, machine, with_q8=eight, largest=largest)
    if why_not:
        said.append(
            f"{why_not} The figures are those of llama.cpp; an endpoint such as Ollama or llama-server "
            "may serve it."
        )
    return said
