"""GGUF files put together byte by byte, so that any part of them can be wrong."""

import struct

U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR, U64, I64, F64 = range(13)
CODES = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?",
         U64: "Q", I64: "q", F64: "d"}  # fmt: skip


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def string(text):
    raw = text if isinstance(text, bytes) else text.encode()
    return u64(len(raw)) + raw


def value(kind, content):
    """A value's bytes after its type; arrays are (item kind, items)."""
    if kind == STR:
        return string(content)
    if kind == ARR:
        items, list_ = content
        return u32(items) + u64(len(list_)) + b"".join(value(items, item) for item in list_)
    return struct.pack("<" + CODES[kind], content)


def pair(key, kind, content):
    return string(key) + u32(kind) + value(kind, content)


def arch(name="llama"):
    return pair("general.architecture", STR, name)


def alignment(n):
    return pair("general.alignment", U32, n)


def tensor(name, shape, type=0, offset=0):
    extents = b"".join(struct.pack("<q", n) for n in shape)
    return string(name) + u32(len(shape)) + extents + u32(type) + u64(offset)


def gguf_bytes(pairs=(), tensors=(), data=b"", *, version=3, n_pairs=None, n_tensors=None,
               align=32, magic=b"GGUF"):  # fmt: skip
    """A file; the counts in its header are true unless given."""
    head = magic + u32(version)
    head += u64(len(tensors) if n_tensors is None else n_tensors)
    head += u64(len(pairs) if n_pairs is None else n_pairs)
    head += b"".join(pairs) + b"".join(tensors)
    if tensors:
        head += bytes(-len(head) % align)
    return head + data
