"""Mode 2, Hub: find a model, know whether it fits, and have it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from backend.errors import SternaError
from tui import browsing
from tui.messages import MeasureWanted
from tui.panes import hub_details, hub_words
from tui.panes.filter_line import FilterLine
from tui.panes.hub_details import HubDetails
from tui.panes.hub_rows import Row
from tui.panes.hub_table import HubTable
from tui.screens.hub_keys import KEYS
from tui.screens.seeking import Failed, Found, LookedInto, Named, NotLookedInto, Sized
from tui.screens.taking import TakingScreen
from tui.sources import Sources
from tui.state import Downloads, Hardware, Library
from tui.telling import tell
from tui.widgets.long_table import LongTable

if TYPE_CHECKING:
    from backend.hub.search import Query, Search

TYPING = 0.3  # seconds after the last key before the Hub is asked
AHEAD = 15  # rows before the end at which the next page is asked for
SORTS = ("trending", "downloads", "likes", "updated")


class HubScreen(TakingScreen):
    """A search over a table of models, each of which opens into its files."""

    MODE = "hub"
    HELP = (
        "The models of the Hugging Face Hub. ⏎ shows a model's files with their exact sizes and how each "
        "would do on this machine, told from its header before anything is downloaded. Search for words, "
        "paste an address or owner/model:QUANT, or narrow it by license:mit, arch:qwen3, params:1B:8B. The Hub "
        "does not say how many it has in all: more of them come as you go down."
    )
    CSS_PATH = "hub.tcss"
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(self, sources: Sources) -> None:
        super().__init__(sources)
        self._base: Query | None = None  # the facets, without what is typed
        self._query: Query | None = None  # what was asked last
        self._shown: Query | None = None  # what the results are of
        self._search: Search | None = None
        self._searching = False
        self._error: SternaError | None = None
        self._reading = 0  # of the machine for which verdicts were told
        self._choice = ""  # the quant that the person named
        self._typing: Timer | None = None

    def body(self) -> Iterable[Widget]:
        with Horizontal(id="body"):
            with Vertical(id="main"):
                yield FilterLine("/ search: words, owner/model, an address, license:mit …")
                yield Static(id="asked", markup=False)
                yield HubTable()
                yield Static(id="empty", markup=False)
            yield HubDetails()
        yield Static(id="fold", markup=False)
        yield Static(id="fetching", markup=False)

    def on_mount(self) -> None:
        from backend.hub.search import Query

        self._base = Query()
        self.query_one(HubTable).focus()
        self.watch(self.app, "library", self._library_changed)
        self.watch(self.app, "downloads", self._downloads_changed)
        self.watch(self.app, "hardware", self._hardware_changed, init=False)
        self._ask()

    @property
    def chosen(self) -> Row | None:
        """What is under the cursor."""
        return self.query_one(HubTable).chosen

    # Searching

    def _ask(self) -> None:
        """Ask the Hub for what is typed and the facets."""
        from backend.hub.search import typed

        if self._typing is not None:
            self._typing.stop()
        assert self._base is not None
        text = self.query_one(FilterLine).text.strip()
        named = browsing.meant(text) if text else None
        exact = named is not None and browsing.is_exact(text, named)
        self._choice = named.choice if named else ""
        self._query = replace(self._base, text=text) if exact else typed(text, self._base)
        self._searching, self._error = True, None
        self.search(self._query, named, exact)
        self._show()

    @on(FilterLine.Changed)
    def _typed(self) -> None:
        if self._typing is not None:
            self._typing.stop()
        self._typing = self.set_timer(TYPING, self._ask)

    @on(FilterLine.Left)
    def _left(self) -> None:
        self.query_one(HubTable).focus()

    def _begin(self, query: Query) -> None:
        """Make room for the results of a new query with the first that come."""
        if self._shown is not query:
            self._shown = query
            self._results.begin()
            self.query_one(HubTable).set_reactive(HubTable.cursor_row, 0)
            self.query_one(HubTable).rows = ()

    @on(Found)
    def _found(self, message: Found) -> None:
        if message.query is not self._query:
            return
        if self.query_one(HubTable).rough is None:
            self.find_sizes()  # after the first answer: it takes the processor a while
        self._begin(message.query)
        self._search, self._searching = message.search, False
        self._results.add(message.models)
        search = message.search
        self._results.exhausted = search is None or search.exhausted
        self._results.given_up = search is not None and search.given_up
        self._show()

    @on(Named)
    def _named(self, message: Named) -> None:
        if message.query is not self._query:
            return
        self._begin(message.query)
        model = message.opened.found.model
        self._results.add([model], first=True)
        self._results.learn(message.opened, judging=True)
        self._results.open(model.repo)
        self.look_into(model.repo, message.opened)
        self._show(hold=self._row_of(model.repo, self._choice))

    @on(Failed)
    def _failed(self, message: Failed) -> None:
        if message.query is not self._query:
            return
        self._searching, self._error, self._search = False, message.error, None
        if self._shown is message.query:
            tell(self, message.error)
        self._show()

    def _more_soon(self) -> None:
        """Ask for the next page when the end comes near."""
        table = self.query_one(HubTable)
        near = table.cursor_row + max(AHEAD, table.size.height) >= table.row_count
        if not near or self._searching or self._search is None or self._results.exhausted:
            return
        assert self._query is not None
        self._searching = True
        self.next_page(self._query, self._search)

    # One repository

    @on(LookedInto)
    def _looked_into(self, message: LookedInto) -> None:
        repo = message.opened.found.repo
        row = self.chosen
        waits = row is not None and row.model.repo == repo and not (row.variant or row.note)
        self._results.learn(message.opened, judging=message.judging)
        if message.opened.unmeasured:
            self.app.post_message(MeasureWanted(message.opened.unmeasured))
        jump = waits and not message.judging and self._results.is_open(repo)
        self._show(hold=self._row_of(repo, self._choice) if jump else None)

    @on(NotLookedInto)
    def _not_looked_into(self, message: NotLookedInto) -> None:
        self._results.fail(message.repo, message.error)
        self._show()

    @on(Sized)
    def _sized(self, message: Sized) -> None:
        self.query_one(HubTable).rough = message.rough
        self.query_one(HubTable).refresh()

    def _row_of(self, repo: str, choice: str = "") -> Row | None:
        """Return the row of the file that is named, or recommended, of an open model."""
        opened = self._results.opened(repo)
        variant = opened.chosen(choice) if opened is not None else None
        return Row(opened.found.model, opened, variant) if opened and variant else None

    def unfold(self, repo: str) -> None:
        """Show the files of a model, which are asked for if they are not known."""
        self._results.open(repo)
        if self._results.opened(repo) is None:
            self.look_into(repo)
        self._show()

    # What is shown

    def _library_changed(self, library: Library) -> None:
        hashes = frozenset(model.sha256 for model in library.models if model.sha256)
        self.query_one(HubTable).on_disk = hashes
        self.query_one(HubTable).refresh()

    def _hardware_changed(self, hardware: Hardware) -> None:
        if hardware.reading != self._reading:
            self._reading = hardware.reading
            self.find_sizes()
            if judged := self._results.judged:
                self.judge_again(judged)

    def _downloads_changed(self, downloads: Downloads) -> None:
        self.query_one(HubTable).downloads = downloads
        self.query_one(HubTable).refresh()
        line = self.query_one("#fetching", Static)
        line.update(hub_words.fetching(downloads))
        line.display = bool(downloads.waiting)

    def _show(self, *, hold: Row | None = None) -> None:
        table, empty = self.query_one(HubTable), self.query_one("#empty", Static)
        stale = self._shown is not self._query
        hidden = self._error is not None and stale
        rows = [] if hidden else self._results.rows()
        table.sort = (self._shown or self._query or self._base).sort if self._base else ""
        table.fill(rows, now=self._sources.now(), hold=hold)
        table.set_class(not rows, "-empty")  # not hidden: it keeps the focus
        empty.display = not rows
        empty.update(hub_words.why_empty(self._query, self._error, searching=self._searching))
        self.query_one(FilterLine).tell(
            hub_words.count(self._results, self._error, searching=self._searching)
        )
        if self._base is not None:
            self.query_one("#asked", Static).update(hub_words.asked(self._query or self._base))
        self._show_chosen()

    def _show_chosen(self) -> None:
        row = self.chosen if self.query_one(HubTable).rows else None
        error = self._results.failed(row.model.repo) if row else None
        self.query_one(HubDetails).show(row, error, self._sources.now())
        self.query_one("#fold", Static).update(hub_details.fold(row) if row else "")

    @on(LongTable.Highlighted)
    def _highlighted(self) -> None:
        self._show_chosen()
        self._more_soon()

    # What the person does

    @on(LongTable.Selected)
    def _selected(self) -> None:
        row = self.chosen
        if row is None:
            return
        if row.note:
            self._help_with(row)
        elif row.variant is not None:
            self.action_chat() if self.query_one(HubTable).has(
                row.variant
            ) else self.action_download()
        elif self._results.is_open(row.model.repo):
            self.action_fold()
        else:
            self.unfold(row.model.repo)

    def action_unfold(self) -> None:
        """Show the files of the chosen model."""
        if (row := self.chosen) is not None:
            self.unfold(row.model.repo)

    def action_fold(self) -> None:
        """Show its files no longer."""
        if (row := self.chosen) is not None:
            self._results.close(row.model.repo)
            self._show(hold=Row(row.model))

    def action_search(self) -> None:
        """Type what to look for."""
        self.query_one(FilterLine).type_here()

    def action_facets(self) -> None:
        """Choose the facets."""
        from tui.screens.facets import FacetScreen

        def told(query: Query | None) -> None:
            if query is not None:
                self._base = replace(query, text="")
                self.query_one(FilterLine).query_one("FilterInput").value = query.text  # type: ignore[attr-defined]
                self._ask()

        assert self._query is not None
        self.app.push_screen(FacetScreen(self._query), told)

    def action_sort(self) -> None:
        """Sort by the next measure."""
        assert self._base is not None
        assert self._query is not None
        at = SORTS.index(self._query.sort) + 1
        self._base = replace(self._base, sort=SORTS[at % len(SORTS)])
        self._ask()

    def action_details(self) -> None:
        """Show or hide the details; on a narrow screen they take the table's place."""
        self.toggle_class("-details-toggled")
        instead = self.has_class("-details-toggled") and self.has_class("-narrow")
        self.query_one(HubDetails if instead else HubTable).focus()

    def action_again(self) -> None:
        """Ask the Hub again, also for what was looked into."""
        self.catalogue().forget()
        self._results.forget()
        self._ask()

    def action_step_back(self) -> None:
        """Leave the details, fold the model, then drop the search."""
        row = self.chosen
        if self.has_class("-details-toggled"):
            self.action_details()
        elif row is not None and self._results.is_open(row.model.repo):
            self.action_fold()
        elif self.query_one(FilterLine).text:
            self.query_one(FilterLine).clear()
