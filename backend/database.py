"""The one SQLite file: chats, downloads, the library's index."""

from pathlib import Path


class Database:
    """An open database, at the newest schema. May be used from several threads.

    `notices` are sentences the user should see (a damaged file was moved aside, and where to).
    """

    path: Path | None
    notices: list[str]

    @classmethod
    def open(cls, path: Path | None = None) -> "Database":
        """Open (and make or upgrade) the file, `paths.database_file()` unless told otherwise.

        Raises SternaError: newer_database, read_only, disk_full, busy.
        """
        raise NotImplementedError

    @classmethod
    def in_memory(cls) -> "Database":
        """Return a database that is not kept, for when the disk cannot be written."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
