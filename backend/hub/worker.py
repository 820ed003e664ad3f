"""Works through the queue: several downloads at once, each in a thread, as long as there is work."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from backend.errors import SternaError
from backend.hub import elsewhere
from backend.hub.client import HubClient
from backend.hub.download import Download, Event, done_event
from backend.hub.order import Order
from backend.hub.queue import Item, Queue
from backend.hub.repository import read_repository
from backend.hub.transfer import Means, StoppedError
from backend.hub.variants import choose
from backend.processes import this_process

_LOOK_S = 0.25  # between two looks at the queue
_REPORT_S = 0.5  # between two reports of a download
_log = logging.getLogger(__name__)

Tell = Callable[[int, Event], None]


class Worker:
    """Fetches what is queued, `at_once` models at the same time. `tell` gets the events of each.

    With `only`, it fetches nothing but that download.
    """

    def __init__(
        self,
        queue: Queue,
        means: Means,
        *,
        at_once: int = 2,
        only: int | None = None,
        tell: Tell = lambda _id, _event: None,
        find: elsewhere.Finder = elsewhere.by_name,
    ) -> None:
        self._queue = queue
        self._means = means
        self._at_once = max(1, at_once)
        self._only = only
        self._tell = tell
        self._find = find
        self._owner = this_process()
        self._jobs: dict[int, _Job] = {}

    def run(self, stop: threading.Event, linger: float = 0.0) -> None:
        """Work until nothing has been waiting for `linger` seconds, or until `stop`.

        What is under way then is left queued, to be gone on with.
        """
        idle_since = time.monotonic()
        while not stop.is_set():
            try:
                if self._look():
                    idle_since = time.monotonic()
            except SternaError:  # the disk may be full of downloads: the next look may succeed
                _log.warning("the queue could not be read", exc_info=True)
            if not self._jobs and time.monotonic() - idle_since >= linger:
                break
            stop.wait(_LOOK_S)
        for job in self._jobs.values():
            job.stop.set()
        for job in self._jobs.values():
            job.join()

    def _look(self) -> bool:
        """Start and stop what the queue asks for; return whether there is work, here or elsewhere."""
        for item_id in [i for i, job in self._jobs.items() if not job.is_alive()]:
            del self._jobs[item_id]
        waiting = [item for item in self._queue.waiting() if self._only in (None, item.id)]
        ours = [i for i in waiting if i.state == "queued" or i.owner == self._owner]
        first = {item.id for item in ours[: self._at_once]}
        for item_id, job in self._jobs.items():
            if item_id not in first:  # it was moved behind others
                job.stop.set()
        for item in ours[: self._at_once]:
            free = len(self._jobs) < self._at_once and item.id not in self._jobs
            if free and self._queue.claim(item.id, self._owner):
                job = _Job(item, self._owner, self._queue, self._means, self._tell, self._find)
                self._jobs[item.id] = job
                job.start()
        # Another process may leave its part undone.
        return bool(waiting if self._only is None else ours)


class _Job(threading.Thread):
    """One download under way; its row is told how it stands."""

    def __init__(
        self,
        item: Item,
        owner: str,
        queue: Queue,
        means: Means,
        tell: Tell,
        find: elsewhere.Finder,
    ) -> None:
        super().__init__(name=f"sterna-download-{item.id}", daemon=True)
        self.stop = threading.Event()
        self._item = item
        self._owner = owner
        self._queue = queue
        self._means = means
        self._tell_all = tell
        self._find = find
        self._reported = 0.0

    def run(self) -> None:
        """Fetch; whatever the end, the table knows it."""
        item_id, owner = self._item.id, self._owner
        try:
            order = self._item.order
            try:
                self._fetch(order)
            except SternaError as error:
                if error.kind != "changed":
                    raise
                self._fetch(self._renewed(order))
        except StoppedError:
            self._note(lambda: self._queue.release(item_id, owner))
            self._tell_all(item_id, {"event": "stopped"})
        except SternaError as failure:
            told = failure
            self._note(lambda: self._queue.fail(item_id, owner, told))
            self._tell_all(item_id, {"event": "error", **failure.as_dict()})
        except Exception as error:
            _log.exception("a download failed")
            fact = f"The download failed inside Sterna: {type(error).__name__}: {error}."
            bug = SternaError("internal", fact, "The log has more; please report it.")
            self._note(lambda: self._queue.fail(item_id, owner, bug))
            self._tell_all(item_id, {"event": "error", **bug.as_dict()})

    def _fetch(self, order: Order) -> None:
        held: list[Event] = []

        def tell(event: Event) -> None:
            if event["event"] == "done":
                held.append(event)  # told once the table has it
            else:
                self._tell(event)

        fetched = Download(order, self._means, self.stop, tell, self._find).run()
        done = held[0] if held else done_event(fetched, order)
        self._note(
            lambda: self._queue.finish(self._item.id, self._owner, fetched, str(done["path"]))
        )
        self._tell_all(self._item.id, done)

    def _renewed(self, order: Order) -> Order:
        """Return the same model as the Hub has it now."""
        found = read_repository(HubClient(), order.repo, order.revision)
        names = {file.path for file in order.files}
        same = [v for v in found.variants if {file.path for file in v.files} == names]
        variant = same[0] if same else choose(found.variants, order.quant, order.repo)
        fresh = Order(
            repo=order.repo,
            commit=found.commit,
            files=variant.files,
            quant=variant.quant,
            revision=order.revision,
            license=found.model.license,
        )
        self._note(lambda: self._queue.change(self._item.id, self._owner, fresh))
        return fresh

    def _tell(self, event: Event) -> None:
        """Pass an event on, and the table its gist; a row that is no longer ours ends the job."""
        self._tell_all(self._item.id, event)
        now = time.monotonic()
        if event["event"] not in ("progress", "stalled", "checking"):
            return
        if now - self._reported < _REPORT_S:
            return
        self._reported = now
        words = event.get("message", "")
        if event["event"] == "checking":
            words = "checking"
        with contextlib.suppress(SternaError):  # a table that cannot be written stops no download
            ours = self._queue.report(
                self._item.id,
                self._owner,
                done=event["bytes"],
                speed=float(event.get("speed") or 0.0),
                still=float(event.get("seconds", 0.0)),
                retries=event.get("retry", 0),
                words=words,
            )
            if not ours:
                self.stop.set()

    @staticmethod
    def _note(write: Callable[[], object]) -> None:
        """Write the end of a download into the table, again and again if it must be."""
        for attempt in range(5):
            try:
                write()
            except SternaError:
                _log.warning("the queue could not be written", exc_info=True)
                time.sleep(0.2 * 2**attempt)
            else:
                return
