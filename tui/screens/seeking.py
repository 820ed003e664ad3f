"""What the Hub is asked, in threads: searches, pages, repositories, and how their files fit."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import work
from textual.message import Message
from textual.worker import get_current_worker

from backend.errors import SternaError
from tui import browsing, roughly
from tui.browsing import Opened
from tui.screens.frame import ModeScreen
from tui.sources import Sources
from tui.state import Hardware

if TYPE_CHECKING:
    from backend.hub.catalogue import Catalogue
    from backend.hub.reference import Reference
    from backend.hub.search import FoundModel, Query, Search
    from backend.machine import Machine
    from tui.roughly import Rough


@dataclass
class Found(Message):
    """A page of results. `search` gives the next one."""

    query: Query
    search: Search | None
    models: list[FoundModel]


@dataclass
class Failed(Message):
    """The Hub could not be asked, or did not answer."""

    query: Query
    error: SternaError


@dataclass
class Named(Message):
    """The model that the person named is there."""

    query: Query
    named: Reference
    opened: Opened


@dataclass
class LookedInto(Message):
    """A repository was looked into; while `judging`, how it fits is still worked out."""

    opened: Opened
    judging: bool


@dataclass
class NotLookedInto(Message):
    """A repository could not be looked into."""

    repo: str
    error: SternaError


@dataclass
class Card(Message):
    """A model's card."""

    repo: str
    licence: str
    text: str


@dataclass
class Sized(Message):
    """What models need here, by their parameters."""

    rough: Rough


class SeekingScreen(ModeScreen):
    """The part of the Hub that waits. Its threads only post messages."""

    def __init__(self, sources: Sources) -> None:
        super().__init__()
        self._sources = sources
        self._one = threading.Lock()
        self._catalogue: Catalogue | None = None

    def catalogue(self) -> Catalogue:
        """Return the Hub, the same one for all threads."""
        with self._one:
            if self._catalogue is None:
                self._catalogue = self._sources.catalogue()
            return self._catalogue

    def machine(self) -> Machine:
        """Return this machine as it is now, or the one that is supposed in its place."""
        hardware: Hardware = self.app.hardware  # type: ignore[attr-defined]
        return hardware.machine or self._sources.hardware()

    @work(thread=True, exclusive=True, group="search", exit_on_error=False)
    def search(self, query: Query, named: Reference | None, exact: bool) -> None:
        """Look for a query; first for the model that was named, and with `exact` for nothing else."""
        worker = get_current_worker()
        try:
            if named is not None and not self._found_named(query, named, exact) and exact:
                return
            if exact:
                self.post_message(Found(query, None, []))
                return
            search = self.catalogue().search(query)
            models = search.next_page(lambda: worker.is_cancelled)
        except SternaError as error:
            if not worker.is_cancelled:
                self.post_message(Failed(query, error))
            return
        if not worker.is_cancelled:
            self.post_message(Found(query, search, models))

    def _found_named(self, query: Query, named: Reference, exact: bool) -> bool:
        try:
            opened = browsing.look_into(self.catalogue(), named.repo, named.revision)
        except SternaError:
            if exact:
                raise
            return False  # half a name may be any words
        if not get_current_worker().is_cancelled:
            self.post_message(Named(query, named, opened))
        return True

    @work(thread=True, exclusive=True, group="search", exit_on_error=False)
    def next_page(self, query: Query, search: Search) -> None:
        """Ask for more of the same."""
        worker = get_current_worker()
        try:
            models = search.next_page(lambda: worker.is_cancelled)
        except SternaError as error:
            self.post_message(Failed(query, error))
            return
        if not worker.is_cancelled:
            self.post_message(Found(query, search, models))

    @work(thread=True, group="look", exit_on_error=False)
    def look_into(self, repo: str, known: Opened | None = None) -> None:
        """Read what a repository holds, then by a header how it fits this machine."""
        try:
            opened = known or browsing.look_into(self.catalogue(), repo)
            self.post_message(LookedInto(opened, judging=True))
            judged = browsing.judge(opened.found, self.machine())
        except SternaError as error:
            self.post_message(NotLookedInto(repo, error))
        else:
            self.post_message(LookedInto(judged, judging=False))

    @work(thread=True, exclusive=True, group="again", exit_on_error=False)
    def judge_again(self, known: list[Opened]) -> None:
        """Tell anew how repositories fit: the machine is another, or was measured."""
        worker = get_current_worker()
        for opened in known:
            if worker.is_cancelled:
                return
            try:
                judged = browsing.judge(opened.found, self.machine())
            except SternaError:
                continue  # what was told stands
            self.post_message(LookedInto(judged, judging=False))

    @work(thread=True, exclusive=True, group="card", exit_on_error=False)
    def read_card(self, repo: str, known: Opened | None) -> None:
        """Read a model's card."""
        opened = known or browsing.look_into(self.catalogue(), repo)
        text = self.catalogue().card(opened.found)
        if not get_current_worker().is_cancelled:
            self.post_message(Card(repo, opened.found.model.license, text))

    @work(thread=True, exclusive=True, group="sizes", exit_on_error=False)
    def find_sizes(self) -> None:
        """Work out what models need that nobody looked into."""
        self.post_message(Sized(roughly.measure(self.machine())))
