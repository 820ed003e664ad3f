"""`sterna search`, `show` of what is on the Hub, and `pull`."""

import hashlib
import json
import re
import signal
import subprocess
import sys

import pytest
from downloading import DATA, FILE, NAME, SHA, tiny_repo
from ggufs import tiny_llama
from loopback_hub import Fault, LoopbackHub, Repo, status

from backend.database import Database
from backend.hub import partial
from backend.hub.cache import blob_path
from backend.hub.queue import Queue
from tui.cli import main


@pytest.fixture
def hub(home, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with LoopbackHub(tiny_repo()) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def model(hub, tmp_path):
    """A real model on the Hub, in two quants."""
    files = {}
    for quant in ("F32", "Q8_0"):
        path = tmp_path / f"tern-{quant}.gguf"
        tiny_llama(path, tensor_type=quant, metadata={"general.license": "mit"})
        files[path.name] = path.read_bytes()
    return hub.add(Repo("own/Tern-GGUF", files, gguf={"total": 120_000, "architecture": "llama"}))


def result(capsys, *arguments):
    code = main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def events(capsys, *arguments):
    code = main(["pull", *arguments, "--json"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_search_by_the_contract(capsys, hub, model):
    code, data = result(capsys, "search", "tern")
    assert code == 0
    (found,) = data["models"]
    keys = {"repo", "downloads", "likes", "updated", "params", "arch", "gated", "license", "files"}
    assert keys <= set(found)
    assert (found["repo"], found["arch"], found["gated"]) == ("own/Tern-GGUF", "llama", False)
    assert found["params"] == 120_000
    sizes = {file["quant"]: file["bytes"] for file in found["files"]}
    assert sizes == {q: len(model.files[f"tern-{q}.gguf"]) for q in ("F32", "Q8_0")}


def test_search_for_people(capsys, hub, model):
    model.gated = "auto"
    hub.add(Repo("own/evil-[b]", {"x-Q4_0.gguf": b"x"}, license="\x1b[2Jmit"))
    assert main(["search", "own"]) == 0
    shown = capsys.readouterr().out
    assert "own/Tern-GGUF 🔒" in shown
    assert "F32 Q8_0" in shown
    assert "\x1b" not in shown
    assert main(["search", "own", "--params", "1B:", "--license", "mit"]) == 0
    assert "Leave a facet out" in capsys.readouterr().out


def test_search_by_an_address(capsys, hub, model):
    code, data = result(capsys, "search", f"{hub.endpoint}/own/Tern-GGUF/tree/main")
    assert code == 0 or hub.endpoint.startswith("http://127")
    assert [m["repo"] for m in data["models"]] == ["own/Tern-GGUF"]


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["search", "x", "--params", "big"], "bad_argument"),
        (["search", "x", "--limit", "0"], "bad_argument"),
        (["search", "x", "--sort", "price"], "bad_argument"),
        (["pull", "not a name"], "bad_argument"),
        (["pull", "own/None"], "not_found"),
        (["pull", f"{NAME}:Q8_0"], "not_found"),
        (["pull", NAME, "--connections", "0"], "bad_argument"),
        (["show", "own/None"], "not_found"),
        (["show", f"{NAME}:Q8_0"], "not_found"),
    ],
)
def test_errors(capsys, hub, arguments, kind):
    code, data = result(capsys, *arguments)
    assert code == 1
    assert data["error"]["kind"] == kind


def test_show_reads_the_header_and_downloads_nothing(capsys, hub, model):
    code, data = result(capsys, "show", "own/Tern-GGUF:q8_0")
    assert code == 0
    assert (data["arch"], data["quant"], data["context"]) == ("llama", "Q8_0", 256)
    assert data["bytes"] == len(model.files["tern-Q8_0.gguf"])
    assert data["license"] == "mit"
    assert data["chat_template"]
    assert {"name", "type", "shape", "bytes"} <= set(data["tensors"][0])
    assert {file["quant"] for file in data["files"]} == {"F32", "Q8_0"}
    assert not blob_path("own/Tern-GGUF", "x").parent.exists()
    assert main(["show", "own/Tern-GGUF"]) == 0
    shown = capsys.readouterr().out
    assert "tern-F32.gguf" in shown
    assert hub.endpoint in shown


def test_show_tells_the_licence_of_the_repository_where_the_file_says_none(capsys, hub, tmp_path):
    path = tiny_llama(tmp_path / "said-Q8_0.gguf", tensor_type="Q8_0").path
    hub.add(Repo("own/Said-GGUF", {path.name: path.read_bytes()}, license="mit"))
    assert main(["show", "own/Said-GGUF"]) == 0
    assert re.search(r"licence +mit", capsys.readouterr().out)


def test_show_of_what_is_here_asks_nobody(capsys, hub, model):
    assert main(["pull", "own/Tern-GGUF:Q8_0"]) == 0
    path = capsys.readouterr().out.strip()
    seen = len(hub.requests)
    code, data = result(capsys, "show", "own/Tern-GGUF:Q8_0")
    assert code == 0
    assert data["path"] == path
    assert len(hub.requests) == seen
    code, data = result(capsys, "show", "own/Tern-GGUF:Q8_0", "--remote")
    assert data["path"] is None


