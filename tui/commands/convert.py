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
        "folder",
        help="with config.json, the tokenizer and .safetensors files; or a name from `sterna ls`",
    )
    parser.add_argument("out", type=Path, help="the file to write, or a folder for it")
    parser.add_argument(
        "--quant", help="write this quant at once (default: the checkpoint's own precision)"
    )
    parser.add_argument("--threads", "-t", type=int, help="threads (default: all)")
    jobs.add_arguments(parser)


def run(args: Namespace) -> int:
    """Convert, tell the size."""
    from backend.gguf.converting import convert, name_of

    folder, out = _folder(args.folder), args.out
    if out.is_dir():
        quant = f"-{quantising.known(args.quant)}" if args.quant else ""
        out = out / f"{name_of(folder)}{quant}.gguf"
    with jobs.job(args) as report:
        made = convert(folder, out, quant=args.quant, threads=args.threads, report=report)
    jobs.report_made(args, made)
    return 0


def _folder(name: str) -> Path:
    """Return the folder that is meant: a path, or that of a checkpoint in the library."""
    path = Path(name).expanduser()
    if path.exists() or name.startswith((".", "/", "~")):
        return path
    from backend.library import resolve

    return resolve(name)
