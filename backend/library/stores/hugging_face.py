"""The Hugging Face cache: models--OWNER--NAME/{blobs,refs,snapshots/COMMIT/…}.

A snapshot's files are links to blobs. A blob is named by the SHA-256 of its content when Git LFS
keeps it, else by its Git object id; so the hash of a model is known without reading it.
"""

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from backend.library.files import LINKING, entries, grouped, is_model, look_at, walk, without_part
from backend.library.model import Copy, File, Found
from backend.library.stores.checkpoints import weights_of
from backend.library.stores.store import (
    Belongings,
    Leftover,
    Store,
    is_settled,
    leftover,
    names_in,
    together,
)
from backend.settings import Settings

_SHA = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PARTIAL = (".incomplete", LINKING)


def hub_cache() -> Path:
    """Return the folder of the cache, as the ecosystem's variables say."""
    explicit = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if explicit:
        return Path(explicit).expanduser()
    home = os.environ.get("HF_HOME")
    if home:
        return Path(home).expanduser() / "hub"
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "huggingface" / "hub"


class HubLayout(Store):
    """Any store laid out like the Hub's cache."""

    def holds(self, root: str, path: str) -> bool:
        """Whether `path` lies in a repository of this layout."""
        return path[len(root) :].lstrip("/").startswith("models--")

    def models(self, root: str) -> Iterator[Found]:
        """Yield the GGUF files and checkpoints of every repository and revision."""
        for repo in _repos(root):
            for snapshot in _snapshots(repo.path):
                yield from self._in_snapshot(root, _repo_name(repo.name), snapshot)

    def hash_in_name(self, path: str) -> str | None:
        """Return the name of the blob, if Git LFS gave it."""
        return _named_by(path)

    def _in_snapshot(self, root: str, repo: str, snapshot: str) -> Iterator[Found]:
        for where, files in walk(snapshot, follow=False):
            inside = repo + where[len(snapshot) :]
            by_name = {entry.name: entry for entry in files}
            for names in grouped([name for name in by_name if is_model(name)]):
                parts = tuple(_looked(by_name[name]) for name in names)
                if known := tuple(part for part in parts if part is not None):
                    name = f"{inside}/{without_part(names[0])}"
                    yield Found(known[0].path, self.name, root, known, name)
            weights = tuple(_looked(by_name[name]) for name in weights_of(by_name))
            if known := tuple(part for part in weights if part is not None):
                yield Found(where, self.name, root, known, inside)

    def leftovers(self, root: str) -> Iterator[Leftover]:
        """Yield partial downloads, blobs without a snapshot, and blobs that a newer one replaced."""
        for repo in _repos(root):
            blobs = {entry.name: entry for entry in entries(f"{repo.path}/blobs")}
            links = _links(repo.path)
            named = set(links.values())
            replaced = _superseded(repo.path, links)
            for name, entry in blobs.items():
                file = look_at(entry.path)
                if file is None:
                    continue
                if name.endswith(_PARTIAL):
                    if not _is_being_written(root, repo.name, file):
                        yield leftover(self, root, "partial", file)
                elif entry.path not in named and (_SHA.fullmatch(name) or _COMMIT.fullmatch(name)):
                    yield leftover(self, root, "unreferenced", file)
                elif entry.path in replaced:
                    yield leftover(self, root, "superseded", file)

    def belongings(self, copies: Sequence[Copy]) -> Belongings:
        """Return the links of every revision to these contents, and the blobs; or whole repositories."""
        files: dict[str, list[str]] = {}
        for copy in copies:
            inside = str(copy.path)[len(copy.root) :].lstrip("/")
            repo = f"{copy.root}/{inside.partition('/')[0]}"
            files.setdefault(repo, []).extend(file.path for file in copy.files)
        return together(_without(repo, paths) for repo, paths in files.items())

    def goes_with(self, left: Leftover) -> tuple[str, ...]:
        """Return a blob that is left over, and the links of old revisions to it."""
        if left.why != "superseded":
            return (left.path,)
        return _without(os.path.dirname(os.path.dirname(left.path)), [left.path]).paths


