"""Opening what is no ordinary file, closing, and what stays usable."""

import mmap
import os
import resource
import socket
from pathlib import Path

import numpy as np
import psutil
import pytest
from gguf_bytes import arch, gguf_bytes, tensor
from ggufs import tiny_llama, write_gguf

from backend.errors import SternaError
from backend.gguf import IncompleteHeaderError, describe, open_gguf, read_header, require_model
from backend.inference import load_model


def refusal(path):
    with pytest.raises(SternaError) as caught:
        open_gguf(path)
    return caught.value


def test_what_is_no_file_is_refused(tmp_path):
    assert refusal(tmp_path / "none.gguf").kind == "not_found"
    assert refusal(tmp_path / "none" / "none.gguf").kind == "not_found"
    assert refusal(tmp_path).kind == "not_gguf"
    (tmp_path / "empty.gguf").touch()
    assert refusal(tmp_path / "empty.gguf").kind == "truncated"
    assert refusal(tmp_path / "empty.gguf" / "below").kind == "not_found"
    os.mkfifo(tmp_path / "pipe.gguf")
    assert refusal(tmp_path / "pipe.gguf").kind == "not_gguf"
    assert refusal("/dev/null").kind == "not_gguf"
    assert refusal("/dev/zero").kind == "not_gguf"
    assert refusal("a\0b").kind == "unreadable"
    assert refusal("n" * 5000).kind == "unreadable"
    (tmp_path / "loop.gguf").symlink_to("loop.gguf")
    assert refusal(tmp_path / "loop.gguf").kind == "unreadable"
    (tmp_path / "gone.gguf").symlink_to("nowhere")
    assert refusal(tmp_path / "gone.gguf").kind == "not_found"
    with socket.socket(socket.AF_UNIX) as listener:
        short = tmp_path / "s"
        listener.bind(os.path.relpath(short))
        assert refusal(short).kind == "not_gguf"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission_is_refused(tmp_path):
    path = tiny_llama(tmp_path / "m.gguf").path
    path.chmod(0)
    assert refusal(path).kind == "unreadable"


def test_permission_is_told_apart(tmp_path, monkeypatch):
    path = tiny_llama(tmp_path / "m.gguf").path

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    assert "permissions" in refusal(path).hint


def test_symlinks_and_any_name_open(tmp_path):
    path = tiny_llama(tmp_path / "blob-without-extension").path
    (tmp_path / "link.gguf").symlink_to(path)
    with open_gguf(tmp_path / "link.gguf") as file:
        assert file.path.name == "link.gguf"
        assert describe(file).arch == "llama"


def test_closing_gives_file_descriptors_back(tmp_path):
    path = tiny_llama(tmp_path / "m.gguf").path
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(path.read_bytes()[:-1000])
    before = open_descriptors()
    for _ in range(20):
        with open_gguf(path) as file:
            describe(file)
        refusal(broken)
    assert open_descriptors() == before


def open_descriptors():
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else None


def test_data_outlives_closing_and_is_read_only(tmp_path):
    weights = np.arange(64, dtype=np.float32).reshape(2, 32)
    path = write_gguf(tmp_path / "m.gguf", {"read": "a", "unread": "b"}, {"w": weights})
    with open_gguf(path) as file:
        data = file.data("w")
        metadata = file.metadata
        assert metadata["read"] == "a"
    np.testing.assert_array_equal(data.view(np.float32).reshape(2, 32), weights)
    with pytest.raises(ValueError, match="read-only"):
        data[0] = 1
    assert metadata["read"] == "a"
    with pytest.raises(ValueError, match="released"):
        metadata["unread"]


def test_a_limit_on_address_space_is_told(tmp_path):
    path = tmp_path / "big.gguf"
    size = 1 << 42  # a hole: it takes no room on the disk
    elements = (size - 4096) // 4
    head = gguf_bytes([arch()], [tensor("w", (elements,))])
    with path.open("wb") as file:
        file.write(head)
        try:
            file.truncate(size)
        except OSError:
            pytest.skip("this file system has no files of 4 TB")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 41, limits[1]))
    try:
        assert refusal(path).kind == "out_of_memory"
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def test_a_header_can_be_read_from_the_start_of_a_file(tmp_path):
    whole = tiny_llama(tmp_path / "m.gguf").path.read_bytes()
    header = read_header(whole)
    start = header.data_start
    again = read_header(whole[:start], size=len(whole))
    assert again.tensors == header.tensors
    fetched = 64
    for _ in range(200):  # what a fetcher does, asking for no more than it must
        if fetched >= start:
            break
        with pytest.raises(IncompleteHeaderError) as caught:
            read_header(whole[:fetched], size=len(whole))
        assert fetched < caught.value.needed <= start
        fetched = max(caught.value.needed, fetched + 1024)
    assert read_header(whole[:fetched], size=len(whole)).tensors == header.tensors
    with pytest.raises(SternaError) as caught:
        read_header(whole[:start], size=start)
    assert caught.value.kind == "truncated"
    assert not isinstance(caught.value, IncompleteHeaderError)


def test_require_model(tmp_path):
    with open_gguf(tiny_llama(tmp_path / "m.gguf").path) as file:
        require_model(file)
    odd = {"general.type": "strange", "general.architecture": "llama"}
    with open_gguf(tiny_llama(tmp_path / "m.gguf", metadata=odd).path) as file:
        require_model(file)
    weights = {"a": np.zeros(32, np.float32)}
    for metadata, tensors, word in (
        ({"general.type": "adapter"}, weights, "adapter"),
        ({"general.architecture": "clip"}, weights, "projector"),
        ({"tokenizer.ggml.tokens": ["a"]}, {}, "vocabulary"),
        ({}, {}, "no model"),
    ):
        path = write_gguf(tmp_path / "o.gguf", metadata, tensors)
        with open_gguf(path) as file, pytest.raises(SternaError, match=word) as caught:
            require_model(file)
        assert caught.value.kind == "not_a_model"
        with pytest.raises(SternaError, match=word):
            load_model(path)


def test_the_largest_list_of_tensors_opens_quickly(tmp_path):
    count = 65_536
    listed = [tensor(f"t{i}", (0,)) for i in range(count)]
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_bytes([arch()], listed))
    with open_gguf(path) as file:
        assert len(file.tensors) == count
    path.write_bytes(gguf_bytes([arch()], [*listed, tensor("one more", (0,))]))
    assert refusal(path).kind == "corrupt"


def test_a_tensor_can_be_read_from_its_place(tmp_path):
    tensors = {"a.weight": np.arange(64, dtype=np.float32), "b.weight": np.arange(7, dtype=np.int8)}
    path = write_gguf(tmp_path / "m.gguf", {}, tensors)
    with open_gguf(path) as file:
        for name in tensors:
            descriptor, first = file.place(name)
            assert (
                os.pread(descriptor, file.tensors[name].nbytes, first) == file.data(name).tobytes()
            )
    with pytest.raises(OSError, match="Bad file"):
        os.pread(descriptor, 1, 0)  # closed with the file


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="the system keeps what it wants")
def test_what_was_read_can_be_let_go_and_is_still_there(tmp_path):
    content = np.arange(4 << 20, dtype=np.float32)
    path = write_gguf(tmp_path / "m.gguf", {}, {"a.weight": content})
    with open_gguf(path) as file:
        data = file.data("a.weight")
        assert data.view(np.float32).sum() == content.sum()
        before = psutil.Process().memory_info().rss
        file.let_go()
        assert psutil.Process().memory_info().rss < before - 15_000_000
        assert data.view(np.float32)[-1] == content[-1]
