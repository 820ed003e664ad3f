"""Time and memory of each technique beside plain peft: `python -m bench.train [--rounds N] [--device cuda]`.

"Plain" is what one writes from peft's manual: its configuration and optimiser of the same technique,
get_peft_model and transformers' Trainer, on the same base, the same rows as tokens, the same batches.
Delta-LoRA is in no library: it has plain LoRA beside it. Each runs in a process of its own; those of one
round in turn, so that what slows the machine down for a while slows all. Time is that of a step, the
median without the first two; memory is the peak from the first step on. Ratios are medians of the rounds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

TECHNIQUES = ("lora", "lora-plus", "lora-fa", "vera", "delta-lora", "sft")
_STEPS, _BATCH, _LENGTH, _RANK, _VERA_RANK = 14, 4, 256, 16, 256
_RATE, _RATIO = 1e-3, 16.0  # learning rate; LoRA+: how many times faster B learns
_SHAPES = {  # 27 M parameters, and on a graphics card 190 M
    "cpu": {"hidden": 512, "ffn": 1536, "layers": 8, "context": 1024},
    "cuda": {"hidden": 1024, "ffn": 4096, "layers": 12, "context": 1024, "tensor_type": "F16"},
}
_WORDS = ("tern", "gull", "wave", "wind", "sail", "rope", "shore", "tide")


def make_files(folder: Path, device: str) -> tuple[Path, Path]:
    """Write a llama and rows that fill the length."""
    from ggufs import tiny_llama

    base = folder / "base.gguf"
    tiny_llama(base, **_SHAPES[device])
    rows = folder / "rows.jsonl"
    text = [" ".join(_WORDS[(i * k) % 8] for k in range(400)) for i in range(_BATCH * _STEPS)]
    rows.write_text("".join(json.dumps({"text": line}) + "\n" for line in text))
    return base, rows


def ours(name: str, base: Path, rows: Path, folder: Path, device: str) -> dict[str, float]:
    """Train by a run of Sterna's; return seconds of a step and peak bytes."""
    from running import make_run

    from backend.train.run import child
    from backend.train.run.events import read_all

    run = make_run(
        folder / f"{name}-{time.monotonic_ns()}", base, rows,
        technique={"name": name, "rank": _VERA_RANK if name == "vera" else _RANK},
        schedule={"max_steps": _STEPS, "batch": _BATCH, "threads": _threads()},
        data={"max_length": _LENGTH}, save={"every": 1000}, device=device,
    )  # fmt: skip
    if child.start(run).wait():
        raise SystemExit(run.log.read_text()[-2000:])
    events = read_all(run.events)
    steps = [e["time"] for e in events if e["event"] == "step"]
    return {"seconds": _median(steps), "peak": max(e["peak"] for e in events if e.get("peak"))}


def plain(name: str, base: Path, rows: Path, device: str) -> dict[str, float]:
    """Do the same by peft and transformers alone, in this process."""
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from backend.train.bases.gguf import load_gguf
    from backend.train.data.encoder import encoder_for
    from backend.train.loop import memory

    torch.set_num_threads(_threads())
    place, mixed = torch.device(device), device == "cuda"
    encoder = encoder_for("gguf", base, "auto")
    lines = [json.loads(line)["text"] for line in rows.read_text().splitlines()]
    ids = [encoder.words.encode(line)[:_LENGTH] for line in lines]
    encoder.close()
    half = (
        mixed and name != "sft"
    )  # weights that all learn are float32, as Trainer's bf16 wants them
    model = load_gguf(base, torch.bfloat16 if half else torch.float32)
    model, optimizer = _by_the_manual(name, model)
    times: list[float] = []

    class Clock(TrainerCallback):
        def on_train_begin(self, *_: object, **__: object) -> None:
            memory.reset_peak(place)

        def on_step_end(self, *_: object, **__: object) -> None:
            times.append(time.time())

    with tempfile.TemporaryDirectory() as out:
        arguments = TrainingArguments(
            out, per_device_train_batch_size=_BATCH, max_steps=_STEPS, learning_rate=_RATE,
            use_cpu=not mixed, bf16=mixed, report_to="none", save_strategy="no", logging_steps=1, disable_tqdm=True,
        )  # fmt: skip
        data = [{"input_ids": row, "labels": row} for row in ids]
        Trainer(
            model, arguments, train_dataset=data, callbacks=[Clock()], data_collator=_stack,
            optimizers=(optimizer, None),
        ).train()  # fmt: skip
    return {"seconds": _median(times), "peak": float(memory.peak(place) or 0)}


