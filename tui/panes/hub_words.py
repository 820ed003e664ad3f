"""What the Hub screen says about itself: what is asked, how much was found, why there is nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from textual.content import Content

from backend.errors import SternaError
from backend.text import clean
from tui import queue_words, words

if TYPE_CHECKING:
    from backend.hub.search import Query
    from tui.results import Results
    from tui.state import Downloads

NO_NETWORK = ("offline",)


def asked(query: Query) -> Content:
    """Return the facets in one line, those that narrow it standing out."""
    from backend.hub import place

    facets = query.facets
    parts = [
        (query.format if query.format != "any" else "any format", "format" in facets),
        (facets.get("params", "any size"), "params" in facets),
        (facets.get("license", "any licence"), "license" in facets),
    ]
    parts += [(facets[name], True) for name in ("arch", "author", "gated") if name in facets]
    line = Content.styled(f" sorted by {query.sort}", "$foreground 60%")
    for said, narrows in parts:
        style = "$text-accent" if narrows else "$foreground 60%"
        line = line + Content.styled(" · ", "$foreground 60%") + Content.styled(clean(said), style)
    try:
        host = urlsplit(place.endpoint()).netloc
        if host not in place.KNOWN_HOSTS:
            line = line + Content.styled(f" · at {clean(host)}", "$foreground 60%")
    except SternaError:  # the search says so
        pass
    return line


def count(results: Results, error: SternaError | None, *, searching: bool) -> str:
    """Return how much was found. The Hub answers in pages and does not say how much there is in all."""
    if error is not None:
        return "✗ offline" if error.kind in NO_NETWORK else "✗ not answered"
    if searching and not results.models:
        return "asking the Hub…"
    found = len(results.models)
    again = " · asking…" if searching else ""
    plural = "" if found == 1 else "s"
    if not results.exhausted:
        return f"the first {found} model{plural}{again}"
    more = ", perhaps more" if results.given_up else ""
    return f"{found} model{plural}{more}{again}"


def why_empty(query: Query | None, error: SternaError | None, *, searching: bool) -> str:
    """Return what stands in place of an empty table."""
    if error is not None:
        fact, hint = words.fact_and_hint(error)
        stays = "1  the models on this computer     " if error.kind in NO_NETWORK else ""
        return f"✗ {fact}\n{hint}\n\nr  ask again     {stays}"
    if searching or query is None:
        return "Asking the Hub…"
    facets = ", ".join(f"{name} {value}" for name, value in query.facets.items())
    text = f" for “{query.text}”" if query.text else ""
    return (
        f"The Hub has nothing{clean(text)} with {clean(facets) or 'no facet'}.\n\n"
        "f  change the facets     /  other words     esc  drop the search"
    )


def fetching(downloads: Downloads) -> Content:
    """Return the one line that stands for the downloads on a narrow screen."""
    if not downloads.waiting:
        return Content()
    first = next((i for i in downloads.waiting if i.state == "running"), downloads.waiting[0])
    others = len(downloads.waiting) - 1
    more = f"  and {others} more" if others else ""
    return Content.assemble(
        (" ↓ ", "$text-accent"),
        (queue_words.name(first), "bold"),
        f"  {queue_words.state(first)}{more}",
    )
