"""What is done with the chosen model of the Hub: fetch it, chat with it, read its card, be let in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on

from backend.text import clean
from tui import browsing
from tui.browsing import GATED
from tui.messages import ChatWanted
from tui.panes.hub_rows import Row
from tui.queue_messages import DownloadWanted
from tui.results import Results
from tui.screens.seeking import Card, SeekingScreen
from tui.sources import Sources
from tui.telling import tell

if TYPE_CHECKING:
    from backend.hub.variants import Variant


class TakingScreen(SeekingScreen):
    """Has the results and the keys for one of them; subclasses show them."""

    def __init__(self, sources: Sources) -> None:
        super().__init__(sources)
        self._results = Results()

    @property
    def chosen(self) -> Row | None:
        """What is under the cursor."""
        raise NotImplementedError

    def unfold(self, repo: str) -> None:
        """Show the files of a model."""
        raise NotImplementedError

    def action_again(self) -> None:
        """Ask the Hub again."""
        raise NotImplementedError

    def action_download(self) -> None:
        """Ask whether to fetch the chosen file, or the recommended one of the chosen model."""
        row = self.chosen
        if row is None:
            return
        opened = self._results.opened(row.model.repo)
        if opened is None:
            self.unfold(row.model.repo)
            return
        if opened.error is not None and opened.error.kind in GATED:
            self._help_with(row)
            return
        variant = row.variant or opened.chosen()
        if variant is None or variant.missing:
            self.notify("Nothing of it can be fetched whole.", severity="warning", markup=False)
            return
        self._ask_to_fetch(opened, variant)

    def _ask_to_fetch(self, opened: browsing.Opened, variant: Variant) -> None:
        from backend.hub import place
        from backend.machine import disk
        from tui.screens.fetch import FetchScreen

        def told(wanted: bool | None) -> None:
            if wanted:
                self.app.post_message(DownloadWanted(browsing.order(opened.found, variant)))
                name = clean(f"{opened.found.repo} {variant.quant}".strip())
                self.notify(f"{name} is in the queue. D shows the downloads.", markup=False)

        folder = place.cache_dir()
        question = FetchScreen(opened, variant, folder, disk.disk_free(folder))
        self.app.push_screen(question, told)

    def _help_with(self, row: Row) -> None:
        """Do what helps with a model that could not be looked into."""
        error = self._results.failed(row.model.repo)
        if error is not None and error.kind == "gated_no_token":
            self.action_log_in()
        elif error is not None and error.kind == "gated_licence":
            self.action_page()
        elif error is not None:
            tell(self, error)
            self.look_into(row.model.repo)

    def action_fit_grid(self) -> None:
        """Show every quant of the chosen model at every length of context."""
        from tui import fitting
        from tui.screens.fit import FitScreen

        if (row := self.chosen) is not None:
            repo = row.model.repo
            self.app.push_screen(FitScreen(self._sources, lambda: fitting.of_hub(repo)))

    def action_chat(self) -> None:
        """Chat with what is on this computer already."""
        row = self.chosen
        if row is None or row.variant is None:
            self.notify("Put the cursor on a file first.", markup=False)
            return
        hashes = {file.sha256 for file in row.variant.files}
        for model in self.app.library.models:  # type: ignore[attr-defined]
            if model.sha256 and model.sha256 in hashes and model.kind == "model":
                self.post_message(ChatWanted(model))
                return
        self.notify("It is not on this computer yet: d downloads it.", markup=False)

    def action_card(self) -> None:
        """Read the chosen model's card."""
        if (row := self.chosen) is not None:
            self.read_card(row.model.repo, self._results.opened(row.model.repo))

    @on(Card)
    def _card(self, message: Card) -> None:
        from tui.screens.card import CardScreen

        self.app.push_screen(CardScreen(message.repo, message.licence, message.text))

    def action_page(self) -> None:
        """Open the chosen model's page."""
        from backend.hub import place

        if (row := self.chosen) is not None:
            address = place.page(row.model.repo)
            self.app.open_url(address)
            self.notify(f"Its page: {clean(address)}", timeout=10, markup=False)

    def action_copy(self) -> None:
        """Copy what names the chosen model or file, as `sterna pull` takes it."""
        if (row := self.chosen) is not None:
            name = f"{row.model.repo}:{row.variant.quant}" if row.variant else row.model.repo
            self.app.copy_to_clipboard(clean(name))
            self.notify(f"Copied {clean(name)}", markup=False)

    def action_log_in(self) -> None:
        """Ask for a token."""
        from backend.hub import place
        from tui.screens.token import TokenScreen

        def told(name: str | None) -> None:
            if name is not None:
                self.notify(f"The Hub knows you as {name}.", markup=False)
                self.action_again()

        page = f"{place.endpoint()}/settings/tokens"
        self.app.push_screen(TokenScreen(self.catalogue(), page), told)
