"""NVIDIA's own binding against a driver library that is built here, and nvidia-smi's whole answer."""

import ctypes
import subprocess

import pynvml
import pytest

from backend.machine.memory import Memory
from backend.machine.nvidia import _reduced, read_nvidia

GIB = 1 << 30
# Three devices: an ordinary one, one in MIG mode with two instances of which the second is another
# container's, and one without memory of its own.
DRIVER = r"""
#include <string.h>
typedef struct { unsigned long long total, free, used; } Memory;
static char a, b, c, m0, m1;
int nvmlInitWithFlags(unsigned f) { (void)f; return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 3; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = i == 0 ? &a : i == 1 ? &b : &c; return 0; }
int nvmlDeviceGetName(void *d, char *s, unsigned n) {
    strncpy(s, d == &a ? "NVIDIA GeForce RTX 4090" : d == &b ? "NVIDIA A100-SXM4-80GB"
        : d == &c ? "NVIDIA GB10" : "NVIDIA A100-SXM4-80GB MIG 1g.10gb", n);
    return 0;
}
int nvmlDeviceGetMigMode(void *d, unsigned *now, unsigned *later) {
    if (d == &c) return 3; /* not supported */
    *now = *later = d == &b;
    return 0;
}
int nvmlDeviceGetMaxMigDeviceCount(void *d, unsigned *n) { (void)d; *n = 7; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *d, unsigned i, void **m) {
    (void)d;
    if (i > 1) return 6; /* not found */
    *m = i ? &m1 : &m0;
    return 0;
}
int nvmlDeviceGetMemoryInfo(void *d, Memory *m) {
    if (d == &c) return 3;
    if (d == &m1) return 4; /* no permission */
    m->total = d == &a ? 24ull << 30 : 10ull << 30;
    m->used = 1ull << 30;
    m->free = m->total - m->used;
    return 0;
}
"""
SMI = """<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log><timestamp>Thu</timestamp><driver_version>550</driver_version>
<gpu id="00000000:07:00.0"><product_name>NVIDIA A100-SXM4-80GB</product_name>
<serial>1563221003456</serial><uuid>GPU-secret</uuid>
<mig_mode><current_mig>Enabled</current_mig><pending_mig>Enabled</pending_mig></mig_mode>
<mig_devices><mig_device><index>0</index><gpu_instance_id>3</gpu_instance_id>
<fb_memory_usage><total>19968 MiB</total><free>19955 MiB</free></fb_memory_usage></mig_device></mig_devices>
<fb_memory_usage><total>81920 MiB</total><free>61000 MiB</free></fb_memory_usage>
<processes><process_info><process_name>/home/me/secret</process_name></process_info></processes>
</gpu></nvidia_smi_log>"""


class Asked:
    """A host whose commands and libraries really answer."""

    def __init__(self, **commands):
        self.commands = commands

    def text(self, path, most=0):
        return None

    def names(self, folder):
        return []

    def output(self, *command):
        return self.commands.get(command[0].replace("-", "_"))

    def ask(self, source, read):
        try:
            return read()
        except Exception:
            return None


@pytest.fixture
def ram():
    return Memory(128 * GIB, 100 * GIB, 0, 0, "psutil")


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Build the library and let the binding use it."""
    (tmp_path / "nvml.c").write_text(DRIVER)
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "nvml.c"], check=True)
    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(library)))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})


def test_nvml(driver, ram):
    found = [(g.name, g.total, g.free, g.shared, g.probe) for g in read_nvidia(Asked(), ram)]
    assert found == [
        ("NVIDIA GeForce RTX 4090", 24 * GIB, 23 * GIB, False, "NVML"),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", 10 * GIB, 9 * GIB, False, "NVML, MIG"),
        ("NVIDIA GB10", 128 * GIB, 100 * GIB, True, "NVML, unified memory"),
    ]


def test_nvidia_smi_where_the_library_is_missing(ram, monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    found = read_nvidia(Asked(nvidia_smi=SMI), ram)
    assert [(g.name, g.total, g.probe) for g in found] == [
        ("NVIDIA A100-SXM4-80GB MIG instance 3", 19968 << 20, "nvidia-smi, MIG")
    ]


def test_nothing_private_of_nvidia_smi_is_kept():
    kept = _reduced(SMI)
    assert "19968 MiB" in kept
    for private in ("secret", "1563221003456", "00000000:07:00.0", "process"):
        assert private not in kept


@pytest.mark.parametrize("text", ["", "No devices were found", "<nvidia_smi_log>", "<a/>"])
def test_what_is_no_answer(text, ram, monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    assert read_nvidia(Asked(nvidia_smi=text), ram) == []
