"""Time and memory of each technique beside plain peft: `python -m bench.train [--rounds N] [--device cuda]`.

"Plain" is what one writes from peft's manual: LoraConfig, get_peft_model and transformers' Trainer, on the
same base, the same rows as tokens, the same batches. Each runs in a process of its own; those of one
round in turn, so that what slows the machine down for a while slows all. Time is that of a step, the
median without the first two; memory is the peak from the first step on. Ratios are to plain LoRA.
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

TECHNIQUES = ("lora", "lora-plus", "lora-fa", "vera", "delta-lora", "sft")
_STEPS, _BATCH, _LENGTH, _RANK = 14, 4, 256, 16
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
        technique={"name": name, "rank": 256 if name == "vera" else _RANK},
        schedule={"max_steps": _STEPS, "batch": _BATCH, "threads": _threads()},
        data={"max_length": _LENGTH}, save={"every": 1000}, device=device,
    )  # fmt: skip
    if child.start(run).wait():
        raise SystemExit(run.log.read_text()[-2000:])
    events = read_all(run.events)
    steps = [e["time"] for e in events if e["event"] == "step"]
    return {"seconds": _median(steps), "peak": max(e["peak"] for e in events if e.get("peak"))}


def plain(base: Path, rows: Path, device: str) -> dict[str, float]:
    """Do the same by peft and transformers alone, in this process."""
    import torch
    from peft import LoraConfig, get_peft_model
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
    config = LoraConfig(r=_RANK, lora_alpha=2 * _RANK, target_modules="all-linear")
    model = get_peft_model(load_gguf(base, torch.bfloat16 if mixed else torch.float32), config)
    times: list[float] = []

    class Clock(TrainerCallback):
        def on_train_begin(self, *_: object, **__: object) -> None:
            memory.reset_peak(place)

        def on_step_end(self, *_: object, **__: object) -> None:
            times.append(time.time())

    with tempfile.TemporaryDirectory() as out:
        arguments = TrainingArguments(
            out, per_device_train_batch_size=_BATCH, max_steps=_STEPS, learning_rate=1e-3,
            use_cpu=not mixed, bf16=mixed, report_to="none", save_strategy="no", logging_steps=1, disable_tqdm=True,
        )  # fmt: skip
        data = [{"input_ids": row, "labels": row} for row in ids]
        Trainer(
            model, arguments, train_dataset=data, callbacks=[Clock()], data_collator=_stack
        ).train()
    return {"seconds": _median(times), "peak": float(memory.peak(place) or 0)}


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
    parser.add_argument("--plain", nargs=2, type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
    if args.plain:
        print(json.dumps(plain(*args.plain, args.device)))
        return
    with tempfile.TemporaryDirectory() as place:
        base, rows = make_files(Path(place), args.device)
        found: dict[str, list[dict[str, float]]] = {}
        for _ in range(args.rounds):
            command = [sys.executable, "-m", "bench.train", "--plain", str(base), str(rows)]
            command += ["--device", args.device]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found.setdefault("plain peft LoRA", []).append(json.loads(done.stdout.splitlines()[-1]))
            for name in args.only:
                measured = ours(name, base, rows, Path(place), args.device)
                found.setdefault(name, []).append(measured)
    print(f"\n{'':16} {'s/step':>8} {'ratio':>6} {'peak MB':>8} {'ratio':>6}")
    first = found["plain peft LoRA"]
    for name, samples in found.items():
        cells = []
        for key, unit in (("seconds", 1.0), ("peak", 1e6)):
            middle = statistics.median(s[key] for s in samples) / unit
            ratio = statistics.median(s[key] / p[key] for s, p in zip(samples, first, strict=True))
            cells += [f"{middle:8.3f}" if unit == 1 else f"{middle:8.0f}", f"{ratio:6.2f}"]
        print(f"{name:16} {' '.join(cells)}")


if __name__ == "__main__":
    main()
