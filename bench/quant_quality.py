"""What each quant loses, beside llama.cpp's: `python -m bench.quant_quality MODEL TEXT --peer LLAMA_QUANTIZE`.

MODEL is a file in F16, BF16 or F32 of a model that was trained (`bench.train_small` makes one); both programs
quantise it, and Sterna's engine gives the perplexity of the text under both files, and their divergence from
the source. A type of the peer's fails when our perplexity is more than a percent above its own, or our file
has another size of tensors.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from backend.gguf import open_gguf
from backend.gguf.imatrix import Importance, write_imatrix
from backend.gguf.quantising import makeable, quantise
from backend.inference import Evaluation, collect, evaluate, load_model

CONTEXT = 512
LIMIT = 1.01  # of the peer's perplexity
# Of no use here: for ternary models, or (by the peer's word) for mixtures of experts alone.
_LEFT_OUT = ("F32", "TQ2_0", "TQ1_0", "MXFP4")
_WITH_IMATRIX = ("Q2_K_S",)  # the peer makes it only so


@dataclass(frozen=True, slots=True)
class Row:
    """One quant by both programs."""

    quant: str
    ours: Evaluation
    theirs: Evaluation
    bytes: tuple[int, int]

    @property
    def ratio(self) -> float:
        """Our perplexity over theirs."""
        return self.ours.perplexity / self.theirs.perplexity

    @property
    def holds(self) -> bool:
        """Whether it is as it should be."""
        return self.ratio <= LIMIT and self.bytes[0] == self.bytes[1]


def tensor_bytes(path: Path) -> int:
    """Return the bytes of all tensors of a file."""
    with open_gguf(path) as file:
        return sum(tensor.nbytes for tensor in file.tensors.values())


def measured(path: Path, text: str, args: argparse.Namespace, source: Path) -> Evaluation:
    """Evaluate a file against the one that it was made from."""
    model = load_model(path, context=CONTEXT, threads=args.threads, kv="f32")
    against = load_model(source, context=CONTEXT, threads=args.threads, kv="f32")
    try:
        return evaluate(model, text, against=against, context=CONTEXT, chunks=args.chunks)
    finally:
        model.close()
        against.close()


def peer_quantise(peer: Path, source: Path, quant: str, out: Path, imatrix: Path | None) -> None:
    """Quantise by the peer; raises SystemExit with what it said."""
    options = ["--imatrix", str(imatrix)] if imatrix else []
    command = [str(peer), *options, str(source), str(out), quant, "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-400:]}")


def compare(quant: str, text: str, args: argparse.Namespace, importance: Importance | None) -> Row:
    """Make and measure one quant by both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, theirs, matrix = folder / "ours.gguf", folder / "theirs.gguf", None
        if importance:
            matrix = folder / "matrix.gguf"
            write_imatrix(matrix, importance)
        quantise(args.model, quant, ours, importance=importance, threads=args.threads)
        peer_quantise(args.peer, args.model, quant, theirs, matrix)
        results = [measured(path, text, args, args.model) for path in (ours, theirs)]
        return Row(quant, results[0], results[1], (tensor_bytes(ours), tensor_bytes(theirs)))


def shown(row: Row) -> str:
    """Return the line of a quant."""
    ours, theirs = row.ours, row.theirs
    size = (
        "same size" if row.bytes[0] == row.bytes[1] else f"{row.bytes[0]} B, not {row.bytes[1]} B"
    )
    return (
        f"{row.quant:8} {ours.perplexity:9.4f} {theirs.perplexity:9.4f} {100 * (row.ratio - 1):+7.2f} %"
        f"  {ours.kl_mean:.5f} {theirs.kl_mean:.5f}  {size}{'' if row.holds else '   FAILS'}"
    )


def collected(text: str, args: argparse.Namespace) -> Importance:
    """Return the importance matrix of a text."""
    model = load_model(args.model, context=CONTEXT, threads=args.threads)
    try:
        return collect(model, text, dataset=args.imatrix.name, context=CONTEXT, chunks=args.chunks)
    finally:
        model.close()


def main() -> int:
    """Measure, print a table; 1 where a quant fails."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--peer", type=Path, required=True, help="llama.cpp's llama-quantize")
    parser.add_argument("--imatrix", type=Path, metavar="TEXT", help="both by the matrix of this")
    parser.add_argument("--only", nargs="+", metavar="QUANT", help="these and no others")
    parser.add_argument("--chunks", type=int, help=f"only so many chunks of {CONTEXT} tokens")
    parser.add_argument("--threads", "-t", type=int)
    args = parser.parse_args()
    text = args.text.read_text(encoding="utf-8")
    importance = collected(args.imatrix.read_text(encoding="utf-8"), args) if args.imatrix else None
    print("quant    perplexity    peer's   ratio     divergence peer's   tensors")
    failed = 0
    left_out = _LEFT_OUT if importance else _LEFT_OUT + _WITH_IMATRIX
    for quant in args.only or [quant for quant in makeable() if quant not in left_out]:
        row = compare(quant, text, args, importance)
        failed += not row.holds
        print(shown(row), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
