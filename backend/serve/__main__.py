"""`python -m backend.serve MODEL`: one engine behind a socket, as a child of the app or alone."""

import argparse
import os
import sys
from pathlib import Path

from backend import log
from backend.errors import SternaError
from backend.serve import lifetime
from backend.serve.report import Reporter


def main() -> int:
    """Serve until told to stop; 1 when there was a reason not to."""
    args = _parser().parse_args()
    if args.log_file is not None:
        lifetime.redirect_output(args.log_file)
    log.to_file("engine")
    reporter = Reporter(args.report_fd)
    if args.report_fd is not None:
        os.set_inheritable(args.report_fd, False)
        lifetime.end_with_parent(args.report_fd, lambda: _remove(args.socket))
        lifetime.die_first()
    try:
        _serve(args, reporter)
    except SternaError as error:
        reporter.error(error)
        sys.stderr.write(f"{error.message} {error.hint}".strip() + "\n")
        return 1
    except MemoryError:
        reporter.error(SternaError("out_of_memory", "The memory ran out.", "Take a smaller model."))
        return 1
    return 0


def _serve(args: argparse.Namespace, reporter: Reporter) -> None:
    key = _api_key(args.api_key_env)
    reporter.phase("starting", "starting the engine")
    from backend.serve import listening, server  # slow imports, after the first sign of life

    reporter.phase("loading", "loading the model")
    options = server.Options(args.context, args.kv, args.threads, tuple(args.adapter))
    served, seconds = server.load(args.model, options)
    if args.socket is not None:
        listener = listening.unix(args.socket)
    else:
        listener = listening.tcp(args.host, args.port)
    address = listening.address(listener)

    def ready() -> None:
        reporter.ready(
            address=address,
            model=served.name,
            context=served.speaker.context,
            load_seconds=seconds,
            **served.facts,
        )
        if args.report_fd is None:
            sys.stdout.write(f"{served.name} at {address}\n")
            sys.stdout.flush()

    server.run(served, listener, api_key=key, on_ready=ready)


def _api_key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.pop(variable, "")  # out of reach of the processes that this one starts
    if not key:
        raise SternaError(
            "bad_argument", f"The variable {variable} holds no key.", "Set it, or leave it out."
        )
    return key


def _remove(path: Path | None) -> None:
    if path is not None:
        path.unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend.serve", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--socket", type=Path, help="listen on a Unix socket")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--context", type=int)
    parser.add_argument("--kv", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--adapter", action="append", default=[], metavar="FILE[:SCALE]")
    parser.add_argument("--api-key-env", help="the environment variable that holds the key")
    parser.add_argument("--report-fd", type=int, help="a pipe to a parent, for JSON lines")
    parser.add_argument("--log-file", type=Path, help="where standard output and error go")
    return parser


if __name__ == "__main__":
    sys.exit(main())
