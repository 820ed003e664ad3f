"""Where Sterna keeps its things. `STERNA_HOME` moves them all under one folder."""

import errno
import os
import tempfile
import warnings
from pathlib import Path

import platformdirs


def _home() -> Path | None:
    home = os.environ.get("STERNA_HOME")
    return Path(home).expanduser() if home else None


def settings_file() -> Path:
    """Return the path of the settings (it need not exist)."""
    home = _home()
    return (home or Path(platformdirs.user_config_dir("sterna"))) / "settings.toml"


def data_dir() -> Path:
    """Return the folder of what must not be lost: chats, models of Sterna's own, runs."""
    return _home() or Path(platformdirs.user_data_dir("sterna"))


def models_dir() -> Path:
    """Return the folder of Sterna's own models."""
    return data_dir() / "models"


def runs_dir() -> Path:
    """Return the folder of training runs, one folder each."""
    return data_dir() / "runs"


def database_file() -> Path:
    """Return the SQLite file of chats, downloads and the library index."""
    return data_dir() / "sterna.db"


def log_dir() -> Path:
    """Return the folder of log files."""
    home = _home()
    return home / "logs" if home else Path(platformdirs.user_log_dir("sterna"))


def cache_dir() -> Path:
    """Return the folder of what can be made again: measured speeds."""
    home = _home()
    return home / "cache" if home else Path(platformdirs.user_cache_dir("sterna"))


def runtime_dir() -> Path:
    """Return a private folder for sockets, created on demand with mode 0700.

    A Unix socket path may be 107 bytes at most, so a deep `STERNA_HOME` falls back to the
    temporary folder. Raises PermissionError when somebody else made that folder before.
    """
    home = _home()
    with warnings.catch_warnings():  # where XDG_RUNTIME_DIR is unset it would write on the screen
        warnings.simplefilter("ignore")
        folder = home / "run" if home else Path(platformdirs.user_runtime_dir("sterna"))
    if len(os.fsencode(folder)) > 70:
        folder = Path(tempfile.gettempdir()) / f"sterna-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(errno.EACCES, f"{folder} belongs to another user")
    return folder


def asset(name: str) -> Path:
    """Return the path of a file that ships with Sterna, in a wheel or in the source tree."""
    here = Path(__file__).resolve().parent
    installed = here / "assets" / name
    return installed if installed.exists() else here.parent / "assets" / name
