"""`sterna pull`: download a model, resumable and verified."""

import signal
import sys
import threading
from argparse import ArgumentParser, Namespace

from backend.errors import SternaError
from backend.hub import reference
from backend.hub.client import HubClient
from backend.hub.download import Event
from backend.hub.means import from_settings
from backend.hub.order import Order, order_of
from backend.hub.pull import open_queue, pull
from backend.hub.repository import Repository, read_repository
from backend.hub.variants import choose
from backend.units import human_bytes, human_seconds
from tui.commands import output

_INTERRUPTED = 130


def add_arguments(parser: ArgumentParser) -> None:
    """Take the model and how to fetch it."""
    parser.add_argument(
        "model", help="owner/repo[:QUANT], owner/repo:FILE, or an address of the Hub"
    )
    parser.add_argument("--connections", type=int, help="connections for each file")
    parser.add_argument(
        "--limit", type=float, metavar="MB/S", help="megabytes a second at most; 0 is no limit"
    )


def run(args: Namespace) -> int:
    """Fetch; tells events as JSON lines with --json."""
    from backend import settings

    means = from_settings(
        settings.load().downloads, connections=args.connections, megabytes=args.limit
    )
    meant = reference.parse(args.model)
    found = read_repository(HubClient(), meant.repo, meant.revision)
    order = ordered(found, meant.choice)
    teller = _Json() if args.json else _People(order)
    stop = threading.Event()
    before = [signal.signal(n, lambda *_: stop.set()) for n in (signal.SIGINT, signal.SIGTERM)]
    try:
        pull(order, open_queue(), means, stop, teller.tell)
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    return teller.end()


def ordered(found: Repository, choice: str) -> Order:
    """Return the order for a choice in a repository; raises SternaError."""
    from backend import remote_advice  # the engine's plan: only when something is fetched

    variant = choose(
        found.variants, choice, found.repo, lambda models: remote_advice.best(found, models)
    )
    return order_of(found, variant)


class _Teller:
    """Tells of a download, and what its end means."""

    def __init__(self) -> None:
        self._last: Event = {"event": "stopped"}

    def tell(self, event: Event) -> None:
        """Take in an event."""
        self._last = event

    def end(self) -> int:
        """Return the exit status; raises the error that ended the download."""
        if self._last["event"] == "error":
            raise SternaError(self._last["kind"], self._last["message"], self._last["hint"])
        return 0 if self._last["event"] == "done" else _INTERRUPTED


class _Json(_Teller):
    """JSON lines. An error is told once, by the contract's own form."""

    def tell(self, event: Event) -> None:
        """Write the event."""
        super().tell(event)
        if event["event"] != "error":
            output.json_line(event)


class _People(_Teller):
    """What is fetched and under which licence, a line of progress, where it is in the end."""

    def __init__(self, order: Order) -> None:
        super().__init__()
        self._watched = sys.stderr.isatty()
        licence = f"licence {order.license}" if order.license else "licence not said"
        name = f"{order.repo} {order.quant}".strip()
        output.note(f"{name} · {human_bytes(order.bytes)} · {licence}")

    def tell(self, event: Event) -> None:
        """Show the event."""
        super().tell(event)
        if self._watched and event["event"] in ("progress", "stalled", "checking"):
            output.status(self._words(event))

    def end(self) -> int:
        """Say how it ended."""
        if self._watched:
            output.status("")
        status = super().end()
        if status:
            output.note("Interrupted. What is fetched is kept: the same command goes on with it.")
        else:
            output.line(str(self._last["path"]))
        return status

    def _words(self, event: Event) -> str:
        done, total = event.get("bytes", 0), event.get("total", 0)
        parts = [f"{100 * done // total if total else 0} % of {human_bytes(total)}"]
        if event["event"] == "stalled":
            parts.append(f"stalled {event['seconds']:.0f} s, retry {event['retry']}")
            parts.append(str(event["message"]))
        elif event["event"] == "checking":
            parts.append("checking")
        elif event["speed"]:
            parts.append(f"{human_bytes(event['speed'])}/s")
            if event["eta_s"] is not None:
                parts.append(f"{human_seconds(event['eta_s'])} left")
        return " · ".join(part for part in parts if part)
