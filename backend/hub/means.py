"""With what the settings let downloads work."""

from backend.errors import SternaError
from backend.hub.pace import Throttle
from backend.hub.transfer import Means
from backend.settings import Downloads

MOST_CONNECTIONS = 32


def from_settings(
    wish: Downloads, *, connections: int | None = None, megabytes: float | None = None
) -> Means:
    """Return means by the settings, or by what was said instead; raises SternaError(bad_argument)."""
    count = wish.connections if connections is None else connections
    rate = wish.megabytes_per_second if megabytes is None else megabytes
    if not 1 <= count <= MOST_CONNECTIONS:
        raise SternaError(
            "bad_argument",
            f"A download cannot have {count} connections.",
            f"Choose 1 to {MOST_CONNECTIONS}.",
        )
    if not rate >= 0:
        raise SternaError("bad_argument", f"{rate} MB/s is no speed.", "0 is no limit.")
    return Means(throttle=Throttle(rate * 1e6), connections=count)
