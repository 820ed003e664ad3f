"""The listing: every store, equal contents once, only what has changed read again."""

import json
import os
import struct

import pytest

from backend import paths
from backend.errors import SternaError
from backend.library import find, mark, mark_used, resolve, scan, survey
from backend.settings import Library, Settings


def by_store(models):
    return {model.store: model for model in models if model.store != "starter"}


def only(models):
    (model,) = (model for model in models if model.store != "starter")
    return model


def test_every_store_is_listed_with_what_it_knows(home, own, hub, ollama, gguf, monkeypatch):
    (own / "mine.gguf").write_bytes(gguf(1))
    hub.add("someone/Tiny-GGUF", {"tiny-F32.gguf": gguf(2), "README.md": b"hello"})
    ollama.add("tern:1b", gguf(3))
    studio = home / ".lmstudio/models/publisher/Model-GGUF"
    studio.mkdir(parents=True)
    (studio / "Model-Q8.gguf").write_bytes(gguf(4))
    cache = home / ".cache/llama.cpp"
    cache.mkdir(parents=True)
    (cache / "owner_repo_file.gguf").write_bytes(gguf(5))
    folder = home / "disk"
    folder.mkdir()
    (folder / "loose.gguf").write_bytes(gguf(6))

    models = by_store(scan(Settings(library=Library(folders=[str(folder)]))))
    assert {store: model.name for store, model in models.items()} == {
        "sterna": "mine",
        "huggingface": "someone/Tiny-GGUF/tiny-F32.gguf",
        "ollama": "tern:1b",
        "lmstudio": "publisher/Model-GGUF/Model-Q8.gguf",
        "llama.cpp": "owner_repo_file",
        "folder": "loose",
    }
    assert all(model.error is None and model.arch == "llama" for model in models.values())
    known = {store for store, model in models.items() if model.sha256}
    assert known == {"huggingface", "ollama"}


def test_llama_cpp_may_keep_the_layout_of_the_hub(home, gguf, monkeypatch):
    from stores import Hub

    monkeypatch.setenv("LLAMA_CACHE", str(home / "llama"))
    Hub(home / "llama").add("a/B", {"b.gguf": gguf(1)})
    (home / "llama" / "c_d_e.gguf").write_bytes(gguf(2))
    found = [model for model in scan() if model.store == "llama.cpp"]
    assert sorted(model.name for model in found) == ["a/B/b.gguf", "c_d_e"]


def test_lm_studio_follows_its_pointer_and_its_settings(home, gguf):
    (home / "studio").mkdir()
    (home / ".lmstudio-home-pointer").write_text(f"{home / 'studio'}\n")
    (home / "studio/settings.json").write_text(json.dumps({"downloadsFolder": str(home / "big")}))
    (home / "big/p/m").mkdir(parents=True)
    (home / "big/p/m/x.gguf").write_bytes(gguf())
    assert only(scan()).store == "lmstudio"


def test_the_same_content_is_one_model_with_several_places(own, hub, ollama, gguf):
    content = gguf()
    hub.add("a/B", {"b.gguf": content})
    blob = ollama.add("b:latest", content)
    ollama.add("b:1b", content)
    os.link(blob, own / "linked.gguf")
    (own / "loose.gguf").write_bytes(content)  # its hash is not known yet: a model of its own

    first, second = sorted(
        (m for m in scan() if m.store != "starter"), key=lambda model: -len(model.copies)
    )
    assert second.name == "loose"
    assert {copy.name for copy in first.copies} == {"a/B/b.gguf", "b:latest", "b:1b", "linked"}
    assert first.sha256  # the loose name of the blob has the hash that the blob's name tells
    assert set(first.also_in) == {"huggingface", "ollama"}
    assert resolve("b:1b") == resolve("a/B") == own / "linked.gguf"
    assert find("b:1b")[1].store == "ollama"


def test_a_revision_on_main_stands_for_older_ones(hub, gguf):
    hub.add("a/B", {"b.gguf": gguf(1)}, commit="1" * 40, ref=None)
    hub.add("a/B", {"b.gguf": gguf(2)}, commit="2" * 40)
    models = [model for model in scan() if model.store == "huggingface"]
    assert "2" * 40 in str(models[0].path)
    assert len(models) == 2


def test_a_split_model_is_one_and_says_what_is_missing(own, gguf):
    for number in (1, 3):
        (own / f"big-{number:05}-of-00003.gguf").write_bytes(
            gguf(metadata={"split.count": 3, "split.no": number - 1})
        )
    model = only(scan())
    assert model.name == "big"
    assert "big-00002-of-00003.gguf is missing" in model.error
    (own / "big-00001-of-00003.gguf").unlink()
    model = only(scan())
    assert model.error
    assert model.path.name == "big-00003-of-00003.gguf"


def checkpoint_files():
    header = json.dumps(
        {"w": {"dtype": "BF16", "shape": [4, 8], "data_offsets": [0, 64]}, "__metadata__": {}}
    ).encode()
    config = {"model_type": "llama", "max_position_embeddings": 2048}
    return {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": struct.pack("<Q", len(header)) + header + bytes(64),
    }


def test_checkpoints_are_listed_as_what_they_are(hub):
    hub.add("a/B", checkpoint_files())
    model = only(scan())
    assert (model.kind, model.name, model.arch) == ("checkpoint", "a/B", "llama")
    assert (model.params, model.quant, model.context, model.error) == (32, "BF16", 2048, None)
    blob = model.copies[0].files[0].path
    os.truncate(blob, 20)
    assert "cut short" in only(scan()).error


