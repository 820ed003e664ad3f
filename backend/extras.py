"""Parts of Sterna that are installed only when they are wanted: training, which brings PyTorch."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import shutil
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from backend.errors import SternaError
from backend.text import clean

LAST_LINES = 5  # of an installer that failed: the reason stands there


def missing(extra: str, package: str = "sterna") -> list[str]:
    """Return the requirements of an extra (PEP 508 lines, no markers) that are not installed."""
    from packaging.requirements import Requirement

    wanted = []
    for line in requires(package) or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if (
            marker is None
            or marker.evaluate({"extra": ""})
            or not marker.evaluate({"extra": extra})
        ):
            continue
        requirement.marker = None
        try:
            here = version(requirement.name)
        except PackageNotFoundError:
            here = None
        if here is None or not requirement.specifier.contains(here, prereleases=True):
            wanted.append(str(requirement))
    return wanted


def installer() -> list[str]:
    """Return the command that installs into this environment. Raises SternaError where there is none."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", sys.executable]
    raise SternaError(
        "no_installer",
        "This Python environment has neither pip nor uv.",
        'Install the package "sterna[train]" with the tool that made the environment.',
    )


async def install(
    requirements: Sequence[str], tell: Callable[[str], None], *, target: Path | None = None
) -> None:
    """Install, and tell each line that the installer prints (cleaned).

    Cancelling ends the installer. Raises SternaError(install_failed) with the installer's own words.
    """
    place = ["--target", str(target)] if target else []
    process = await asyncio.create_subprocess_exec(
        *installer(),
        *place,
        *requirements,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1 << 20,
    )
    assert process.stdout is not None
    last: list[str] = []
    try:
        async for raw in process.stdout:
            if line := clean(raw.decode(errors="replace").strip()):
                last = [*last[1 - LAST_LINES :], line]
                tell(line)
        status = await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
    if status:
        why = next((line for line in reversed(last) if "ERROR" in line), last[-1] if last else "")
        raise SternaError(
            "install_failed",
            f"The installation failed: {why or f'status {status}'}",
            "Is this computer online, and is there room on the disk? The same by hand: "
            + " ".join(["pip install", *(f"'{line}'" for line in requirements)]),
        )
