"""Apple's GPUs share the computer's memory, up to the working set that Metal recommends."""

import ctypes
import platform
import re

from backend.machine.graphics import GPU
from backend.machine.host import Facts, Host
from backend.machine.memory import Memory


def read_apple(host: Host, ram: Memory) -> list[GPU]:
    """List the GPU of an Apple machine."""
    said = host.ask("metal", _metal)
    if said is None:
        return []
    total, probe = int(said["working_set"]), "Metal working set"
    raised = re.search(r"(\d+)$", host.output("sysctl", "iogpu.wired_limit_mb") or "")
    if raised and int(raised[1]):  # the owner moved the limit
        total, probe = int(raised[1]) << 20, "iogpu.wired_limit_mb"
    return [GPU(str(said["name"]), "Apple", total, min(total, ram.available), probe, True)]


def _metal() -> Facts:
    """Ask Metal's default device through the Objective-C runtime; raises elsewhere than on macOS."""
    if platform.system() != "Darwin":
        raise OSError("no Metal")
    metal = ctypes.CDLL("/System/Library/Frameworks/Metal.framework/Metal")
    ctypes.CDLL("/System/Library/Frameworks/CoreGraphics.framework/CoreGraphics")
    runtime = ctypes.CDLL("/usr/lib/libobjc.A.dylib")
    runtime.sel_registerName.restype = ctypes.c_void_p
    runtime.sel_registerName.argtypes = [ctypes.c_char_p]
    metal.MTLCreateSystemDefaultDevice.restype = ctypes.c_void_p
    device = metal.MTLCreateSystemDefaultDevice()
    if not device:
        raise OSError("no Metal device")

    def send(target: int, message: bytes) -> int:
        """Send a message without arguments that returns a pointer or an unsigned number."""
        call = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p)(
            ("objc_msgSend", runtime)
        )
        return int(call(target, runtime.sel_registerName(message)))

    text = send(send(device, b"name"), b"UTF8String")
    return {
        "name": ctypes.string_at(text).decode("utf-8", "replace") if text else "Apple GPU",
        "working_set": send(device, b"recommendedMaxWorkingSetSize"),
    }
