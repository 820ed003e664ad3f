"""`sterna search`: models on the Hub."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from backend.errors import SternaError
from backend.hub import place, reference
from backend.hub.client import HubClient
from backend.hub.repository import Repository, read_repository
from backend.hub.search import FORMATS, SORTS, FoundModel, Query, Search
from backend.hub.variants import RemoteFile, Variant, group
from backend.units import human_count, parse_count
from tui.commands import output

_AT_ONCE = 8  # questions for sizes at the same time
_QUANTS_SHOWN = 6


def add_arguments(parser: ArgumentParser) -> None:
    """Take words, facets and order."""
    parser.add_argument("text", nargs="*", help="words of the name, owner/model, or an address")
    formats = parser.add_mutually_exclusive_group()
    for name in FORMATS:
        formats.add_argument(
            f"--{name}", dest="format", action="store_const", const=name,
            help=f"only {name}" if name != "any" else "any format (default: gguf)",
        )  # fmt: skip
    parser.set_defaults(format="gguf")
    parser.add_argument("--sort", choices=SORTS, default="trending")
    parser.add_argument("--limit", type=int, default=20, help="most models to list (default: 20)")
    parser.add_argument("--license", default="", help="e.g. apache-2.0")
    parser.add_argument("--params", default="", metavar="MIN:MAX", help="e.g. 1B:8B, :4B, 7B:")
    parser.add_argument("--arch", default="", help="architecture, e.g. qwen3")
    parser.add_argument("--author", default="", help="only models of this owner")
    gated = parser.add_mutually_exclusive_group()
    gated.add_argument("--gated", action="store_const", const=True, help="only gated models")
    gated.add_argument(
        "--no-gated", dest="gated", action="store_const", const=False, help="no gated models"
    )


def run(args: Namespace) -> int:
    """Ask and list."""
    if args.limit < 1:
        raise SternaError("bad_argument", "--limit is 1 or more.", "See `sterna search --help`.")
    client = HubClient()
    search = Search(client, _query(args))
    models = _named(client, args.text) or list(islice(search, args.limit))
    if args.json:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            offers = list(pool.map(lambda model: _variants(client, model), models))
        data = [_data(model, found) for model, found in zip(models, offers, strict=True)]
        output.json_line({"models": data})
    else:
        output.line(_text(models, search.query))
    return 0


def _query(args: Namespace) -> Query:
    low, high = _range(args.params)
    return Query(
        text=" ".join(args.text).strip(),
        format=args.format,
        sort=args.sort,
        min_params=low,
        max_params=high,
        license=args.license,
        arch=args.arch,
        gated=args.gated,
        author=args.author,
    )


def _range(text: str) -> tuple[int | None, int | None]:
    """Read MIN:MAX; a single number is both."""
    low, colon, high = text.partition(":")
    try:
        first = parse_count(low) if low else None
        last = parse_count(high) if high else None
    except ValueError as error:
        raise SternaError("bad_argument", f"--params: {error}.", "Write it as 1B:8B.") from error
    return first, last if colon else first


def _named(client: HubClient, words: Sequence[str]) -> list[FoundModel]:
    """Return the one model whose address was given."""
    text = " ".join(words).strip()
    if "://" not in text and not text.startswith(place.KNOWN_HOSTS):
        return []
    meant = reference.parse(text)
    return [read_repository(client, meant.repo, meant.revision).model]


def _variants(client: HubClient, model: FoundModel) -> Sequence[Variant]:
    """Return what a model offers with sizes; without, where the Hub does not tell them."""
    try:
        found: Repository = read_repository(client, model.repo)
    except SternaError:
        return group([RemoteFile(name) for name in model.names])
    return found.variants


def _data(model: FoundModel, variants: Sequence[Variant]) -> dict[str, object]:
    return {
        "repo": model.repo,
        "downloads": model.downloads,
        "likes": model.likes,
        "updated": model.updated,
        "params": model.params,
        "arch": model.arch or None,
        "gated": model.gated or False,
        "license": model.license or None,
        "files": [
            {
                "name": variant.files[0].path,
                "quant": variant.quant,
                "bytes": variant.bytes,
                "kind": variant.kind,
                "parts": len(variant.files),
            }
            for variant in variants
        ],
    }


def _text(models: Sequence[FoundModel], query: Query) -> str:
    if not models:
        facets = ", ".join(f"{name} {value}" for name, value in query.facets.items())
        words = f" for “{query.text}”" if query.text else ""
        return f"The Hub has nothing{words} with {facets or 'no facet'}.\nLeave a facet out, or use other words."
    heading = ["MODEL", "PARAMS", "↓ 30 DAYS", "LIKES", "UPDATED", "LICENCE", "QUANTS"]
    return output.table([heading, *map(_row, models)], right=frozenset((1, 2, 3, 4)))


def _row(model: FoundModel) -> list[str]:
    return [
        f"{model.repo} 🔒" if model.gated else model.repo,
        human_count(model.params) if model.params else "–",
        "–" if model.downloads is None else human_count(model.downloads),
        "–" if model.likes is None else human_count(model.likes),
        output.ago(model.updated),
        model.license or "–",
        _quants(model),
    ]


def _quants(model: FoundModel) -> str:
    variants = group([RemoteFile(name) for name in model.names])
    names = list(dict.fromkeys(v.quant for v in variants if v.kind == "model" and v.quant))
    if not names:
        return "safetensors" if "safetensors" in model.tags else "–"
    more = f" … ({len(names)})" if len(names) > _QUANTS_SHOWN else ""
    return " ".join(names[:_QUANTS_SHOWN]) + more
