"""Machines as their probes answered: each record is a test case, as a bug report brings it."""

import json
from pathlib import Path

import pytest

from backend.machine import Replay, read_machine

RECORDS = Path(__file__).parent / "records"
GIB = 1 << 30


def machine(name):
    return read_machine(Replay(json.loads((RECORDS / f"{name}.json").read_text())))


def gpus(name):
    return [(g.name, g.vendor, g.total, g.free, g.shared) for g in machine(name).gpus]


@pytest.mark.parametrize(
    ("name", "total", "available", "probe"),
    [
        # 8 GiB less what is used, of which clean file pages are not: 7 - (6 - 0.25)
        ("cgroup2_container", 8 * GIB, 8 * GIB - 7 * GIB + 6 * GIB - GIB // 4, "cgroup v2"),
        ("cgroup2_nested", 4 * GIB, 2 * GIB, "cgroup v2"),
        ("cgroup1_container", 2 * GIB, GIB * 3 // 4 + 4096, "cgroup v1"),
        ("cgroup1_unlimited", 16 * GIB, 12 * GIB, "psutil"),
        ("rlimit", 16 * GIB, 2 * GIB, "RLIMIT_AS"),
        ("damaged", 16 * GIB, 12 * GIB, "psutil"),
        ("nothing", 0, 0, "psutil"),
    ],
)
def test_memory_is_what_the_container_leaves(name, total, available, probe):
    memory = machine(name).memory
    assert (memory.total, memory.available, memory.probe) == (total, available, probe)


def test_swap_stands_apart():
    memory = machine("cgroup2_nested").memory
    assert (memory.swap_total, memory.swap_free) == (8 * GIB, 8 * GIB)
    assert memory.available == 2 * GIB


@pytest.mark.parametrize(
    ("name", "usable"), [("cgroup2_container", 3), ("cgroup1_container", 2), ("rlimit", 16)]
)
def test_a_quota_of_processor_time_bounds_the_threads(name, usable):
    assert machine(name).cpu.usable == usable


def test_processors_of_three_kinds():
    amd = machine("nvidia_two_nvml").cpu
    assert amd.name == "AMD Ryzen 9 7950X 16-Core Processor"
    assert amd.isa[:3] == ("avx2", "fma", "f16c")
    assert "avx512vbmi" in amd.isa
    assert machine("nvidia_gb10").cpu.isa == ("asimd", "asimddp", "i8mm", "sve")
    apple = machine("apple_m2").cpu
    assert (apple.name, apple.probe) == ("Apple M2", "sysctl")
    assert apple.isa == ("asimd", "asimddp", "i8mm")
    assert [(c.level, c.bytes) for c in apple.caches] == [(1, 65536), (2, 4194304)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "nvidia_two_nvml",
            [
                ("NVIDIA GeForce RTX 4090", "NVIDIA", 25757220864, 23000000000, False),
                ("NVIDIA GeForce RTX 3090", "NVIDIA", 25769803776, 1000000000, False),
            ],
        ),
        (
            "nvidia_mig_nvml",
            [
                ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", "NVIDIA", 10200547328, 10187833344, False),
                ("NVIDIA A100-SXM4-80GB MIG 3g.40gb", "NVIDIA", 42090496000, 42000000000, False),
            ],
        ),
        ("nvidia_gb10", [("NVIDIA GB10", "NVIDIA", 128 * GIB, 110 * GIB, True)]),
        ("nvidia_gh200", [("NVIDIA GH200 480GB", "NVIDIA", 102625181696, 102000000000, False)]),
        (
            "nvidia_smi",
            [
                ("NVIDIA Tesla T4", "NVIDIA", 15360 << 20, 14927 << 20, False),
                ("NVIDIA L4", "NVIDIA", None, None, False),
                ("NVIDIA H100 80GB HBM3 MIG instance 9", "NVIDIA", 9984 << 20, 9970 << 20, False),
            ],
        ),
        ("nvidia_without_driver", [("NVIDIA GeForce GTX 1080", "NVIDIA", None, None, False)]),
        ("nvidia_container", [("NVIDIA GeForce RTX 3060", "NVIDIA", None, None, False)]),
        ("amd_card", [("AMD Radeon RX 7900 XT", "AMD", 21458059264, 20000000000, False)]),
        (
            "amd_apu_small",
            [
                (
                    "AMD 0x1586",
                    "AMD",
                    (512 << 20) + 133143986176,
                    (364 << 20) + 100 * GIB,
                    True,
                )
            ],
        ),
        (
            "amd_apu_kfd",
            [("AMD Radeon Vega 8 Graphics", "AMD", 5 * GIB, GIB + GIB * 5 // 2, True)],
        ),
        ("intel_xe", [("Intel 0x0bd5", "Intel", 2 * 68719476736, None, False)]),
        ("intel_i915", [("Intel 0x56a0", "Intel", 17095983104, 16000000000, False)]),
        ("intel_integrated", [("Intel 0x46a6", "Intel", 16 * GIB, 9 * GIB, True)]),
        ("apple_m2", [("Apple M2", "Apple", 11453251584, 11453251584, True)]),
        ("apple_raised", [("Apple M3 Max", "Apple", 57344 << 20, 57344 << 20, True)]),
        ("nothing", []),
    ],
)
def test_graphics_processors(name, expected):
    assert gpus(name) == expected


def test_what_damaged_files_say_is_not_believed():
    assert all(g.total is None or g.vendor == "Intel" for g in machine("damaged").gpus)


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*.json")), ids=lambda p: p.stem)
def test_every_figure_names_its_probe(path):
    found = machine(path.stem)
    assert found.memory.probe
    assert found.cpu.probe
    assert all(g.probe for g in found.gpus)
