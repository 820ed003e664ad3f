"""How full the context is, as a bar and in exact numbers."""

from __future__ import annotations

CELLS = 8
_PARTS = " ▏▎▍▌▋▊▉"


def bar(used: int, total: int, cells: int = CELLS) -> str:
    """Return a bar `cells` wide, exact to an eighth of a cell; what is used is never invisible."""
    eighths = min(round(used * cells * 8 / total), cells * 8)
    if used and not eighths:
        eighths = 1
    full, rest = divmod(eighths, 8)
    part = _PARTS[rest] if rest else ""
    return ("█" * full + part).ljust(cells, "·")


def context(used: int | None, total: int | None, draft: int | None = None) -> str:
    """Return the meter. What is not known is left out; `draft` is what the next message adds."""
    if total is None:
        return ""
    if used is None:
        return f"context {total:,}"
    extra = f" +{draft:,}" if draft else ""
    return f"context {bar(used + (draft or 0), total)} {used:,}{extra} of {total:,}"
