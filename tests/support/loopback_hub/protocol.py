"""The routes of the Hub: search, model information, trees, files."""

import base64
import json
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

_SORTS = {
    "trendingScore": lambda repo: repo.trending,
    "downloads": lambda repo: repo.downloads,
    "likes": lambda repo: repo.likes,
    "lastModified": lambda repo: repo.modified,
    "createdAt": lambda repo: repo.modified,
}
_MODEL = re.compile(r"/api/models/(?P<id>[^/]+/[^/]+)(?:/(?P<what>revision|tree)/(?P<rev>[^/]+))?$")
_RESOLVE = re.compile(r"/(?P<id>[^/]+/[^/]+)/resolve/(?P<rev>[^/]+)/(?P<path>.+)$", re.DOTALL)
_RANGE = re.compile(r"bytes=(\d+)-(\d*)$")
_SCALE = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "": 1}


@dataclass
class Request:
    """What was asked, and of which host: hub or cdn. `sent` counts the bytes of the body that left."""

    host: str
    method: str
    target: str
    headers: dict
    sent: int = 0

    def __post_init__(self):
        parts = urlsplit(self.target)
        self.path = unquote(parts.path)
        self.query = parse_qs(parts.query)

    @property
    def range(self):
        """First and last byte asked for, last None: to the end."""
        match = _RANGE.match(self.headers.get("range", ""))
        return (int(match[1]), int(match[2]) if match[2] else None) if match else None

    @property
    def token(self):
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass
class Answer:
    """What is answered; `cut`, `stall` and `rate` say how the body is sent."""

    status: int = 200
    headers: dict = field(default_factory=dict)
    body: bytes | memoryview = b""
    kind: str = "api"
    file: object = None
    start: int = 0
    cut: int | None = None
    stall: int | None = None
    rate: float | None = None


def _json(value, **headers):
    return Answer(200, {"Content-Type": "application/json", **headers}, json.dumps(value).encode())


def _refused(code, error, message, kind="api"):
    headers = {"X-Error-Code": error, "X-Error-Message": message, "Content-Type": "text/plain"}
    return Answer(code, headers, message.encode(), kind)


