"""One repository: its files with exact sizes, what can be fetched of it, its licence and card."""

import re
from dataclasses import dataclass
from urllib.parse import quote

from backend.hub import failures
from backend.hub.client import HubClient
from backend.hub.search import FoundModel, found_model
from backend.hub.variants import RemoteFile, Variant, group

_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FRONT_MATTER = re.compile(r"\A\ufeff?---\s*\n.*?\n---\s*(?:\n|\Z)", re.DOTALL)
_CARD_BYTES = 512 << 10


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit. `license_url` is where its terms stand, its page at least."""

    model: FoundModel
    commit: str
    revision: str
    files: tuple[RemoteFile, ...]
    variants: tuple[Variant, ...]
    license_url: str = ""

    @property
    def repo(self) -> str:
        """Its name, owner/model."""
        return self.model.repo


def read_repository(client: HubClient, repo: str, revision: str = "main") -> Repository:
    """Ask for a repository with the sizes and hashes of its files; raises SternaError."""
    where = f"/api/models/{repo}/revision/{quote(revision, safe='')}"
    entry, _ = client.get(where, {"blobs": True}, about=repo)
    commit = entry.get("sha") if isinstance(entry, dict) else None
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise failures.unexpected(f"what it says of {repo} names no commit")
    try:
        model = found_model(entry)
    except Exception as error:
        raise failures.unexpected(f"what it says of {repo} is no model") from error
    files = [file for sibling in entry.get("siblings") or () if (file := _file(sibling))]
    if any(file.size is None for file in files):
        files = _tree(client, repo, commit) or files
    card = entry.get("cardData")
    url = card.get("license_link") if isinstance(card, dict) else None
    page = isinstance(url, str) and url.startswith(("https://", "http://"))
    return Repository(
        model=model,
        commit=commit,
        revision=revision,
        files=tuple(files),
        variants=tuple(group(files)),
        license_url=str(url) if page else "",
    )


def read_card(client: HubClient, repo: Repository) -> str:
    """Return the model card as Markdown, without its metadata; empty where there is none.

    It comes from outside: clean it before it is shown. Raises SternaError.
    """
    text = client.text(repo.repo, repo.commit, "README.md", limit=_CARD_BYTES) or ""
    return _FRONT_MATTER.sub("", text, count=1).strip()


def _file(entry: object) -> RemoteFile | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("rfilename"), str):
        return None
    lfs = entry.get("lfs")
    return _remote(entry["rfilename"], entry.get("size"), lfs, "sha256")


def _tree(client: HubClient, repo: str, commit: str) -> list[RemoteFile]:
    """Read the file list where the summary has no sizes; it comes in pages."""
    files: list[RemoteFile] = []
    where: str | None = f"/api/models/{repo}/tree/{commit}"
    params: dict[str, str | int | bool | list[str]] | None = {"recursive": True, "expand": False}
    while where is not None:
        entries, where = client.get(where, params, about=repo)
        params = None
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and entry.get("type") == "file":
                path = entry.get("path")
                if isinstance(path, str):
                    files.append(_remote(path, entry.get("size"), entry.get("lfs"), "oid"))
    return files


def _remote(path: str, size: object, lfs: object, key: str) -> RemoteFile:
    inside = lfs if isinstance(lfs, dict) else {}
    sha = inside.get(key)
    stored = inside.get("size", size)
    good = isinstance(stored, int) and not isinstance(stored, bool) and stored >= 0
    return RemoteFile(
        path,
        stored if good else None,
        sha if isinstance(sha, str) and _SHA256.fullmatch(sha) else None,
    )
