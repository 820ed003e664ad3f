"""`sterna export RUN`: what a run learned, for chat and for other programs."""

import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path

from backend.errors import SternaError
from backend.progress import Report
from backend.train import recipe as recipes
from backend.train.export.learned import read_changes
from backend.train.run import checkpoints
from backend.train.run import folder as folders
from backend.train.run.folder import RunFolder
from backend.train.source import Source, find
from backend.units import human_bytes
from tui.commands import jobs

_FORMS = ("gguf", "peft", "merged", "merged-gguf")


def add_arguments(parser: ArgumentParser) -> None:
    """Take the run and the form."""
    parser.add_argument("run", help="a run, or the folder of a PEFT adapter")
    parser.add_argument("out", nargs="?", type=Path, help="where to (default: in the run's folder)")
    parser.add_argument(
        "--as", dest="form", choices=_FORMS, default="gguf",
        help="gguf: an adapter beside its base (default); peft: a folder; merged: a folder of whole "
             "weights; merged-gguf: one file",
    )  # fmt: skip
    parser.add_argument(
        "--base", help="the base, where the run does not say or it is elsewhere now"
    )
    parser.add_argument("--checkpoint", type=int, help="of this step, in place of the end")
    jobs.add_arguments(parser)


def run(args: Namespace) -> int:
    """Export."""
    folder, learned = _learned(args)
    base = args.base or (recipes.load(folder.recipe).base.model if folder else _said(learned))
    name = folder.name if folder else learned.name
    place = folder.path / "export" if folder else Path()
    out = args.out or place / (
        name if args.form in ("peft", "merged") else f"{name}-{args.form}.gguf"
    )
    if args.out is None:
        out.parent.mkdir(parents=True, exist_ok=True)
    with jobs.job(args) as report:
        size = _write(args, learned, find(base), out, name, report)
    result = {"path": str(out), "bytes": size, "form": args.form, "base": base}
    jobs.finish(args, result, f"{out}\n{human_bytes(size)}{_use(args.form, base, out)}")
    return 0


def _learned(args: Namespace) -> tuple[RunFolder | None, Path]:
    """Return the run and the folder of what it learned."""
    given = Path(args.run).expanduser()
    if (given / "adapter_config.json").is_file():
        return None, given.resolve()
    folder = folders.find(args.run)
    if args.checkpoint is not None:
        for kept in checkpoints.listed(folder.checkpoints):
            if kept.step == args.checkpoint and checkpoints.verified(kept):
                return folder, kept.path
        steps = ", ".join(str(c.step) for c in checkpoints.listed(folder.checkpoints))
        raise SternaError(
            "not_found",
            f"{folder.name} has no sound checkpoint of step {args.checkpoint}.",
            f"It has {steps or 'none'}.",
        )
    if folder.adapter.is_dir():
        return folder, folder.adapter
    newest, _ = checkpoints.newest(folder.checkpoints)
    if newest is None:
        raise SternaError(
            "not_found", f"{folder.name} has learned nothing yet.", "Wait for a checkpoint."
        )
    return folder, newest.path


def _said(learned: Path) -> str:
    import json

    base = json.loads((learned / "adapter_config.json").read_text()).get("base_model_name_or_path")
    if not base:
        raise SternaError(
            "bad_argument", "The adapter does not say what its base is.", "Name it with --base."
        )
    return str(base)


def _write(
    args: Namespace, learned: Path, base: Source, out: Path, name: str, report: Report
) -> int:
    from backend.train.export import merged_folder, merged_gguf
    from backend.train.export.gguf_adapter import write_adapter
    from backend.train.export.target import target_of

    form = args.form
    full = not (learned / "adapter_config.json").exists()
    if form == "peft" or (full and form == "merged"):
        return merged_folder.copy_folder(learned, out)
    if full and form == "gguf":
        raise SternaError(
            "no_factors",
            "A full fine-tune changes every weight: there is no adapter.",
            "Take --as merged-gguf or --as merged.",
        )
    if form == "merged":
        if base.kind == "gguf":
            raise SternaError(
                "wrong_base", "The base is a GGUF file, not a folder.", "Take --as merged-gguf."
            )
        return merged_folder.write_merged_folder(read_changes(learned), base.path, learned, out)
    if form == "merged-gguf" and base.kind == "folder":
        return _converted(None if full else base.path, learned, out, args.quant, report)
    target = target_of(base)
    if full:
        return merged_gguf.write_full(learned, target, base.path, out, report)
    changes = read_changes(learned)
    if form == "gguf":
        return write_adapter(changes, target, out, name)
    return merged_gguf.write_merged(changes, target, base.path, out, report)


def _converted(
    base: Path | None, learned: Path, out: Path, quant: str | None, report: Report
) -> int:
    """Merge into a folder beside `out` (a full fine-tune is one already) and convert that."""
    from backend.gguf.converting import convert
    from backend.train.export.merged_folder import write_merged_folder

    with tempfile.TemporaryDirectory(prefix=".merged-", dir=out.parent) as place:
        folder = learned
        if base is not None:
            folder = Path(place) / "merged"
            write_merged_folder(read_changes(learned), base, learned, folder)
        return convert(folder, out, quant=quant, report=report).bytes


def _use(form: str, base: str, out: Path) -> str:
    if form == "gguf":
        return f"\n`sterna run {base} --adapter {out}` chats with it"
    return f"\n`sterna run {out}` chats with it" if form == "merged-gguf" else ""
