"""The folder of a run, and what can be told of a run from it.

run.toml        the recipe, complete
pins.json       what the base and the data were when the run began
events.jsonl    what happened, one JSON object a line
checkpoints/    checkpoint-N, each with a manifest of its files
adapter/        what was learned, once it is done
run.lock        held by the process that trains, gone with it whatever its end
control         what a person asks of that process
"""

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from backend import paths
from backend.errors import SternaError

_TRIES, _MOMENT = 50, 0.02  # seconds
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where the parts of one run are."""

    path: Path

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def recipe(self) -> Path:
        """Its recipe."""
        return self.path / "run.toml"

    @property
    def pins(self) -> Path:
        """What base and data were."""
        return self.path / "pins.json"

    @property
    def events(self) -> Path:
        """What happened."""
        return self.path / "events.jsonl"

    @property
    def samples(self) -> Path:
        """The data as tokens."""
        return self.path / "samples.npz"

    @property
    def checkpoints(self) -> Path:
        """Its checkpoints."""
        return self.path / "checkpoints"

    @property
    def adapter(self) -> Path:
        """What it learned."""
        return self.path / "adapter"

    @property
    def control(self) -> Path:
        """What a person asks."""
        return self.path / "control"

    @property
    def log(self) -> Path:
        """What libraries print."""
        return self.path / "output.log"

    @property
    def lock(self) -> Path:
        """Held while it trains; holds the process id."""
        return self.path / "run.lock"

    def is_running(self) -> bool:
        """Whether a process trains here now."""
        try:
            with self.lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def pid(self) -> int | None:
        """Return the process that trains here, None when there is none."""
        if not self.is_running():
            return None
        with contextlib.suppress(OSError, ValueError):
            return int(self.lock.read_text(encoding="ascii"))
        return None

    @contextlib.contextmanager
    def held(self) -> Iterator[IO[str]]:
        """Hold the lock. Raises SternaError `run_is_running` where another process has it."""
        with self.lock.open("a+", encoding="ascii") as file:
            if not _locked(file):
                raise SternaError(
                    "run_is_running",
                    f"The run {self.name} is running already.",
                    "Watch it instead.",
                )
            file.seek(0)
            file.truncate()
            file.write(str(os.getpid()))
            file.flush()
            yield file


def _locked(file: IO[str]) -> bool:
    """Take the lock; one who only looks whether it is held has it for a moment too."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_MOMENT)
        else:
            return True
    return False


def create(name: str) -> RunFolder:
    """Make the folder of a new run; a name that is taken gets a number. Raises SternaError."""
    if not _NAME.fullmatch(name):
        raise SternaError(
            "bad_argument",
            f"{name!r} cannot name a run.",
            "Use letters, digits, dots, dashes and underscores, at most 80.",
        )
    base = paths.runs_dir()
    try:
        base.mkdir(parents=True, exist_ok=True)
        for number in range(1, 10_000):
            path = base / (name if number == 1 else f"{name}-{number}")
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                return RunFolder(path)
    except OSError as error:
        raise SternaError(
            "read_only", f"No run can be kept in {base}: {error.strerror}.", "Check the disk."
        ) from error
    raise SternaError("bad_argument", f"There are too many runs named {name}.", "Delete some.")


def find(name: str) -> RunFolder:
    """Return the run of this name or path. Raises SternaError `not_found`."""
    given = Path(name).expanduser()
    for path in (given, given.parent if given.name == "run.toml" else given):
        if (path / "run.toml").is_file() and "/" in str(path.resolve()):
            return RunFolder(path.resolve())
    path = paths.runs_dir() / name
    if _NAME.fullmatch(name) and (path / "run.toml").is_file():
        return RunFolder(path)
    raise SternaError(
        "not_found", f"There is no run {name!r}.", "`sterna runs` lists the runs on this computer."
    )


def every() -> list[RunFolder]:
    """Return all runs, the newest first."""
    try:
        places = [p for p in paths.runs_dir().iterdir() if not p.name.startswith(".")]
        found = [p for p in places if (p / "run.toml").is_file()]
        return [RunFolder(p) for p in sorted(found, key=lambda p: -p.stat().st_ctime)]
    except OSError:
        return []


def suggest_name(base: str, technique: str) -> str:
    """Return a name for a run from what it is."""
    stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(base).name.removesuffix(".gguf")).strip("-").lower()
    return f"{stem[:48] or 'run'}-{technique}"
