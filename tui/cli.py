"""The command line: the verbs of the app without a screen.

Contract: results on standard output, as JSON with --json; an error is one line on standard error and
a status other than 0, and with --json also `{"error": {"kind", "message", "hint"}}` on standard output.
"""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

VERBS = {
    "machine": "what this computer has, and how fast it reads memory",
    "ls": "models on disk",
    "rm": "delete a model; `--undo` brings it back",
    "verify": "whether models on disk still are what they should be",
    "tidy": "what takes room and need not: duplicates, unfinished downloads, old revisions",
    "mark": "a name of your own, a note or a star for a model",
    "search": "models on the Hub",
    "show": "what is inside a model, on disk or on the Hub",
    "pull": "download a model from the Hub; a broken download goes on where it was",
    "fit": "which quant of a model to take on this machine, or another, and why",
    "run": "chat with a model in the plain terminal",
    "convert": "write a Hugging Face checkpoint as a GGUF file",
    "eval": "how well a model predicts a text, and how near it is to another",
    "quantize": "write a smaller file of a model",
    "bench": "measure a model's speed beside the machine's limit",
    "train": "teach a model: six techniques, from a recipe or from arguments",
    "runs": "training runs: how they do, pause, stop, delete",
    "export": "what a run learned: an adapter for chat, or merged weights",
    "serve": "serve a model to other programs (OpenAI-compatible)",
    "doctor": "everything a bug report needs, with nothing private",
}


class _Parser(argparse.ArgumentParser):
    """Argument errors become SternaError, so that --json holds for them too."""

    def error(self, message: str) -> NoReturn:
        from backend.errors import SternaError

        raise SternaError(
            "bad_argument", f"{message[:1].upper()}{message[1:]}.", f"See `{self.prog} --help`."
        )


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("sterna")
    except PackageNotFoundError:
        return "unknown (not installed)"


def _overview() -> str:
    verbs = "\n".join(f"  {verb:<9} {help_}" for verb, help_ in VERBS.items())
    return (
        "usage: sterna [VERB] [--json] …\n\n"
        "A local-LLM workbench in the terminal. Without a verb the app opens; with --ram 32GB\n"
        "or --vram 8GB as if on another machine.\n\n"
        f"{verbs}\n\n"
        "  sterna VERB --help tells a verb's arguments; --version the version.\n"
    )


def _dispatch(verb: str, rest: list[str]) -> int:
    command = importlib.import_module(f"tui.commands.{verb}")
    parser = _Parser(prog=f"sterna {verb}", description=VERBS[verb], allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="machine-readable result")
    command.add_arguments(parser)
    status: int = command.run(parser.parse_args(rest))
    return status


def _unknown(verb: str) -> Exception:
    import difflib

    from backend.errors import SternaError

    near = difflib.get_close_matches(verb, VERBS, n=1)
    hint = f"Did you mean `sterna {near[0]}`?" if near else "`sterna --help` lists the verbs."
    return SternaError("bad_argument", f"There is no verb {verb!r}.", hint)


def _open_app(arguments: list[str]) -> int:
    """Open the app; `--ram` and `--vram` suppose another machine."""
    if arguments:
        parser = _Parser(prog="sterna", description="Open the app.", allow_abbrev=False)
        parser.add_argument("--ram", help="as if so much memory were free, such as 32GB")
        parser.add_argument("--vram", help="as if so much memory of a GPU were free; 0: no GPU")
        given = parser.parse_args(arguments)
        from backend.machine import suppose
        from backend.units import parse_bytes
        from tui.fitting import parsed

        suppose(
            ram=None if given.ram is None else parsed(parse_bytes, given.ram),
            vram=None if given.vram is None else parsed(parse_bytes, given.vram),
        )
    status: int = importlib.import_module("tui.app").run()
    return status


def _command(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith(("--ram", "--vram")):
        return _open_app(arguments)
    verb, rest = arguments[0], arguments[1:]
    if verb in ("--version", "-V"):
        sys.stdout.write(f"sterna {_version()}\n")
        return 0
    if verb in ("--help", "-h", "help"):
        sys.stdout.write(_overview())
        return 0
    if verb not in VERBS:
        raise _unknown(verb)
    from backend import log

    log.to_file("cli")
    return _dispatch(verb, rest)


def _report(error: BaseException, as_json: bool) -> int:
    """Tell what went wrong; anything unforeseen goes to the log, never as a traceback to the screen."""
    from backend import paths
    from backend.errors import SternaError
    from tui.commands import output

    if not isinstance(error, SternaError):
        logging.getLogger(__name__).error("unforeseen", exc_info=error)
        error = SternaError(
            "internal",
            f"Something went wrong inside Sterna: {type(error).__name__}: {error}.",
            f"The details are in {paths.log_dir() / 'cli.log'}; please report them.",
        )
    output.fail(error, as_json)
    return 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `sterna`; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _command(given)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # the reader (head, less) has seen enough; keep the interpreter from flushing into the void
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:  # the one place where everything ends
        return _report(error, "--json" in given)


if __name__ == "__main__":
    sys.exit(main())
