"""`sterna machine`: what this computer has."""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

import msgspec

from backend.machine import GPU, Machine, Recorder, read_machine
from backend.machine.host import Local
from backend.machine.speeds import Speeds
from backend.units import human_bytes
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
    caches = ", ".join(
        f"L{c.level} {f'{c.count} × ' if c.count > 1 else ''}{human_bytes(c.bytes)}"
        for c in m.cpu.caches
    )
    rows = [
        ["cpu", f"{m.cpu.name}, {m.cpu.cores} cores ({m.cpu.usable} usable)", m.cpu.probe],
        ["instructions", " ".join(m.cpu.isa) or "–", m.cpu.probe],
        ["caches", caches or "–", "sysfs" if m.cpu.probe != "sysctl" else "sysctl"],
        [
            "ram",
            f"{human_bytes(m.memory.available)} free of {human_bytes(m.memory.total)}",
            m.memory.probe,
        ],
        [
            "swap",
            f"{human_bytes(m.memory.swap_free)} free of {human_bytes(m.memory.swap_total)}",
            "psutil",
        ],
    ]
    rows += [["gpu", _gpu(gpu), gpu.probe] for gpu in m.gpus]
    if not m.gpus:
        rows.append(["gpu", "none found", "NVML, nvidia-smi, /sys/class/drm"])
    if m.disk_free is not None:
        rows.append(["disk", f"{human_bytes(m.disk_free)} free for models", "statvfs"])
    if m.speeds is not None:
        rows += _speeds(m.speeds)
    return output.table(rows)


def _speeds(s: Speeds) -> list[list[str]]:
    by = f"measured, {s.threads} threads"
    kernels = [
        f"{name} {s.one[name] / 1e9:.1f} / {s.many[name] / 1e9:.0f}" for name in sorted(s.many)
    ]
    return [
        ["bandwidth", f"{s.bandwidth / 1e9:.1f} GB/s read (±{s.spread:.0%})", by],
        ["kernels", f"{s.isa}; billion weights a second in an answer / in a prompt:", by],
        *(["", line, ""] for line in kernels),
    ]


def _gpu(gpu: GPU) -> str:
    if gpu.total is None:
        return f"{gpu.name}, memory not known"
    free = "" if gpu.free is None else f"{human_bytes(gpu.free)} free of "
    shared = ", shared with the processor" if gpu.shared else ""
    return f"{gpu.name}, {free}{human_bytes(gpu.total)}{shared}"


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
