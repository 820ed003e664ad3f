"""A run at a glance, from its recipe and events."""

import contextlib
from dataclasses import dataclass, field

from backend.errors import SternaError
from backend.train import recipe as recipes
from backend.train.recipe import Recipe
from backend.train.run.events import Event, read_all
from backend.train.run.folder import RunFolder

_POINTS = 2000  # of a curve that are kept


@dataclass(slots=True)
class RunStatus:
    """What lists and panes show. None: not known (yet).

    `state`: new, starting, training, paused, stopped, done, failed, died. `losses`, `evals`: (step, loss).
    """

    name: str
    state: str = "new"
    phase: str = ""  # in words, while it starts
    step: int = 0
    total: int | None = None
    loss: float | None = None
    eval_loss: float | None = None
    base_loss: float | None = None
    best_loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens_per_second: float | None = None
    eta_s: float | None = None
    memory: int | None = None
    peak: int | None = None
    trainable_parameters: int | None = None
    adapter_bytes: int | None = None
    started: float | None = None
    updated: float | None = None
    seconds: float = 0.0  # that it trained, pauses and breaks left out
    error: SternaError | None = None
    warnings: list[str] = field(default_factory=list)
    losses: list[tuple[int, float]] = field(default_factory=list)
    evals: list[tuple[int, float]] = field(default_factory=list)
    samples: list[tuple[int, str, str]] = field(default_factory=list)  # step, prompt, text
    _last: float | None = None

    def add(self, event: Event) -> None:
        """Take up an event."""
        time = event.get("time")
        if isinstance(time, int | float):
            self.started = self.started or time
            self.updated = time
        handler = getattr(self, f"_on_{event['event']}", None)
        if handler is not None:
            with contextlib.suppress(KeyError, TypeError, ValueError):
                handler(event)

    def _on_phase(self, event: Event) -> None:
        name = str(event["name"])
        self.phase = str(event.get("text", name))
        self.state = name if name in ("training", "paused") else "starting"
        if name == "saving":
            self.state = "training"
        if name == "starting":
            self.error = None
        self.trainable_parameters = event.get("trainable_parameters", self.trainable_parameters)
        self._last = self.updated if name == "training" else None

    def _on_step(self, event: Event) -> None:
        self.step, self.total = int(event["step"]), int(event["total"])
        self.loss, self.learning_rate = event.get("loss"), event.get("lr")
        self.grad_norm, self.eta_s = event.get("grad_norm"), event.get("eta_s")
        self.tokens_per_second = event.get("tokens_per_second")
        self.memory, self.peak = event.get("rss"), event.get("peak")
        if self._last is not None and self.updated is not None:
            self.seconds += max(0.0, self.updated - self._last)
        self._last = self.updated
        if self.loss is not None:
            _extend(self.losses, self.step, self.loss)

    def _on_eval(self, event: Event) -> None:
        step, loss = int(event["step"]), event["loss"]
        if loss is None:
            return
        if step == 0:
            self.base_loss = loss
        self.eval_loss = loss
        self.best_loss = loss if self.best_loss is None else min(self.best_loss, loss)
        _extend(self.evals, step, loss)

    def _on_sample(self, event: Event) -> None:
        self.samples.append((int(event["step"]), str(event["prompt"]), str(event["text"])))

    def _on_warning(self, event: Event) -> None:
        self.warnings.append(str(event["message"]))

    def _on_done(self, event: Event) -> None:
        self.state, self.eta_s = "done", 0.0
        self.adapter_bytes = event.get("bytes")
        self.peak = event.get("peak", self.peak)

    def _on_stopped(self, _: Event) -> None:
        self.state = "stopped"

    def _on_error(self, event: Event) -> None:
        self.state = "failed"
        self.error = SternaError(
            str(event["kind"]), str(event["message"]), str(event.get("hint", ""))
        )


def _extend(curve: list[tuple[int, float]], step: int, value: float) -> None:
    """Add a point; steps that were lost to a kill and trained again replace what they were."""
    while curve and curve[-1][0] >= step:
        curve.pop()
    curve.append((step, value))
    if len(curve) > _POINTS:
        del curve[1:-1:2]  # every second goes: the shape stays


def status(folder: RunFolder) -> RunStatus:
    """Return how a run is."""
    made = RunStatus(folder.name)
    for event in read_all(folder.events):
        made.add(event)
    return settle(made, folder)


def settle(made: RunStatus, folder: RunFolder) -> RunStatus:
    """Correct a state by whether a process really runs."""
    made.state = settled(made.state, running=folder.is_running())
    return made


def settled(state: str, *, running: bool) -> str:
    """Return the state that events tell, corrected by whether a process runs.

    One that has told its end may still be about to go, so an end stays an end.
    """
    if running:
        return "starting" if state == "new" else state
    return "died" if state in ("starting", "training", "paused") else state


def recipe_of(folder: RunFolder) -> Recipe | None:
    """Return a run's recipe, None where it cannot be read."""
    try:
        return recipes.load(folder.recipe)
    except SternaError:
        return None
