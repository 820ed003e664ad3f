"""`sterna bench MODEL`: speed beside the limit of this machine's memory."""

import statistics
from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from backend import advice
from backend import settings as configuration
from backend.errors import SternaError
from backend.inference import BenchResult, bench
from backend.units import human_bytes
from tui.commands import model_options, output


def add_arguments(parser: ArgumentParser) -> None:
    """Take the model and what to measure."""
    parser.add_argument("model", help="a path, a name from `sterna ls`, or owner/repo[:QUANT]")
    parser.add_argument("-p", type=int, default=128, dest="prompt", help="prompt tokens (0: none)")
    parser.add_argument("-n", type=int, default=64, dest="count", help="answer tokens (0: none)")
    parser.add_argument(
        "-d", type=int, default=0, dest="depth", help="measure after so many tokens of context"
    )
    parser.add_argument("-r", type=int, default=3, dest="repeats", help="repeats")
    model_options.add_loading(parser)


def _rate(rates: list[float]) -> str:
    if not rates:
        return "not measured"
    return f"{statistics.median(rates):.1f} tok/s  (min {min(rates):.1f}, max {max(rates):.1f})"


def _text(r: BenchResult) -> str:
    attention = r.shares.get("attend", 0.0)
    rows = [
        ["threads", f"{r.threads}, {r.isa} kernels"],
        *([["context before", f"{r.depth} tokens"]] if r.depth else []),
        [f"prompt, {r.prompt_tokens} tokens", _rate(r.prompt_per_second)],
        [f"answer, {r.new_tokens} tokens", _rate(r.decode_per_second)],
        [
            "limit of memory",
            f"{r.limit_per_second:.1f} tok/s  ({human_bytes(r.bytes_per_token)} a token "
            f"at {r.bandwidth / 1e9:.1f} GB/s)",
        ],
        [
            "fraction of limit",
            f"{r.fraction_of_limit:.0%}, attention {attention:.0%} of the time"
            if r.fraction_of_limit
            else "–",
        ],
        ["peak memory", human_bytes(r.peak_rss)],
        [
            "energy",
            f"{r.joules_per_token:.2f} J a token"
            if r.joules_per_token
            else "no counter can be read here",
        ],
    ]
    return output.table(rows)


def run(args: Namespace) -> int:
    """Load, measure, print."""
    if (
        min(args.prompt, args.count, args.depth) < 0
        or args.repeats < 1
        or args.prompt + args.count == 0
    ):
        raise SternaError(
            "bad_argument",
            "There is nothing to measure.",
            "Give -p, -n and -d of 0 or more, -r of 1 or more.",
        )
    if args.context is None:  # without a prompt, answers follow one another
        answers = args.count * (1 if args.prompt else args.repeats + 1)
        args.context = args.depth + args.prompt + answers + 1
    model = model_options.load(args, configuration.load())
    try:
        progress = (
            (lambda _: None)
            if args.json
            else (lambda text: output.note(f"{model.card.name}: {text}"))
        )
        result = bench(model, args.prompt, args.count, args.repeats, progress, args.depth)
        prompts, answers = result.prompt_per_second, result.decode_per_second
        advice.follow(model).note_rates(
            statistics.median(prompts) if prompts and args.prompt >= 48 else 0.0,
            statistics.median(answers) if answers and args.count >= 16 else 0.0,
            args.depth + args.prompt + args.count // 2,
        )
        output.emit(args, asdict(result), _text(result))
    finally:
        model.close()
    return 0
