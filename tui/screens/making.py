"""The keys that make files of a model, and judge it: one job at a time, which goes on in every mode."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message

from backend.progress import Progress
from backend.text import clean
from backend.units import human_bytes
from tui import making
from tui.making import Job, StoppedError
from tui.messages import RescanWanted
from tui.panes import columns
from tui.screens.ask import AskScreen
from tui.screens.caring import CaringScreen
from tui.sources import Sources
from tui.widgets.job_line import JobLine

if TYPE_CHECKING:
    from backend.library import LibraryModel
    from tui.screens.make import Chosen

KEYS: list[BindingType] = [
    Binding(
        "z",
        "make",
        "smaller",
        show=False,
        tooltip="Make a smaller file of the chosen model, or a GGUF file of a checkpoint",
        id="models.make",
    ),
    Binding(
        "p",
        "judge",
        "judge",
        show=False,
        tooltip="Measure how well the chosen model predicts a text",
        id="models.judge",
    ),
]


@dataclass
class JobWanted(Message):
    """A job is ready to begin."""

    job: Job


@dataclass
class JobMoved(Message):
    """A job is further. Later news replace earlier ones that were not yet shown."""

    job: Job

    def can_replace(self, message: Message) -> bool:
        """Whether this makes `message` superfluous."""
        return isinstance(message, JobMoved)


@dataclass
class JobEnded(Message):
    """A job is over; without a result it was stopped, or failed and said so."""

    job: Job
    result: dict[str, Any] | None


class MakingScreen(CaringScreen):
    """A screen with a chosen model. Jobs run in processes of their own, watched by a thread.

    Subclasses put `KEYS` where they belong among their own, and a `JobLine` on the screen.
    """

    def __init__(self, sources: Sources) -> None:
        super().__init__(sources)
        self._job: Job | None = None

    def on_unmount(self) -> None:
        """End the job with the app."""
        if self._job is not None:
            self._job.stop()

    def action_make(self) -> None:
        """Show what can be made of the chosen model; or the job that runs."""
        if self._shows_job():
            return
        model = self._wanted()
        if model is None:
            return
        if model.error is not None or model.kind not in ("model", "checkpoint"):
            said = model.error or "Only a model can be made smaller."
            self.notify(clean(said), severity="warning", markup=False)
            return
        from tui.screens.make import MakeScreen

        name = columns.short_name(model)

        def chosen(made: Chosen | None) -> None:
            if made is not None:
                self._make(model, name, made)

        self.app.push_screen(MakeScreen(model, name), chosen)

    def _make(self, model: LibraryModel, name: str, made: Chosen) -> None:
        from tui.telling import telling

        with telling(self):
            quant = made.choice.quant.name
            out = making.target(name, quant)
            self._begin(making.making(model, name, made.offer, quant, out, made.weigh))

    def action_judge(self) -> None:
        """Ask for a text and measure the chosen model by it; or show the job that runs."""
        if self._shows_job():
            return
        model = self._wanted()
        if model is None:
            return
        if model.error is not None or model.kind != "model":
            said = model.error or "Only a GGUF model can be judged."
            self.notify(clean(said), severity="warning", markup=False)
            return
        name = columns.short_name(model)

        def given(text: str | None) -> None:
            if text:
                self._judge(model, name, Path(text).expanduser())

        question = (
            f"A text file to judge {clean(name)} by: of your own kind, some ten pages or more"
        )
        self.app.push_screen(AskScreen(question, ""), given)

    @work(thread=True, exclusive=True, group="judge", exit_on_error=False)
    def _judge(self, model: LibraryModel, name: str, text: Path) -> None:
        self.post_message(JobWanted(making.judging(model, self._models, name, text)))

    # The job

    @on(JobWanted)
    def _job_wanted(self, message: JobWanted) -> None:
        if self._job is None:
            self._begin(message.job)

    def _shows_job(self) -> bool:
        """Show the job that runs, if there is one."""
        job = self._job
        if job is None:
            return False
        from tui.screens.make import JobScreen

        def decided(stop: bool | None) -> None:
            if stop:
                job.stop()

        self.app.push_screen(JobScreen(job), decided)
        return True

    def _begin(self, job: Job) -> None:
        self._job = job
        self.query_one(JobLine).show(job)
        self._run(job)

    @work(thread=True, group="job", exit_on_error=False)
    def _run(self, job: Job) -> None:
        result = None

        def news(_: Progress) -> None:
            self.post_message(JobMoved(job))

        try:
            result = job.run(news)
        except StoppedError:
            pass
        finally:
            self.post_message(JobEnded(job, result))

    @on(JobMoved)
    def _job_moved(self, message: JobMoved) -> None:
        if self._job is message.job:
            self.query_one(JobLine).show(message.job)

    @on(JobEnded)
    def _job_ended(self, message: JobEnded) -> None:
        self._job = None
        self.query_one(JobLine).done()
        result = message.result
        if result is None:
            return
        if "perplexity" in result:
            self.notify(_judged(message.job, result), timeout=30, markup=False)
            return
        name = clean(Path(result["path"]).name)
        said = f"✓ {name}: {human_bytes(result['bytes'])}, {result['bits_per_weight']:.2f} bits a weight."
        self.notify(said, timeout=15, markup=False)
        self.app.post_message(RescanWanted())


def _judged(job: Job, result: dict[str, Any]) -> str:
    name = clean(job.title.removeprefix("judging "))
    said = (
        f"✓ {name}: perplexity {result['perplexity']:.4g} ± {result['perplexity_error']:.2g} "
        f"over {result['tokens']:,} tokens. Lower is better; compare only on the same text."
    )
    if result["against_perplexity"]:
        rise = 100 * (result["perplexity"] / result["against_perplexity"] - 1)
        said += (
            f" In full precision it is {result['against_perplexity']:.4g} ({rise:+.2f} %), and both "
            f"choose the same token {result['top1_agreement']:.1%} of the time."
        )
    return said
