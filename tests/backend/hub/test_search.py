"""Search: facets, order, pages; and a Hub that answers nonsense."""

import contextlib
import json
import subprocess
import sys

import pytest
from huggingface_hub.utils import close_session
from loopback_hub import Fault, Repo, drop, header, status

from backend.errors import SternaError
from backend.hub.client import HubClient
from backend.hub.repository import read_card, read_repository
from backend.hub.search import PAGE, Query, Search


def gguf(name, quants=("Q4_K_M",), *, params=None, arch="llama", **facts):
    files = {f"m-{quant}.gguf": name.encode() * 10 for quant in quants}
    return Repo(
        name, files, gguf={"total": params, "architecture": arch} if params else None, **facts
    )


@pytest.fixture
def shelves(hub):
    hub.repos.clear()
    for repo in (
        gguf(
            "qwen/Qwen3-4B-GGUF",
            ("Q4_K_M", "Q8_0"),
            params=4_000_000_000,
            arch="qwen3",
            downloads=50,
            likes=5,
            trending=1,
        ),
        gguf(
            "meta/Llama-8B-GGUF",
            params=8_000_000_000,
            downloads=90,
            likes=3,
            trending=2,
            license="llama3.1",
            gated="manual",
        ),
        gguf(
            "small/Tiny-GGUF",
            ("TQ2_0",),
            params=500_000_000,
            downloads=10,
            likes=9,
            trending=3,
            license="mit",
        ),
        gguf(
            "ms/bitnet-b1.58-2B-4T-gguf",
            ("i2_s",),
            params=2_000_000_000,
            arch="bitnet-b1.58",
            downloads=20,
            likes=8,
            trending=4,
            tags=("bitnet",),
            license="mit",
        ),
        Repo(
            "qwen/Qwen3-4B",
            {"model.safetensors": b"x", "config.json": b"{}"},
            safetensors={"parameters": {"BF16": 4_000_000_000}, "total": 4_000_000_000},
            downloads=70,
            trending=5,
        ),
        Repo("own/dataset-tools", {"a.txt": b"x"}, trending=6),
    ):
        hub.add(repo)  # fmt: skip
    return hub


def names(**facets):
    return [model.repo for model in Search(HubClient(), Query(**facets))]


def test_words_and_order(shelves):
    assert names(text="qwen3") == ["qwen/Qwen3-4B-GGUF"]
    assert names(sort="downloads")[:2] == ["meta/Llama-8B-GGUF", "qwen/Qwen3-4B-GGUF"]
    assert names(sort="likes")[0] == "small/Tiny-GGUF"
    assert names(sort="trending")[0] == "ms/bitnet-b1.58-2B-4T-gguf"


@pytest.mark.parametrize(
    ("facets", "found"),
    [
        ({"format": "safetensors"}, {"qwen/Qwen3-4B"}),
        ({"format": "ternary"}, {"small/Tiny-GGUF", "ms/bitnet-b1.58-2B-4T-gguf"}),
        ({"format": "ternary", "text": "bitnet"}, {"ms/bitnet-b1.58-2B-4T-gguf"}),
        ({"min_params": 3_000_000_000}, {"qwen/Qwen3-4B-GGUF", "meta/Llama-8B-GGUF"}),
        ({"min_params": 10**9, "max_params": 3 * 10**9}, {"ms/bitnet-b1.58-2B-4T-gguf"}),
        ({"license": "mit"}, {"small/Tiny-GGUF", "ms/bitnet-b1.58-2B-4T-gguf"}),
        ({"gated": True}, {"meta/Llama-8B-GGUF"}),
        ({"arch": "qwen3"}, {"qwen/Qwen3-4B-GGUF"}),
        ({"author": "ms"}, {"ms/bitnet-b1.58-2B-4T-gguf"}),
        ({"format": "any", "author": "own"}, {"own/dataset-tools"}),
        ({"gated": False, "license": "llama3.1"}, set()),
    ],
)
def test_facets(shelves, facets, found):
    assert set(names(**facets)) == found


