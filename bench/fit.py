"""What `sterna fit` says beside what `sterna bench` finds: `python -m bench.fit [MODEL …]`.

Without files, models of several shapes and quants are made in a temporary folder. Both commands run in
processes of their own, in the same minutes; the ratio is estimate over measurement. The machine is
measured once a round, at its start, and no run corrects what is said of the next model.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.make_model import make_model
from bench.shapes import SHAPES

MADE = (
    ("llama-0.4b", "Q4_K_M"), ("llama-0.4b", "Q8_0"), ("bitnet-700m", "I2_S"), ("bitnet-700m", "TQ1_0"),
    ("llama-3.2-1b", "Q4_K_M"), ("llama-3.2-1b", "Q5_K_M"), ("bitnet-2b4t", "TQ2_0"),
)  # fmt: skip
_PROMPT, _ANSWER = 128, 64


def sterna(home: Path, *arguments: str) -> dict:
    """Return the JSON of a command that keeps its figures in a folder of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tui.cli", *arguments, "--json"],
        check=True, capture_output=True, text=True, env=os.environ | {"STERNA_HOME": str(home)},
    )  # fmt: skip
    (home / "cache" / "runs.jsonl").unlink(missing_ok=True)
    return json.loads(done.stdout)


def compare(home: Path, model: Path, context: int) -> tuple[str, float, bool]:
    """Return one line of the table, said over found of the answer's speed, and whether its band covers it."""
    said = sterna(home, "fit", str(model), "--context", str(context))
    own = next(c for c in said["candidates"] if c["file"])
    found = sterna(
        home, "bench", str(model), "-p", str(_PROMPT), "-n", str(_ANSWER), "--context", str(context)
    )  # fmt: skip
    answer = statistics.median(found["decode_per_second"])
    prompt = statistics.median(found["prompt_per_second"])
    ratio = own["tokens_per_second"] / answer
    within = own["band"] >= abs(answer / own["tokens_per_second"] - 1)

    def beside(estimate: float, measured: float, unit: float = 1) -> str:
        return f"{estimate / unit:8.1f} {measured / unit:8.1f} {estimate / measured - 1:+6.1%}"

    cells = [
        f"{model.name:32}",
        beside(own["total"], found["peak_rss"], 1e6),
        beside(own["tokens_per_second"], answer) + f" {own['band']:5.0%}{' ' if within else '!'}",
        beside(own["prompt_per_second"], prompt),
    ]
    return "  ".join(cells), ratio, within


def _models(given: list[Path], folder: Path) -> Iterator[Path]:
    yield from given
    for shape, quant in () if given else MADE:
        path = folder / f"{shape}-{quant}.gguf"
        make_model(SHAPES[shape], quant, path)
        yield path
        path.unlink()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(prog="bench.fit", description=__doc__)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--context", type=int, default=_PROMPT + _ANSWER + 1)
    parser.add_argument("--rounds", type=int, default=1, help="measure the machine again for each")
    options = parser.parse_args(arguments)
    print(
        f"{'':32}  memory, MB: said, found    answer, tok/s: said, found (band)  prompt, tok/s: said, found"
    )
    ratios: dict[str, list[float]] = {}
    covered = 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            (Path(folder) / "cache" / "speeds.json").unlink(missing_ok=True)
            for model in _models(options.models, Path(folder)):
                line, ratio, within = compare(Path(folder), model, options.context)
                print(line, flush=True)
                ratios.setdefault(model.name, []).append(ratio)
                covered += within
    print("Answers, said over found, median of the rounds:")
    for name, found in ratios.items():
        print(f"{name:32}  {statistics.median(found) - 1:+6.1%}")
    every = [ratio for found in ratios.values() for ratio in found]
    print(f"{covered} of {len(every)} within the band that was told.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
