"""Installing an extra: what is missing, a real installer on a real wheel, failures, cancelling."""

import asyncio
import os
import zipfile

import pytest

from backend import extras
from backend.errors import SternaError


@pytest.fixture
def wheel(tmp_path):
    """Return a wheel made by hand: it needs nothing and nobody."""
    path = tmp_path / "sterna_small_part-1.0-py3-none-any.whl"
    info = "sterna_small_part-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("sterna_small_part.py", "ANSWER = 42\n")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: sterna-small-part\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_what_is_installed_is_not_missing():
    assert extras.missing("train") == []  # the tests run with it
    assert extras.missing("no-such-extra") == []


def test_what_is_absent_or_too_old_is_missing(tmp_path, monkeypatch):
    info = tmp_path / "large-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: large\nVersion: 1.0\nProvides-Extra: more\n"
        "Requires-Dist: numpy>=1\n"
        "Requires-Dist: nowhere-to-be-found>=2; extra == 'more'\n"
        "Requires-Dist: numpy>=999; extra == 'more'\n"
        "Requires-Dist: numpy>=1.20; extra == 'more'\n"
        "Requires-Dist: other; extra == 'more' and sys_platform == 'nowhere'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert extras.missing("more", "large") == ["nowhere-to-be-found>=2", "numpy>=999"]


async def test_a_wheel_is_installed_and_told(wheel, tmp_path):
    lines = []
    await extras.install([str(wheel)], lines.append, target=tmp_path / "there")
    assert (tmp_path / "there/sterna_small_part.py").is_file()
    assert any("sterna-small-part" in line for line in lines)


async def test_a_failure_gives_the_installers_own_reason(tmp_path):
    with pytest.raises(SternaError, match="nowhere") as caught:
        await extras.install([str(tmp_path / "nowhere.whl")], lambda _line: None)
    assert caught.value.kind == "install_failed"
    assert "pip install" in caught.value.hint


async def test_cancelling_ends_the_installer(tmp_path):
    """A FIFO in place of a wheel keeps the installer waiting for ever."""
    pipe = tmp_path / "stuck-1.0-py3-none-any.whl"
    os.mkfifo(pipe)
    task = asyncio.create_task(extras.install([str(pipe)], lambda _line: None))
    await asyncio.sleep(0.5)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_an_environment_without_an_installer_says_so(monkeypatch):
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SternaError, match="neither pip nor uv"):
        extras.installer()
