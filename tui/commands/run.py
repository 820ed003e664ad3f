"""`sterna run MODEL`: chat in the plain terminal, or answer once with -p."""

import os
import shlex
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from backend import settings as configuration
from backend.errors import SternaError
from backend.inference import GenerationReport, Model, Sampling, encode_conversation
from backend.text import StreamCleaner, clean
from tui.commands import model_options, output


def add_arguments(parser: ArgumentParser) -> None:
    """Take the model, the prompt and how to answer."""
    parser.add_argument("model", help="a path, a name from `sterna ls`, or owner/repo[:QUANT]")
    parser.add_argument("-p", "--prompt", help="answer this once (otherwise: a chat)")
    parser.add_argument(
        "--raw", action="store_true", help="no chat template: continue the text as it is"
    )
    parser.add_argument("--system", help="system prompt")
    model_options.add_loading(parser)
    model_options.add_sampling(parser)


@contextmanager
def _interruptible(model: Model) -> Iterator[None]:
    """Let Ctrl-C stop the answer and not the program."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        model.cancel()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _speak(
    model: Model, ids: list[int], sampling: Sampling, show: bool
) -> tuple[str, list[int], GenerationReport]:
    cleaner, text, tokens = StreamCleaner(), [], []
    with _interruptible(model):
        for token in model.stream(ids, sampling):
            tokens.append(token.id)
            text.append(token.text)
            if show:
                output.piece(cleaner.push(token.text))
    if show:
        output.piece(cleaner.flush() + "\n")
    assert model.last is not None
    return "".join(text), tokens, model.last


def _raw_ids(model: Model, prompt: str) -> list[int]:
    """Encode a raw prompt; an empty one starts from BOS."""
    ids = model.tokenizer.encode(prompt, special=True)
    if not ids and model.tokenizer.bos_id is not None:
        ids = [model.tokenizer.bos_id]
    return ids


def _ids(model: Model, messages: list[dict[str, str]]) -> list[int]:
    prompt = encode_conversation(model.tokenizer, model.card.chat_template, messages)
    for remark in prompt.notes:
        output.note(f"note: {remark}")
    return prompt.ids


def _once(args: Namespace, model: Model, sampling: Sampling, load_seconds: float) -> int:
    messages = [{"role": "system", "content": args.system}] if args.system else []
    messages.append({"role": "user", "content": args.prompt})
    ids = _raw_ids(model, args.prompt) if args.raw else _ids(model, messages)
    text, tokens, report = _speak(model, ids, sampling, show=not args.json)
    if args.json:
        output.emit(args, _data(text, tokens, report, load_seconds), "")
    return 130 if report.finish_reason == "cancelled" else 0


def _data(
    text: str, tokens: list[int], report: GenerationReport, load_seconds: float
) -> dict[str, Any]:
    return {
        "text": text,
        "tokens": tokens,
        "prompt_tokens": report.prompt_tokens,
        "completion_tokens": report.completion_tokens,
        "finish_reason": report.finish_reason,
        "seed": report.seed,
        "timings": {
            "load_s": load_seconds,
            "prompt_per_second": report.prompt_per_second,
            "decode_per_second": report.decode_per_second,
        },
    }


def _words(line: str) -> list[str]:
    """Cut a line as a shell does; one that cannot be cut so is one word."""
    try:
        words = shlex.split(line)
    except ValueError:
        words = [line]
    return [os.path.expanduser(word) for word in words]  # noqa: PTH111 - FILE:SCALE is no path


def _adapt(model: Model, words: list[str]) -> None:
    """Run with the adapters that are named, `FILE[:SCALE]` each, none at all, or tell which are in use."""
    try:
        if words:
            model.set_adapters([] if words == ["none"] else words)
    except SternaError as error:
        output.note(f"{error.message} {error.hint}")
    used = [f"{clean(path.name)} at {scale:g}" for path, scale in model.adapters]
    output.note(f"adapters: {', '.join(used) or 'none'}")


def _told(asked: str, model: Model, messages: list[dict[str, str]]) -> bool:
    """Do what a line that begins with / says; false where it is a line for the model."""
    word, _, rest = asked.strip().partition(" ")
    if word == "/new":
        messages[:] = [message for message in messages if message["role"] == "system"]
    elif word == "/adapter":
        _adapt(model, _words(rest))
    else:
        return not word
    return True


def _chat(args: Namespace, model: Model, sampling: Sampling) -> int:
    messages = [{"role": "system", "content": args.system}] if args.system else []
    output.note(
        f"{model.card.name} · context {model.context} · /new forgets, /adapter FILE[:SCALE] changes what "
        "it runs with, /quit or Ctrl-D ends, Ctrl-C stops"
    )
    while True:
        try:
            asked = input("> ") if sys.stdin.isatty() else input()
        except EOFError:
            return 0
        if asked.strip() in ("/quit", "/exit"):
            return 0
        if _told(asked, model, messages):
            continue
        messages.append({"role": "user", "content": asked})
        try:
            text, _, report = _speak(model, _ids(model, messages), sampling, show=True)
        except SternaError as error:
            messages.pop()
            output.note(f"{error.message} {error.hint}")
            continue
        messages.append({"role": "assistant", "content": text})
        speed = report.decode_per_second
        if speed and sys.stderr.isatty():
            output.note(
                f"{speed:.1f} tok/s · {report.prompt_tokens + report.completion_tokens}/{model.context} tokens"
            )


def run(args: Namespace) -> int:
    """Load and speak."""
    if args.json and args.prompt is None:
        raise SternaError("bad_argument", "--json needs a prompt.", "Give one with -p.")
    settings = configuration.load()
    sampling = model_options.sampling(args, settings)
    if args.system is None:
        args.system = settings.chat.system
    start = time.perf_counter()
    model = model_options.load(args, settings)
    load_seconds = time.perf_counter() - start
    try:
        if args.prompt is not None:
            return _once(args, model, sampling, load_seconds)
        return _chat(args, model, sampling)
    finally:
        model.close()
