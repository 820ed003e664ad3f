"""What the app has to do with downloads: their state for every screen, and what people wish of them."""

from __future__ import annotations

from textual import on
from textual.reactive import reactive

from backend.text import clean
from tui.downloads import DownloadKeeper
from tui.messages import RescanWanted
from tui.queue_messages import DownloadsChanged, DownloadWanted, DownloadWish, LimitWanted
from tui.sources import Sources
from tui.state import Downloads
from tui.telling import telling
from tui.training_app import TrainingApp


class DownloadingApp(TrainingApp, inherit_bindings=False):
    """An app that downloads, beside all that the ones below it do. Its keeper runs from `start_downloads` to `end_downloads`."""

    downloads: reactive[Downloads] = reactive(Downloads())

    def __init__(self, sources: Sources) -> None:
        super().__init__(sources)
        self._downloads = DownloadKeeper(self.post_message, sources.queue)

    def start_downloads(self) -> None:
        """Go on with what is queued."""
        self._downloads.start()

    async def end_downloads(self) -> None:
        """Stop; what is not done stays queued."""
        await self._downloads.close()

    @on(DownloadsChanged)
    def _downloads_changed(self, message: DownloadsChanged) -> None:
        before = {item.id: item.state for item in self.downloads.items}
        self.downloads = message.downloads
        for item in message.downloads.items:
            if item.state == "done" and before.get(item.id, "done") != "done":
                name = clean(f"{item.order.repo} {item.order.quant}".strip())
                self.notify(f"✓ {name} is here. It stands in Models now: press 1.", markup=False)
                self.post_message(RescanWanted())

    @on(DownloadWanted)
    async def _download_wanted(self, message: DownloadWanted) -> None:
        with telling(self):
            await self._downloads.add(message.order)

    @on(DownloadWish)
    async def _download_wish(self, message: DownloadWish) -> None:
        with telling(self):
            await self._downloads.wish(message.verb, message.id)

    @on(LimitWanted)
    def _limit_wanted(self, message: LimitWanted) -> None:
        from backend import settings

        with telling(self):
            settings.change("downloads", "megabytes_per_second", message.megabytes)

    def action_downloads(self) -> None:
        """Show or hide the downloads beside the mode."""
        from tui.panes.downloads import toggle

        toggle(self.screen)
