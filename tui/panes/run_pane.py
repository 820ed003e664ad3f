"""The training run beside any mode: a pane on wide screens, one line over the keys on narrow ones."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from backend.text import clean
from backend.units import human_bytes, human_count, human_seconds
from tui import words
from tui.runs import Run, Runs
from tui.widgets import meter
from tui.widgets.plot import curve_lines, smoothed

if TYPE_CHECKING:
    from backend.train.run.status import RunStatus

Line = Content | str
CURVE_ROWS = 5
SAID = 4  # lines of a sample
# A glyph and a word for each state: colour only repeats them.
STATES = {
    "new": ("○ waiting", "$foreground 60%"),
    "starting": ("◐ starting", "$text-warning"),
    "training": ("▶ training", "$text-success"),
    "paused": ("‖ paused", "$text-warning"),
    "stopped": ("■ stopped", "$foreground 60%"),
    "done": ("✓ done", "$text-success"),
    "failed": ("✗ failed", "$text-error"),
    "died": ("✗ ended without a word", "$text-error"),
}
TITLES = {"lora": "LoRA", "lora-fa": "LoRA-FA", "vera": "VeRA", "lora-plus": "LoRA+",
          "delta-lora": "Delta-LoRA", "sft": "full"}  # fmt: skip


class RunPane(VerticalScroll, can_focus=False):
    """Shows the run that is watched: any in Train (`always`), elsewhere one that trained meanwhile."""

    def __init__(self, *, always: bool) -> None:
        super().__init__()
        self._always = always

    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    def on_mount(self) -> None:
        self.watch(self.app, "runs", self._changed)

    def on_resize(self) -> None:
        """Draw the curve for the new width, once it is known to all."""
        self.call_after_refresh(lambda: self._changed(getattr(self.app, "runs", Runs())))

    def _changed(self, runs: Runs) -> None:
        run = runs.watched
        if run is not None and not (self._always or run.lived):
            run = None
        self.screen.set_class(run is not None, "-run")
        if run is not None and self.display:
            width = max(20, self.scrollable_content_region.width or 32)
            self.query_one(Static).update(Content("\n").join(pane_lines(run, width)))


class RunFold(Static):
    """Shows the same in one line."""

    def __init__(self) -> None:
        super().__init__(markup=False)

    def on_mount(self) -> None:
        self.watch(self.app, "runs", self._changed)

    def _changed(self, runs: Runs) -> None:
        if runs.watched is not None:
            self.update(fold(runs.watched))


def state_of(run: Run) -> Content:
    """Return a run's state as a glyph and a word."""
    return Content.styled(*STATES[run.state])


def fold(run: Run) -> Content:
    """Return a run in one line, what matters most first."""
    s = run.status
    parts = [f"step {s.step}/{s.total}" if s.total else clean(s.phase)]
    if s.loss is not None:
        parts.append(f"loss {s.loss:.2f}")
    if s.eval_loss is not None:
        parts.append(f"eval {s.eval_loss:.2f}")
    if run.state == "training" and s.eta_s is not None:
        parts.append(f"{human_seconds(s.eta_s)} left")
    parts.append("f4 opens")
    line = Content.assemble(" ", (clean(run.name), "bold"), "  ")
    return line + state_of(run) + Content("  " + " · ".join(p for p in parts if p))


def pane_lines(run: Run, width: int) -> list[Line]:
    """Return a run for a pane `width` cells wide."""
    s = run.status
    lines: list[Line] = [Content.styled(clean(run.name), "bold"), method(run), "", state_of(run)]
    lines += _progress(run, width)
    lines += _losses(s)
    if s.losses:
        lines += ["", *_curve(s, width)]
    lines += ["", *_speeds(s, running=run.state == "training")]
    lines += _ending(run, width)
    if s.samples:
        step, prompt, text = s.samples[-1]
        lines += ["", Content.styled(f"sample at step {step}", "$foreground 60%")]
        said = _wrapped(f"“{prompt}” → “{text}”", width)
        lines += said[:SAID] + (["…"] if len(said) > SAID else [])
    return [*lines, "", Content.styled("f5  plot, samples, everything", "$foreground 60%")]


def method(run: Run) -> str:
    """Return technique, rank and base in a few words."""
    if run.recipe is None:
        return ""
    t = run.recipe.technique
    rank = f" r={t.rank}" if t.rank and t.name != "sft" else ""
    base = run.recipe.base.model.rstrip("/").rpartition("/")[2]
    return f"{TITLES[t.name]}{rank} on {words.cut(base, 24)}"


def _progress(run: Run, width: int) -> list[Line]:
    s = run.status
    if run.state == "starting":
        return [clean(s.phase)] if s.phase else []
    if not s.total:
        return []
    share = 100 * s.step // s.total
    left = ""
    if run.state == "training" and s.eta_s is not None:
        left = f" · {human_seconds(s.eta_s)} left"
    return [
        f"step {s.step} of {s.total} · {share} %{left}",
        Content.styled(meter.bar(s.step, s.total, min(width, 32)), "$text-primary"),
    ]


def _losses(s: RunStatus) -> list[Line]:
    if s.loss is None and s.eval_loss is None:
        return []
    lines: list[Line] = ["", f"loss {number(s.loss)}"]
    if s.eval_loss is not None:
        before = f", before {number(s.base_loss)}" if s.base_loss is not None else ""
        lines.append(f"held-out rows {number(s.eval_loss)}{before}")
    return lines


def _curve(s: RunStatus, width: int) -> list[Line]:
    drawn = curve_lines(smoothed(s.losses), width, CURVE_ROWS, s.total or 0)
    return [Content.styled(line, "$text-primary") for line in drawn]


def _speeds(s: RunStatus, *, running: bool) -> list[Line]:
    now = []
    if s.learning_rate is not None:
        now.append(f"rate {s.learning_rate:.2g}")
    if s.grad_norm is not None:
        now.append(f"gradient {s.grad_norm:.2g}")
    rest = []
    if s.tokens_per_second and running:
        rest.append(f"{words.rate(s.tokens_per_second)} tok/s")
    if running and s.memory:
        rest.append(human_bytes(s.memory))
    elif s.peak:
        rest.append(f"at most {human_bytes(s.peak)}")
    if s.trainable_parameters:
        rest.append(f"{human_count(s.trainable_parameters)} trained")
    return [" · ".join(part) for part in (now, rest) if part]


def _ending(run: Run, width: int) -> list[Line]:
    """Say what went wrong, or what can be done with what came out."""
    s = run.status
    lines: list[Line] = []
    if run.state == "failed" and s.error is not None:
        fact, hint = words.fact_and_hint(s.error)
        lines += ["", *(Content.styled(x, "$text-error") for x in _wrapped(fact, width))]
        lines += _wrapped(hint, width)
    elif run.state == "died":
        lines += [
            "",
            *_wrapped("Its process is gone; r in Train goes on from its checkpoint.", width),
        ]
    elif run.state == "done":
        size = f", an adapter of {human_bytes(s.adapter_bytes)}" if s.adapter_bytes else ""
        lines += ["", f"took {human_seconds(s.seconds)}{size}"] if s.seconds else []
    if s.warnings:
        lines += ["", *_wrapped(f"! {s.warnings[-1]}", width)]
    return lines


def number(value: float | None) -> str:
    """Return a loss."""
    return words.UNKNOWN if value is None else f"{value:.3f}"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(clean(text), max(width, 10))