def test_facets_hold_where_the_hub_ignores_them(shelves, monkeypatch):
    from loopback_hub.protocol import Protocol

    monkeypatch.setattr(Protocol, "_wanted", lambda *_: True)
    assert set(names(license="mit")) == {"small/Tiny-GGUF", "ms/bitnet-b1.58-2B-4T-gguf"}
    assert set(names(max_params=10**9)) == {"small/Tiny-GGUF"}
    assert set(names(format="safetensors")) == {"qwen/Qwen3-4B"}


def test_pages_come_when_they_are_asked_for(hub):
    for number in range(PAGE * 2 + 7):
        hub.add(gguf(f"many/m{number:03d}", downloads=number))
    search = Search(HubClient(), Query(text="many", sort="downloads"))
    first = search.next_page()
    asked = len(hub.requests)
    assert [model.downloads for model in first] == list(range(106, 56, -1))
    assert len(search.next_page()) == PAGE
    assert len(hub.requests) == asked + 1
    assert len(search.next_page()) == 7
    assert search.next_page() == []
    assert search.exhausted


def test_the_same_question_is_asked_once(hub):
    client = HubClient()
    list(Search(client, Query(text="tiny")))
    asked = len(hub.requests)
    assert [m.repo for m in Search(client, Query(text="tiny"))] == ["own/Tiny-GGUF"]
    assert len(hub.requests) == asked
    client.forget()
    list(Search(client, Query(text="tiny")))
    assert len(hub.requests) == asked + 1


def test_a_stopped_search_asks_no_more(hub):
    search = Search(HubClient(), Query())
    assert search.next_page(stopped=lambda: True) == []
    assert not search.exhausted


