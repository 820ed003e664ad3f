"""Extrapolate the speed of a model too large to make: `python -m bench.layered [--shape bitnet-100b]`.

Makes files of a few layers of full width, runs them in turns, and takes the time of a layer from the
difference, so that what is outside the layers (embedding, output matrix, sampling) counts once. The
result is labelled as what it is: extrapolated.
"""

import argparse
import statistics
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from backend.errors import SternaError
from bench.engines import BenchError, Ours, Sample, Work
from bench.make_model import NAMES, make_model
from bench.shapes import SHAPES, Shape


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of a whole model, from runs of two depths in one round: tokens and bytes a second."""

    prefill: float
    decode: float
    bytes_per_token: float
    bandwidth: float

    @property
    def fraction_of_limit(self) -> float:
        """Decode speed over what the bandwidth allows for the bytes of a token."""
        return self.decode * self.bytes_per_token / self.bandwidth


def _line(few: float, many: float, layers: tuple[int, int], whole: int) -> float:
    """Continue the line through two points to the whole number of layers."""
    return many + (many - few) / (layers[1] - layers[0]) * (whole - layers[1])


def extrapolate(
    few: list[Sample], many: list[Sample], layers: tuple[int, int], whole: int
) -> Estimate:
    """Return what `whole` layers would do, by the median times of runs of two numbers of `layers`.

    Medians come first: a difference of two single runs multiplies what disturbed either by many layers.
    """

    def middle(samples: list[Sample], pick: str) -> float:
        values: list[float] = [getattr(sample, pick) for sample in samples]
        return statistics.median(values)

    seconds = [
        _line(1 / middle(few, kind), 1 / middle(many, kind), layers, whole)
        for kind in ("prefill", "decode")
    ]
    read = _line(few[0].bytes_per_token, many[0].bytes_per_token, layers, whole)
    return Estimate(1 / seconds[0], 1 / seconds[1], read, middle([*few, *many], "bandwidth"))


def _file(shape: Shape, name: str, type_name: str, layers: int, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{layers}-layers-{type_name}.gguf"
    if not path.exists():
        part = path.with_suffix(".part")
        make_model(replace(shape, layers=layers), type_name, part)
        part.rename(path)
    return path


def _row(threads: int, found: Estimate) -> str:
    cells = [
        str(threads), f"{found.bytes_per_token / 1e6:.0f}", f"{found.prefill:.2f}", f"{found.decode:.2f}",
        f"{found.bandwidth / 1e9:.1f}", f"{found.fraction_of_limit:.0%}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.layered", description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="bitnet-100b")
    parser.add_argument("--type", choices=NAMES, default="TQ2_0")
    parser.add_argument("--layers", type=int, nargs=2, default=(2, 8), help="numbers to make")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "sterna-bench",
        help="where files are made",
    )  # fmt: skip
    parser.add_argument("-p", type=int, default=64, dest="prompt", help="tokens of the prompt")
    parser.add_argument("-n", type=int, default=16, dest="answer", help="tokens of the answer")
    parser.add_argument("-t", type=int, nargs="+", default=(1, 2), dest="threads")
    parser.add_argument("-r", type=int, default=3, dest="rounds", help="rounds")
    options = parser.parse_args(arguments)
    shape, layers = SHAPES[options.shape], (options.layers[0], options.layers[1])
    if not 0 < layers[0] < layers[1] or min(options.prompt, options.answer, options.rounds) < 1:
        parser.error("give two growing numbers of layers, and -p, -n and -r of 1 or more")
    try:
        files = [_file(shape, options.shape, options.type, n, options.folder) for n in layers]
        rows = []
        for threads in options.threads:
            work = Work(options.prompt, options.answer, threads)
            rounds = [[Ours(file).run(work) for file in files] for _ in range(options.rounds)]
            few, many = (list(samples) for samples in zip(*rounds, strict=True))
            rows.append(_row(threads, extrapolate(few, many, layers, shape.layers)))
    except (BenchError, SternaError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(
        f"{options.shape}, {options.type}: **extrapolated** to {shape.layers} layers from runs of "
        f"{layers[0]} and {layers[1]} layers of full width\n\n"
        f"| threads | MB a token | prefill of {options.prompt}, tok/s | decode of {options.answer}, "
        "tok/s | GB/s read | of the limit |\n| --- | --- | --- | --- | --- | --- |"
    )
    print(*rows, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
