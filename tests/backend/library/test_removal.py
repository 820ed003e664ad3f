"""Deleting: what goes, what it frees, what stays."""

import os
import struct

import pytest
from huggingface_hub import scan_cache_dir
from removing import delete, entries, names, picture, undo

from backend.errors import SternaError
from backend.library import find, scan
from backend.library.removal import plan, remove


def test_a_plain_file_goes_and_comes_back(own, gguf):
    content = gguf()
    (own / "a.gguf").write_bytes(content)
    before = (own / "a.gguf").stat()
    removal = delete("a")
    assert removal.paths == (str(own / "a.gguf"),)
    assert removal.frees == len(content)
    assert names() == []
    undo()
    after = (own / "a.gguf").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert entries() == []


def test_all_parts_of_a_split_model_go(own, gguf):
    for number in range(3):
        (own / f"big-{number + 1:05}-of-00003.gguf").write_bytes(
            gguf(number, metadata={"split.count": 3, "split.no": number})
        )
    assert len(delete("big").paths) == 3
    assert list(own.iterdir()) == []
    undo()
    assert len(list(own.iterdir())) == 3


@pytest.mark.parametrize("other", ["", "mine.gguf", "notes.txt"])
def test_a_checkpoint_goes_with_its_folder_where_nothing_else_is_in_it(own, gguf, other):
    folder = own / "mine"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "model-00001-of-00001.safetensors",
                 "model.safetensors.index.json"):  # fmt: skip
        (folder / name).write_bytes(struct.pack("<Q", 2) + b"{}")
    if other:
        (folder / other).write_bytes(gguf())
    before = picture(own)
    delete(str(folder))
    assert picture(own) == (
        {"mine": "folder", f"mine/{other}": before[f"mine/{other}"]} if other else {}
    )
    undo()
    assert picture(own) == before


def test_a_repository_with_nothing_else_goes_as_a_whole(hub, gguf):
    hub.add("a/B", {"b.gguf": gguf(1)})
    hub.add("c/D", {"d.gguf": gguf(2)})
    before = picture(hub.root)
    removal = delete("a/B")
    assert removal.paths == (str(hub.repo("a/B")),)
    assert removal.frees == len(gguf(1)) + 40  # the blob, and the commit that refs/main names
    assert not hub.repo("a/B").exists()
    assert not scan_cache_dir(hub.root).warnings
    undo()
    assert picture(hub.root) == before


def test_other_files_of_a_repository_stay(hub, gguf):
    hub.add("a/B", {"b-Q8.gguf": gguf(1), "b-Q4.gguf": gguf(2), "README.md": b"x"})
    before = picture(hub.root)
    delete("b-Q8")
    assert names() == ["a/B/b-Q4.gguf"]
    cache = scan_cache_dir(hub.root)
    assert not cache.warnings
    assert {file.file_name for r in cache.repos for v in r.revisions for file in v.files} == {
        "b-Q4.gguf", "README.md",
    }  # fmt: skip
    undo()
    assert picture(hub.root) == before


def test_a_blob_that_two_revisions_share_goes_from_both(hub, gguf):
    shared, newer = gguf(1), gguf(2)
    hub.add("a/B", {"same.gguf": shared, "b.gguf": gguf(3)}, commit="1" * 40, ref="old")
    hub.add("a/B", {"same.gguf": shared, "b.gguf": newer}, commit="2" * 40)
    before = picture(hub.root)
    removal = delete("same")
    assert removal.frees == len(shared)
    assert len(removal.paths) == 3  # two links and a blob
    assert not scan_cache_dir(hub.root).warnings
    undo()
    assert picture(hub.root) == before


def test_a_revision_goes_and_the_other_keeps_its_blob(hub, gguf):
    hub.add("a/B", {"b.gguf": gguf(1)}, commit="1" * 40, ref=None)
    hub.add("a/B", {"b.gguf": gguf(2)}, commit="2" * 40)
    old = next(model for model in scan() if "1" * 40 in str(model.path))
    remove(plan(old, old.copies), "app")
    (model,) = (model for model in scan() if model.store == "huggingface")
    assert "2" * 40 in str(model.path)
    assert model.error is None


