"""`sterna serve MODEL`: an OpenAI-compatible server, for other programs."""

import ipaddress
import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from backend import settings as configuration
from backend.errors import SternaError
from backend.library import mark_used, resolve
from tui.commands import model_options, output

DEFAULT_PORT = 8080


def add_arguments(parser: ArgumentParser) -> None:
    """Take the model, where to listen and who may ask."""
    parser.add_argument("model", help="a path, a name from `sterna ls`, or owner/repo[:QUANT]")
    parser.add_argument("--host", default="127.0.0.1", help="default: this computer only")
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help=f"default: {DEFAULT_PORT}; 0 takes a free one",
    )
    parser.add_argument("--socket", type=Path, help="listen on a Unix socket instead")
    parser.add_argument("--api-key", help="ask clients for this key (others see it in `ps`)")
    parser.add_argument("--api-key-env", metavar="NAME", help="ask for the key in this variable")
    model_options.add_loading(parser)


def run(args: Namespace) -> int:
    """Load the model and serve until interrupted."""
    from backend.serve import listening, server

    key = _key(args)
    path = resolve(args.model)
    # Before loading: a port that is taken should not be found out after minutes.
    if args.socket is not None:
        listener = listening.unix(args.socket)
    else:
        listener = listening.tcp(args.host, args.port)
    with listener:
        engine = configuration.load().engine
        options = server.Options(
            args.context or engine.context,
            args.kv or engine.kv,
            args.threads or engine.threads,
            tuple(args.adapter),
        )
        try:
            served, seconds = server.load(path, options)
        except BaseException:
            listening.remove(listener)
            raise
        mark_used(path)
        address = listening.address(listener)
        if key is None and args.socket is None and not _is_loopback(args.host):
            output.note(
                "note: anyone who reaches this address can use the model (see --api-key-env)"
            )

        def ready() -> None:
            data = {
                "address": address,
                "model": served.name,
                "context": served.speaker.context,
                "load_s": seconds,
            }
            where = address if args.socket is not None else f"{address}/v1"
            output.emit(args, data, f"{served.name} at {where} · ctrl+c ends")

        server.run(served, listener, api_key=key, on_ready=ready)
    return 0


def _key(args: Namespace) -> str | None:
    if args.api_key_env is not None:
        key = os.environ.pop(args.api_key_env, "")
        if not key:
            raise SternaError(
                "bad_argument",
                f"The variable {args.api_key_env} holds no key.",
                "Set it, or leave --api-key-env out.",
            )
        return key
    if args.api_key is not None and not args.api_key:
        raise SternaError("bad_argument", "The API key is empty.", "Leave --api-key out.")
    given: str | None = args.api_key
    return given


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
