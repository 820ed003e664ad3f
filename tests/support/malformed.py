"""Every known way in which a GGUF file can be wrong, as bytes: the cases of llama.cpp's own tests
(T) and of ours (X). Some look odd and are right; those open."""

from dataclasses import dataclass, field

import gguf_bytes as g
from gguf_bytes import alignment, arch, gguf_bytes, pair, string, tensor, u32, u64

BAD = frozenset({"corrupt", "truncated"})
OPENS = frozenset()
HUGE = 2**64 - 1


@dataclass(frozen=True)
class Case:
    """`files`: contents by name; the first is opened. `kinds`: of the error expected; none: it opens."""

    id: str
    name: str
    files: dict[str, bytes] = field(repr=False)
    kinds: frozenset[str] = BAD

    def write(self, folder):
        """Write the files; return the path to open."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder / next(iter(self.files))


def one(id, name, content, kinds=BAD):
    kinds = frozenset({kinds}) if isinstance(kinds, str) else kinds
    return Case(id, name, {"m.gguf": content}, kinds)


def cases():
    """Return all cases."""
    return [*_headers(), *_pairs(), *_tensors(), *_data(), *_ours(), *_metadata(), *_splits()]


def _headers():
    bad = "unsupported_format"
    yield one("T1", "magic", gguf_bytes(magic=b"FUGG"), "not_gguf")
    yield one("T2", "version 0", gguf_bytes(version=0), bad)
    yield one("T3", "version 1", gguf_bytes(version=1), bad)
    yield one("T4", "version 4", gguf_bytes(version=4), bad)
    yield one("T5", "tensors 2^64-1", gguf_bytes(n_tensors=HUGE))
    yield one("T6", "pairs 2^64-1", gguf_bytes(n_pairs=HUGE))
    yield one("T6", "pairs 2^63-1", gguf_bytes(n_pairs=2**63 - 1))
    yield one("T7", "nothing in it", gguf_bytes(), OPENS)
    yield one("T7", "no bytes", b"", "truncated")
    yield one("T7", "half a magic", b"GG", "truncated")
    yield one("T7", "only a magic", b"GGUF", "truncated")
    yield one("X15", "big-endian", gguf_bytes(version=3 << 24), bad)


def _pairs():
    ok = pair("a", g.U32, 1)
    yield one("T8", "key of 2^64-1", gguf_bytes([u64(HUGE) + b"key"]))
    yield one("T8", "key of 2^20", gguf_bytes([string("k" * 2**20) + u32(g.U8) + b"\1"]))
    yield one("T9", "empty key", gguf_bytes([pair("", g.U32, 1)]))
    yield one("T10", "type 13", gguf_bytes([string("k") + u32(13) + u64(0)]))
    yield one("T10", "type 2^32-1", gguf_bytes([string("k") + u32(2**32 - 1) + u64(0)]))
    yield one("T11", "key twice", gguf_bytes([ok, ok]))
    for n in (13, 0, 3):
        yield one("T12", f"alignment {n}", gguf_bytes([alignment(n)]))
    yield one("T13", "alignment int32", gguf_bytes([pair("general.alignment", g.I32, 32)]))
    yield one("T13", "alignment text", gguf_bytes([pair("general.alignment", g.STR, "32")]))
    every = [
        pair(f"key.{kind}", kind, content)
        for kind, content in (
            (g.U8, 255), (g.I8, -128), (g.U16, 65535), (g.I16, -32768), (g.U32, 2**32 - 1), (g.I32, -(2**31)),
            (g.F32, 0.5), (g.BOOL, True), (g.STR, "text"), (g.U64, HUGE), (g.I64, -(2**63)), (g.F64, 1e300),
            (g.ARR, (g.STR, ["a", "", "b"])),
        )
    ]  # fmt: skip
    yield one("T14", "every type", gguf_bytes(every), OPENS)
    yield one("T14", "version 2", gguf_bytes(every, version=2), OPENS)
    yield one("T14", "empty array", gguf_bytes([pair("k", g.ARR, (g.F32, []))]), OPENS)


def _tensors():
    ok = tensor("a", (4, 2))
    four = bytes(32)
    yield one("T15", "name of 64", gguf_bytes([arch()], [tensor("n" * 64, (4,))], four))
    yield one("T16", "5 dimensions", gguf_bytes([arch()], [tensor("a", (1, 1, 1, 1, 1))], four))
    yield one("T16", "2^32-1 dimensions", gguf_bytes([], [string("a") + u32(2**32 - 1)], four))
    yield one("T17", "extent -1", gguf_bytes([arch()], [tensor("a", (-1,))], four))
    yield one("T18", "extent 0", gguf_bytes([arch()], [tensor("z", (0, 4)), ok], four), OPENS)
    yield one("T18", "no extents", gguf_bytes([arch()], [tensor("a", ())], four), OPENS)
    yield one("T19", "values 2^64", gguf_bytes([arch()], [tensor("a", (2**32, 2**32))], four))
    yield one("T19", "values 0 x 2^62", gguf_bytes([arch()], [tensor("a", (0, 2**62))], four))
    yield one("T20", "bytes 2^63", gguf_bytes([arch()], [tensor("a", (2**60,), 27)], four))
    for type in (43, 99, 2**32 - 1):
        unknown = [tensor("a", (4, 2), type), tensor("b", (4, 2), 0, 32)]
        yield one("T21", f"type {type}", gguf_bytes([arch()], unknown, bytes(64)), OPENS)
    unknown = [tensor("a", (4, 2), 99), tensor("b", (4, 2), 0, 33)]
    yield one("T21", "unaligned behind it", gguf_bytes([arch()], unknown, bytes(80)))
    yield one("T21", "rows no blocks", gguf_bytes([arch()], [tensor("a", (31,), 2)], bytes(64)))
    for offset in (64, 16, 0):
        pushed = [ok, tensor("b", (4, 2), 0, offset)]
        yield one("T22", f"offset {offset}", gguf_bytes([arch()], pushed, bytes(128)))
    yield one("T22", "first at 32", gguf_bytes([arch()], [tensor("a", (4, 2), 0, 32)], bytes(64)))
    yield one("T23", "name twice", gguf_bytes([], [ok, tensor("a", (4, 2), 0, 32)], bytes(64)))
    yield one("T24", "alignment 13", gguf_bytes([alignment(13)], [ok], four, align=13))
    wide = [ok, tensor("b", (4, 2), 0, 64)]
    yield one("T25", "offsets by 64", gguf_bytes([alignment(32)], wide, bytes(96)))
    yield one("T25", "offsets by 32", gguf_bytes([alignment(64)], [ok, tensor("b", (4,), 0, 32)],
                                                 bytes(64), align=64))  # fmt: skip
    tight = [tensor("a", (3,)), tensor("b", (3,), 0, 12)]
    yield one("T26", "alignment 1", gguf_bytes([alignment(1)], tight, bytes(24), align=1), OPENS)
    yield one("T26", "alignment 64", gguf_bytes([alignment(64)], wide, bytes(96), align=64), OPENS)


def _data():
    ok = tensor("a", (4, 2))
    yield one("T27", "data one byte short", gguf_bytes([arch()], [ok], bytes(31)), "truncated")
    yield one("T27", "no data", gguf_bytes([arch()], [ok]), "truncated")
    whole = gguf_bytes([arch()], [ok], bytes(32))
    for n in (7, 12, 23, 30, 60, 100):
        yield one("T27", f"first {n} bytes", whole[:n], "truncated")
    yield one("T28", "alignment 13", gguf_bytes([alignment(13)], [ok], bytes(32), align=13))
    wide = [ok, tensor("b", (4, 2), 0, 64)]
    yield one("T28", "other alignment", gguf_bytes([arch()], wide, bytes(96), align=64))
    half = 0x7FFFFFFFFFFFFFC0
    two = [tensor("a", (half,), 24), tensor("b", (half,), 24, half)]
    yield one("T29", "sum overflows", gguf_bytes([arch()], two, bytes(64)))
    yield one("T30", "all right", whole, OPENS)
    yield one("T30", "last unpadded", gguf_bytes([arch()], [tensor("a", (3,))], bytes(12)), OPENS)


def _ours():
    def array(kind, count, rest=b""):
        return string("k") + u32(g.ARR) + u32(kind) + u64(count) + rest

    for kind in (g.U8, g.I16, g.F64, g.BOOL, g.STR):
        yield one("X1", f"2^63-1 items of type {kind}", gguf_bytes([array(kind, 2**63 - 1)]))
        yield one("X1", f"2^64-1 items of type {kind}", gguf_bytes([array(kind, HUGE)]))
    yield one("X1", "texts that take all", gguf_bytes([array(g.STR, 2**21 + 1, bytes(8 << 21))]))
    nested = string("k") + u32(g.ARR) + (u32(g.ARR) + u64(1)) * 10_000 + u32(g.U8) + u64(0)
    yield one("X2", "10,000 deep", gguf_bytes([nested]))
    yield one("X3", "text of 2^40", gguf_bytes([string("k") + u32(g.STR) + u64(2**40) + b"abc"]))
    yield one("X3", "text of 2^64-1", gguf_bytes([string("k") + u32(g.STR) + u64(HUGE)]))
    yield one("X3", "item of 2^64-1", gguf_bytes([array(g.STR, 1, u64(HUGE))]))
    yield one(
        "X3", "item of 2^40, then more", gguf_bytes([array(g.STR, 2, u64(2**40) + bytes(99))])
    )
    yield one("X3", "text of 17 MB", gguf_bytes([pair("k", g.STR, b"x" * (17 << 20))]))
    yield one("X4", "alignment 2^30", gguf_bytes([alignment(2**30)]))
    yield one("X4", "alignment 2^31", gguf_bytes([alignment(2**31)]))
    entry = tensor("a", (4,))
    million = gguf_bytes([arch()], [entry * 1_000_000], n_tensors=1_000_000)
    yield one("X13", "10^6 tensors", million)
    yield one("X13", "10^6 pairs", gguf_bytes([pair("k", g.U8, 1) * 10**6], n_pairs=10**6))


def _metadata():
    """Odd metadata in files that open: nothing that reads them may stumble."""

    def model(*pairs):
        return gguf_bytes([arch(), *pairs], [tensor("token_embd.weight", (4, 2))], bytes(32))

    def odd(id, name, *pairs):
        return one(id, name, model(*pairs), OPENS)

    tokens = pair("tokenizer.ggml.tokens", g.ARR, (g.STR, [b"\xff\xfe", "b", b"\xc3"]))
    yield odd("X5", "no UTF-8", tokens, pair("general.name", g.STR, b"\xff\xfename"))
    yield odd("X5", "key of no UTF-8", pair(b"\xff.key", g.U32, 1))
    template = "tokenizer.chat_template"
    yield odd("X6", "template an array", pair(template, g.ARR, (g.STR, ["{{ a }}"])))
    yield odd("X6", "template a number", pair(template, g.I32, 3))
    names = pair("tokenizer.chat_templates", g.ARR, (g.U32, [1, 2]))
    yield odd("X6", "template names numbers", names)
    yield one(
        "X6", "architecture a number", gguf_bytes([pair("general.architecture", g.U32, 1)]), OPENS
    )
    heads, layers = "llama.attention.head_count", "llama.block_count"
    width = pair("llama.embedding_length", g.U32, 4)
    yield odd("X7", "no heads", pair(heads, g.U32, 0), pair(layers, g.U32, 1), width)
    yield odd("X7", "no layers", pair(heads, g.U32, 2), pair(layers, g.U32, 0), width)
    yield odd("X7", "width not divisible", pair(heads, g.U32, 3), pair(layers, g.U32, 1), width)
    yield odd("X7", "2^32-1 layers", pair(heads, g.U32, 2), pair(layers, g.U32, 2**32 - 1), width)
    yield odd("X7", "negative", pair(heads, g.I32, -2), pair(layers, g.I64, -(2**63)), width)
    yield odd(
        "X7", "not a number", pair(heads, g.F32, float("nan")), pair(layers, g.STR, "x"), width
    )
    per_layer = pair(f"{heads}_kv", g.ARR, (g.I32, [2, 0, 4]))
    yield odd("X8", "heads per layer", per_layer, pair(layers, g.U32, 3), pair(heads, g.U32, 4))
    ids = [
        pair(f"tokenizer.ggml.{n}_token_id", g.U32, i) for n, i in (("bos", 2**32 - 1), ("eos", 3))
    ]
    vocabulary = pair("tokenizer.ggml.tokens", g.ARR, (g.STR, ["a", "b", "c"]))
    yield odd("X9", "ids past the end", vocabulary, *ids)
    yield odd("X9", "id negative", vocabulary, pair("tokenizer.ggml.bos_token_id", g.I32, -1))
    merges = pair("tokenizer.ggml.merges", g.ARR, (g.STR, ["ab", "a b", "x y", "", " "]))
    gpt2 = pair("tokenizer.ggml.model", g.STR, "gpt2")
    yield odd("X10", "merge without space", gpt2, vocabulary, merges)
    escape = "\x1b]52;c;Zm9v\x07\n[@click=app.quit]"
    yield odd(
        "X14", "escape codes", pair(f"k{escape}", g.U32, 1), pair("general.name", g.STR, escape)
    )
    yield odd("X14", "name of 10 MB", pair("general.name", g.STR, b"n" * 10_000_000))
    odd_tensor = tensor(f"t{escape}", (4, 2))
    yield one("X14", "tensor name", gguf_bytes([arch()], [odd_tensor], bytes(32)), OPENS)


def _splits():
    def part(number, count, total=2):
        pairs = [pair("split.no", g.U16, number), pair("split.count", g.U16, count),
                 pair("split.tensors.count", g.I32, total)]  # fmt: skip
        named = [arch()] if number == 0 else []  # only the first part need name it
        return gguf_bytes(named + pairs, [tensor(f"t{number}", (4, 2))], bytes(32))

    def name(number, count, stem="m"):
        return f"{stem}-{number:05d}-of-{count:05d}.gguf"

    def several(label, files, kinds, id="X11"):
        return Case(id, label, files, frozenset(kinds))

    both = {name(1, 2): part(0, 2), name(2, 2): part(1, 2)}
    yield several("two parts", both, ())
    yield several("from the second", dict(reversed(both.items())), ())
    yield several("part missing", {name(1, 3): part(0, 3)}, {"incomplete_split"})
    yield several("first missing", {name(2, 2): part(1, 2)}, {"incomplete_split"})
    yield several("renamed", {"m.gguf": part(0, 2)}, {"corrupt"})
    yield several("name says 3", {name(1, 3): part(0, 2)}, {"corrupt"})
    yield several("name says 3 and key 1", {name(1, 3): part(0, 1)}, {"corrupt"})
    yield several("number past count", {name(1, 2): part(5, 2)}, {"corrupt"})
    mixed = {name(1, 2): part(0, 2), name(2, 2): part(1, 3)}
    yield several("parts disagree", mixed, {"corrupt"})
    yield several(
        "tensors missing", {n: b.replace(b"t1", b"t0") for n, b in both.items()}, {"corrupt"}
    )
    fewer = {name(1, 2): part(0, 2, total=9), name(2, 2): part(1, 2)}
    yield several("count of tensors", fewer, {"corrupt"})
    broken = {name(1, 2): part(0, 2), name(2, 2): part(1, 2)[:-1]}
    yield several("second cut short", broken, {"truncated"})
    many = gguf_bytes([arch(), pair("split.count", g.U32, 99999)])
    yield several("99,999 parts", {name(1, 99999): many}, {"corrupt"})
    text = gguf_bytes([arch(), pair("split.count", g.STR, "2")])
    yield several("count a text", {name(1, 2): text}, {"corrupt"})
    outside = {f"in/{name(1, 2)}": part(0, 2), name(2, 2): part(1, 2)}
    yield several("part one folder up", outside, {"incomplete_split"}, "X12")
    prefix = gguf_bytes(
        [arch(), pair("split.prefix", g.STR, "../m"), pair("split.count", g.U16, 2)]
    )
    climbing = {f"in/{name(1, 2)}": prefix, name(2, 2): part(1, 2)}
    yield several("prefix climbs", climbing, {"incomplete_split"}, "X12")
    dots = {name(1, 2, stem=".."): part(0, 2), name(2, 2): part(1, 2)}
    yield several("stem of dots", dots, {"incomplete_split"}, "X12")
