"""`sterna machine`: what this computer has."""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

import msgspec

from backend.machine import Machine, Recorder, read_machine
from backend.machine.host import Local
from tui import machine_words
from tui.commands import output


def add_arguments(parser: ArgumentParser) -> None:
    """Take whether to measure, and whether to show the probes' own answers."""
    parser.add_argument(
        "--no-measure", action="store_true", help="do not measure memory and kernels"
    )
    parser.add_argument(
        "--raw",
        action="store_true",
        help="print what each probe answered, as a bug report needs it",
    )


def _data(m: Machine) -> dict[str, object]:
    return {
        "cpu": {**asdict(m.cpu), "isa": list(m.cpu.isa)},
        "ram": asdict(m.memory),
        "gpus": [asdict(g) for g in m.gpus],
        "disk_free": m.disk_free,
        "bandwidth": m.bandwidth,
        "speeds": None if m.speeds is None else msgspec.to_builtins(m.speeds),
    }


def _text(m: Machine) -> str:
    return output.table([list(row) for row in machine_words.rows(m)])


def run(args: Namespace) -> int:
    """Read and print."""
    recorder = Recorder(Local())
    machine = read_machine(
        recorder,
        measure=not args.no_measure and not args.raw,
        on_progress=(lambda _: None) if args.json else output.note,
    )
    if args.raw:
        output.json_line(recorder.record)
    else:
        output.emit(args, _data(machine), _text(machine))
    return 0
