"""What the Hub holds: repositories, their files and commits."""

import hashlib
import mmap
import random
from dataclasses import dataclass, field
from pathlib import Path

LFS = (".gguf", ".safetensors", ".bin", ".pt", ".model")


def pseudo_random(size, seed=1):
    """Return bytes that are the same every time, and no two parts of which are alike."""
    return random.Random(seed).randbytes(size)


class StoredFile:
    """Content at a path. LFS files are known by their sha256, others by git's hash of a blob.

    `data` is bytes, or the path of a file on disk, which is then sent by the kernel.
    """

    def __init__(self, path, data):
        self.path, self.origin = path, None
        if isinstance(data, Path):
            self.origin = data
            with data.open("rb") as file:
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.data = data
        self.lfs = path.endswith(LFS)
        self.sha256 = hashlib.sha256(data).hexdigest()
        git = hashlib.sha1(b"blob %d\0" % len(data))
        git.update(data)
        self.git = git.hexdigest()

    @property
    def etag(self):
        return self.sha256 if self.lfs else self.git

    def sibling(self, *, blobs):
        entry = {"rfilename": self.path}
        if blobs:
            entry |= {"size": len(self.data), "blobId": self.git}
            if self.lfs:
                entry["lfs"] = {"sha256": self.sha256, "size": len(self.data), "pointerSize": 134}
        return entry

    def tree_entry(self):
        entry = {"type": "file", "path": self.path, "size": len(self.data), "oid": self.git}
        if self.lfs:
            entry["lfs"] = {"oid": self.sha256, "size": len(self.data), "pointerSize": 134}
        return entry


@dataclass
class Repo:
    """A model repository. `files` maps a path to its bytes (or to a file on disk); `put` commits a change."""

    id: str
    files: dict = field(default_factory=dict)
    downloads: int = 0
    likes: int = 0
    trending: int = 0
    modified: str = "2026-11-01T12:00:00.000Z"
    tags: tuple = ()
    license: str | None = "apache-2.0"
    card: dict = field(default_factory=dict)
    gated: str | bool = False
    private: bool = False
    gguf: dict | None = None
    safetensors: dict | None = None

    def __post_init__(self):
        self.commits = {}
        self._commit({path: StoredFile(path, data) for path, data in self.files.items()})

    def _commit(self, files):
        self.stored = files
        names = "".join(f"{path}:{file.sha256}\n" for path, file in sorted(files.items()))
        self.sha = hashlib.sha1(f"{self.id}\n{names}".encode()).hexdigest()
        self.commits[self.sha] = files

    def put(self, path, data):
        """Change a file on the main branch; older commits stay as they were."""
        self._commit(self.stored | {path: StoredFile(path, data)})

    def at(self, revision):
        """Return the commit and its files, or None where there is no such revision."""
        commit = self.sha if revision == "main" else revision
        files = self.commits.get(commit)
        return None if files is None else (commit, files)

    @property
    def all_tags(self):
        kinds = {path.rpartition(".")[2] for path in self.stored} & {"gguf", "safetensors"}
        licence = [f"license:{self.license}"] if self.license else []
        gguf = [self.gguf["architecture"]] if self.gguf and "architecture" in self.gguf else []
        return [*self.tags, *sorted(kinds), *licence, *gguf]

    @property
    def params(self):
        return (self.gguf or self.safetensors or {}).get("total")

    def facts(self):
        """Return every property that `expand` can name."""
        card = dict(self.card)
        if self.license:
            card.setdefault("license", self.license)
        return {
            "author": self.id.partition("/")[0],
            "cardData": card,
            "createdAt": "2026-01-01T00:00:00.000Z",
            "disabled": False,
            "downloads": self.downloads,
            "gated": self.gated,
            "gguf": self.gguf,
            "lastModified": self.modified,
            "library_name": None,
            "likes": self.likes,
            "pipeline_tag": "text-generation",
            "private": self.private,
            "safetensors": self.safetensors,
            "sha": self.sha,
            "siblings": [file.sibling(blobs=False) for file in self.stored.values()],
            "tags": self.all_tags,
            "trendingScore": self.trending,
        }

    def info(self, revision="main", *, blobs=False):
        """Return what /api/models/{id} says."""
        commit, files = self.at(revision)
        facts = {key: value for key, value in self.facts().items() if value is not None}
        return facts | {
            "_id": hashlib.md5(self.id.encode()).hexdigest()[:24],
            "id": self.id,
            "modelId": self.id,
            "sha": commit,
            "siblings": [file.sibling(blobs=blobs) for file in files.values()],
        }