def test_layers_that_two_manifests_share_stay(ollama, gguf):
    content = gguf()
    ollama.add("tern:1b", content)
    ollama.add("tern:latest", content, system=b"Be brief.")
    before = picture(ollama.root)
    removal = delete("tern:latest")
    assert str(ollama.blob(content)) not in removal.paths
    assert str(ollama.blob(b"Be brief.")) in removal.paths
    assert "stay" in removal.kept[0]
    assert names() == ["tern:1b"]
    assert find("tern:1b")[0].error is None
    undo()
    assert picture(ollama.root) == before
    everything = delete("tern:1b", everywhere=True)
    assert everything.frees >= len(content)
    assert not any(ollama.root.rglob("sha256-*"))


def test_a_manifest_that_cannot_be_read_keeps_every_layer(ollama, gguf):
    content = gguf()
    ollama.add("tern:1b", content)
    ollama.manifest("half:1b").parent.mkdir(parents=True)
    ollama.manifest("half:1b").write_text('{"layers": [')
    removal = delete("tern:1b")
    assert removal.paths == (str(ollama.manifest("tern:1b")),)
    assert removal.frees < 1000
    assert "cannot be read" in removal.kept[0]
    assert ollama.blob(content).exists()


def test_lm_studio_and_llama_cpp_lose_what_belongs_to_the_model(home, gguf):
    folder = home / ".lmstudio/models/publisher/Model"
    folder.mkdir(parents=True)
    (folder / "m.gguf").write_bytes(gguf(1))
    cache = home / ".cache/llama.cpp"
    cache.mkdir(parents=True)
    (cache / "a_b.gguf").write_bytes(gguf(2))
    (cache / "a_b.gguf.json").write_text("{}")
    assert delete("m").paths == (str(folder),)
    assert len(delete("a_b").paths) == 2
    assert list(cache.iterdir()) == []
    undo()
    undo()
    assert names() == ["a_b", "publisher/Model/m.gguf"]


def test_the_starter_stays(home):
    with pytest.raises(SternaError) as caught:
        delete("starter")
    assert caught.value.kind == "not_deletable"


def test_hard_links_free_nothing_and_the_preview_says_so(own, ollama, gguf):
    content = gguf()
    blob = ollama.add("tern:1b", content)
    os.link(blob, own / "linked.gguf")
    model, copy = find(str(own / "linked.gguf"))
    removal = plan(model, (copy,))
    assert removal.frees == 0
    assert str(blob) in removal.kept[0]
    assert [copy.store for copy in removal.remains] == ["ollama"]
    both = plan(model, model.copies)
    assert both.frees >= len(content)


def test_a_link_out_of_a_folder_goes_and_its_target_stays(home, own, gguf):
    far = home / "far.gguf"
    far.write_bytes(gguf())
    (own / "link.gguf").symlink_to(far)
    removal = delete("link")
    assert removal.frees == 0
    assert far.exists()
    undo()
    assert (own / "link.gguf").readlink() == far


def test_a_blob_that_lies_outside_of_the_cache_stays(home, hub, gguf):
    snapshot = hub.add("a/B", {"b.gguf": gguf(), "README.md": b"x"})
    blob = (snapshot / "b.gguf").resolve()
    far = home / "far.bin"
    blob.rename(far)
    blob.symlink_to(far)
    removal = delete("a/B/b.gguf")
    assert str(far) in removal.kept[0]
    assert far.exists()
    assert removal.frees == 0
    undo()
    assert names() == ["a/B/b.gguf"]


def test_a_linked_cache_is_deleted_from_where_it_is(home, hub, gguf, tmp_path):
    hub.add("a/B", {"b.gguf": gguf()})
    hub.root.rename(tmp_path / "real")
    hub.root.symlink_to(tmp_path / "real")
    before = picture(tmp_path / "real")
    delete("a/B")
    assert not list((tmp_path / "real").iterdir())
    undo()
    assert picture(tmp_path / "real") == before


def test_names_that_mean_harm_go_and_come_back(own, gguf):
    for number, name in enumerate(["a\nb.gguf", "\x1b[2J.gguf", "\udcff.gguf", "-rf.gguf"]):
        (own / name).write_bytes(gguf(number))
    before = picture(own)
    for model in scan():
        if model.store != "starter":
            remove(plan(model, model.copies), "app")
    assert list(own.iterdir()) == []
    for _ in range(4):
        undo()
    assert picture(own) == before
