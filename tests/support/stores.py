"""Stores of other programs, laid out as those programs do."""

import hashlib
import json
import os
from pathlib import Path

_MODEL = "application/vnd.ollama.image.model"
_KINDS = {"license": b"MIT", "template": b"{{ .Prompt }}", "params": b"{}"}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Hub:
    """A Hugging Face cache; files land in it as huggingface_hub puts them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def repo(self, name: str) -> Path:
        return self.root / f"models--{name.replace('/', '--')}"

    def add(
        self,
        repo: str,
        files: dict[str, bytes],
        *,
        commit: str = "a" * 40,
        ref: str | None = "main",
    ) -> Path:
        """Add files to a revision and return the folder of its snapshot."""
        place = self.repo(repo)
        snapshot = place / "snapshots" / commit
        (place / "blobs").mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            lfs = name.endswith((".gguf", ".safetensors"))
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            blob = place / "blobs" / (sha256(content) if lfs else git)
            blob.write_bytes(content)
            link = snapshot / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(blob, link.parent))
        if ref is not None:
            (place / "refs").mkdir(exist_ok=True)
            (place / "refs" / ref).write_text(commit)
        return snapshot


class Ollama:
    """Ollama's folder of manifests and blobs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def blob(self, content: bytes) -> Path:
        return self.root / "blobs" / f"sha256-{sha256(content)}"

    def manifest(self, name: str) -> Path:
        model, _, tag = name.partition(":")
        parts = model.split("/")
        if len(parts) < 3:
            parts = ["registry.ollama.ai", *(["library"] if len(parts) == 1 else []), *parts]
        return self.root.joinpath("manifests", *parts, tag)

    def add(self, name: str, content: bytes, **layers: bytes) -> Path:
        """Add a model with its other layers and return the blob of its weights."""
        every = [(_MODEL, content)]
        every += [
            (f"application/vnd.ollama.image.{kind}", text)
            for kind, text in (_KINDS | layers).items()
        ]
        (self.root / "blobs").mkdir(parents=True, exist_ok=True)
        listed = []
        for kind, text in every:
            self.blob(text).write_bytes(text)
            listed.append(
                {"mediaType": kind, "digest": f"sha256:{sha256(text)}", "size": len(text)}
            )
        config = json.dumps({"model_format": "gguf", "name": name}).encode()
        self.blob(config).write_bytes(config)
        manifest = self.manifest(name)
        manifest.parent.mkdir(parents=True, exist_ok=True)
        docker = "application/vnd.docker.container.image.v1+json"
        manifest.write_text(
            json.dumps(
                {
                    "schemaVersion": 2,
                    "config": {"mediaType": docker, "digest": f"sha256:{sha256(config)}"},
                    "layers": listed,
                }
            )
        )
        return self.blob(content)
