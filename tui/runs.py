"""Keeps an eye on training runs: finds them on disk, reads their events as they come.

A run is a process of its own and outlives the app; all that is known of it is in its folder. So a run
that was begun by the command line, or by an app that has ended since, is found like any other.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backend import paths

if TYPE_CHECKING:
    from backend.train.recipe import Recipe
    from backend.train.run.events import EventTail
    from backend.train.run.folder import RunFolder
    from backend.train.run.status import RunStatus

ACTIVE = ("starting", "training", "paused")


@dataclass(slots=True)
class Run:
    """A run as screens see it. `status` changes in place as events come; `state` is what really is."""

    folder: RunFolder
    recipe: Recipe | None
    status: RunStatus
    tail: EventTail
    state: str = "new"
    process: subprocess.Popen[bytes] | None = None  # where this app started it
    lived: bool = False  # whether it trained while the app was open
    ended: bool = False  # whether the last reading saw its end

    @property
    def name(self) -> str:
        """Its name."""
        return self.folder.name

    @property
    def active(self) -> bool:
        """Whether a process works on it."""
        return self.state in ACTIVE

    def read(self) -> bool:
        """Take up new events; return whether anything changed."""
        from backend.train.run.status import settled

        before = self.state
        was_active = self.active
        running = self.folder.is_running()  # asked first: its last words come before its end
        events = self.tail.read()
        for event in events:
            self.status.add(event)
        if self.process is not None and self.process.poll() is not None:
            self.process = None
        if events or self.process is None or running:
            self.state = settled(self.status.state, running=running)
        self.lived = self.lived or self.active
        self.ended = was_active and not self.active
        return bool(events) or self.state != before


@dataclass(frozen=True, slots=True)
class Runs:
    """All runs, the newest first. `watched`: the one in the side pane; `tick` grows with any change."""

    items: tuple[Run, ...] = ()
    watched: Run | None = None
    tick: int = 0

    @property
    def active(self) -> bool:
        """Whether anything trains."""
        return any(run.active for run in self.items)


class RunKeeper:
    """Owns the runs. `find` may be slow and is for a thread; everything else is quick."""

    def __init__(self) -> None:
        self._runs: dict[Path, Run] = {}
        self._watched: Path | None = None
        self._tick = 0
        self._children: list[subprocess.Popen[bytes]] = []  # until they have ended

    @property
    def runs(self) -> Runs:
        """Return what is known now."""
        items = tuple(self._runs.values())
        watched = self._runs.get(self._watched) if self._watched else None
        return Runs(items, watched, self._tick)

    def new_folders(self) -> list[Path]:
        """Return folders of runs that are not known yet. A look at one directory."""
        try:
            found = [p for p in paths.runs_dir().iterdir() if p not in self._runs]
        except OSError:
            return []
        return [p for p in found if not p.name.startswith(".") and (p / "run.toml").is_file()]

    def find(self, folders: list[Path]) -> list[Run]:
        """Read runs from the beginning. For a thread."""
        return [read_run(folder) for folder in folders]

    def add(self, found: list[Run]) -> None:
        """Take runs in. One that trains is watched from now on."""
        for run in found:
            self._runs.setdefault(run.folder.path, run)
        ordered = sorted(self._runs.values(), key=_begun, reverse=True)
        self._runs = {run.folder.path: run for run in ordered}
        training = [run for run in ordered if run.active]
        if training and (self._watched is None or self._watched not in self._runs):
            self._watched = training[0].folder.path
        self._tick += 1

    def started(self, folder: RunFolder | None, process: subprocess.Popen[bytes]) -> None:
        """Take in a run that this app has started or lets go on; it is watched. None: a race."""
        self._children = [p for p in (*self._children, process) if p.poll() is None]
        if folder is None:
            self._watched = None  # the first that trains will be
            return
        run = self._runs.get(folder.path) or read_run(folder.path)
        run.process = process
        run.state = "starting"
        run.recipe = read_recipe(folder)
        self.add([run])
        self.watch(run)

    def watch(self, run: Run | None) -> None:
        """Put a run into the side pane, or none."""
        path = run.folder.path if run else None
        if path != self._watched:
            self._watched = path
            self._tick += 1

    def poll(self, *, every: bool = False) -> bool:
        """Read new events of the runs that train, or of all; return whether anything changed."""
        changed = self._drop_deleted() if every else False
        for run in self._runs.values():
            if run.active or (every and _grown(run)):
                changed = run.read() or changed
                if run.active and self._watched is None:
                    self._watched = run.folder.path
                if run.recipe is None or run.status.step <= 1:
                    run.recipe = read_recipe(run.folder) or run.recipe
        self._tick += changed
        return changed

    def _drop_deleted(self) -> bool:
        gone = [path for path, run in self._runs.items() if not run.folder.recipe.exists()]
        for path in gone:
            del self._runs[path]
        return bool(gone)


def read_run(path: Path) -> Run:
    """Read a run's folder from the beginning."""
    from backend.train.run.events import EventTail
    from backend.train.run.folder import RunFolder
    from backend.train.run.status import RunStatus

    folder = RunFolder(path)
    run = Run(folder, read_recipe(folder), RunStatus(folder.name), EventTail(folder.events))
    run.read()
    return run


def read_recipe(folder: RunFolder) -> Recipe | None:
    """Return a run's recipe, None where it cannot be read."""
    from backend.train.run.status import recipe_of

    return recipe_of(folder)


def _begun(run: Run) -> float:
    if run.status.started:
        return run.status.started
    try:
        return run.folder.path.stat().st_ctime
    except OSError:
        return 0.0


def _grown(run: Run) -> bool:
    try:
        return run.folder.events.stat().st_size > run.tail.offset
    except OSError:
        return False