class HuggingFace(HubLayout):
    """The cache that every tool of the ecosystem shares."""

    name, title = "huggingface", "Hugging Face cache"

    def roots(self, settings: Settings) -> list[Path]:
        """Return the cache."""
        return [hub_cache()] if settings.library.hugging_face else []


def _repos(root: str) -> list[os.DirEntry[str]]:
    return [entry for entry in entries(root) if entry.name.startswith("models--")]


def _repo_name(folder: str) -> str:
    return folder.removeprefix("models--").replace("--", "/", 1)


def _snapshots(repo: str) -> list[str]:
    """Return the folders of the revisions, that of `main` first."""
    snapshots = [entry.path for entry in entries(f"{repo}/snapshots")]
    if len(snapshots) > 1:
        main = _refs(repo).get("main")
        snapshots.sort(key=lambda path: not path.endswith(f"/{main}"))
    return snapshots


def _refs(repo: str) -> dict[str, str]:
    """Return the commits that a repository's branches and tags name."""
    refs = {}
    for where, files in walk(f"{repo}/refs", follow=False):
        for entry in files:
            with suppress(OSError), Path(entry.path).open(errors="replace") as file:
                commit = file.read(100).strip()
                if _COMMIT.fullmatch(commit):
                    refs[f"{where}/{entry.name}"[len(repo) + len("/refs/") :]] = commit
    return refs


def _looked(entry: os.DirEntry[str]) -> File | None:
    return look_at(entry.path, _named_by(entry.path) if entry.is_symlink() else None)


def _named_by(path: str) -> str | None:
    """Return the hash that the blob of a link, or a blob, is named by."""
    name = (_blob(path) or path).rpartition("/blobs/")[2]
    return name if _SHA.fullmatch(name) else None


def _blob(link: str) -> str | None:
    """Return the path that a link of a snapshot names, one step and no further."""
    try:
        target = os.readlink(link)
    except OSError:
        return None
    return os.path.normpath(f"{os.path.dirname(link)}/{target}")


def _links(repo: str) -> dict[str, str]:
    """Return every file of every snapshot, with the blob it names (itself, if it is no link)."""
    links = {}
    for _where, files in walk(f"{repo}/snapshots", follow=False):
        for entry in files:
            links[entry.path] = _blob(entry.path) or entry.path
    return links


def _superseded(repo: str, links: dict[str, str]) -> set[str]:
    """Return the blobs of revisions that no branch names, where one that a branch names has a newer file."""
    current = set(_refs(repo).values())
    blobs_in_use, renewed, old = set(), set(), {}
    top = len(f"{repo}/snapshots/")
    for link, blob in links.items():
        commit, _, inside = link[top:].partition("/")
        if commit in current:
            blobs_in_use.add(blob)
            renewed.add(inside)
        else:
            old[blob] = inside
    return {blob for blob, inside in old.items() if inside in renewed and blob not in blobs_in_use}


def _is_being_written(root: str, repo: str, file: File) -> bool:
    """Whether a program still writes a partial file: it was lately, or holds the Hub's lock on it."""
    if not is_settled(file):
        return True
    etag = os.path.basename(file.path).partition(".")[0]
    try:
        with Path(f"{root}/.locks/{repo}/{etag}.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _without(repo: str, files: list[str]) -> Belongings:
    """Return what of a repository goes together with some files of snapshots, or blobs."""
    links = _links(repo)
    blobs = {links.get(path, path) for path in files}
    gone = [link for link, blob in links.items() if blob in blobs]
    inside = [
        blob for blob in sorted(blobs) if blob.startswith(f"{repo}/blobs/") and blob not in gone
    ]
    left = set(names_in(f"{repo}/blobs")) - {os.path.basename(blob) for blob in inside}
    if len(gone) == len(links) and not left:
        return Belongings((repo,))
    kept = []
    for blob in inside:
        if os.path.islink(blob):
            kept.append(f"{os.path.realpath(blob)} lies outside of the cache and stays.")
    return Belongings((*gone, *inside), tuple(kept))
