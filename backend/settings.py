"""The settings: one TOML file, typed. A missing file means defaults; a wrong one says where."""

import contextlib
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from backend import paths
from backend.errors import SternaError
from backend.units import parse_bytes


class Library(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where models are looked for."""

    folders: list[str] = []
    """More folders with .gguf files, beside the stores that Sterna knows."""
    ollama: bool = True
    """Read the models of Ollama."""
    lm_studio: bool = True
    """Read the models of LM Studio."""
    hugging_face: bool = True
    """Read the Hugging Face cache."""
    hash_files: bool = True
    """Read files without a known hash in the background, once, to know which are equal."""


class Chat(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How answers are made unless a conversation says otherwise."""

    temperature: float = 0.7
    """0 takes the likeliest token always."""
    top_k: int = 40
    """Keep only this many of the likeliest tokens; 0 is off."""
    top_p: float = 0.95
    """Keep the likeliest tokens up to this probability; 1 is off."""
    min_p: float = 0.05
    """Drop tokens below this share of the best; 0 is off."""
    repeat_penalty: float = 1.0
    """Make recent tokens less likely; 1 is off."""
    system: str = ""
    """The first instruction to every model."""


class Engine(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How models are loaded."""

    threads: int | None = None
    """Threads; without it, the physical cores."""
    context: int | None = None
    """Tokens of context; without it, what the model was made for, at most 8192 and what fits."""
    kv: str = "auto"
    """Type of the KV cache: auto, f16 or f32."""


class Downloads(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How models are fetched from the Hub."""

    at_once: int = 2
    """Models that are fetched at the same time."""
    connections: int = 4
    """Connections for each file."""
    megabytes_per_second: float = 0.0
    """What all downloads together may take of the line; 0 is no limit."""


class Machine(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What verdicts are told for, where what was found of this machine is wrong."""

    ram: str = ""
    """Memory that models may take, as in `ram = "12GB"`; empty: what is found free."""
    vram: str = ""
    """Memory of the GPU that models may take; "0": there is none to use."""

    def __post_init__(self) -> None:
        for text in filter(None, (self.ram, self.vram)):
            parse_bytes(text)  # its ValueError becomes that of the key


class Screen(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How the app looks and what its keys are."""

    theme: str = ""
    """Name of a theme; empty takes the default."""
    keys: dict[str, str] = {}
    """Keys by the id of their binding, as in `keys = {"models.chat" = "c,enter"}`."""


class Settings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set."""

    library: Library = msgspec.field(default_factory=Library)
    chat: Chat = msgspec.field(default_factory=Chat)
    engine: Engine = msgspec.field(default_factory=Engine)
    downloads: Downloads = msgspec.field(default_factory=Downloads)
    machine: Machine = msgspec.field(default_factory=Machine)
    screen: Screen = msgspec.field(default_factory=Screen)


def load(path: Path | None = None) -> Settings:
    """Read the settings; raises SternaError `bad_settings` that names the key and the file."""
    path = path or paths.settings_file()
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise SternaError(
            "bad_settings", f"The settings in {path} cannot be read: {error}.", "Check the file."
        ) from error
    try:
        return msgspec.convert(tomllib.loads(text), Settings)
    except tomllib.TOMLDecodeError as error:
        raise SternaError(
            "bad_settings",
            f"{path} is not valid TOML: {error}.",
            "Mend that line, or move the file away.",
        ) from error
    except msgspec.ValidationError as error:
        raise SternaError(
            "bad_settings",
            f"{path}: {error}.",
            "Mend or delete that key; README lists the settings.",
        ) from error


def save(settings: Settings, path: Path | None = None) -> None:
    """Write the settings whole or not at all; defaults are left out."""
    import tomli_w

    path = path or paths.settings_file()
    _write(path, tomli_w.dumps(_changed(settings)).encode())


def change(section: str, key: str, value: float, path: Path | None = None) -> None:
    """Set one number in the file and leave all else in it as it is, comments included.

    Raises SternaError where the file is wrong or cannot be written.
    """
    path = path or paths.settings_file()
    load(path)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    heads = [at for at, line in enumerate(lines) if line.split("#")[0].strip() == f"[{section}]"]
    if not heads:
        lines += [*([""] if lines else []), f"[{section}]"]
        heads = [len(lines) - 1]
    at = heads[0] + 1
    while at < len(lines) and not lines[at].lstrip().startswith("["):
        if re.match(rf"\s*{re.escape(key)}\s*=", lines[at]):
            break
        at += 1
    fresh = f"{key} = {value:g}"
    if at < len(lines) and not lines[at].lstrip().startswith("["):
        comment = re.search(r"\s*#.*", lines[at])
        lines[at] = fresh + (comment[0] if comment else "")
    else:
        lines.insert(heads[0] + 1, fresh)
    _write(path, ("\n".join(lines) + "\n").encode())


def _write(path: Path, data: bytes) -> None:
    """Write the file whole or not at all."""
    fresh = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise SternaError(
            "bad_settings",
            f"The settings cannot be written to {path}: {error.strerror}.",
            "Check the disk.",
        ) from error


def _changed(settings: Settings) -> dict[str, Any]:
    now, usual = msgspec.to_builtins(settings), msgspec.to_builtins(Settings())
    out = {}
    for section, values in now.items():
        different = {k: v for k, v in values.items() if v != usual[section][k] and v is not None}
        if different:
            out[section] = different
    return out
