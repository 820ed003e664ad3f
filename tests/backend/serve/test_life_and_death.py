"""Engines that start, fail, are killed and stop. Each test has its own."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import psutil
import pytest
from waiting import wait_until, wait_until_now

from backend import paths
from backend.chat.client import ChatClient
from backend.chat.wire import ChatMessage, ChatSampling
from backend.errors import SternaError
from backend.serve import child
from backend.serve.child import EngineProcess

ASK = [ChatMessage("user", "the thing in the ring")]
ENDLESS = ChatSampling(temperature=0)  # it goes round in circles until the context is full


def leftovers():
    return list(paths.runtime_dir().glob("*.sock"))


def engines():
    """Return the live engine processes of this one (other children, of other tests, are not asked)."""
    found = []
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it may end while we look
            if "backend.serve" in process.cmdline():
                found.append(process)
    return found


async def test_stop_is_quick_also_in_the_middle_of_a_reply(model):
    engine = await EngineProcess.start(model)
    async with ChatClient(engine.address) as client:
        stream = client.stream(ASK, ENDLESS)
        await anext(stream)
        start = time.perf_counter()
        await engine.stop()
        assert time.perf_counter() - start < child.POLITE_S
        await stream.aclose()
    assert (await engine.wait()).error is None
    assert not engine.running
    assert not psutil.pid_exists(engine.pid)
    assert leftovers() == []
    await engine.stop()


@pytest.mark.parametrize(
    ("number", "kinds", "says"),
    [
        (signal.SIGKILL, {"out_of_memory", "engine_killed"}, "killed"),
        (signal.SIGSEGV, {"engine_crashed"}, "segmentation fault"),
    ],
)
async def test_a_death_is_noticed_and_explained(model, number, kinds, says):
    engine = await EngineProcess.start(model)
    async with ChatClient(engine.address) as client:
        stream = client.stream(ASK, ENDLESS)
        await anext(stream)
        os.kill(engine.pid, number)
        with pytest.raises(SternaError) as caught:
            async for _ in stream:
                pass
        assert caught.value.kind == "engine_unreachable"
        assert (await engine.explain(caught.value)).kind in kinds
    ended = await asyncio.wait_for(engine.wait(), 10)
    assert ended.signal == number
    assert ended.error.kind in kinds
    assert says in ended.error.message
    assert leftovers() == []
    if number == signal.SIGSEGV:
        assert str(engine.log_file) in ended.error.hint
        assert b"Segmentation fault" in engine.log_file.read_bytes()
    await engine.stop()


@pytest.mark.parametrize(
    ("content", "options", "kind"),
    [
        (b"this is no model" * 100, {}, "not_gguf"),
        (b"", {}, None),
        (None, {}, "not_found"),
        ("model", {"context": 10**9}, "bad_argument"),
        ("model", {"kv": "q9"}, "bad_argument"),
        ("model", {"threads": 0}, "bad_argument"),
    ],
)
async def test_a_start_that_fails_gives_the_childs_own_reason(
    model, tmp_path, content, options, kind
):
    path = model if content == "model" else tmp_path / "file.gguf"
    if isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(SternaError) as caught:
        await EngineProcess.start(path, **options)
    assert kind is None or caught.value.kind == kind
    assert caught.value.kind != "engine_crashed"
    assert caught.value.hint
    assert engines() == []
    assert leftovers() == []


async def test_a_home_that_cannot_be_written_is_said(model, monkeypatch):
    monkeypatch.setenv("STERNA_HOME", "/proc/nowhere")
    with pytest.raises(SternaError, match="socket") as caught:
        await EngineProcess.start(model)
    assert caught.value.kind == "read_only"


async def test_a_socket_folder_of_somebody_else_is_not_used(model, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "getuid", lambda: 12345)  # whoever made the folder, it was not us
    with pytest.raises(SternaError, match="another user"):
        await EngineProcess.start(model)


async def test_phases_come_in_order(model):
    phases = []
    async with await EngineProcess.start(model, on_phase=phases.append):
        assert [phase.name for phase in phases] == ["starting", "loading", "ready"]


async def test_cancelling_the_start_kills_the_child(model):
    phases = []
    task = asyncio.create_task(EngineProcess.start(model, on_phase=phases.append))
    await wait_until(lambda: phases)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engines() == []
    assert leftovers() == []


async def test_a_folder_named_like_ours_where_the_user_stands_does_no_harm(
    model, tmp_path, monkeypatch
):
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend" / "__init__.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    async with await EngineProcess.start(model) as engine, ChatClient(engine.address) as client:
        assert (await client.count(ASK)).tokens > 0


PARENT = """
import asyncio, sys
from pathlib import Path
from backend.serve.child import EngineProcess
async def main():
    engine = await EngineProcess.start(Path(sys.argv[1]))
    print(engine.pid, engine.address, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def test_the_engine_ends_with_its_parent(model):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(model)], stdout=subprocess.PIPE, text=True
    )
    pid, address = parent.stdout.readline().split()
    assert psutil.pid_exists(int(pid))
    parent.kill()
    parent.wait()
    wait_until_now(lambda: not psutil.pid_exists(int(pid)), seconds=5)
    assert not Path(address.removeprefix("unix:")).exists()


