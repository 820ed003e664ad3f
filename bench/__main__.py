"""Compare Sterna's engine with others on the same file: `python -m bench [MODEL] --peer name=PATH`.

Prints Markdown: tokens per second of each engine, ratios, and the share of what the measured read
bandwidth allows. Without MODEL it makes a file at the shape of BitNet b1.58 2B4T with random weights.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path

from backend.errors import SternaError
from backend.gguf import open_gguf
from backend.machine import read_machine
from backend.units import human_bytes
from bench.engines import BenchError, Engine, Ours, Work, parse_peer
from bench.make_model import NAMES, make_model
from bench.shapes import SHAPES
from bench.table import Series, markdown, notes


def weights_per_token(path: Path) -> int:
    """Return the bytes of a file's weights that one token reads: all but an embedding table apart."""
    with open_gguf(path) as file:
        lookup = "token_embd.weight" if "output.weight" in file.tensors else ""
        return sum(t.nbytes for t in file.tensors.values() if t.name != lookup)


def _model(options: argparse.Namespace) -> Path:
    if options.model:
        return Path(options.model)
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{options.shape}-{options.type}.gguf"
    if not path.exists():
        part = path.with_suffix(".part")
        make_model(SHAPES[options.shape], options.type, part)
        part.rename(path)
    return path


def _measure(engines: list[Engine], works: list[Work], rounds: int) -> list[list[Series]]:
    groups = [
        [Series(engine.name, work, weights_per_token(engine.model), []) for engine in engines]
        for work in works
    ]
    for turn in range(rounds):
        for work, group in zip(works, groups, strict=True):
            for engine, series in zip(engines, group, strict=True):
                print(f"round {turn + 1}, {work.threads} thread(s): {engine.name}", file=sys.stderr)
                series.samples.append(engine.run(work))
    return groups


def _heading(model: Path) -> str:
    machine = read_machine()
    return (
        f"{model.name} ({human_bytes(model.stat().st_size)}) on {machine.cpu.name}, "
        f"{machine.cpu.cores} cores, {human_bytes(machine.memory.total)} of memory\n"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("model", nargs="?", help="a GGUF file; made when left out")
    parser.add_argument(
        "--shape", choices=SHAPES, default="bitnet-2b4t", help="of the file to make"
    )
    parser.add_argument("--type", choices=NAMES, default="TQ2_0", help="of the file to make")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "sterna-bench",
        help="where files are made",
    )  # fmt: skip
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=PATH",
        help="another engine's llama-bench, options after the path (may be repeated)",
    )  # fmt: skip
    parser.add_argument(
        "--peer-model", action="append", default=[], metavar="NAME=FILE",
        help="the file that this peer runs, when not the same",
    )  # fmt: skip
    parser.add_argument("-p", type=int, default=128, dest="prompt", help="tokens of the prompt")
    parser.add_argument("-n", type=int, default=32, dest="answer", help="tokens of the answer")
    parser.add_argument(
        "-d", type=int, default=0, dest="depth", help="tokens of context before both"
    )
    parser.add_argument("-t", default="1,2", dest="threads", help="numbers of threads, by commas")
    parser.add_argument("-r", type=int, default=5, dest="rounds", help="rounds")
    parser.add_argument("--json", action="store_true", help="every run as JSON")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        threads = [int(word) for word in options.threads.split(",")]
    except ValueError:
        parser.error("-t takes numbers with commas between them")
    if (
        min(options.prompt, options.answer, options.depth) < 0
        or options.rounds < 1
        or min(threads) < 1
    ):
        parser.error("-p, -n and -d are 0 or more, -r and -t 1 or more")
    works = [Work(options.prompt, options.answer, count, options.depth) for count in threads]
    try:
        model = _model(options)
        pairs = (text.partition("=") for text in options.peer_model)
        models = {name: Path(path) for name, _, path in pairs}
        peers = [parse_peer(text, model, models) for text in options.peer]
        groups = _measure([Ours(model), *peers], works, options.rounds)
    except (BenchError, SternaError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps([[dataclasses.asdict(s) for s in group] for group in groups]))
    else:
        print(_heading(model), markdown(groups), "", notes(groups), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
