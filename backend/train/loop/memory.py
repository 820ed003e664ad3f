"""The most memory that training took, measured; and what keeps it small on a processor."""

import contextlib
import ctypes
import sys
from pathlib import Path

import torch
from trl.kernels import chunked_logprob

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_BLOCK = 1 << 20  # bytes
_TILE_TOKENS = 256  # rows of logits that exist at once on a processor


def small_tiles() -> None:
    """Let the loss see 256 tokens at a time and not 4096.

    Without Triton the library keeps some seven copies of a tile of tokens by 32768 logits: at 4096 tokens
    3.7 GB, more than all else. The sums are the same, and as fast.
    """
    chunked_logprob.TOKEN_CHUNK_SIZE = _TILE_TOKENS


def give_back_at_once() -> None:
    """Let freed tensors go back to the system, for where memory is short.

    glibc learns from large blocks that are freed to keep them, and keeps them in pieces: half as much
    again as ever is in use. Blocks from 1 MiB on come from the system and go back to it, each page anew:
    small models train at half the speed.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            libc.mallopt(_M_MMAP_THRESHOLD, _BLOCK)
            libc.mallopt(_M_TRIM_THRESHOLD, _BLOCK)


def reset_peak(device: torch.device) -> None:
    """Forget the peak so far: loading may have taken more for a moment."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak(device: torch.device) -> int | None:
    """Return the most bytes since `reset_peak`, None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
    return None
