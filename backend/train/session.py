"""One run from its recipe to its adapter, in the child process."""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import torch
from accelerate import PartialState
from safetensors import SafetensorError
from transformers import PreTrainedTokenizerFast
from trl.trainer.sft_config import SFTConfig

from backend.errors import SternaError
from backend.train import defaults, speed
from backend.train import recipe as recipes
from backend.train.bases import device_of, load_base
from backend.train.data import hub
from backend.train.data.encoder import Encoder, encoder_for
from backend.train.data.prepare import Prepared, prepare
from backend.train.data.preview import preview
from backend.train.estimate import Sequences, estimate, reached
from backend.train.loop import head, memory, store
from backend.train.loop.answering import answers, prompts_of
from backend.train.loop.reporting import Best, Listener, Reporter, Sampler
from backend.train.loop.trainer import Tuner
from backend.train.place import mixed
from backend.train.recipe import Recipe
from backend.train.run import checkpoints, pins
from backend.train.run.control import Wish
from backend.train.run.events import EventLog
from backend.train.run.folder import RunFolder
from backend.train.shape import chosen
from backend.train.source import Source, find, shape_of
from backend.train.techniques import technique
from backend.train.techniques.technique import count_trainable

_PREVIEWED = 3  # rows
_TELLING = 10  # steps from which a speed is worth keeping
_PATIENCE = 7 * 86400  # seconds that processes wait for one another: a pause may be long


