"""The Hub on loopback is good enough for the real library, and misbehaves as told."""

import hashlib

import httpx2
import pytest
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from loopback_hub import (
    Fault,
    LoopbackHub,
    Repo,
    drop,
    flip,
    gzipped,
    ignore_range,
    other_content,
    pseudo_random,
    short,
    stall,
    status,
    wrong_total,
)

DATA = pseudo_random(1_500_000)
FILE = "tiny-Q4_K_M.gguf"


@pytest.fixture
def hub():
    repo = Repo("own/Tiny-GGUF", {FILE: DATA, "README.md": b"# Tiny"}, downloads=5)
    locked = Repo("own/Locked", {FILE: DATA}, gated="manual")
    with LoopbackHub(repo, locked) as hub:
        hub.tokens = {"hf_member": {"own/Locked"}, "hf_stranger": set()}
        yield hub


def fetched(hub, first=0, last=999_999):
    url = f"{hub.cdn}/{hashlib.sha256(DATA).hexdigest()}?signature={hub.signature}"
    return httpx2.get(url, headers={"Range": f"bytes={first}-{last}"}, timeout=10)


def test_search_goes_on_page_by_page(hub):
    for number in range(25):
        hub.add(Repo(f"many/model-{number}", downloads=number, tags=("text",)))
    found = list(HfApi(hub.endpoint).list_models(search="many", sort="downloads", limit=20))
    assert [model.downloads for model in found] == list(range(24, 4, -1))
    assert len(list(HfApi(hub.endpoint).list_models(filter="text"))) == 25
    with httpx2.Client() as client:
        page = client.get(f"{hub.endpoint}/api/models", params={"search": "many", "limit": 10})
        sizes = [len(page.json())]
        while "next" in page.links:
            page = client.get(page.links["next"]["url"])
            sizes.append(len(page.json()))
    assert sizes == [10, 10, 5]


def test_information_and_tree_agree(hub):
    api = HfApi(hub.endpoint)
    info = api.model_info("own/Tiny-GGUF", files_metadata=True)
    sizes = {file.rfilename: (file.size, file.lfs and file.lfs.sha256) for file in info.siblings}
    tree = api.list_repo_tree("own/Tiny-GGUF", recursive=True)
    assert sizes == {file.path: (file.size, file.lfs and file.lfs.sha256) for file in tree}
    assert sizes[FILE] == (len(DATA), hashlib.sha256(DATA).hexdigest())


def test_the_library_downloads_into_its_cache(hub, tmp_path):
    where = {"endpoint": hub.endpoint, "cache_dir": tmp_path}
    with open(hf_hub_download("own/Tiny-GGUF", FILE, **where), "rb") as file:  # noqa: PTH123
        assert file.read() == DATA
    assert not any("authorization" in r.headers for r in hub.requests if r.host == "cdn")


@pytest.mark.parametrize(
    ("repo", "file", "revision", "token", "error"),
    [
        ("own/Locked", FILE, "main", None, GatedRepoError),
        ("own/Locked", FILE, "main", "hf_stranger", GatedRepoError),
        ("own/None", FILE, "main", None, RepositoryNotFoundError),
        ("own/Tiny-GGUF", "none.gguf", "main", None, EntryNotFoundError),
        ("own/Tiny-GGUF", FILE, "v9", None, RevisionNotFoundError),
    ],
)
def test_refusals_are_those_of_the_hub(hub, tmp_path, repo, file, revision, token, error):
    with pytest.raises(error):
        hf_hub_download(
            repo,
            file,
            revision=revision,
            token=token,
            endpoint=hub.endpoint,
            cache_dir=tmp_path,
        )


def test_a_member_gets_the_gated_file(hub, tmp_path):
    where = {"endpoint": hub.endpoint, "cache_dir": tmp_path}
    assert hf_hub_download("own/Locked", FILE, token="hf_member", **where)


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (ignore_range, lambda r: (r.status_code, len(r.content)) == (200, len(DATA))),
        (status(503, Retry_After="1"), lambda r: (r.status_code, r.headers["retry-after"]) == (503, "1")),
        (wrong_total(7), lambda r: r.headers["content-range"] == "bytes 0-999999/7"),
        (short(10), lambda r: len(r.content) == 999_990),
        (flip(123), lambda r: r.content[123] == DATA[123] ^ 1 and r.content[124:] == DATA[124:1_000_000]),
        (other_content(bytes(len(DATA))), lambda r: r.content == bytes(1_000_000) and r.headers["etag"] == '"other"'),
        (gzipped, lambda r: r.headers["content-encoding"] == "gzip"),
    ],
)  # fmt: skip
def test_faults_strike_once(hub, change, seen):
    hub.faults = [Fault(change)]
    assert seen(fetched(hub))
    assert fetched(hub).content == DATA[:1_000_000]


@pytest.mark.parametrize("after", [0, 1, 300_000])
def test_a_connection_drops_at_any_byte(hub, after):
    hub.faults = [Fault(drop(after))]
    with pytest.raises(httpx2.RemoteProtocolError):
        fetched(hub)
    assert hub.ranges() == [(0, after)]


def test_a_stall_lasts_until_the_client_leaves(hub):
    hub.faults = [Fault(stall(1000))]
    url = f"{hub.cdn}/{hashlib.sha256(DATA).hexdigest()}?signature={hub.signature}"
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.get(url, timeout=0.3)


def test_down_and_back_on_the_same_ports(hub):
    hub.go_down()
    with pytest.raises(httpx2.ConnectError):
        fetched(hub)
    hub.come_back()
    assert fetched(hub).status_code == 206


def test_an_old_signature_expires(hub):
    url = f"{hub.cdn}/{hashlib.sha256(DATA).hexdigest()}?signature={hub.signature}"
    hub.signature = "second"
    assert httpx2.get(url).status_code == 403
