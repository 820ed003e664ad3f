"""The queue of downloads: one table, which is all that the app, the worker and `sterna pull` share.

A wish (pause, cancel, an earlier place) is written into the table; whoever works on the row sees it with
its next report. So the queue outlives every process, and any process can take it up.
"""

import json
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from backend.database import Database
from backend.errors import SternaError
from backend.hub import cache, partial
from backend.hub.order import Fetched, Order
from backend.hub.variants import RemoteFile
from backend.processes import lives

WAITING = ("queued", "running")
_FINISHED_KEPT = 50


@dataclass(frozen=True, slots=True)
class Item:
    """A download as it stands. Bytes, seconds; `speed` over the last five seconds.

    `state` is queued, running, paused, failed, done or cancelled. While it runs, `still` tells how
    long nothing has come, `retries` how many attempts failed since, and `words` why.
    """

    id: int
    order: Order
    bytes: int
    done: int
    state: str
    owner: str | None
    speed: float
    still: float
    retries: int
    words: str
    error: SternaError | None
    path: str
    sha256: str

    @property
    def seconds_left(self) -> float | None:
        """Time to the end at this speed."""
        return (self.bytes - self.done) / self.speed if self.speed > 0 else None


class Queue:
    """Downloads in the order in which they are worked through. Methods raise SternaError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def items(self) -> list[Item]:
        """Return everything: what is to be done in its order, then what is done, the latest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM downloads ORDER BY state = 'done', "
                "CASE WHEN state = 'done' THEN -updated ELSE place END"
            ).fetchall()
        return [_item(row) for row in rows]

    def get(self, item_id: int) -> Item | None:
        """Return one download, None when it is gone."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT * FROM downloads WHERE id = ?", (item_id,)).fetchone()
        return _item(row) if row else None

    def add(self, order: Order) -> Item:
        """Put a model at the end; one that is there already and not done is gone on with."""
        now = time.time()
        with self._database.writing() as connection:
            row = connection.execute(
                "SELECT id, state FROM downloads WHERE repo = ? AND quant = ? AND commit_id = ? "
                "AND files = ? AND state != 'done'",
                (order.repo, order.quant, order.commit, _files(order)),
            ).fetchone()
            if row is not None:
                item_id = row["id"]
                if row["state"] not in WAITING:
                    _set(connection, item_id, state="queued", error="", words="")
            else:
                (last,) = connection.execute("SELECT max(place) FROM downloads").fetchone()
                item_id = connection.execute(
                    "INSERT INTO downloads (place, repo, revision, commit_id, quant, license, files, "
                    "bytes, state, created, updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?)",
                    (
                        (last or 0.0) + 1.0,
                        *(order.repo, order.revision, order.commit, order.quant, order.license),
                        *(_files(order), order.bytes, now, now),
                    ),
                ).lastrowid
            _forget_old(connection)
            row = connection.execute("SELECT * FROM downloads WHERE id = ?", (item_id,)).fetchone()
            return _item(row)

    # --- wishes --------------------------------------------------------------------------------

    def pause(self, item_id: int) -> None:
        """Let it rest; what is fetched is kept."""
        self._turn(item_id, "paused", ("queued", "running"))

    def resume(self, item_id: int) -> None:
        """Go on with it."""
        self._turn(item_id, "queued", ("paused", "failed", "cancelled"))

    def cancel(self, item_id: int) -> None:
        """Give it up. What is fetched stays until `remove`, so that `resume` undoes this."""
        self._turn(item_id, "cancelled", ("queued", "running", "paused", "failed"))

    def remove(self, item_id: int) -> int:
        """Forget it, with what is fetched of it unless it is whole; return the bytes that frees."""
        item = self.get(item_id)
        if item is None or (item.state == "running" and lives(item.owner)):
            return 0
        with self._database.writing() as connection:
            connection.execute("DELETE FROM downloads WHERE id = ?", (item_id,))
        return 0 if item.state == "done" else discard(item.order, self._wanted_blobs())

    def move(self, item_id: int, down: bool) -> None:
        """Let it change places with its neighbour among those that are not done."""
        compare, direction = (">", "ASC") if down else ("<", "DESC")
        with self._database.writing() as connection:
            here = connection.execute(
                "SELECT place FROM downloads WHERE id = ?", (item_id,)
            ).fetchone()
            there = (
                here
                and connection.execute(
                    f"SELECT id, place FROM downloads WHERE state != 'done' AND place {compare} ? "
                    f"ORDER BY place {direction} LIMIT 1",
                    (here["place"],),
                ).fetchone()
            )
            if there:
                _set(connection, item_id, place=there["place"])
                _set(connection, there["id"], place=here["place"])

    # --- for whoever does the work -------------------------------------------------------------

    def waiting(self) -> list[Item]:
        """Return what is to be worked on, in order; what a dead process left is queued again."""
        found = [item for item in self.items() if item.state in WAITING]
        left = [i.id for i in found if i.state == "running" and not lives(i.owner)]
        if left:
            with self._database.writing() as connection:
                for item_id in left:
                    connection.execute(
                        "UPDATE downloads SET state = 'queued', owner = NULL, speed = 0 "
                        "WHERE id = ? AND state = 'running'",
                        (item_id,),
                    )
            return [item for item in self.items() if item.state in WAITING]
        return found

    def claim(self, item_id: int, owner: str) -> bool:
        """Take a queued download for a process; False when somebody else was first."""
        return self._change(item_id, "state = 'queued'", (), state="running", owner=owner, words="")

    def report(
        self,
        item_id: int,
        owner: str,
        *,
        done: int,
        speed: float = 0.0,
        still: float = 0.0,
        retries: int = 0,
        words: str = "",
    ) -> bool:
        """Say how it stands; False when it is no longer this process's to work on."""
        return self._change(
            item_id,
            *_own(owner),
            done=done,
            speed=speed,
            still=still,
            retries=retries,
            words=words,
        )

    def change(self, item_id: int, owner: str, order: Order) -> bool:
        """Put a newer commit of the same model in its place."""
        return self._change(
            item_id,
            *_own(owner),
            commit_id=order.commit,
            files=_files(order),
            bytes=order.bytes,
            done=0,
        )

    def finish(self, item_id: int, owner: str, fetched: list[Fetched], path: str) -> None:
        """Note that all of it is there."""
        count = sum(file.bytes for file in fetched)
        self._change(
            item_id,
            "owner = ?",
            (owner,),
            state="done",
            owner=None,
            done=count,
            bytes=count,
            path=path,
            sha256=fetched[0].sha256,
            **_STILL,
        )

    def fail(self, item_id: int, owner: str, error: SternaError) -> None:
        """Note why it cannot go on."""
        said = json.dumps(error.as_dict())
        self._change(item_id, *_own(owner), state="failed", owner=None, error=said, **_STILL)

    def release(self, item_id: int, owner: str, state: str = "queued") -> None:
        """Leave it to whoever comes next (or as `state` says)."""
        self._change(item_id, *_own(owner), state=state, owner=None, **_STILL)

    # --- inside --------------------------------------------------------------------------------

    def _turn(self, item_id: int, state: str, before: tuple[str, ...]) -> None:
        where = f"state IN ({', '.join('?' * len(before))})"
        self._change(item_id, where, before, state=state, error="", **_STILL)

    def _change(self, item_id: int, where: str, values: tuple[str, ...], **changes: object) -> bool:
        with self._database.writing() as connection:
            return _set(connection, item_id, where, values, **changes) > 0

    def _wanted_blobs(self) -> set[str]:
        return {
            f.sha256 for i in self.items() if i.state != "done" for f in i.order.files if f.sha256
        }


