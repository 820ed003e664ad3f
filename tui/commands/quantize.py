"""`sterna quantize IN QUANT OUT`: a smaller file of a model."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

from backend.errors import SternaError
from backend.files import check_place
from backend.gguf import describe, open_gguf, quantising
from backend.gguf.imatrix import Importance, is_imatrix, read_imatrix, write_imatrix
from backend.library import resolve
from backend.progress import Report
from tui.commands import jobs, texts

CHUNK = 512  # tokens that are run together when an importance matrix is collected


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
    parser.add_argument(
        "--imatrix",
        metavar="FILE",
        help="an importance matrix, or a text (- for standard input) from which one is collected first",
    )
    parser.add_argument(
        "--save-imatrix", metavar="FILE", type=Path, help="keep what was collected from a text"
    )
    parser.add_argument("--chunks", type=int, help="only the first so many chunks of that text")
    parser.add_argument("--threads", "-t", type=int, help="threads (default: all)")
    jobs.add_arguments(parser)


def run(args: Namespace) -> int:
    """Quantise, tell the size."""
    source = resolve(args.model)
    quant = quantising.known(args.quant)
    out = quantising.default_path(source, quant, args.out) if args.out.is_dir() else args.out
    with jobs.job(args) as report:
        importance = None
        if args.imatrix:
            quantising.check(source, quant, out, requantise=args.requantize)
            importance = _importance(args, source, report)
        made = quantising.quantise(
            source,
            quant,
            out,
            importance=importance,
            requantise=args.requantize,
            threads=args.threads,
            report=report,
        )
    jobs.report_made(args, made)
    return 0


def _importance(args: Namespace, source: Path, report: Report) -> Importance:
    """Read an importance matrix, or collect it from a text."""
    if args.imatrix != "-" and is_imatrix(Path(args.imatrix).expanduser()):
        return read_imatrix(Path(args.imatrix).expanduser())
    if args.chunks is not None and args.chunks < 1:
        raise SternaError("bad_argument", "There is nothing to collect.", "Give 1 chunk or more.")
    if args.save_imatrix:
        check_place(args.save_imatrix, 0)
    importance = _collected(args, source, texts.read(args.imatrix), report)
    if args.save_imatrix:
        write_imatrix(args.save_imatrix, importance)
    return importance


def _collected(args: Namespace, source: Path, text: str, report: Report) -> Importance:
    """Run a text through the model that is to be quantised."""
    from backend.inference import collect, load_model

    with open_gguf(source) as file:
        context = min(CHUNK, describe(file).context or CHUNK)
    model = load_model(source, threads=args.threads, context=context, kv="f32")
    name = "" if args.imatrix == "-" else Path(args.imatrix).name
    try:
        return jobs.stoppable(
            lambda: collect(
                model, text, dataset=name, context=context, chunks=args.chunks, report=report
            ),
            model.cancel,
        )
    finally:
        model.close()