def test_the_token_goes_to_the_hub_and_nothing_about_this_computer(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    code = """
from backend.hub.client import HubClient
from backend.hub.search import Query, Search
list(Search(HubClient(), Query()))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    (request,) = [r for r in hub.requests if r.path == "/api/models"]
    assert request.token == "hf_secret"
    assert "torch" not in request.headers["user-agent"]
    assert request.headers["user-agent"].startswith("sterna/")
    assert all(r.path == "/api/models" for r in hub.requests)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>log in</html>",
        b'{"error": 1}',
        b"[1, null, {}, [], {\"id\": 7}]",
        b'[{"id": "a/b", "tags": 5, "gguf": "x", "siblings": [{}], "likes": "many"}]',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_answers_that_make_no_sense_never_break_it(hub, body):
    def nonsense(_request, answer):
        answer.body = body

    hub.faults = [Fault(nonsense, kind="api", times=None)]
    kinds = []
    with contextlib.suppress(SternaError):
        kinds += [model.repo for model in Search(HubClient(), Query(format="any"))]
    assert len(kinds) <= 1


def test_odd_facts_cost_only_themselves(hub):
    hub.add(Repo("own/Odd-GGUF", {"odd-Q8_0.gguf": b"x"}, safetensors={"total": 7}))
    (found,) = Search(HubClient(), Query("odd")).next_page()
    assert (found.repo, found.names, found.params) == ("own/Odd-GGUF", ("odd-Q8_0.gguf",), None)


def test_a_next_page_elsewhere_is_not_followed(hub):
    hub.faults = [Fault(header(Link='<http://evil.example/api>; rel="next"'), kind="api")]
    search = Search(HubClient(), Query(text="tiny"))
    search.next_page()
    with pytest.raises(SternaError) as caught:
        search.next_page()
    assert caught.value.kind == "bad_answer"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(status(503), kind="api"), None),
        (Fault(drop(5), kind="api"), None),
        (Fault(status(503), kind="api", times=None), "hub_failed"),
        (Fault(status(429), kind="api", times=None), "rate_limited"),
        (Fault(status(401, X_Error_Message="Invalid credentials"), kind="api", times=None), None),
    ],
)
def test_a_hub_that_fails(hub, monkeypatch, fault, kind):
    monkeypatch.setattr("backend.hub.client.time.sleep", lambda _: None)
    hub.faults = [fault]
    if kind is None and fault.times == 1:
        assert list(Search(HubClient(), Query()))
        return
    with pytest.raises(SternaError) as caught:
        list(Search(HubClient(), Query()))
    assert kind is None or caught.value.kind == kind


def test_a_bad_token_is_told_from_a_missing_model(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    refuse = status(401, X_Error_Message="Invalid credentials in Authorization header")
    hub.faults = [Fault(refuse, kind="api", times=None)]
    with pytest.raises(SternaError) as caught:
        read_repository(HubClient(), "own/Tiny-GGUF")
    assert caught.value.kind == "bad_token"
    assert "hf_old" not in str(caught.value.as_dict())


def test_offline_by_wish_and_by_fate(hub, monkeypatch):
    hub.go_down()
    with pytest.raises(SternaError) as caught:
        list(Search(HubClient(), Query()))
    assert caught.value.kind == "offline"
    assert "refused" in caught.value.message
    hub.come_back()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = len(hub.requests)
    with pytest.raises(SternaError) as caught:
        list(Search(HubClient(), Query()))
    assert caught.value.kind == "offline"
    assert "HF_HUB_OFFLINE" in caught.value.message
    assert len(hub.requests) == asked


def test_a_repository_tells_sizes_hashes_and_licence(hub):
    repo = gguf(
        "own/Rich",
        ("Q8_0", "Q4_K_M"),
        params=10,
        license="other",
        card={"license_name": "tern-1.0", "license_link": "https://example.org/terms"},
    )
    repo.put("README.md", b"---\nlicense: other\n---\n# Rich \x1b[2J\n")
    hub.add(repo)
    found = read_repository(HubClient(), "own/Rich")
    assert found.commit == repo.sha
    assert found.model.license == "tern-1.0"
    assert found.license_url == "https://example.org/terms"
    assert [(v.quant, v.bytes) for v in found.variants] == [("Q8_0", 80), ("Q4_K_M", 80)]
    assert all(file.sha256 for v in found.variants for file in v.files)
    assert read_card(HubClient(), found) == "# Rich \x1b[2J"


def test_sizes_that_the_summary_lacks_come_from_the_tree(hub):
    def without_sizes(_request, answer):
        said = json.loads(answer.body)
        if "siblings" not in said:
            return False
        said["siblings"] = [{"rfilename": s["rfilename"]} for s in said["siblings"]]
        answer.body = json.dumps(said).encode()
        return True

    hub.faults = [Fault(without_sizes, kind="api")]
    found = read_repository(HubClient(), "own/Tiny-GGUF")
    assert found.variants[0].bytes
    assert found.variants[0].files[0].sha256


@pytest.mark.parametrize(
    ("repo", "revision", "kind"),
    [
        ("own/None", "main", "not_found"),
        ("own/Tiny-GGUF", "v7", "not_found"),
        ("own--x/y", "main", "not_found"),
    ],
)
def test_what_is_not_there(hub, repo, revision, kind):
    with pytest.raises(SternaError) as caught:
        read_repository(HubClient(), repo, revision)
    assert caught.value.kind == kind


def test_an_endpoint_that_is_none(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "huggingface")
    with pytest.raises(SternaError) as caught:
        list(Search(HubClient(), Query()))
    assert caught.value.kind == "bad_settings"


def test_a_proxy_is_used_as_the_environment_says(hub, monkeypatch):
    """The loopback Hub plays the proxy: it is asked for an address on another host."""
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    monkeypatch.setenv("HTTP_PROXY", hub.endpoint)
    monkeypatch.setenv("http_proxy", hub.endpoint)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    close_session()  # the library's session keeps the proxies that it began with
    found = list(Search(HubClient(), Query(text="tiny")))
    close_session()
    assert [model.repo for model in found] == ["own/Tiny-GGUF"]
    assert any(r.target.startswith("http://hub.example/") for r in hub.requests)


def test_a_search_that_gives_up_says_so(hub):
    for number in range(PAGE * 7):
        hub.add(gguf(f"many/m{number:03d}", downloads=number))
    search = Search(HubClient(), Query(text="many", arch="no-such-thing"))
    assert search.next_page() == []
    assert (search.exhausted, search.given_up) == (True, True)
