"""A data set of the Hub, fetched over HTTP by the library from a server on loopback."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from ggufs import tiny_llama

from backend.train import recipe as recipes
from backend.train.recipe import Base, Data, Recipe

pytestmark = pytest.mark.timeout(120)
COMMIT = "c" * 40
ROOT = Path(__file__).resolve().parents[3]
ROWS = "".join(json.dumps({"prompt": f"item {i}", "completion": "red"}) + "\n" for i in range(7))
FILES = {
    "README.md": b"---\nconfigs:\n- config_name: main\n  data_files: main/train.jsonl\n"
    b"- config_name: more\n  data_files: more/train.jsonl\n---\n",
    "main/train.jsonl": ROWS.encode(),
    "more/train.jsonl": 3 * ROWS.encode(),
}


class Handler(BaseHTTPRequestHandler):
    """The routes of one public data set, own/rows."""

    def log_message(self, *_):
        pass

    def _send(self, body, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value):
        self._send(json.dumps(value).encode(), Content_Type="application/json")

    def _missing(self):
        self._send(
            b"", 404, X_Error_Code="RepoNotFound" if "rows" not in self.path else "EntryNotFound"
        )

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/api/datasets/own/rows/tree/"):
            under = path.split("/tree/", 1)[1].partition("/")[2]
            self._json([_entry(n) for n in FILES if n.startswith(f"{under}/" if under else "")])
        elif path.startswith("/api/datasets/own/rows"):
            names = [{"rfilename": name} for name in FILES]
            self._json({"id": "own/rows", "sha": COMMIT, "siblings": names, "private": False,
                        "gated": False, "tags": [], "downloads": 0})  # fmt: skip
        elif "/resolve/" in path and path.split("/resolve/", 1)[1].partition("/")[2] in FILES:
            body = FILES[path.split("/resolve/", 1)[1].partition("/")[2]]
            self._send(body, ETag=f'"{hashlib.sha1(body).hexdigest()}"', X_Repo_Commit=COMMIT)
        else:
            self._missing()

    def do_HEAD(self):
        self.do_GET()

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        self._json([_entry(name) for name in asked.get("paths", []) if name in FILES])


def _entry(name):
    body = FILES[name]
    return {"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}


@pytest.fixture
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def looked(tmp_path, endpoint, data):
    """Return what a look at the data says, from a process that knows this Hub alone."""
    base = tiny_llama(tmp_path / "tiny.gguf", hidden=32, ffn=48).path
    recipe = Recipe(base=Base(model=str(base)), data=Data(path=data))
    where = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": str(ROOT),
             "STERNA_HOME": str(tmp_path / "home")}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-P", "-m", "backend.train.look", "--rows", "1"],
        input=json.dumps(recipes.as_dict(recipe)), capture_output=True, text=True, check=False,
        env={**os.environ, **where},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("part", "rows"), [("main", 7), ("more", 21)])
def test_a_part_of_a_data_set_is_fetched_and_read(tmp_path, endpoint, part, rows):
    seen = looked(tmp_path, endpoint, f"hf:own/rows/{part}")
    assert seen.get("rows_total") == rows, seen
    assert seen["format"] == "prompt"


def test_a_data_set_of_several_parts_names_them(tmp_path, endpoint):
    error = looked(tmp_path, endpoint, "hf:own/rows")["error"]
    assert error["kind"] == "no_data"
    assert "main" in error["message"]
    assert "hf:owner/name/PART" in error["hint"]


def test_a_data_set_that_is_not_there_is_told(tmp_path, endpoint):
    error = looked(tmp_path, endpoint, "hf:own/nothing")["error"]
    assert error["kind"] == "no_data"
    assert "own/nothing" in error["message"]
