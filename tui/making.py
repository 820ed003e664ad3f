"""Long jobs of the app: verbs of the command line in processes of their own.

A crash or a full memory there is a sentence here, and the end of the app is the end of its job, which
then leaves nothing half done. Nothing here touches a widget.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.errors import SternaError
from backend.progress import Progress

if TYPE_CHECKING:
    from backend.library import LibraryModel
    from backend.offers import Offer

_NICER = 5  # chat goes first
_ERRORS = 20  # lines of standard error that are kept
_UNSAFE = re.compile(r"[^\w.+-]+")


class StoppedError(Exception):
    """The person stopped the job."""


class Job:
    """One verb with its arguments; `title` tells people what it does.

    `latest`: how far it is; `ended`: it is over, whichever way.
    """

    def __init__(self, title: str, arguments: list[str]) -> None:
        self.title = title
        self.latest: Progress | None = None
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self.ended = False
        self._stopped = False
        self._lock = threading.Lock()

    def run(self, news: Callable[[Progress], None]) -> dict[str, Any]:
        """Do it, and return the verb's result. Raises SternaError, StoppedError."""
        try:
            return self._run(news)
        finally:
            self.ended = True

    def _run(self, news: Callable[[Progress], None]) -> dict[str, Any]:
        process = self._start()
        said: list[str] = []
        beside = threading.Thread(target=_keep_last, args=(process.stderr, said), daemon=True)
        beside.start()
        result: dict[str, Any] | None = None
        error: SternaError | None = None
        for line in process.stdout or ():
            event = json.loads(line)
            if event.pop("event", "") == "progress":
                self.latest = Progress(**event)
                news(self.latest)
            elif "error" in event:
                error = SternaError(**event["error"])
            else:
                result = event
        status = process.wait()
        beside.join()
        if self._stopped:
            raise StoppedError
        if error is not None:
            raise error
        if status != 0 or result is None:
            raise _died(status, said)
        return result

    def stop(self) -> None:
        """End it; it leaves nothing behind. From any thread."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.terminate()

    def _start(self) -> subprocess.Popen[str]:
        # -P: a folder named `tui` where the user happens to stand is not ours.
        command = [sys.executable, "-P", "-m", "tui.cli", *self._arguments, "--events", "--json"]
        with self._lock:
            if self._stopped:
                raise StoppedError
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        with contextlib.suppress(OSError):  # it may be gone already
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICER)
        return self._process


def _keep_last(lines: Any, said: list[str]) -> None:
    for line in lines:
        said.append(line.strip())
        del said[:-_ERRORS]


def _died(status: int, said: list[str]) -> SternaError:
    if status == -9:
        return SternaError(
            "killed",
            "The job was killed, most likely because memory ran out.",
            "Nothing is left of it. Close other programs, then try again.",
        )
    last = f" ({said[-1]})" if said else ""
    return SternaError("internal", f"The job ended without a result{last}.", "The log has more.")


# --- what can be made ------------------------------------------------------------------------------


def offer(model: LibraryModel) -> Offer:
    """Return the files that can be made of a model. Raises SternaError."""
    from backend import offers

    make = offers.of_checkpoint if model.kind == "checkpoint" else offers.of_file
    return make(model.path)


def target(name: str, quant: str) -> Path:
    """Return where a file of this quant goes: a free name in Sterna's own folder. Raises SternaError."""
    from backend import paths
    from backend.gguf import quantising

    folder = paths.models_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SternaError(
            "unwritable", f"{folder} cannot be made: {error.strerror}.", "Check its permissions."
        ) from None
    safe = _UNSAFE.sub("-", name).strip("-.")[:100] or "model"
    wanted = quantising.default_path(Path(f"{safe}.gguf"), quant, folder)
    found, number = wanted, 2
    while found.exists():
        found, number = wanted.with_stem(f"{wanted.stem}-{number}"), number + 1
    return found


def making(
    model: LibraryModel, name: str, offer: Offer, quant: str, out: Path, weigh: Path | None = None
) -> Job:
    """Return the job that makes the file; `weigh`: a text or importance matrix to weigh errors by."""
    if model.kind == "checkpoint":
        own = [] if quant == offer.quant else ["--quant", quant]
        arguments = ["convert", str(model.path), str(out), *own]
    else:
        again = ["--requantize"] if offer.lossy else []
        by = ["--imatrix", str(weigh)] if weigh else []
        arguments = ["quantize", str(model.path), quant, str(out), *again, *by]
    return Job(f"making {name} {quant}", arguments)


def judging(model: LibraryModel, others: Sequence[LibraryModel], name: str, text: Path) -> Job:
    """Return the job that measures how well a model predicts a text.

    Where the same model is here in full or half precision, also what the quant loses. Reads headers.
    """
    arguments = ["eval", str(model.path), "--text", str(text)]
    precise = _precise(model, others)
    if precise is not None:
        arguments += ["--against", str(precise)]
    return Job(f"judging {name}", arguments)


def _precise(model: LibraryModel, others: Sequence[LibraryModel]) -> Path | None:
    from backend.gguf import describe, open_gguf
    from backend.losses import tells_loss

    cards = []
    for other in (model, *others):
        alike = (other.arch, other.params, other.kind) == (model.arch, model.params, "model")
        if not alike or other.error or not other.connected:
            continue
        try:
            with open_gguf(other.path) as file:
                cards.append((other.path, describe(file)))
        except SternaError:
            continue  # it is gone since the list was made
    own = next((card for path, card in cards if path == model.path), None)
    if own is None:
        return None
    return next((path for path, card in cards if tells_loss(own, card)), None)
