"""trl's SFTTrainer with what a technique changes: the optimizer's groups, gradients, steps, checkpoints."""

import contextlib
import errno
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from trl.trainer.sft_trainer import SFTTrainer

from backend.errors import SternaError
from backend.train.run import checkpoints
from backend.train.techniques import Technique

_TECHNIQUE = "technique.safetensors"
_PROGRESS = "sterna.json"
_NO_USE = ("training_args.bin", "README.md")  # a pickle, and a card for a repository


class Tuner(SFTTrainer):
    """The trainer of a run. `progress` is kept with every checkpoint (best evaluation, counts)."""

    def __init__(
        self,
        *args: Any,
        technique: Technique,
        told: Callable[[str, str], None],
        keep: int,
        **kwargs: Any,
    ) -> None:
        self.technique = technique
        self.progress: dict[str, Any] = {}
        self._told = told  # (event, message) of what went wrong with a checkpoint
        self._keep = keep
        self._saving = False
        super().__init__(*args, **kwargs)
        self.remove_callback(PrinterCallback)
        self.add_callback(_Steps(self))

    # The optimizer

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Return AdamW over the groups of the technique."""
        if self.optimizer is None:
            groups = self.technique.groups(
                self.plain_model, self.args.learning_rate, self.args.weight_decay
            )
            fused = self.args.device.type in ("cpu", "cuda")  # one pass over each tensor, no copies
            self.optimizer = torch.optim.AdamW(groups, lr=self.args.learning_rate, fused=fused)
        optimizer: torch.optim.Optimizer = self.optimizer
        return optimizer

    @property
    def plain_model(self) -> nn.Module:
        """The model without what distributes it."""
        model: nn.Module = self.accelerator.unwrap_model(self.model)
        return model

    @property
    def tokens_seen(self) -> int:
        """Tokens that passed since this process began, padding left out."""
        return int(self._total_train_tokens)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run one batch; a loss that is no number ends the run before it can spoil anything."""
        loss: torch.Tensor = super().training_step(*args, **kwargs)  # type: ignore[no-untyped-call]
        if not torch.isfinite(loss):
            raise SternaError(
                "nan_loss",
                f"The loss is no number any more at step {self.state.global_step + 1}.",
                "Resume from the last checkpoint with a smaller learning rate.",
            )
        return loss

    # Checkpoints

    def _get_output_dir(self, trial: Any) -> str:
        folder = Path(str(self.args.output_dir))
        return str(folder / checkpoints.SAVING if self._saving else folder)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Save beside, verify, and give it its name in one step. A full disk is told, not fatal."""
        folder = Path(str(self.args.output_dir))
        unfinished = folder / checkpoints.SAVING
        self._saving = True
        problem = None
        try:
            super()._save_checkpoint(model, trial)  # type: ignore[no-untyped-call]
            if self.args.should_save:
                saved = unfinished / f"checkpoint-{self.state.global_step}"
                self._add_own(saved)
                self.accelerator_barrier()
                checkpoints.finish(saved, folder)
                checkpoints.prune(folder, self._keep, self.progress.get("best_step"))
            else:
                self.accelerator_barrier()
        except (OSError, SafetensorError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            problem = error
        finally:
            self._saving = False
            if self.args.should_save:
                shutil.rmtree(unfinished, ignore_errors=True)
        if problem is not None:
            self._told("warning", _why_not_saved(problem, self.state.global_step))
        elif self.args.should_save:
            self._told("checkpoint", str(folder / f"checkpoint-{self.state.global_step}"))

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write none: a run's folder is no repository."""

    def accelerator_barrier(self) -> None:
        """Wait for the other processes, if there are any."""
        self.accelerator.wait_for_everyone()

    def _add_own(self, saved: Path) -> None:
        for name in _NO_USE:
            (saved / name).unlink(missing_ok=True)
        state = self.technique.state(self.plain_model)
        if state:
            save_file({k: v.contiguous().cpu() for k, v in state.items()}, saved / _TECHNIQUE)
        (saved / _PROGRESS).write_text(json.dumps(self.progress), encoding="utf-8")

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        folder = Path(resume_from_checkpoint)
        with contextlib.suppress(FileNotFoundError):
            self.technique.load_state(self.plain_model, load_file(folder / _TECHNIQUE))
        with contextlib.suppress(FileNotFoundError, ValueError):
            self.progress = json.loads((folder / _PROGRESS).read_text(encoding="utf-8"))


class _Steps(TrainerCallback):
    """Tells the technique of each step of the optimizer."""

    def __init__(self, tuner: Tuner) -> None:
        self._tuner = tuner

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Take up where a checkpoint left."""
        self._tuner.technique.begin(self._tuner.plain_model, state.global_step)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Let it change the gradients."""
        self._tuner.technique.before_step(self._tuner.plain_model)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Let it see the new weights."""
        self._tuner.technique.after_step(self._tuner.plain_model, state.global_step)


def _why_not_saved(error: Exception, step: int) -> str:
    # safetensors tells the system's number in its text alone
    said = re.search(r"os error (\d+)", str(error))
    number = error.errno if isinstance(error, OSError) else said and int(said[1])
    full = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    reason = "the disk is full" if full else str(error).strip() or type(error).__name__
    return f"The checkpoint of step {step} could not be saved: {reason}. The last good one is kept."
