"""`sterna eval MODEL --text FILE`: perplexity, and nearness to a second model."""

import time
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from backend import losses
from backend import settings as configuration
from backend.errors import SternaError
from backend.inference import Evaluation, Model, evaluate, load_model
from backend.inference.evaluation import CONTEXT
from backend.library import resolve
from tui.commands import jobs, output, texts


def add_arguments(parser: ArgumentParser) -> None:
    """Take the models, the text and how much of it."""
    parser.add_argument("model", help="a path, a name from `sterna ls`, or owner/repo[:QUANT]")
    parser.add_argument(
        "--text", required=True, metavar="FILE", help="the text (-: standard input)"
    )
    parser.add_argument(
        "--against",
        metavar="MODEL2",
        help="also the divergence from this model, such as the F16 file",
    )
    parser.add_argument("--context", type=int, default=CONTEXT, help="tokens of a chunk (512)")
    parser.add_argument("--chunks", type=int, help="only the first so many chunks")
    parser.add_argument("--kv", choices=("auto", "f16", "f32", "q8_0"), help="type of the KV cache")
    parser.add_argument("--threads", "-t", type=int, help="threads (default: physical cores)")
    jobs.add_arguments(parser)


def load(name: str, args: Namespace) -> Model:
    """Load a model for chunks of the arguments' size."""
    engine = configuration.load().engine
    return load_model(
        resolve(name),
        threads=args.threads or engine.threads,
        context=args.context,
        kv=args.kv or engine.kv,
    )


def run(args: Namespace) -> int:
    """Load, evaluate, print."""
    if args.chunks is not None and args.chunks < 1:
        raise SternaError("bad_argument", "There is nothing to evaluate.", "Give 1 chunk or more.")
    text = texts.read(args.text)
    with jobs.job(args) as report, ExitStack() as closing:
        models = [load(args.model, args)]
        closing.callback(models[0].close)
        if args.against:
            models.append(load(args.against, args))
            closing.callback(models[1].close)
        result = jobs.stoppable(
            lambda: evaluate(
                models[0],
                text,
                against=models[1] if args.against else None,
                context=args.context,
                chunks=args.chunks,
                report=report,
            ),
            lambda: _stop(models),
        )
        if args.against:
            _keep(models, result, args.text)
    jobs.finish(args, asdict(result), _text(result, args.against))
    return 0


def _keep(models: list[Model], r: Evaluation, text: str) -> None:
    """Keep what a quant of the second model loses: the app shows it beside the quant."""
    card, against = (model.card for model in models)
    if not losses.tells_loss(card, against) or not (r.against_perplexity and r.top1_agreement):
        return
    loss = losses.Loss(
        at=time.time(),
        model=losses.key_of(card),
        quant=card.quant,
        rise=100 * (r.perplexity / r.against_perplexity - 1),
        divergence=r.kl_mean or 0.0,
        agreement=r.top1_agreement,
        tokens=r.tokens,
        text=Path(text).name,
    )
    losses.note(loss)


def _stop(models: list[Model]) -> None:
    for model in models:
        model.cancel()


def _text(r: Evaluation, against: str | None) -> str:
    rows = [
        ["perplexity", f"{r.perplexity:.4f} ± {r.perplexity_error:.4f}"],
        ["over", f"{r.tokens} tokens, the second halves of {r.chunks} chunks of {r.context}"],
    ]
    if r.kl_mean is not None and r.top1_agreement is not None:
        rows += [
            ["against", f"{against}, perplexity {r.against_perplexity:.4f}"],
            ["divergence", f"{r.kl_mean:.6f} ± {r.kl_error:.6f} nats (mean Kullback-Leibler)"],
            ["same first choice", f"{r.top1_agreement:.2%}"],
        ]
    return output.table(rows)
