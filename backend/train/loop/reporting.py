"""What a run tells while it trains, and how it listens: events, pause and stop, early stopping, samples."""

import time
from collections.abc import Callable
from typing import Any

import psutil
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from backend.train.loop import memory
from backend.train.loop.trainer import Tuner
from backend.train.recipe import Recipe
from backend.train.run.control import Wish
from backend.train.run.events import EventLog

_PAUSE_LOOK = 0.2  # seconds between looks at what is asked while it pauses


class Reporter(TrainerCallback):
    """Writes events. The time left comes from the steps of this very process."""

    def __init__(self, tuner: Tuner, recipe: Recipe, log: EventLog) -> None:
        self._tuner, self._recipe, self._log = tuner, recipe, log
        self._process = psutil.Process()
        self._device = torch.device(tuner.args.device)
        self._since = time.monotonic()
        self._from: tuple[int, float] | None = None  # the first step that ended here, and when
        self._first_tokens = self._tokens = 0
        self._aside = 0.0  # seconds of evaluations and samples since then

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the clock."""
        memory.reset_peak(self._device)
        self._since = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Note when the first step was over: it is slower than those that follow."""
        if self._from is None:
            self._from = (state.global_step, time.monotonic())
            self._first_tokens = self._tuner.tokens_seen

    def pace(self) -> tuple[int, int, float]:
        """Return (tokens, steps, seconds) from the end of the first step on, of training alone."""
        if self._from is None:
            return 0, 0, 0.0
        step, began = self._from
        tokens = self._tuner.tokens_seen - self._first_tokens
        return tokens, self._tuner.state.global_step - step, time.monotonic() - began - self._aside

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Tell a step, or an evaluation."""
        if not state.is_world_process_zero or not logs:
            return
        if "loss" in logs:
            self._step(state, logs)
        elif "eval_loss" in logs:
            self.left_out(logs.get("eval_runtime", 0.0))
            self._log.add(
                "eval",
                step=state.global_step,
                loss=logs["eval_loss"],
                accuracy=logs.get("eval_mean_token_accuracy"),
            )

    def left_out(self, seconds: float) -> None:
        """Leave an evaluation or a sample out of every speed, but not out of the time left."""
        self._since += seconds
        if self._from is not None:
            self._aside += seconds

    def pause_ended(self, seconds: float) -> None:
        """Leave a pause out of every speed."""
        self._since += seconds
        if self._from is not None:
            self._from = (self._from[0], self._from[1] + seconds)

    def _step(self, state: TrainerState, logs: dict[str, float]) -> None:
        now = time.monotonic()
        tokens = self._tuner.tokens_seen
        speed = (tokens - self._tokens) / max(now - self._since, 1e-9)
        first, began = self._from or (state.global_step, now)
        done = state.global_step - first
        left = (state.max_steps - state.global_step) * (now - began) / done if done else None
        self._since, self._tokens = now, tokens
        self._log.add(
            "step",
            step=state.global_step,
            total=state.max_steps,
            epoch=state.epoch,
            loss=logs["loss"],
            lr=logs.get("learning_rate"),
            grad_norm=logs.get("grad_norm"),
            accuracy=logs.get("mean_token_accuracy"),
            tokens_per_second=speed,
            eta_s=left,
            rss=self._process.memory_info().rss,
            peak=memory.peak(self._device),
        )


class Listener(TrainerCallback):
    """Pauses and stops when it is asked to, at the end of a step; all processes of a run together."""

    def __init__(
        self, asked: Callable[[], Wish], log: EventLog, pause_ended: Callable[[float], None]
    ) -> None:
        self._asked, self._log, self._pause_ended = asked, log, pause_ended
        self.stopped = False

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Look at what is asked."""
        wish = _agreed(self._wish)
        if wish is Wish.STOP and state.global_step < state.max_steps:
            self.stopped = True
            control.should_save = control.should_training_stop = True
        return control

    def _wish(self) -> Wish:
        wish = self._asked()
        return self._pause() if wish is Wish.PAUSE else wish

    def _pause(self) -> Wish:
        began = time.monotonic()
        self._log.add("phase", name="paused", text="paused")
        while (wish := self._asked()) is Wish.PAUSE:
            time.sleep(_PAUSE_LOOK)
        self._pause_ended(time.monotonic() - began)
        if wish is Wish.GO:
            self._log.add("phase", name="training", text="training")
        return wish


def _agreed(wish: Callable[[], Wish]) -> Wish:
    """Return the wish that the first process sees; the others wait for it."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return wish()
    said = [wish().value if torch.distributed.get_rank() == 0 else None]
    torch.distributed.broadcast_object_list(said, src=0)
    return Wish(said[0])


class Best(TrainerCallback):
    """Knows the best evaluation, saves it, and stops after `patience` without a better one."""

    def __init__(self, tuner: Tuner, patience: int, log: EventLog) -> None:
        self._tuner, self._patience, self._log = tuner, patience, log

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Let the last step be evaluated too."""
        if state.global_step >= state.max_steps:
            control.should_evaluate = True
        return control

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **_: Any,
    ) -> TrainerControl:
        """Compare with the best so far."""
        loss = (metrics or {}).get("eval_loss")
        if loss is None:
            return control
        progress = self._tuner.progress
        if state.global_step == 0:
            progress["base_loss"] = loss  # what there is to beat
            return control
        if loss < progress.get("best_loss", float("inf")):
            progress |= {"best_loss": loss, "best_step": state.global_step, "without": 0}
            control.should_save = True
            return control
        progress["without"] = progress.get("without", 0) + 1
        if self._patience and progress["without"] >= self._patience:
            progress["early"] = True
            self._log.add(
                "warning",
                message=f"Stopped early: {self._patience} evaluations without a better one.",
            )
            control.should_training_stop = True
        return control


class Sampler(TrainerCallback):
    """Lets the model answer at intervals. Greedy, so that no random number of the run is used."""

    def __init__(
        self,
        every: int,
        answer: Callable[[], list[dict[str, str]]],
        log: EventLog,
        took: Callable[[float], None],
    ) -> None:
        self._every, self._answer, self._log, self._took = every, answer, log, took

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Answer now and then."""
        due = self._every > 0 and state.global_step % self._every == 0
        if due and state.is_world_process_zero:
            began = time.monotonic()
            for said in self._answer():
                self._log.add("sample", step=state.global_step, **said)
            self._took(time.monotonic() - began)
