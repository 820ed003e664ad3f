"""NVIDIA's GPUs: NVML through its own Python package, the command nvidia-smi second."""

import xml.etree.ElementTree as ET
from typing import Any

from backend.machine.graphics import GPU
from backend.machine.host import Facts, Host
from backend.machine.memory import Memory

_SMI = ("nvidia-smi", "-q", "-x")
# All that is kept of nvidia-smi's answer: the rest names programs, serial numbers and screens.
_KEPT = frozenset((
    "nvidia_smi_log", "gpu", "product_name", "addressing_mode", "fb_memory_usage", "total", "free",
    "reserved", "mig_mode", "current_mig", "mig_devices", "mig_device", "index", "gpu_instance_id",
    "device_attributes", "shared", "multiprocessor_count",
))  # fmt: skip


def read_nvidia(host: Host, ram: Memory) -> list[GPU]:
    """List NVIDIA's GPUs; one that is cut into MIG instances is listed as those."""
    devices = host.ask("nvml", _nvml)
    if devices is not None:
        return [gpu for device in devices for gpu in _gpus(device, ram, "NVML")]
    text = host.ask("nvidia-smi", lambda: _reduced(host.output(*_SMI)))
    if text:
        return [gpu for device in _from_smi(text) for gpu in _gpus(device, ram, "nvidia-smi")]
    return []


def _gpus(device: dict[str, Any], ram: Memory, probe: str) -> list[GPU]:
    """Return a device, or its MIG instances. Without memory of its own it uses the computer's."""
    name = str(device.get("name", "NVIDIA"))
    name = name if name.startswith("NVIDIA") else f"NVIDIA {name}"
    if device.get("mig"):
        return [
            GPU(
                f"{name} MIG {part['name']}".rstrip(),
                "NVIDIA",
                part["total"],
                part["free"],
                f"{probe}, MIG",
            )
            for part in device["instances"]
        ]
    total, free = device.get("total"), device.get("free")
    # GB10, Jetson and their like have no memory of their own to tell of. (Grace Hopper has, though it
    # sees the computer's memory as well.)
    if not total and (device.get("coherent") or device.get("memoryless")):
        return [GPU(name, "NVIDIA", ram.total, ram.available, f"{probe}, unified memory", True)]
    return [GPU(name, "NVIDIA", total, free, probe)]


def _nvml() -> Facts:
    """Ask NVML; raises where there is no driver."""
    import pynvml as nv

    nv.nvmlInit()
    try:
        return [
            _device(nv, nv.nvmlDeviceGetHandleByIndex(i)) for i in range(nv.nvmlDeviceGetCount())
        ]
    finally:
        nv.nvmlShutdown()


def _device(nv: Any, handle: Any) -> dict[str, Any]:
    device: dict[str, Any] = {"name": _text(nv.nvmlDeviceGetName(handle))}
    try:
        device["coherent"] = (
            nv.nvmlDeviceGetAddressingMode(handle) == nv.NVML_DEVICE_ADDRESSING_MODE_ATS
        )
    except (nv.NVMLError, AttributeError):
        device["coherent"] = False
    try:
        device["mig"] = nv.nvmlDeviceGetMigMode(handle)[0] == nv.NVML_DEVICE_MIG_ENABLE
    except nv.NVMLError:
        device["mig"] = False
    if device["mig"]:
        device["instances"] = _instances(nv, handle)
        return device
    try:
        memory = nv.nvmlDeviceGetMemoryInfo(handle)
        device.update(total=memory.total, free=memory.free)
    except nv.NVMLError as error:  # any other error means that nothing is known
        device["memoryless"] = error.value == nv.NVML_ERROR_NOT_SUPPORTED
    return device


def _instances(nv: Any, handle: Any) -> list[dict[str, Any]]:
    """Return the MIG instances that this process may use."""
    found = []
    for i in range(nv.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            part = nv.nvmlDeviceGetMigDeviceHandleByIndex(handle, i)
            memory = nv.nvmlDeviceGetMemoryInfo(part)
            name = _text(nv.nvmlDeviceGetName(part)).rpartition("MIG ")[2]
        except nv.NVMLError:
            continue  # that place is empty, or belongs to another container
        found.append({"name": name, "total": memory.total, "free": memory.free})
    return found


def _text(said: str | bytes) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said


def _reduced(text: str | None) -> str | None:
    """Return nvidia-smi's answer with nothing in it but what is read, fit for a bug report."""
    if not text:
        return None
    root = ET.fromstring(text)

    def prune(element: ET.Element) -> None:
        for child in list(element):
            if child.tag in _KEPT:
                prune(child)
            else:
                element.remove(child)
        element.attrib.clear()  # the bus address

    prune(root)
    return ET.tostring(root, encoding="unicode")


def _mebibytes(element: ET.Element, path: str) -> int | None:
    """Return bytes from `81559 MiB`; nvidia-smi counts in 2^20 bytes and says so."""
    number, _, unit = (element.findtext(path) or "").strip().partition(" ")
    return int(number) << 20 if number.isdecimal() and unit == "MiB" else None


def _from_smi(text: str) -> list[dict[str, Any]]:
    try:
        root = ET.fromstring(text)
    except ET.ParseError:
        return []
    return [_smi_device(gpu) for gpu in root.findall("gpu")]


def _smi_device(gpu: ET.Element) -> dict[str, Any]:
    device: dict[str, Any] = {
        "name": gpu.findtext("product_name") or "NVIDIA",
        "coherent": gpu.findtext("addressing_mode") == "ATS",
        "mig": gpu.findtext("mig_mode/current_mig") == "Enabled",
        "total": _mebibytes(gpu, "fb_memory_usage/total"),
        "free": _mebibytes(gpu, "fb_memory_usage/free"),
        "memoryless": gpu.findtext("fb_memory_usage/total") in ("N/A", "Not Supported"),
    }
    device["instances"] = [
        {
            "name": f"instance {part.findtext('gpu_instance_id') or part.findtext('index')}",
            "total": _mebibytes(part, "fb_memory_usage/total"),
            "free": _mebibytes(part, "fb_memory_usage/free"),
        }
        for part in gpu.findall("mig_devices/mig_device")
    ]
    return device
