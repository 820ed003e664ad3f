"""The network's proxy is used as the rest of the ecosystem uses it."""

import contextlib
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from downloading import DATA, FILE, Fetch
from huggingface_hub.utils import close_session


class Proxy(BaseHTTPRequestHandler):
    """Asks the host that the whole address in a request names, and notes the address."""

    protocol_version = "HTTP/1.1"
    asked: list[str]

    def pass_on(self):
        self.asked.append(self.path)
        parts = urlsplit(self.path)
        host = http.client.HTTPConnection(parts.netloc, timeout=20)
        named = {k: v for k, v in self.headers.items() if k.lower() != "proxy-connection"}
        host.request(self.command, self.path.removeprefix(f"http://{parts.netloc}"), headers=named)
        answer = host.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = answer.headers.get("Content-Length", "0") if self.command == "HEAD" else len(body)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)
        host.close()

    do_GET = do_HEAD = pass_on  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def proxy(hub, monkeypatch):
    """A proxy that the environment names; the library reads that when a session begins."""
    handler = type("Noted", (Proxy,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        close_session()
        yield handler
        close_session()
        with contextlib.suppress(OSError):
            server.shutdown()


def test_a_download_goes_through_it(hub, proxy):
    (file,) = Fetch().run()
    assert file.path.read_bytes() == DATA
    assert any(FILE in address for address in proxy.asked)
    assert len(proxy.asked) == len(hub.requests)


def test_hosts_that_are_excepted_are_asked_directly(hub, proxy, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    close_session()
    (file,) = Fetch().run()
    assert file.path.read_bytes() == DATA
    assert proxy.asked == []
