"""What a model is, told by its header alone, read from the Hub in ranges."""

import itertools
import json

import pytest
from ggufs import tiny_llama, write_gguf
from loopback_hub import (
    Fault,
    Repo,
    drop,
    gzipped,
    header,
    ignore_range,
    short,
    stall,
    status,
    wrong_total,
)

from backend.errors import SternaError
from backend.gguf import describe, open_gguf
from backend.hub import remote_header
from backend.hub.checkpoint import read_checkpoint
from backend.hub.client import HubClient
from backend.hub.repository import read_repository
from backend.hub.variants import choose

TOKENS = [f"token {number}" for number in range(60_000)]


def remote(repo, choice=""):
    found = read_repository(HubClient(), repo)
    return remote_header.read_remote(found, choose(found.variants, choice, repo))


def refused(repo, choice=""):
    with pytest.raises(SternaError) as caught:
        remote(repo, choice)
    return caught.value


@pytest.fixture
def large(hub, tmp_path):
    """A model whose header is longer than the first range, and whose data is longer still."""
    path = tmp_path / "large-F32.gguf"
    tiny_llama(path, metadata={"tokenizer.ggml.merges": [f"{a} {a}" for a in TOKENS]})
    data = path.read_bytes() + bytes(6 << 20)
    path.write_bytes(data)
    hub.add(Repo("own/Large", {"large-F32.gguf": data}))
    return path


def test_it_says_what_the_file_says(hub, large):
    seen = len(hub.requests)
    there = remote("own/Large")
    with open_gguf(large) as here:
        assert describe(there) == describe(here)
        assert list(there.tensors.values()) == list(here.tensors.values())
        assert there.strings("tokenizer.ggml.merges") == here.strings("tokenizer.ggml.merges")
    fetched = sum(request.sent for request in hub.requests[seen:] if request.host == "cdn")
    assert fetched < 3 << 20 < large.stat().st_size
    ranges = hub.ranges()
    assert len(ranges) > 1
    assert all(a + n == b for (a, n), (b, _) in itertools.pairwise(ranges))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(drop(1000)),
        Fault(short(100)),
        Fault(status(503)),
        Fault(wrong_total(3)),
        Fault(header(Content_Range="bytes 9-10/11")),
        Fault(gzipped),
        Fault(ignore_range, times=None),
    ],
)
def test_in_spite_of_a_server_that_errs(hub, large, fault):
    hub.faults = [fault]
    assert remote("own/Large").architecture == "llama"
    if fault.times == 1:
        assert sum(request.sent for request in hub.served()) < large.stat().st_size


@pytest.mark.parametrize(
    "change", [wrong_total(3), header(Content_Range=None), gzipped, drop(0), status(404)]
)
def test_a_server_that_always_errs_is_told(hub, large, change):
    hub.faults = [Fault(change, times=None)]
    assert refused("own/Large").kind == "bad_server"


def test_a_silent_server_is_not_waited_for_for_ever(hub, large, monkeypatch):
    monkeypatch.setattr(remote_header, "_STALL_S", 0.2)
    hub.faults = [Fault(stall(10), times=None)]
    assert refused("own/Large").kind == "bad_server"


def test_a_split_model_is_joined_from_all_its_headers(hub, tmp_path):
    import numpy as np

    files = {}
    for number in range(3):
        path = tmp_path / f"{number}.gguf"
        metadata = {"split.no": number, "split.count": 3, "split.tensors.count": 3}
        if number == 0:
            metadata |= {"llama.block_count": 3, "llama.context_length": 4096}
        tensors = {f"blk.{number}.ffn_up.weight": np.zeros((8, 32), np.float32)}
        write_gguf(path, metadata, tensors)
        files[f"m-F32-{number + 1:05d}-of-00003.gguf"] = path.read_bytes()
    hub.add(Repo("own/Split", files))
    there = remote("own/Split")
    assert len(there.tensors) == 3
    assert there.size == sum(map(len, files.values()))
    assert describe(there).context == 4096
    files["m-F32-00002-of-00003.gguf"] = files["m-F32-00003-of-00003.gguf"]
    hub.add(Repo("own/Wrong", files))
    assert refused("own/Wrong").kind == "corrupt"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"<!DOCTYPE html>" + bytes(100), "not_gguf"),
        (b"GGUF", "truncated"),
        (b"", "truncated"),
        (b"GGUF\x03\0\0\0" + b"\xff" * 16, "corrupt"),
    ],
)
def test_what_is_no_model(hub, data, kind):
    hub.add(Repo("own/Odd", {"odd-Q8_0.gguf": data}))
    assert refused("own/Odd").kind == kind


def test_a_header_without_end_is_given_up(hub, monkeypatch):
    import struct

    monkeypatch.setattr(remote_header, "MOST", 2 << 20)
    key = struct.pack("<Q", 1) + b"k"
    text = struct.pack("<IQ", 8, 12 << 20) + bytes(12 << 20)
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + key + text
    hub.add(Repo("own/Endless", {"endless-Q8_0.gguf": data}))
    assert refused("own/Endless").kind == "too_large"
    assert sum(request.sent for request in hub.served()) < 3 << 20


def test_gated_models_need_a_token(hub, large):
    hub.repos["own/Large"].gated = "auto"
    assert refused("own/Large").kind == "gated_no_token"


def safetensors(tensors):
    listed, data = {}, b""
    for name, (dtype, shape, size) in tensors.items():
        start, data = len(data), data + bytes(size)
        listed[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, len(data)]}
    head = json.dumps({"__metadata__": {"format": "pt"}, **listed}).encode()
    return len(head).to_bytes(8, "little") + head + data


CONFIG = json.dumps({"model_type": "qwen3", "max_position_embeddings": 4096}).encode()


def checkpoint(hub, files):
    hub.add(Repo("own/Check", {"config.json": CONFIG, **files}))
    found = read_repository(HubClient(), "own/Check")
    return read_checkpoint(HubClient(), found, choose(found.variants, "", "own/Check"))


def test_a_checkpoint_is_told_by_its_headers(hub):
    template = json.dumps({"chat_template": "{{ messages }}"}).encode()
    many = {f"layer.{n}.weight": ("BF16", [4, 8], 64) for n in range(2000)}
    found = checkpoint(
        hub,
        {
            "model-00001-of-00002.safetensors": safetensors(many),
            "model-00002-of-00002.safetensors": safetensors({"norm": ("F32", [8], 32)}),
            "tokenizer_config.json": template,
        },
    )
    assert (found.arch, found.context, found.dtype) == ("qwen3", 4096, "BF16")
    assert found.params == 2000 * 32 + 8
    assert found.chat_template == "{{ messages }}"
    assert len(found.tensors) == 2001


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 8,
        b"\xff" * 40,
        (10).to_bytes(8, "little") + b"not json!!",
        (2).to_bytes(8, "little") + b"[]",
        safetensors({"a": ("BF16", [-1], 2)}),
        (46).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[1],"offsets":[0]}}',
    ],
)
def test_a_checkpoint_that_is_none(hub, data):
    with pytest.raises(SternaError) as caught:
        checkpoint(hub, {"model.safetensors": data})
    assert caught.value.kind == "corrupt"
