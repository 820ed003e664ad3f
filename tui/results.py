"""What the Hub screen knows: the models found, which are open, and the rows that makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui.browsing import GATED, Opened
from tui.panes.hub_rows import Row

if TYPE_CHECKING:
    from backend.errors import SternaError
    from backend.hub.search import FoundModel

READING = "reading the list of files…"
JUDGING = "reading a header to see how it fits this machine…"


class Results:
    """Holds values only; the screen paints them."""

    def __init__(self) -> None:
        self.models: list[FoundModel] = []
        self.exhausted = True
        self.given_up = False
        self._opened: dict[str, Opened] = {}
        self._failed: dict[str, SternaError] = {}
        self._open: set[str] = set()
        self._judging: set[str] = set()

    def begin(self) -> None:
        """Forget what was found; what was looked into is kept."""
        self.models, self.exhausted, self.given_up = [], False, False
        self._open.clear()

    def add(self, models: Sequence[FoundModel], *, first: bool = False) -> None:
        """Take in more models; one that is there already stays where it is."""
        known = {model.repo for model in self.models}
        fresh = [model for model in models if model.repo not in known]
        self.models = [*fresh, *self.models] if first else [*self.models, *fresh]

    def forget(self) -> None:
        """Look into everything anew when it is opened again."""
        self._opened.clear()
        self._failed.clear()
        self._judging.clear()

    # One model

    def opened(self, repo: str) -> Opened | None:
        """Return what is known of a repository that was looked into."""
        return self._opened.get(repo)

    @property
    def judged(self) -> list[Opened]:
        """What was told of how it fits."""
        return [opened for opened in self._opened.values() if opened.advice is not None]

    def failed(self, repo: str) -> SternaError | None:
        """Return why a repository could not be looked into, or its files not be judged."""
        known = self._opened.get(repo)
        return self._failed.get(repo) or (known.error if known else None)

    def learn(self, opened: Opened, *, judging: bool) -> None:
        """Take in what a repository holds; `judging`: how it fits is still worked out."""
        repo = opened.found.repo
        self._opened[repo] = opened
        self._failed.pop(repo, None)
        (self._judging.add if judging else self._judging.discard)(repo)

    def fail(self, repo: str, error: SternaError) -> None:
        """Note that a repository cannot be looked into."""
        self._failed[repo] = error

    def is_open(self, repo: str) -> bool:
        """Whether its files are shown."""
        return repo in self._open

    def open(self, repo: str) -> None:
        """Show its files."""
        self._open.add(repo)

    def close(self, repo: str) -> None:
        """Show its files no longer."""
        self._open.discard(repo)

    # Rows

    def rows(self) -> list[Row]:
        """Return what the table shows, from top to bottom."""
        rows: list[Row] = []
        for model in self.models:
            opened = self._opened.get(model.repo)
            rows.append(Row(model, opened))
            if model.repo in self._open:
                rows += self._inside(model, opened)
        return rows

    def _inside(self, model: FoundModel, opened: Opened | None) -> list[Row]:
        failure = self._failed.get(model.repo)
        if failure is not None:
            return [Row(model, note=f"✗ {failure.message} {failure.hint}")]
        if opened is None:
            return [Row(model, note=READING)]
        rows = [Row(model, opened, variant) for variant in opened.variants]
        if not rows:
            return [
                Row(model, opened, note="no GGUF and no safetensors: nothing that Sterna can use")
            ]
        if model.repo in self._judging:
            rows.append(Row(model, opened, note=JUDGING))
        elif opened.error is not None:
            rows.append(Row(model, opened, note=_why_not_judged(opened)))
        return rows


def _why_not_judged(opened: Opened) -> str:
    assert opened.error is not None
    if opened.error.kind in GATED:
        key = "l gives a token" if opened.error.kind == "gated_no_token" else "o opens its licence"
        rough = ", the verdicts are rough" if opened.estimated else ""
        return f"🔒 gated{rough}: {key}"
    return f"how it fits cannot be told: {opened.error.message}"
