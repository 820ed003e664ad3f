"""`sterna convert DIR OUT`: a Hugging Face checkpoint as a GGUF file."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

from backend.gguf import quantising
from tui.commands import jobs


def add_arguments(parser: ArgumentParser) -> None:
    """Take the folder, where to, and the precision."""
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = "quants: " + " ".join(quantising.makeable())
    parser.add_argument(
        "folder", type=Path, help="with config.json, the tokenizer and .safetensors files"
    )
    parser.add_argument("out", type=Path, help="the file to write, or a folder for it")
    parser.add_argument(
        "--quant", help="write this quant at once (default: the checkpoint's own precision)"
    )
    parser.add_argument("--threads", "-t", type=int, help="threads (default: all)")
    jobs.add_arguments(parser)


def run(args: Namespace) -> int:
    """Convert, tell the size."""
    from backend.gguf.converting import convert

    out = args.out
    if out.is_dir():
        name = args.folder.expanduser().resolve().name
        out = out / (
            f"{name}-{quantising.known(args.quant)}.gguf" if args.quant else f"{name}.gguf"
        )
    with jobs.job(args) as report:
        made = convert(args.folder, out, quant=args.quant, threads=args.threads, report=report)
    jobs.report_made(args, made)
    return 0
