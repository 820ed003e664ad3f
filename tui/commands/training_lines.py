"""Training in lines: events as they come, estimates, previews, lists of runs."""

import sys
from collections.abc import Callable
from typing import Any

from backend.train.estimate import Estimate, Sequences
from backend.train.run.events import Event
from backend.train.run.folder import RunFolder
from backend.units import human_bytes, human_count, human_seconds
from tui.commands import output

_EVERY = 10  # of the steps that are printed where no line can be written over


class Teller:
    """Tells events: JSON lines for programs; for people a line that is written over, and the rest."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._watched = sys.stderr.isatty() and not as_json
        self._shown = False

    def offset(self, folder: RunFolder) -> int:
        """Return where to read on after an interruption."""
        return folder.events.stat().st_size if folder.events.exists() else 0

    def tell(self, event: Event) -> None:
        """Tell one event."""
        if self._json:
            if event["event"] != "error":  # that one is the answer's last line, as everywhere
                output.json_line(event)
            return
        kind = event["event"]
        if kind == "step":
            self._step(event)
            return
        say = _TEXTS.get(kind)
        text = say(event) if say else ""
        if text:
            self._clear()
            output.note(text)

    def _step(self, event: Event) -> None:
        text = step_text(event)
        if self._watched:
            output.status(text)
            self._shown = True
        elif event["step"] % max(1, event["total"] // _EVERY) == 0 or event["step"] == 1:
            output.note(text)

    def _clear(self) -> None:
        if self._shown:
            output.status("")
            self._shown = False


def step_text(event: Event) -> str:
    """Return a step in one line."""
    parts = [f"step {event['step']}/{event['total']}"]
    if event.get("loss") is not None:
        parts.append(f"loss {event['loss']:.3f}")
    if event.get("tokens_per_second"):
        parts.append(f"{event['tokens_per_second']:.0f} tok/s")
    if event.get("rss"):
        parts.append(human_bytes(event["rss"]))
    if event.get("eta_s") is not None:
        parts.append(f"{human_seconds(event['eta_s'])} left")
    return " · ".join(parts)


def _data(event: Event) -> str:
    share = 100 * event["supervised_share"]
    return (
        f"{event['rows']} rows, {event['title']} · {event['train']} to learn from, "
        f"{event['validation']} held back · {share:.0f} % of {event['tokens']} tokens are learned"
    )


def _evaluation(event: Event) -> str:
    if event["loss"] is None:
        return ""
    what = "before any training" if event["step"] == 0 else f"at step {event['step']}"
    return f"evaluation {what}: loss {event['loss']:.3f}"


_TEXTS: dict[str, Callable[[Event], str]] = {
    "phase": lambda e: "" if e["name"] == "starting" else f"… {e['text']}",
    "data": _data,
    "eval": _evaluation,
    "sample": lambda e: f"“{e['prompt']}” → “{e['text']}”",
    "warning": lambda e: f"warning: {e['message']}",
    "done": lambda e: f"done after {e['step']} steps",
}


def estimate_data(made: Estimate, data: Sequences) -> dict[str, Any]:
    """Return the contract's form."""
    return {
        "trainable_parameters": made.trainable_parameters,
        "adapter_bytes": made.adapter_bytes,
        "peak_memory": made.peak_memory,
        "seconds": round(made.seconds, 1),
        "largest_batch": made.largest_batch,
        "steps": made.steps,
        "fits": made.fits,
        "available_memory": made.available,
        "parts": {
            "libraries": made.runtime,
            "weights": made.weights,
            "learning": made.learning,
            "activations": made.activations,
            "loss": made.loss,
        },
        "data_assumed": data.assumed,
    }


def estimate_text(made: Estimate, data: Sequences) -> str:
    """Return it for people."""
    verdict = (
        "fits" if made.fits else f"too much by {human_bytes(made.peak_memory - made.available)}"
    )
    assumed = (
        f" (no data given: {data.count} rows of {data.longest} tokens)" if data.assumed else ""
    )
    rows = [
        ["trainable", f"{human_count(made.trainable_parameters)} parameters"],
        ["adapter", human_bytes(made.adapter_bytes)],
        ["peak memory", f"{human_bytes(made.peak_memory)} of {human_bytes(made.available)}: {verdict}"],
        ["", f"weights {human_bytes(made.weights)}, learning {human_bytes(made.learning)}, "
             f"activations {human_bytes(made.activations)}, loss {human_bytes(made.loss)}, "
             f"libraries {human_bytes(made.runtime)}"],
        ["time", f"about {human_seconds(made.seconds)} for {made.steps} steps{assumed}"],
        ["largest batch", str(made.largest_batch) if made.largest_batch else "none fits"],
    ]  # fmt: skip
    return output.table(rows)


def preview_text(seen: dict[str, Any]) -> str:
    """Return what would be learned: learned text in ⟦ ⟧, for no colour is needed to see it."""
    share = 100 * seen["supervised_share"]
    lines = [
        f"{seen['rows']} rows, {seen['title']} · {seen['train']} to learn from, "
        f"{seen['validation']} held back · {seen['refused']} refused",
        f"{share:.0f} % of {seen['tokens']} tokens are learned · longest row {seen['longest']} · "
        f"{seen['truncated']} cut",
        *(f"note: {note}" for note in seen["notes"]),
        *(f"refused: {r['where']}: {r['reason']}" for r in seen["refusals"][:10]),
    ]
    for sample in seen["samples"]:
        text = "".join(
            f"⟦{piece['text']}⟧" if piece["learned"] else piece["text"]
            for piece in sample["pieces"]
        )
        lines += ["", f"{sample['where']} · {sample['tokens']} tokens", text]
    return "\n".join(lines)
