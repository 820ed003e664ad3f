"""Room on disks, counted over all downloads of this process: each alone may fit, and not together."""

import shutil
import threading
from pathlib import Path

from backend.hub.partial import guarded, not_enough

_SPARE = 16 << 20  # left free, so that the download's own records can still be written


class Room:
    """What running downloads are still going to need, by file system."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claims: dict[object, tuple[int, int]] = {}

    def claim(self, owner: object, folder: Path, needed: int) -> None:
        """Say that `owner` needs so many more bytes in `folder`; raises SternaError(disk_full)."""
        with guarded(folder):
            existing = next(path for path in (folder, *folder.parents) if path.exists())
            device = existing.stat().st_dev
            free = shutil.disk_usage(existing).free
        with self._lock:
            self._claims[owner] = (device, needed)
            wanted = sum(count for where, count in self._claims.values() if where == device)
        if needed and wanted + _SPARE > free:
            raise not_enough(wanted + _SPARE, free, folder)

    def release(self, owner: object) -> None:
        """Forget a claim."""
        with self._lock:
            self._claims.pop(owner, None)
