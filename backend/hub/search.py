"""Search: what can be asked for, results page by page. What the Hub cannot filter is filtered here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from backend.hub.client import HubClient
from backend.hub.variants import TERNARY, quant_of
from backend.units import parse_count

PAGE = 50
SORTS = {
    "trending": "trendingScore",
    "downloads": "downloads",
    "likes": "likes",
    "updated": "lastModified",
}
FORMATS = ("gguf", "safetensors", "ternary", "any")
_EXPAND = [
    *("downloads", "likes", "lastModified", "gated", "gguf", "safetensors", "siblings", "tags"),
]
_LOOKED_THROUGH = 6  # pages in a row without a match before a page is given back as it is
_TERNARY_WORDS = ("bitnet", "1.58", "1bit", "1-bit", "ternary", "trilm")


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for. Empty or None: anything. `params` counts parameters, both ends included."""

    text: str = ""
    format: str = "gguf"
    sort: str = "trending"
    min_params: int | None = None
    max_params: int | None = None
    license: str = ""
    arch: str = ""
    gated: bool | None = None
    author: str = ""

    @property
    def facets(self) -> dict[str, str]:
        """Return the active facets in words, by the name of their field."""
        words = {}
        if self.format != "any":
            words["format"] = self.format
        if self.min_params or self.max_params:
            words["params"] = f"{_short(self.min_params)}–{_short(self.max_params)}"
        for name in ("license", "arch", "author"):
            if value := getattr(self, name):
                words[name] = value
        if self.gated is not None:
            words["gated"] = "gated" if self.gated else "not gated"
        return words


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A repository as a list shows it. None or empty: the Hub does not say.

    `updated` is seconds since 1970; `params` a number of parameters; `gated` is empty, auto or
    manual; `names` are the paths of its files. All texts come from outside.
    """

    repo: str
    downloads: int | None = None
    likes: int | None = None
    updated: float | None = None
    params: int | None = None
    arch: str = ""
    gated: str = ""
    license: str = ""
    tags: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def has_gguf(self) -> bool:
        """Whether there are GGUF files in it."""
        return "gguf" in self.tags or any(name.lower().endswith(".gguf") for name in self.names)

    @property
    def is_ternary(self) -> bool:
        """Whether its weights are ternary, by its architecture, tags, files or name."""
        if self.arch.startswith("bitnet") or {"bitnet", "1.58-bit", "ternary"} & set(self.tags):
            return True
        if any(quant_of(name).removeprefix("UD-") in TERNARY for name in self.names):
            return True
        return any(word in self.repo.casefold() for word in _TERNARY_WORDS)


def typed(text: str, query: Query) -> Query:
    """Return `query` for what a person typed: words of the name, and facets as `arch:qwen3`.

    Facets: format, params (1B:8B), license (or licence), arch, author, gated (yes or no), sort. One
    that makes no sense is a word like any other.
    """
    words = []
    for word in text.split():
        name, colon, value = word.partition(":")
        fields = _facet(name.casefold(), value) if colon and value else {}
        query = replace(query, **fields)
        if not fields:
            words.append(word)
    return replace(query, text=" ".join(words))


def _facet(name: str, value: str) -> dict[str, Any]:
    """Return what a typed facet sets, nothing when it is none."""
    lower = value.casefold()
    if name in ("license", "licence"):
        return {"license": lower}
    if name in ("arch", "author"):
        return {name: value}
    if (name, lower) in {("format", f) for f in FORMATS} | {("sort", s) for s in SORTS}:
        return {name: lower}
    if name == "gated" and lower in ("yes", "no"):
        return {"gated": lower == "yes"}
    if name == "params":
        low, colon, high = value.partition(":")
        try:
            least = parse_count(low) if low else None
            most = parse_count(high) if high else None
        except ValueError:
            return {}
        return {"min_params": least, "max_params": most if colon else least}
    return {}


class Search:
    """The results of one query, a page at a time."""

    def __init__(self, client: HubClient, query: Query) -> None:
        self.query = query
        self.exhausted = False
        self.given_up = False  # there may be more, behind many pages without a match
        self._pages = _pages(client, query)
        self._seen: set[str] = set()

    def next_page(self, stopped: Callable[[], bool] = lambda: False) -> list[FoundModel]:
        """Return more results, none only at the end or when `stopped`; raises SternaError."""
        for _ in range(_LOOKED_THROUGH):
            if stopped():
                return []
            page = next(self._pages, None)
            if page is None:
                self.exhausted = True
                return []
            fresh = [m for m in page if m.repo not in self._seen and matches(self.query, m)]
            self._seen |= {model.repo for model in fresh}
            if fresh:
                return fresh
        # Nothing in so many pages: going on would be no help to anybody.
        self.exhausted = self.given_up = True
        return []

    def __iter__(self) -> Iterator[FoundModel]:
        while page := self.next_page():
            yield from page


def matches(query: Query, model: FoundModel) -> bool:
    """Whether what is known of a model fits; what is not known is left to the Hub."""
    if query.format == "gguf" and (model.names or model.tags) and not model.has_gguf:
        return False
    if query.format == "safetensors" and (model.names or model.tags):
        stored = any(name.endswith(".safetensors") for name in model.names)
        if not stored and "safetensors" not in model.tags:
            return False
    if query.format == "ternary" and not model.is_ternary:
        return False
    if model.params is not None and not (
        (query.min_params or 0) <= model.params <= (query.max_params or model.params)
    ):
        return False
    if query.license and model.license and query.license.casefold() != model.license.casefold():
        return False
    if query.arch and not _of_arch(query.arch, model):
        return False
    return query.gated is None or query.gated == bool(model.gated)


def found_model(entry: dict[str, Any]) -> FoundModel:
    """Return what one entry of the Hub says; raises when it is no such entry."""
    from huggingface_hub import ModelInfo

    info = ModelInfo(**entry)  # type: ignore[no-untyped-call]
    tags = tuple(str(tag) for tag in info.tags or ())
    gguf = info.gguf if isinstance(info.gguf, dict) else {}
    config = info.config if isinstance(info.config, dict) else {}
    stored = info.safetensors.total if info.safetensors else None
    updated: datetime | None = info.last_modified
    return FoundModel(
        repo=str(info.id),
        downloads=_count(info.downloads),
        likes=_count(info.likes),
        updated=updated.timestamp() if updated else None,
        params=_count(gguf.get("total")) or _count(stored),
        arch=str(gguf.get("architecture") or config.get("model_type") or ""),
        gated=str(info.gated or ""),
        license=_license(tags, info.card_data),
        tags=tags,
        names=tuple(file.rfilename for file in info.siblings or ()),
    )


def _pages(client: HubClient, query: Query) -> Iterator[list[FoundModel]]:
    if query.format != "ternary":
        yield from _answers(client, query, _filters(query))
        return
    # The Hub has no word for ternary: models tagged so first, then those that only look like it.
    yield from _answers(client, query, [*_filters(query), "bitnet"])
    if query.text:
        yield from _answers(client, query, _filters(query))
        return
    for word in ("bitnet", "1.58"):
        yield from _answers(client, replace(query, text=word), _filters(query))
    yield from _answers(client, query, [*_filters(query), "gguf"])


def _answers(client: HubClient, query: Query, filters: list[str]) -> Iterator[list[FoundModel]]:
    params: dict[str, str | int | bool | list[str]] = {
        # Only checkpoints need `config` to tell their architecture, and it is long.
        "expand": _EXPAND if query.format == "gguf" else [*_EXPAND, "config"],
        "sort": SORTS.get(query.sort, query.sort),
        "limit": PAGE,
    }
    if query.text:
        params["search"] = query.text
    if filters:
        params["filter"] = filters
    if query.author:
        params["author"] = query.author
    if query.gated is not None:
        params["gated"] = query.gated
    bounds = [("min", query.min_params), ("max", query.max_params)]
    if any(bound for _, bound in bounds):
        params["num_parameters"] = ",".join(f"{side}:{_short(n)}" for side, n in bounds if n)
    entries, following = client.get("/api/models", params)
    yield _readable(entries)
    while following:
        entries, following = client.get(following)
        yield _readable(entries)


def _filters(query: Query) -> list[str]:
    filters = [query.format] if query.format in ("gguf", "safetensors") else []
    return [*filters, f"license:{query.license}"] if query.license else filters


def _readable(entries: object) -> list[FoundModel]:
    """Return the entries that are what they should be; a broken one costs only itself.

    What is odd in the facts beside the name and its files costs only these facts.
    """
    models = []
    for entry in entries if isinstance(entries, list) else []:
        for told in (entry, _without_facts(entry)):
            try:
                models.append(found_model(told))
            except Exception:  # whatever the library's record does with strange values
                continue
            break
    return models


def _without_facts(entry: object) -> dict[str, Any]:
    kept = ("id", "downloads", "likes", "gated", "tags", "siblings")
    return {k: entry[k] for k in kept if k in entry} if isinstance(entry, dict) else {}


def _of_arch(wanted: str, model: FoundModel) -> bool:
    wanted = wanted.casefold()
    known = {model.arch.casefold(), *(tag.casefold() for tag in model.tags)}
    return wanted in known or (bool(model.arch) and model.arch.casefold().startswith(wanted))


def _license(tags: tuple[str, ...], card: object) -> str:
    """Return the licence's id, or the name that its owner gave it where it is another one."""
    said = next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), "")
    own = getattr(card, "license", None)
    if not said and isinstance(own, str):
        said = own
    name = getattr(card, "license_name", None)
    return name if said in ("", "other") and isinstance(name, str) and name else said


def _count(value: object) -> int | None:
    good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if good else None  # type: ignore[return-value]


def _short(count: int | None) -> str:
    """Return a number of parameters as the Hub reads it, e.g. 7.5B."""
    if not count:
        return ""
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if count >= limit:
            return f"{count / limit:g}{unit}"
    return str(count)
