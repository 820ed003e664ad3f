"""`sterna machine`: what this computer has."""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from backend.machine import Machine, read_machine
from backend.units import human_bytes
from tui.commands import output


def add_arguments(parser: ArgumentParser) -> None:
    """Take whether to measure."""
    parser.add_argument("--no-measure", action="store_true", help="do not measure memory bandwidth")


def _data(m: Machine) -> dict[str, object]:
    return {
        "cpu": {**asdict(m.cpu), "isa": list(m.cpu.isa)},
        "ram": asdict(m.memory),
        "gpus": [asdict(g) for g in m.gpus],
        "disk_free": m.disk_free,
        "bandwidth": m.bandwidth,
    }


def _text(m: Machine) -> str:
    rows = [
        ["cpu", f"{m.cpu.name}, {m.cpu.cores} cores ({m.cpu.usable} usable)", m.cpu.probe],
        ["instructions", " ".join(m.cpu.isa) or "–", m.cpu.probe],
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
    for gpu in m.gpus:
        memory = (
            f", {human_bytes(gpu.free)} free of {human_bytes(gpu.total)}"
            if gpu.total and gpu.free
            else ""
        )
        rows.append(["gpu", f"{gpu.name}{memory}", gpu.probe])
    if not m.gpus:
        rows.append(["gpu", "none found", "/sys/class/drm"])
    if m.disk_free is not None:
        rows.append(["disk", f"{human_bytes(m.disk_free)} free for models", "statvfs"])
    if m.bandwidth:
        rows.append(
            [
                "bandwidth",
                f"{m.bandwidth / 1e9:.1f} GB/s read by {m.cpu.usable} threads",
                "measured",
            ]
        )
    return output.table(rows)


def run(args: Namespace) -> int:
    """Read and print."""
    machine = read_machine(measure=not args.no_measure)
    output.emit(args, _data(machine), _text(machine))
    return 0