@dataclass
class Session:
    """A run in progress. `asked` tells what a person wants of it."""

    folder: RunFolder
    recipe: Recipe
    log: EventLog
    asked: Callable[[], Wish]

    @property
    def first(self) -> bool:
        """Whether this process speaks for all of a distributed run."""
        return int(os.environ.get("RANK", "0")) == 0

    def run(self) -> bool:
        """Train to the end; return False when it was stopped before. Raises SternaError."""
        self.folder.checkpoints.mkdir(parents=True, exist_ok=True)
        if self.first:
            checkpoints.clear_unfinished(self.folder.checkpoints)
        self._phase("base", "finding the base")
        source = find(self.recipe.base.model)
        shape = shape_of(source)
        if not shape.generates:
            raise SternaError(
                "untrainable",
                f"{source.name} is an encoder: it writes no text.",
                "Take a language model.",
            )
        self.recipe = defaults.before(self.recipe, shape)
        chosen(shape, self.recipe.technique.targets)
        encoder = encoder_for(source.kind, source.path, self.recipe.data.template)
        try:
            return self._train(source, encoder)
        finally:
            encoder.close()

    def _train(self, source: Source, encoder: Encoder) -> bool:
        self._prepare(source, encoder)
        kept = store.load(self.folder.samples)
        self._complete(len(kept.train), validates=kept.validation is not None)
        self._phase("loading", "loading the base")
        torch.set_num_threads(self.recipe.schedule.threads)
        device = device_of(self.recipe)
        if device.type == "cpu":
            memory.small_tiles()
            head.install()
            if not self._roomy(source, kept):
                memory.give_back_at_once()
        base = load_base(self.recipe, source, device)
        way = technique(self.recipe.technique)
        torch.manual_seed(self.recipe.schedule.seed)
        model = way.attach(base)
        start, damaged = checkpoints.newest(self.folder.checkpoints)
        for each in damaged:
            self.log.add("warning", message=f"{each.path.name} is damaged and is not used.")
        tuner = Tuner(
            model=model,
            args=self._arguments(device, kept.validation is not None, start is None),
            train_dataset=kept.train,
            eval_dataset=kept.validation,
            processing_class=tokenizer_of(encoder),
            technique=way,
            told=self._told,
            keep=self.recipe.save.keep,
        )
        reporter = Reporter(tuner, self.recipe, self.log)
        listener = self._listen(tuner, reporter, encoder, kept)
        self.log.add(
            "phase",
            name="training",
            text="training",
            trainable_parameters=count_trainable(model),
            resumed_from=start.step if start else None,
        )
        tuner.train(resume_from_checkpoint=str(start.path) if start else None)
        if device.type != "mps" and self.first:
            on = (
                self.recipe.schedule.threads
                if device.type == "cpu"
                else torch.cuda.get_device_name(0)
            )
            self._remember_speed(reporter, source, count_trainable(model), on)
        if listener.stopped:
            return False
        self._finish(tuner, encoder, source)
        return True

    def _roomy(self, source: Source, kept: store.Kept) -> bool:
        """Whether there is memory enough to keep what is freed."""
        lengths = [len(ids) for ids in kept.train["input_ids"]]
        data = Sequences(len(lengths), max(lengths), sum(lengths) / len(lengths))
        return estimate(self.recipe, shape_of(source), data).roomy

    def _complete(self, samples: int, *, validates: bool) -> None:
        """Fill in what was left open, and write the recipe as it is run."""
        schedule = self.recipe.schedule
        if not schedule.threads:
            schedule = msgspec.structs.replace(schedule, threads=torch.get_num_threads())
            self.recipe = msgspec.structs.replace(self.recipe, schedule=schedule)
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        total = defaults.steps(self.recipe, samples, processes)
        self.recipe = defaults.after(self.recipe, total, validates=validates)
        if self.first:
            recipes.save(self.recipe, self.folder.recipe)

    # Data

    def _prepare(self, source: Source, encoder: Encoder) -> None:
        """Turn data into tokens once: one process does, the others wait until it is there."""
        if self.first:
            self._read_data(source, encoder)
        if "WORLD_SIZE" in os.environ:
            PartialState(cpu=device_of(self.recipe).type == "cpu").wait_for_everyone()

    def _read_data(self, source: Source, encoder: Encoder) -> None:
        """Read and pin the data; a resumed run finds it in its folder."""
        pinned = pins.check(self.folder)
        if pinned is not None and self.folder.samples.is_file():
            return
        self._phase("data", "reading the data")
        data = self.recipe.data
        main, revision = self._data_path(data.path)
        own = self._data_path(data.validation_path)[0] if data.validation_path else None
        made = prepare(data, (main, own), encoder, self.recipe.schedule.seed)
        self._tell_data(made, encoder)
        store.keep(self.folder.samples, made.train, made.validation)
        self._phase("hashing", "hashing base and data")
        files = _data_files(main) + (_data_files(own) if own else [])
        pins.write(
            self.folder,
            pins.Pinned.of(source.files),
            pins.Pinned.of(files),
            {"base_revision": source.revision, "data_revision": revision, "versions": _versions()},
        )

    def _data_path(self, text: str) -> tuple[Path, str]:
        if text.startswith(hub.PREFIX):
            brought = hub.bring(text, self.recipe.data.split, self.folder.path / "data")
            return brought.path, brought.revision
        return Path(text).expanduser(), ""

    def _tell_data(self, made: Prepared, encoder: Encoder) -> None:
        said = preview(made, encoder, _PREVIEWED)
        self.log.add("data", **{k: v for k, v in said.items() if k != "refusals"})
        if made.report.refused:
            self.log.add("warning", message=f"{made.report.refused} rows were left out.")
        if made.report.truncated:
            self.log.add(
                "warning",
                message=f"{made.report.truncated} rows are longer than "
                f"{self.recipe.data.max_length} tokens and were cut.",
            )
        if not made.validation:
            self.log.add("warning", message="No row is held back: there is no evaluation.")

    # The loop

    def _arguments(self, device: torch.device, validates: bool, fresh: bool) -> SFTConfig:
        s, d, w = self.recipe.schedule, self.recipe.data, self.recipe.watch
        bf16 = mixed(self.recipe, device.type)
        return SFTConfig(
            output_dir=str(self.folder.checkpoints),
            per_device_train_batch_size=s.batch,
            per_device_eval_batch_size=s.batch,
            gradient_accumulation_steps=s.accumulation,
            num_train_epochs=s.epochs,
            max_steps=s.max_steps or -1,
            learning_rate=s.learning_rate,
            lr_scheduler_type="constant_with_warmup" if s.decay == "constant" else s.decay,
            warmup_steps=s.warmup,
            weight_decay=s.weight_decay,
            max_grad_norm=s.max_grad_norm,
            seed=s.seed,
            data_seed=s.seed,
            gradient_checkpointing=s.gradient_checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False},
            use_cpu=device.type == "cpu",
            bf16=bf16,
            fp16=False,
            packing=d.packing,
            eval_packing=False,
            max_length=d.max_length if d.packing else None,
            logging_strategy="steps",
            logging_steps=w.log_every,
            logging_nan_inf_filter=False,
            eval_strategy="steps" if validates else "no",
            eval_steps=w.evaluate_every if validates else None,
            eval_on_start=validates and fresh,
            save_strategy="steps",
            save_steps=self.recipe.save.every,
            prediction_loss_only=True,
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=device.type == "cuda",
            ddp_timeout=_PATIENCE,
        )

    def _remember_speed(
        self, reporter: Reporter, source: Source, trainable: int, on: int | str
    ) -> None:
        """Keep how fast it went, for the estimates of later runs."""
        tokens, steps, seconds = reporter.pace()
        if steps >= _TELLING and "WORLD_SIZE" not in os.environ:
            rate = reached(self.recipe, shape_of(source), trainable, tokens, steps, seconds)
            if rate is not None:
                speed.remember(on, rate)

    def _listen(
        self, tuner: Tuner, reporter: Reporter, encoder: Encoder, kept: store.Kept
    ) -> Listener:
        watch = self.recipe.watch
        listener = Listener(self.asked, self.log, reporter.pause_ended)
        tuner.add_callback(reporter)
        if kept.validation is not None:
            tuner.add_callback(Best(tuner, watch.patience, self.log))
        asked = prompts_of(watch.prompts, encoder) if watch.prompts else kept.prompts
        if asked and watch.sample_every > 0:

            def answer() -> list[dict[str, str]]:
                model: Any = tuner.plain_model
                return answers(model, asked, encoder, watch.sample_tokens)

            tuner.add_callback(Sampler(watch.sample_every, answer, self.log, reporter.left_out))
        tuner.add_callback(listener)
        return listener

    def _finish(self, tuner: Tuner, encoder: Encoder, source: Source) -> None:
        """Write what was learned; after early stopping, of the best evaluation."""
        if not tuner.args.should_save:
            return
        self._phase("saving", "saving what was learned")
        best = tuner.progress.get("best_step")
        if tuner.progress.get("early") and best is not None:
            kept = checkpoints.Checkpoint(self.folder.checkpoints / f"checkpoint-{best}", best)
            if checkpoints.verified(kept):
                tuner._load_from_checkpoint(str(kept.path), tuner.model)
        save_learned(tuner, encoder, self.folder)
        self.log.add(
            "done",
            adapter=str(self.folder.adapter),
            step=tuner.state.global_step,
            best_step=best,
            best_loss=tuner.progress.get("best_loss"),
            trainable_parameters=count_trainable(tuner.plain_model),
            peak=memory.peak(device_of(self.recipe)),
            bytes=sum(p.stat().st_size for p in self.folder.adapter.glob("*.safetensors")),
        )

    def _phase(self, name: str, text: str) -> None:
        if self.first:
            self.log.add("phase", name=name, text=text)

    def _told(self, event: str, message: str) -> None:
        if event == "checkpoint":
            self.log.add("checkpoint", path=message, step=int(message.rpartition("-")[2]))
        else:
            self.log.add(event, message=message)