def test_output_of_native_code_goes_to_the_log(tmp_path):
    code = (
        "import ctypes, os\nfrom pathlib import Path\nfrom backend.serve import lifetime\n"
        f"lifetime.redirect_output(Path({str(tmp_path / 'x' / 'log')!r}))\n"
        "print('python', flush=True)\nctypes.CDLL(None).puts(b'native')\n"
        "ctypes.CDLL(None).fflush(None)\nos.write(2, b'raw')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
    assert (tmp_path / "x" / "log").read_bytes() == b"python\nnative\nraw"


def test_alone_it_listens_on_tcp_with_a_key_and_ends_on_sigterm(model, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "s3cret")
    process = subprocess.Popen(
        [sys.executable, "-m", "backend.serve", str(model), "--port", "0", "--api-key-env", "SOME_KEY"],
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    address = process.stdout.readline().split()[-1]
    assert httpx2.get(f"{address}/v1/models").status_code == 401
    headers = {"Authorization": "Bearer s3cret"}
    assert httpx2.get(f"{address}/v1/models", headers=headers).status_code == 200
    process.terminate()
    assert process.wait(5) == 0


def test_the_command_line_serves_and_ends_on_ctrl_c(model, tmp_path):
    socket = tmp_path / "s"
    command = [sys.executable, "-m", "tui.cli", "serve", str(model), "--json"]
    process = subprocess.Popen(
        [*command, "--socket", str(socket)], stdout=subprocess.PIPE, text=True
    )
    ready = json.loads(process.stdout.readline())
    assert (ready["address"], ready["model"]) == (f"unix:{socket}", "tiny")
    refused = subprocess.run(
        [*command, "--socket", str(socket)], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "Another server listens" in json.loads(refused.stdout)["error"]["message"]
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 0
    assert not socket.exists()


def test_a_stale_socket_is_replaced_and_another_file_is_not(model, tmp_path):
    import socket as sockets

    from backend.serve import listening

    path = tmp_path / "s"
    old = sockets.socket(sockets.AF_UNIX)
    old.bind(str(path))
    old.close()
    listener = listening.unix(path)
    assert listening.address(listener) == f"unix:{path}"
    listening.remove(listener)
    assert not path.exists()
    path.write_text("precious")
    with pytest.raises(SternaError, match="is no socket"):
        listening.unix(path)
    assert path.read_text() == "precious"
    with pytest.raises(SternaError, match="longer"):
        listening.unix(tmp_path / ("x" * 120))
    with pytest.raises(SternaError, match="no address"):
        listening.tcp("no.such.host.invalid", 1)
    with pytest.raises(SternaError):
        listening.tcp("127.0.0.1", 99999)
