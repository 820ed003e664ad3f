"""`sterna quantize IN QUANT OUT`: a smaller file of a model."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

from backend.gguf import quantising
from backend.library import resolve
from tui.commands import jobs


def add_arguments(parser: ArgumentParser) -> None:
    """Take the model, the quant and where to."""
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = "quants: " + " ".join(quantising.makeable())
    parser.add_argument("model", help="a path, a name from `sterna ls`, or owner/repo[:QUANT]")
    parser.add_argument("quant", help="such as Q4_K_M (the default recommendation)")
    parser.add_argument("out", type=Path, help="the file to write, or a folder for it")
    parser.add_argument(
        "--requantize", action="store_true", help="also from a file that is quantised already"
    )
    parser.add_argument("--threads", "-t", type=int, help="threads (default: all)")
    jobs.add_arguments(parser)


def run(args: Namespace) -> int:
    """Quantise, tell the size."""
    source = resolve(args.model)
    quant = quantising.known(args.quant)
    out = quantising.default_path(source, quant, args.out) if args.out.is_dir() else args.out
    with jobs.job(args) as report:
        made = quantising.quantise(
            source,
            quant,
            out,
            requantise=args.requantize,
            threads=args.threads,
            report=report,
        )
    jobs.report_made(args, made)
    return 0
