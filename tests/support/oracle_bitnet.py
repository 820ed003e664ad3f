"""BitNet b1.58 in float32 PyTorch: the oracle of the engine's logits.

BitLinear (Ma et al. 2024, arXiv 2402.17764; transformers' integrations/bitnet.py): activations of a
token become int8 by its greatest absolute value, x_q = clamp(round(x * 127 / max|x|), -128, 127) with
halves to even; the output is the ternary product of x_q, times the weights' scale and max|x| / 127.
Here a matrix is a BitLinear when the file stores it in a ternary type; others are plain.

Facts about the files, with their sources:
- rotary pairs are (i, i + width / 2), NEOX, for `bitnet` and `bitnet-b1.58` alike, and q and k are not
  permuted: llama.cpp src/llama-model.cpp, llama_model_rope_type; the fork in microsoft/BitNet agrees.
- norms before the output projections: attn_sub_norm, ffn_sub_norm; the output matrix is the embedding
  table: llama.cpp src/models/bitnet.cpp.
- `<arch>.hidden_activation` names the activation ("relu2" is squared ReLU); without it `bitnet` means
  SiLU (same file, since llama.cpp pull request 26751), and `bitnet-b1.58` squared ReLU (the fork's
  graph for Microsoft's own 2B4T file, which has no such key; microsoft/BitNet issue 588).
- optional `<matrix>.scale` tensors of one value multiply the product (src/models/bitnet.cpp).
"""

import torch
from oracle_gguf import read
from oracle_llama import Transformer, attend
from torch.nn.functional import linear, silu


def quantise_activations(x):
    """Return (x_q as float32 integers, scale): x is about x_q / scale."""
    scale = 127 / x.abs().amax(-1, keepdim=True).clamp(min=1e-5)
    return (x * scale).round().clamp(-128, 127), scale


def rotate_halves(x, base):
    """Rotate pairs (i, i + width / 2) of x [tokens, heads, width] by position * base^(-2i / width)."""
    tokens, _, width = x.shape
    angle = torch.outer(
        torch.arange(tokens, dtype=torch.float64),
        base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width),
    )
    cos, sin = angle.cos().float()[:, None], angle.sin().float()[:, None]
    low, high = x.chunk(2, -1)
    return torch.cat([low * cos - high * sin, high * cos + low * sin], -1)


class OracleBitNet(Transformer):
    """A BitNet read from a GGUF file."""

    def __init__(self, path):
        metadata, self.weights = read(path)
        arch = metadata["general.architecture"]
        assert arch in ("bitnet", "bitnet-b1.58", "bitnet-25")
        get = {key.removeprefix(arch + "."): value for key, value in metadata.items()}.get
        self.layers = get("block_count")
        self.heads = get("attention.head_count")
        self.kv_heads = get("attention.head_count_kv", self.heads)
        self.eps = get("attention.layer_norm_rms_epsilon")
        self.rope_base = get("rope.freq_base", 10000.0)
        self.activation = get("hidden_activation", "silu" if arch == "bitnet" else "relu2")

    def linear(self, name, x):
        weight = self.weights[name + ".weight"]
        scale = self.weights.get(name + ".scale")
        if weight.ternary:
            x_q, x_scale = quantise_activations(x)
            y = linear(x_q, weight.value) / x_scale
        else:
            y = linear(x, weight.value)
        return y if scale is None else y * scale.value

    def attention(self, p, x):
        q, k, v = self.heads_of(p, x)
        q, k = rotate_halves(q, self.rope_base), rotate_halves(k, self.rope_base)
        return self.linear(p + "attn_output", self.norm(p + "attn_sub_norm", attend(q, k, v)))

    def feed_forward(self, p, x):
        gate = self.linear(p + "ffn_gate", x)
        gate = gate.relu().square() if self.activation == "relu2" else silu(gate)
        gated = gate * self.linear(p + "ffn_up", x)
        return self.linear(p + "ffn_down", self.norm(p + "ffn_sub_norm", gated))