_STILL: dict[str, Any] = {"speed": 0.0, "still": 0.0, "retries": 0, "words": ""}


def _own(owner: str) -> tuple[str, tuple[str, ...]]:
    return "state = 'running' AND owner = ?", (owner,)


def discard(order: Order, wanted: Iterable[str] = ()) -> int:
    """Remove what is fetched of the unfinished files of an order; return the bytes that frees."""
    freed = 0
    for file in order.files:
        if file.sha256 and file.sha256 not in wanted:
            freed += partial.discard(cache.blob_path(order.repo, file.sha256))
    return freed


def _set(
    connection: sqlite3.Connection,
    item_id: int,
    where: str = "1",
    values: tuple[str, ...] = (),
    **changes: Any,
) -> int:
    assigned = ", ".join(f"{name} = ?" for name in changes)
    return connection.execute(
        f"UPDATE downloads SET {assigned}, updated = ? WHERE id = ? AND {where}",
        (*changes.values(), time.time(), item_id, *values),
    ).rowcount


def _forget_old(connection: sqlite3.Connection) -> None:
    connection.execute(
        "DELETE FROM downloads WHERE state = 'done' AND id NOT IN "
        "(SELECT id FROM downloads WHERE state = 'done' ORDER BY updated DESC LIMIT ?)",
        (_FINISHED_KEPT,),
    )


def _files(order: Order) -> str:
    return json.dumps([{"path": f.path, "size": f.size, "sha256": f.sha256} for f in order.files])


def _item(row: sqlite3.Row) -> Item:
    files = tuple(RemoteFile(f["path"], f["size"], f["sha256"]) for f in json.loads(row["files"]))
    order = Order(
        repo=row["repo"],
        commit=row["commit_id"],
        files=files,
        quant=row["quant"],
        revision=row["revision"],
        license=row["license"],
    )
    error = SternaError(**json.loads(row["error"])) if row["error"] else None
    plain = ("done", "state", "owner", "speed", "still", "retries", "words", "path", "sha256")
    return Item(
        id=row["id"],
        order=order,
        bytes=row["bytes"],
        error=error,
        **{name: row[name] for name in plain},
    )
