"""The socket of a server: a private Unix socket, or a TCP port."""

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

from backend.errors import SternaError

MAX_UNIX_PATH = 107  # bytes; the kernel's limit


def unix(path: Path) -> socket.socket:
    """Listen at `path`, for this user alone. A socket that nobody serves any more is replaced."""
    if len(os.fsencode(path)) > MAX_UNIX_PATH:
        raise SternaError(
            "bad_argument",
            f"The socket path {path} is longer than the system allows ({MAX_UNIX_PATH} bytes).",
            "Choose a shorter one.",
        )
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise SternaError(
            "bad_argument",
            f"Cannot listen at {path}: {error.strerror or error}.",
            "Choose another path.",
        ) from error
    finally:
        os.umask(before)
    return listener


def tcp(host: str, port: int) -> socket.socket:
    """Listen at `host`:`port`; port 0 takes a free one."""
    if not 0 <= port <= 65535:
        raise SternaError("bad_argument", f"There is no port {port}.", "Choose 1 to 65535.")
    try:
        family, kind, number, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, number)
    except (OSError, UnicodeError) as error:
        raise SternaError(
            "bad_argument", f"{host}:{port} is no address of this machine.", "Try 127.0.0.1."
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise SternaError(
            "bad_argument",
            f"Cannot listen at {host}:{port}: {error.strerror or error}.",
            "Choose another port.",
        ) from error
    return listener


def address(listener: socket.socket) -> str:
    """Return the address as `ChatClient` takes it."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def remove(listener: socket.socket) -> None:
    """Stop listening, and remove the file of a Unix socket."""
    if listener.family == socket.AF_UNIX and listener.fileno() >= 0:
        Path(listener.getsockname()).unlink(missing_ok=True)
    listener.close()


def _clear(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise SternaError(
                "bad_argument", f"{path} exists and is no socket.", "Choose another path."
            )
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            with suppress(FileNotFoundError):
                path.unlink()
            return
    raise SternaError("bad_argument", f"Another server listens at {path}.", "Choose another path.")