def test_show_of_a_checkpoint(capsys, hub):
    head = json.dumps({"w": {"dtype": "BF16", "shape": [2, 4], "data_offsets": [0, 16]}}).encode()
    stored = len(head).to_bytes(8, "little") + head + bytes(16)
    config = b'{"model_type": "qwen3", "max_position_embeddings": 512}'
    hub.add(Repo("own/Check", {"config.json": config, "model.safetensors": stored}))
    code, data = result(capsys, "show", "own/Check")
    assert code == 0
    assert (data["arch"], data["params"], data["context"], data["quant"]) == (
        "qwen3",
        8,
        512,
        "BF16",
    )
    assert data["tensors"] == [{"name": "w", "type": "BF16", "shape": [2, 4], "bytes": 16}]
    assert main(["show", "own/Check", "--tensors"]) == 0
    assert "2×4" in capsys.readouterr().out


def test_pull_by_the_contract(capsys, hub):
    code, told = events(capsys, NAME)
    assert code == 0
    assert told[0]["event"] == "start"
    assert told[0]["license"] == "apache-2.0"
    done = told[-1]
    assert (done["event"], done["bytes"], done["sha256"]) == ("done", len(DATA), SHA)
    with open(done["path"], "rb") as file:  # noqa: PTH123
        assert hashlib.sha256(file.read()).hexdigest() == SHA
    code, data = result(capsys, "ls")
    assert any(m["name"].startswith(NAME) for m in data["models"])
    code, told = events(capsys, NAME)
    assert told[-1]["sha256"] == SHA
    assert not told[-1]["files"][0]["fetched"]


def test_pull_for_people_names_the_licence_first(capsys, hub):
    assert main(["pull", f"{hub.endpoint}/{NAME}/blob/main/{FILE}"]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip().endswith(FILE)
    assert "licence apache-2.0" in captured.err
    assert "1.98 MB" in captured.err


def test_pull_says_why_it_cannot(capsys, hub, monkeypatch):
    hub.add(Repo("own/Locked", {FILE: DATA}, gated="manual"))
    code, told = events(capsys, "own/Locked")
    assert code == 1
    assert told[-1]["error"]["kind"] == "gated_no_token"
    assert [event.get("event") for event in told][:-1] == ["start"]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, told = events(capsys, NAME)
    assert told[-1]["error"]["kind"] == "offline"


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "tui.cli", "pull", *arguments, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def first_progress(process):
    for line in process.stdout:
        if json.loads(line)["event"] == "progress" and json.loads(line)["bytes"] > 0:
            return


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_keeps_what_it_has_and_the_next_one_goes_on(capsys, hub, how):
    hub.rate = 400_000
    process = start(NAME)
    first_progress(process)
    process.send_signal(how)
    rest, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert json.loads(rest.splitlines()[-1])["event"] == "stopped"
    assert "Traceback" not in errors
    assert partial.partial_path(blob_path(NAME, SHA)).exists()
    (item,) = Queue(Database.open()).items()
    assert item.state == "paused"
    hub.rate = None
    assert events(capsys, NAME)[1][-1]["sha256"] == SHA
    assert Queue(Database.open()).items()[0].state == "done"


def test_a_second_pull_follows_the_first(capsys, hub):
    hub.rate = 500_000
    process = start(NAME)
    first_progress(process)
    seen = len(hub.served())
    code, told = events(capsys, NAME)
    process.communicate(timeout=30)
    assert code == process.returncode == 0
    assert told[-1]["event"] == "done"
    assert told[-1]["sha256"] == SHA
    assert sum(sent for _, sent in hub.ranges()) == len(DATA)
    assert len(hub.served()) >= seen


def test_a_failing_hub_is_survived(capsys, hub):
    hub.faults = [Fault(status(500), times=2), Fault(status(503), kind="resolve")]
    code, told = events(capsys, NAME)
    assert code == 0
    assert told[-1]["event"] == "done"


def test_a_download_limit_is_taken(hub):
    process = start(NAME, "--limit", "1.5")
    out, _ = process.communicate(timeout=60)
    assert json.loads(out.splitlines()[-1])["event"] == "done"
    speeds = [json.loads(x).get("speed", 0) for x in out.splitlines() if '"progress"' in x]
    assert max(speeds) < 3_000_000


@pytest.mark.parametrize("verb", ["search x", "pull own/x", "show own/x"])
def test_the_verbs_start_light(home, monkeypatch, verb):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code = f"""
import sys
from tui.cli import main
status = main({verb.split()!r})
print(status, *sorted({{m.partition(".")[0] for m in sys.modules}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, *names = done.stdout.split()
    assert status == "1"
    assert not {"textual", "rich", "torch", "transformers", "huggingface_hub"} & set(names)
