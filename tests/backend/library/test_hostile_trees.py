"""Folders that mean harm: loops, names of any bytes, what vanishes, what is half written."""

import json
import os
import threading

import pytest

from backend.library import scan, survey
from backend.library.background import remember
from backend.library.disk import use
from backend.library.duplicates import alike
from backend.library.files import walk
from backend.library.stores.folder import plain_models
from backend.library.verification import files_of, verify
from backend.settings import Library, Settings


def names(models):
    return sorted(model.name for model in models if model.store != "starter")


def test_loops_of_links_end_and_links_out_are_followed_once(home, own, gguf):
    (own / "a.gguf").write_bytes(gguf())
    (own / "loop").symlink_to(own)
    (own / "up").symlink_to(home)
    (own / "self").symlink_to("self")
    (own / "self.gguf").symlink_to("self.gguf")
    (own / "dangling.gguf").symlink_to("nowhere")
    far = home / "far"
    far.mkdir()
    (far / "back").symlink_to(far)
    (far / "b.gguf").write_bytes(gguf(2))
    (own / "one").symlink_to(far)
    (own / "two").symlink_to(far)
    assert names(scan()) == ["a", "b"]


def test_names_of_any_bytes_are_listed_and_remembered(own, gguf):
    raw = [b"line\nbreak.gguf", b"\x1b[2J\x1b]0;title\x07.gguf", b"bytes\xff\xfe.gguf", b"..gguf"]
    for number, name in enumerate(raw):
        (own / os.fsdecode(name)).write_bytes(gguf(number))
    first = scan()
    assert len(names(first)) == 4
    assert scan() == first
    assert {os.fsencode(model.path.name) for model in first if model.store == "sterna"} == set(raw)


def test_what_is_no_file_is_not_opened(own, gguf):
    os.mkfifo(own / "pipe.gguf")
    (own / "folder.gguf").mkdir()
    (own / "folder.gguf" / "inside.gguf").write_bytes(gguf())
    assert names(scan()) == ["inside"]


def test_a_deep_tree_ends(own):
    deep = own.joinpath(*["d"] * 40)
    deep.mkdir(parents=True)
    assert len(list(walk(str(own)))) < 15


def test_a_folder_that_may_not_be_read_hides_only_itself(tmp_path, gguf):
    """As root nothing is forbidden, so a process of another user looks."""
    for folder in ("open", "closed"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.gguf").write_bytes(gguf())
    (tmp_path / "closed").chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder.owner() == tmp_path.owner():
            folder.chmod(0o755)
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        if os.getuid() == 0:
            os.seteuid(65534)
        seen = [found.path for found in plain_models("folder", str(tmp_path))]
        os.write(theirs, "\n".join(seen).encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as answer:
        assert answer.read() == str(tmp_path / "open" / "a.gguf")
    os.waitpid(child, 0)
    (tmp_path / "closed").chmod(0o700)


def test_files_that_vanish_and_come_while_it_looks(own, gguf):
    content = gguf()
    for number in range(100):
        (own / f"{number}.gguf").write_bytes(content)
    stop = threading.Event()

    def disturb():
        while not stop.is_set():
            for number in range(50):
                (own / f"{number}.gguf").unlink(missing_ok=True)
            for number in range(50):
                (own / f"{number}.gguf").write_bytes(content[: number * 50])

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(5):
            assert len(names(scan())) >= 50
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"layers": [',
        b"[]",
        b'{"layers": 7, "config": []}',
        b'{"layers": [null, {}, {"digest": 5}, {"digest": "sha256:../../x"}]}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"layers": "' + b"x" * 2_000_000 + b'"}',
    ],
)
def test_manifests_that_are_half_written_or_mean_harm(ollama, gguf, text):
    ollama.add("good:1b", gguf())
    ollama.manifest("bad:1b").parent.mkdir(parents=True)
    ollama.manifest("bad:1b").write_bytes(text)
    assert names(scan()) == ["good:1b"]


def test_a_checkpoint_that_lies_about_itself(hub):
    for number, header in enumerate(
        [b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]", b"\x10\0\0\0\0\0\0\0" + b"{" * 16]
    ):
        hub.add(f"a/{number}", {"config.json": b"[", "m.safetensors": header})
    shape = {"w": {"dtype": ["x"], "shape": [1 << 60, -1, "x"] * 1000}, "v": None}
    text = json.dumps(shape).encode()
    hub.add("a/5", {"config.json": b"{}", "m.safetensors": len(text).to_bytes(8, "little") + text})
    models = [model for model in scan() if model.store == "huggingface"]
    assert len(models) == 5
    assert sum(model.error is not None for model in models) == 4


def test_a_hub_cache_whose_names_lead_elsewhere(home, hub, gguf):
    snapshot = hub.add("a/B", {"b.gguf": gguf()})
    secret = home / "secret.gguf"
    secret.write_bytes(gguf(7))
    (snapshot / "c.gguf").symlink_to(secret)
    (hub.root / "models--").mkdir()
    (hub.root / "models--x--y").write_text("a file")
    (hub.repo("a/B") / "refs" / "main").write_bytes(b"\xff" * 5000)
    found = {model.name: model for model in scan() if model.store == "huggingface"}
    assert set(found) == {"a/B/b.gguf", "a/B/c.gguf"}
    assert found["a/B/c.gguf"].sha256 is None


def test_a_setting_that_names_no_folder(home, gguf):
    (home / "file").write_bytes(b"x")
    folders = [str(home / "file"), "/nowhere/at/all", "", "~", "nul\0byte"]
    assert survey(Settings(library=Library(folders=folders))).away == []


def test_other_programs_stores_are_read_and_nothing_else(home, hub, ollama, gguf):
    """Listing, hashing, checking and adding up leave every name, time and byte as it was."""
    hub.add("a/B", {"b.gguf": gguf(1), "README.md": b"x"})
    ollama.add("b:1b", gguf(1))
    studio = home / ".lmstudio/models/p/m"
    studio.mkdir(parents=True)
    (studio / "m.gguf").write_bytes(gguf(1))
    (studio / "half.gguf.part").write_bytes(b"x")

    def picture():
        every = [
            path for top in (hub.root, ollama.root, home / ".lmstudio") for path in top.rglob("*")
        ]
        status = [(str(path), path.lstat()) for path in every]
        return [
            (path, s.st_ino, s.st_mtime_ns, s.st_size, s.st_nlink, s.st_mode) for path, s in status
        ]

    before = picture()
    listing = survey()
    remember(alike(listing.models))
    assert len(list(verify(files_of(survey().models)))) == 4
    assert use(survey()).duplicates
    assert picture() == before
