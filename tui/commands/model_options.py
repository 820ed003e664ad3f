"""Arguments that several verbs share: how a model is loaded and how it answers."""

from argparse import ArgumentParser, Namespace

from backend import advice
from backend.inference import Model, Sampling, load_model
from backend.library import mark_used, resolve
from backend.settings import Settings


def add_loading(parser: ArgumentParser) -> None:
    """Add how to load."""
    parser.add_argument("--context", type=int, help="tokens of context")
    parser.add_argument("--kv", choices=("auto", "f16", "f32", "q8_0"), help="type of the KV cache")
    parser.add_argument("--threads", "-t", type=int, help="threads (default: physical cores)")
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="FILE[:SCALE]",
        help="LoRA adapter in GGUF (may be given again)",
    )


def add_sampling(parser: ArgumentParser) -> None:
    """Add how to answer."""
    parser.add_argument("-n", type=int, dest="count", help="most tokens to write")
    parser.add_argument(
        "--temp", type=float, help="temperature; 0 takes the likeliest token always"
    )
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--min-p", type=float)
    parser.add_argument("--repeat-penalty", type=float)
    parser.add_argument("--seed", type=int)
    parser.add_argument(
        "--stop", action="append", default=[], help="end at this text (may be given again)"
    )


def load(args: Namespace, settings: Settings) -> Model:
    """Load the model that the arguments name."""
    path = resolve(args.model)
    engine = settings.engine
    model = load_model(
        path,
        threads=args.threads or engine.threads,
        context=args.context or engine.context,
        kv=args.kv or engine.kv,
        adapter=args.adapter,
    )
    advice.follow(model)
    mark_used(path)
    return model


def sampling(args: Namespace, settings: Settings) -> Sampling:
    """Return the arguments' sampling over that of the settings."""
    usual = settings.chat

    def pick(given: float | None, default: float) -> float:
        return default if given is None else given

    return Sampling(
        temperature=pick(args.temp, usual.temperature),
        top_k=int(pick(args.top_k, usual.top_k)),
        top_p=pick(args.top_p, usual.top_p),
        min_p=pick(args.min_p, usual.min_p),
        repeat_penalty=pick(args.repeat_penalty, usual.repeat_penalty),
        seed=args.seed,
        max_tokens=args.count,
        stop=tuple(args.stop),
    )