def test_checkpoints_in_plain_folders_are_listed_beside_files(own, gguf):
    folder = own / "deep" / "mine"
    folder.mkdir(parents=True)
    for name, data in checkpoint_files().items():
        (folder / name).write_bytes(data)
    (folder / "mine-Q4.gguf").write_bytes(gguf())
    found = {model.kind: model for model in scan() if model.store != "starter"}
    assert set(found) == {"checkpoint", "model"}
    made = found["checkpoint"]
    assert (made.name, made.path, made.arch, made.error) == ("mine", folder, "llama", None)
    assert made.bytes == (folder / "model.safetensors").stat().st_size
    (folder / "config.json").unlink()  # weights alone say nothing of themselves
    assert {model.kind for model in scan() if model.store != "starter"} == {"model"}


def test_a_second_look_opens_no_file(own, gguf, monkeypatch):
    (own / "a.gguf").write_bytes(gguf(1))
    first = scan()
    monkeypatch.setattr("backend.library.listing.look_into", lambda _: pytest.fail("read again"))
    assert scan() == first


def test_a_changed_file_is_read_again_and_a_deleted_one_forgotten(own, gguf):
    path = own / "a.gguf"
    path.write_bytes(gguf(1)[:3000])
    assert only(scan()).error
    path.write_bytes(gguf(1))
    assert only(scan()).error is None
    path.unlink()
    assert not by_store(scan())


def test_progress_tells_what_was_found_so_far(own, gguf):
    for seed in range(3):
        (own / f"{seed}.gguf").write_bytes(gguf(seed))
    counts = []
    survey(progress=lambda so_far: counts.append(len(so_far())))
    assert counts == sorted(counts)
    assert len(counts) == 4  # the starter, too


def test_a_database_that_cannot_be_used_is_told_and_the_list_is_whole(own, gguf):
    (own / "a.gguf").write_bytes(gguf())
    paths.database_file().mkdir()
    listing = survey()
    assert only(listing.models).name == "a"
    assert "read afresh" in listing.notices[0]


def test_a_damaged_database_is_told_to_who_sees_it_first(own):
    paths.database_file().write_bytes(b"junk" * 3000)
    assert "damaged" in survey().notices[0]


# Disks that come and go


@pytest.fixture
def disk(home, tmp_path_factory):
    """Return a folder on another file system, and the link under which it is 'connected'."""
    import shutil
    import tempfile

    there = tempfile.mkdtemp(dir="/dev/shm")
    link = home / "media"
    link.symlink_to(there)
    yield link
    shutil.rmtree(there)


def test_a_disk_that_is_away_keeps_its_models_as_not_connected(disk, gguf):
    wish = Settings(library=Library(folders=[str(disk)]))
    (disk / "far.gguf").write_bytes(gguf())
    assert only(scan(wish)).connected
    target = disk.readlink()
    for _ in range(2):
        disk.unlink(missing_ok=True)
        listing = survey(wish)
        model = only(listing.models)
        assert (model.name, model.connected, listing.away) == ("far", False, [str(disk)])
        assert "not connected" in model.error
        paths.settings_file().write_text(f'[library]\nfolders = ["{disk}"]')
        with pytest.raises(SternaError) as caught:
            resolve("far")
        assert caught.value.kind == "not_connected"
    disk.mkdir()  # a mount point without its disk
    assert not only(scan(wish)).connected
    disk.rmdir()
    disk.symlink_to(target)
    assert only(scan(wish)).connected


def test_a_folder_that_was_emptied_is_not_away(home, gguf):
    folder = home / "models"
    folder.mkdir()
    wish = Settings(library=Library(folders=[str(folder)]))
    (folder / "a.gguf").write_bytes(gguf())
    assert only(scan(wish))
    (folder / "a.gguf").unlink()
    assert not by_store(scan(wish))
    folder.rmdir()
    assert not by_store(scan(wish))


# What the person notes


def test_marks_follow_the_content_to_another_place(own, hub, gguf):
    content = gguf()
    hub.add("a/B", {"b.gguf": content})
    model = only(scan())
    mark(model, favourite=True, note="good at rhymes", alias="Rhymer")
    mark_used(model.path, 1000.0)
    model = only(scan())
    assert (model.favourite, model.note, model.alias) == (True, "good at rhymes", "Rhymer")
    assert model.last_used == 1000.0
    assert resolve("rhymer") == model.path

    import shutil

    shutil.rmtree(hub.root)
    assert not by_store(scan())
    hub.add("c/D", {"d.gguf": content})
    moved = only(scan())
    assert (moved.favourite, moved.alias) == (True, "Rhymer")
    mark(moved, favourite=False, alias="")
    assert (only(scan()).favourite, only(scan()).alias) == (False, "")


@pytest.mark.parametrize("alias", ["a/b", "x.gguf", "\x1b[2J", "n" * 65, "other", "tiny\u202e"])
def test_an_alias_can_be_typed_and_means_one_model(own, gguf, alias):
    (own / "one.gguf").write_bytes(gguf(1))
    (own / "other.gguf").write_bytes(gguf(2))
    models = scan()
    with pytest.raises(SternaError) as caught:
        mark(find("one", models)[0], alias=alias, others=tuple(models))
    assert caught.value.kind == "bad_alias"


def test_a_path_means_the_model_that_lies_there(own, hub, gguf, monkeypatch):
    hub.add("a/B", {"b.gguf": gguf()})
    model = only(scan())
    assert find(str(model.path))[0] == model
    assert find(os.path.realpath(model.path))[0] == model
    monkeypatch.chdir(model.path.parent)
    assert find("./b.gguf")[0] == model
