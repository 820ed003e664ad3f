"""Models by the numbers of their published configurations: headers without files."""

from dataclasses import dataclass

from backend import quants
from backend.gguf import Metadata, TensorInfo


@dataclass(frozen=True)
class MadeHeader:
    """A header that no file has."""

    metadata: Metadata
    tensors: dict[str, TensorInfo]


def metadata(arch, **numbers):
    """Return metadata; `__` in a name stands for a dot. Lists are kept as they are."""
    plain, lists = {"general.architecture": arch}, {}
    for name, value in numbers.items():
        key = f"{arch}.{name.replace('__', '.')}"
        (lists if isinstance(value, list) else plain)[key] = value
    data = Metadata.of(plain)
    return _Listed(data, lists) if lists else data


class _Listed(Metadata):
    """Metadata with arrays, which `Metadata.of` does not take."""

    def __init__(self, plain, lists):
        super().__init__(plain._data, plain._stored)
        self._lists = lists

    def detached(self):
        return self

    def __getitem__(self, key):
        return self._lists[key] if key in self._lists else super().__getitem__(key)

    def integers(self, key):
        value = self._lists.get(key)
        return [int(v) for v in value] if value else super().integers(key)

    def integer(self, key, default=None):
        values = set(self._lists.get(key) or ())
        if values:
            return int(values.pop()) if len(values) == 1 else default
        return super().integer(key, default)

    def count(self, key):
        return len(self._lists[key]) if key in self._lists else super().count(key)


def decoder(arch="llama", *, layers, hidden, ffn, heads, kv_heads, vocab, head_dim=128, tied=False,
            quant="F16", context=131072, **numbers):  # fmt: skip
    """Return the header of a dense decoder, all matrices in one type."""
    data = metadata(
        arch, block_count=layers, embedding_length=hidden, feed_forward_length=ffn,
        attention__head_count=heads, attention__head_count_kv=kv_heads,
        attention__key_length=head_dim, attention__value_length=head_dim, context_length=context,
        rope__dimension_count=head_dim, **numbers,
    )  # fmt: skip
    wide, narrow = heads * head_dim, kv_heads * head_dim
    shapes = {"token_embd.weight": (hidden, vocab), "output_norm.weight": (hidden,)}
    for i in range(layers):
        rows = {
            "attn_norm": (hidden,), "attn_q": (hidden, wide), "attn_k": (hidden, narrow),
            "attn_v": (hidden, narrow), "attn_output": (wide, hidden), "ffn_norm": (hidden,),
            "ffn_gate": (hidden, ffn), "ffn_up": (hidden, ffn), "ffn_down": (ffn, hidden),
        }  # fmt: skip
        shapes |= {f"blk.{i}.{name}.weight": shape for name, shape in rows.items()}
    if not tied:
        shapes["output.weight"] = (hidden, vocab)
    return MadeHeader(data, {name: _tensor(name, shape, quant) for name, shape in shapes.items()})


def _tensor(name, shape, quant):
    kind = quants.type_named(quant if len(shape) > 1 else "F32")
    return TensorInfo(name, shape, kind.id, kind.name, 0, quants.tensor_bytes(kind, shape), 0, True)


LLAMA_8B = {"layers": 32, "hidden": 4096, "ffn": 14336, "heads": 32, "kv_heads": 8, "vocab": 128256}