def _by_the_manual(name: str, model: Any) -> tuple[Any, Any]:
    """Return the model as the technique has it, and its optimiser where that is not Trainer's own."""
    import torch
    from peft import LoraConfig, VeraConfig, get_peft_model
    from peft.optimizers import create_lorafa_optimizer, create_loraplus_optimizer

    if name == "sft":
        return model.requires_grad_(True), None
    if name == "vera":
        return get_peft_model(model, VeraConfig(r=_VERA_RANK, target_modules="all-linear")), None
    config = LoraConfig(r=_RANK, lora_alpha=2 * _RANK, target_modules="all-linear")
    model = get_peft_model(model, config)
    if name == "lora-plus":
        adam = torch.optim.AdamW
        return model, create_loraplus_optimizer(model, adam, lr=_RATE, loraplus_lr_ratio=_RATIO)
    if name == "lora-fa":
        return model, create_lorafa_optimizer(model, _RANK, 2 * _RANK, _RATE)
    return model, None


def _stack(rows: list[dict]) -> dict:
    import torch

    return {key: torch.tensor([row[key] for row in rows]) for key in rows[0]}


def _median(times: list[float]) -> float:
    return statistics.median(b - a for a, b in pairwise(times[1:]))


def _threads() -> int:
    return len(os.sched_getaffinity(0))


def main() -> None:
    """Take the figures in rounds and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", choices=tuple(_SHAPES), default="cpu")
    parser.add_argument("--only", nargs="+", choices=TECHNIQUES, default=TECHNIQUES)
    parser.add_argument("--plain", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
    if args.plain:
        name, base, rows = args.plain
        print(json.dumps(plain(name, Path(base), Path(rows), args.device)))
        return
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as place:
        base, rows = make_files(Path(place), args.device)
        for _ in range(args.rounds):
            for name in dict.fromkeys(("lora", *args.only)):
                if name != "delta-lora":
                    beside = _in_a_process(name, base, rows, args.device)
                    found.setdefault(f"plain {name}", []).append(beside)
                if name in args.only:
                    measured = ours(name, base, rows, Path(place), args.device)
                    found.setdefault(name, []).append(measured)
    _print(found)


def _in_a_process(name: str, base: Path, rows: Path, device: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.train", "--plain", name, str(base), str(rows)]
    done = subprocess.run(
        [*command, "--device", device], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _print(found: dict[str, list[dict[str, float]]]) -> None:
    """Print medians, beside the same technique in plain peft and beside plain LoRA."""
    print(
        f"\n{'':16} {'s/step':>8} {'÷ same':>7} {'÷ LoRA':>7} {'peak MB':>9} {'÷ same':>7} {'÷ LoRA':>7}"
    )
    lora = found["plain lora"]
    for name, samples in found.items():
        same = found.get(f"plain {name}", samples if name.startswith("plain ") else lora)
        cells = []
        for key, unit, digits in (("seconds", 1.0, 3), ("peak", 1e6, 0)):
            cells.append(f"{statistics.median(s[key] for s in samples) / unit:8.{digits}f}")
            for other in (same, lora):
                ratios = (s[key] / o[key] for s, o in zip(samples, other, strict=True))
                cells.append(f"{statistics.median(ratios):7.2f}")
        print(f"{name:16} {' '.join(cells)}")


if __name__ == "__main__":
    main()