def save_learned(tuner: Tuner, encoder: Encoder, folder: RunFolder) -> None:
    """Write the adapter folder whole or not at all, with tokenizer and template beside it."""
    import shutil

    fresh = folder.path / ".adapter"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        tuner.technique.save(tuner.plain_model, fresh)
        tokenizer_of(encoder).save_pretrained(fresh)
        (fresh / "README.md").unlink(missing_ok=True)
        shutil.rmtree(folder.adapter, ignore_errors=True)
        fresh.rename(folder.adapter)
    except (OSError, SafetensorError) as error:
        raise SternaError(
            "disk_full",
            f"What was learned could not be saved: {error}.",
            "Make room on the disk and resume the run: its last checkpoint is whole.",
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def tokenizer_of(encoder: Encoder) -> PreTrainedTokenizerFast:
    """Return the encoder's words as a tokenizer of transformers, template and all."""
    words = encoder.words
    eos = words.text_of(words.eos_id) or None
    made = PreTrainedTokenizerFast(
        tokenizer_object=words.pipeline(),
        bos_token=words.text_of(words.bos_id) or None,
        eos_token=eos,
        pad_token=eos or words.text_of(0),
    )
    made.chat_template = encoder.template
    return made


def _data_files(path: Path) -> list[Path]:
    from backend.train.data.reading import files_of

    return files_of(path)


def _versions() -> dict[str, str]:
    names = ("sterna", "torch", "transformers", "peft", "trl")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
