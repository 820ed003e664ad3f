"""`sterna show` for a model on the Hub: its header, read without downloading it, and what else there is."""

from argparse import Namespace
from dataclasses import replace

from backend.gguf import describe
from backend.hub import place, reference
from backend.hub.checkpoint import Checkpoint, read_checkpoint
from backend.hub.client import HubClient
from backend.hub.remote_header import read_remote
from backend.hub.repository import Repository, read_repository
from backend.hub.variants import Variant, choose
from backend.units import human_bytes, human_count
from tui.commands import output, show


def run(args: Namespace) -> int:
    """Print."""
    client = HubClient()
    meant = reference.parse(args.model)
    found = read_repository(client, meant.repo, meant.revision)
    variant = choose(found.variants, meant.choice, found.repo)
    if variant.files[0].path.lower().endswith(".gguf"):
        file = read_remote(found, variant)
        card = describe(file)
        card = replace(card, license=card.license or found.model.license or None)
        data = {**show.data(file, card), **_where(found, variant)}
        text = show.text(file, card, args)
    else:
        checkpoint = read_checkpoint(client, found, variant)
        data = {**_checkpoint_data(checkpoint), **_where(found, variant)}
        text = _checkpoint_text(found, checkpoint, args)
    output.emit(args, data, "\n\n".join((text, _offers(found))))
    return 0


def _where(found: Repository, variant: Variant) -> dict[str, object]:
    return {
        "path": None,
        "repo": found.repo,
        "commit": found.commit,
        "file": variant.files[0].path,
        "bytes": variant.bytes,
        "parts": [file.path for file in variant.files],
        "downloads": found.model.downloads,
        "likes": found.model.likes,
        "gated": found.model.gated or False,
        "files": [
            {"name": v.files[0].path, "quant": v.quant, "bytes": v.bytes, "kind": v.kind}
            for v in found.variants
        ],
    }


def _offers(found: Repository) -> str:
    """List everything that can be fetched."""
    rows = [["QUANT", "SIZE", "FILES", "NAME"]]
    for v in found.variants:
        size = "–" if v.bytes is None else human_bytes(v.bytes)
        note = f" ({v.missing} parts missing)" if v.missing else ""
        kind = "" if v.kind in ("model", "checkpoint") else f" [{v.kind}]"
        rows.append([v.quant or "–", size, str(len(v.files)), f"{v.files[0].path}{kind}{note}"])
    page = f"On the Hub: {place.page(found.repo)}"
    licence = found.license_url and f"\nLicence: {found.model.license} {found.license_url}"
    return f"{output.table(rows, right=frozenset((1, 2)))}\n\n{page}{licence}"


def _checkpoint_data(c: Checkpoint) -> dict[str, object]:
    return {
        "name": c.name,
        "kind": c.kind,
        "arch": c.arch,
        "params": c.params,
        "context": c.context,
        "quant": c.dtype,
        "license": c.license,
        "chat_template": c.chat_template,
        "tensors": [
            {"name": t.name, "type": t.type, "shape": list(t.shape), "bytes": t.bytes}
            for t in c.tensors
        ],
    }


def _checkpoint_text(found: Repository, c: Checkpoint, args: Namespace) -> str:
    facts = [
        ("name", c.name),
        ("kind", f"{c.kind} of safetensors"),
        ("architecture", c.arch),
        ("parameters", human_count(c.params) if c.params else ""),
        ("type", c.dtype),
        ("context", f"{c.context:,} tokens" if c.context else ""),
        ("tensors", str(len(c.tensors)) if c.tensors else ""),
        ("licence", found.model.license or "not said"),
        ("chat template", "yes (--template prints it)" if c.chat_template else "none"),
    ]
    parts = [output.table([[name, fact] for name, fact in facts if fact])]
    if args.template:
        parts.append(c.chat_template or "no chat template")
    if args.tensors:
        rows = [
            [t.name, t.type, "×".join(map(str, t.shape)), human_bytes(t.bytes)] for t in c.tensors
        ]
        parts.append(
            output.table([["TENSOR", "TYPE", "SHAPE", "SIZE"], *rows], right=frozenset((3,)))
        )
    return "\n\n".join(parts)