class Protocol:
    """Answers requests from `hub.repos` and `hub.tokens`."""

    def __init__(self, hub):
        self.hub = hub

    def answer(self, request):
        if request.host == "cdn":
            return self._stored(request)
        if request.path == "/api/models":
            return self._search(request)
        if request.path == "/api/whoami-v2":
            return self._whoami(request)
        if match := _MODEL.match(request.path):
            return self._model(request, match["id"], match["what"], match["rev"])
        if match := _RESOLVE.match(request.path):
            return self._resolve(request, match["id"], match["rev"], match["path"])
        return _refused(404, "", "Not Found")

    # Search

    def _search(self, request):
        query = {key: values[-1] for key, values in request.query.items()}
        found = [repo for repo in self.hub.repos.values() if self._wanted(repo, request.query)]
        key = _SORTS[query.get("sort", "trendingScore")]
        found.sort(key=key, reverse=True)
        size = min(int(query.get("limit", 1000)), 1000)
        start = int(base64.b64decode(query["cursor"])) if "cursor" in query else 0
        page, rest = found[start : start + size], found[start + size :]
        expand = request.query.get("expand")
        headers = {}
        if rest:
            cursor = base64.b64encode(str(start + size).encode()).decode()
            flat = [(k, v) for k, vs in request.query.items() for v in vs if k != "cursor"]
            url = f"{self.hub.endpoint}/api/models?{urlencode([*flat, ('cursor', cursor)])}"
            headers["Link"] = f'<{url}>; rel="next"'
        return _json([self._listed(repo, expand, query) for repo in page], **headers)

    def _listed(self, repo, expand, query):
        info = repo.info()
        base = {key: info[key] for key in ("_id", "id", "modelId")}
        if expand:
            facts = repo.facts()
            return base | {key: facts[key] for key in expand if facts.get(key) is not None}
        usual = ("likes", "downloads", "tags", "private", "pipeline_tag", "createdAt")
        full = ("siblings", "sha", "lastModified", "gated", "author") if query.get("full") else ()
        return base | {key: info[key] for key in usual + full}

    def _wanted(self, repo, query):
        if repo.private:
            return False
        last = {key: values[-1] for key, values in query.items()}
        words = last.get("search", "").casefold().split()
        if not all(word in repo.id.casefold() for word in words):
            return False
        if not set(query.get("filter", [])) <= set(repo.all_tags):
            return False
        if "author" in last and not repo.id.startswith(last["author"] + "/"):
            return False
        if "gated" in last and bool(repo.gated) != (last["gated"].lower() == "true"):
            return False
        return self._in_range(repo, last.get("num_parameters", ""))

    @staticmethod
    def _in_range(repo, wanted):
        for bound in filter(None, wanted.split(",")):
            side, _, text = bound.partition(":")
            number = float(text.rstrip("KMBT")) * _SCALE[text[len(text.rstrip("KMBT")) :]]
            params = repo.params
            if params is None or (params < number if side == "min" else params > number):
                return False
        return True

    # One model

    def _whoami(self, request):
        if request.token not in self.hub.tokens:
            return _refused(401, "", "Invalid credentials in Authorization header")
        auth = {"accessToken": {"displayName": "tests", "role": "read"}}
        return _json({"type": "user", "name": "tern", "auth": auth})

    def _missing(self, request, kind="api"):
        """Without a token the Hub does not tell a private repository from one that is not there."""
        code = 404 if request.token in self.hub.tokens else 401
        return _refused(code, "RepoNotFound", "Repository not found", kind)

    def _model(self, request, id_, what, revision):
        repo = self.hub.repos.get(id_)
        if repo is None or (repo.private and request.token not in self.hub.tokens):
            return self._missing(request)
        found = repo.at(revision or "main")
        if found is None:
            return _refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if what == "tree":
            return _json([file.tree_entry() for file in found[1].values()])
        if expand := request.query.get("expand"):
            facts = repo.facts()
            wanted = {key: facts[key] for key in expand if facts.get(key) is not None}
            return _json({"id": repo.id, **wanted})
        return _json(repo.info(revision or "main", blobs="blobs" in request.query))

    # Files

    def _resolve(self, request, id_, revision, path):
        repo = self.hub.repos.get(id_)
        known = request.token in self.hub.tokens
        if repo is None or (repo.private and not known):
            return self._missing(request, "resolve")
        if repo.gated and not known:
            message = f"Access to model {id_} is restricted. You must have access to it and be authenticated."
            return _refused(401, "GatedRepo", message, "resolve")
        if repo.gated and id_ not in self.hub.tokens[request.token]:
            message = f"Access to model {id_} is restricted and you are not in the authorized list."
            return _refused(403, "GatedRepo", message, "resolve")
        found = repo.at(revision)
        if found is None:
            return _refused(404, "RevisionNotFound", f"Invalid rev id: {revision}", "resolve")
        commit, files = found
        file = files.get(path)
        if file is None:
            answer = _refused(404, "EntryNotFound", "Entry not found", "resolve")
            answer.headers["X-Repo-Commit"] = commit
            return answer
        if not file.lfs:
            answer = self._bytes(request, file, f'"{file.git}"')
            answer.headers["X-Repo-Commit"] = commit
            return answer
        location = f"{self.hub.cdn}/{file.sha256}?{urlencode({'signature': self.hub.signature})}"
        headers = {
            "Location": location,
            "X-Repo-Commit": commit,
            "X-Linked-Size": str(len(file.data)),
            "X-Linked-Etag": f'"{file.sha256}"',
            "Content-Disposition": f"inline; filename*=UTF-8''{quote(path)}",
        }
        return Answer(302, headers, b"Found. Redirecting", "resolve")

    def _stored(self, request):
        """The second host: content by hash, for whoever has a valid signature."""
        if request.query.get("signature", [""])[0] != self.hub.signature:
            return Answer(
                403, {"Content-Type": "application/xml"}, b"<Error>expired</Error>", "file"
            )
        sha = request.path.strip("/")
        for repo in self.hub.repos.values():
            for files in repo.commits.values():
                for file in files.values():
                    if file.sha256 == sha:
                        return self._bytes(request, file, f'"{sha[:32]}"')
        return Answer(404, {}, b"", "file")

    def _bytes(self, request, file, etag):
        size = len(file.data)
        view = memoryview(file.data)
        headers = {"ETag": etag, "Accept-Ranges": "bytes", "Content-Type": "binary/octet-stream"}
        asked = request.range
        if_range = request.headers.get("if-range")
        if asked is None or (if_range and if_range != etag):
            return Answer(200, headers, view, "file", file)
        first, last = asked
        if first >= size:
            return Answer(416, {"Content-Range": f"bytes */{size}"}, b"", "file", file)
        last = size - 1 if last is None else min(last, size - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        return Answer(206, headers, view[first : last + 1], "file", file, first)
