"""Llama in float32 PyTorch, straight from the definition: the oracle of the engine's logits.

RMSNorm (Zhang & Sennrich 2019), rotary embeddings (Su et al. 2021), grouped-query attention
(Ainslie et al. 2023), SwiGLU (Shazeer 2020). The whole sequence at once, no cache, no blocks.

Rotary pairs: a GGUF of architecture `llama` has the rows of q and k permuted so that a pair is
(2i, 2i + 1); llama.cpp calls it NORM (src/llama-model.cpp, llama_model_rope_type). Llama 3's longer
context comes as a tensor rope_freqs.weight that divides the frequencies.
"""

import torch
from oracle_gguf import read
from torch.nn.functional import linear, silu


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def rotate_consecutive(x, base, factors):
    """Rotate pairs (2i, 2i + 1) of x [tokens, heads, width] by position * base^(-2i / width) / factor_i."""
    tokens, _, width = x.shape
    frequency = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width) / factors
    angle = torch.outer(torch.arange(tokens, dtype=torch.float64), frequency)
    turn = torch.polar(torch.ones_like(angle), angle).to(torch.complex64)[:, None]
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2).contiguous())
    return torch.view_as_real(pairs * turn).flatten(-2)


def attend(q, k, v):
    """Causal attention of q [tokens, heads, width] over k, v [tokens, kv_heads, width]."""
    share = q.shape[1] // k.shape[1]
    q, k, v = (
        t.transpose(0, 1) for t in (q, k.repeat_interleave(share, 1), v.repeat_interleave(share, 1))
    )
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    mixed = scores.masked_fill(later, -torch.inf).softmax(-1) @ v
    return mixed.transpose(0, 1).flatten(1)


class Transformer:
    """Layers of attention and feed-forward, each after a norm; subclasses say what those are."""

    def norm(self, name, x):
        return rms_norm(x, self.weights[name + ".weight"].value, self.eps)

    @torch.no_grad()
    def logits(self, ids):
        """Return the logits after each token, float32 [tokens, vocabulary]."""
        x = self.weights["token_embd.weight"].value[torch.as_tensor(ids)]
        for layer in range(self.layers):
            p = f"blk.{layer}."
            x = x + self.attention(p, self.norm(p + "attn_norm", x))
            x = x + self.feed_forward(p, self.norm(p + "ffn_norm", x))
        tied = "output.weight" not in self.weights
        return self.linear("token_embd" if tied else "output", self.norm("output_norm", x)).numpy()

    def heads_of(self, p, x):
        """Return q, k and v, [tokens, heads, width] each."""
        counts = {"q": self.heads, "k": self.kv_heads, "v": self.kv_heads}
        return (self.linear(f"{p}attn_{n}", x).unflatten(-1, (c, -1)) for n, c in counts.items())


class OracleLlama(Transformer):
    """A Llama read from a GGUF file, its weights dequantised to float32."""

    def __init__(self, path):
        metadata, self.weights = read(path)
        get = {key.removeprefix("llama."): value for key, value in metadata.items()}.get
        assert metadata["general.architecture"] == "llama"
        self.layers = get("block_count")
        self.heads = get("attention.head_count")
        self.kv_heads = get("attention.head_count_kv", self.heads)
        self.eps = get("attention.layer_norm_rms_epsilon")
        self.rope_base = get("rope.freq_base", 10000.0)
        self.rope_factors = (
            self.weights["rope_freqs.weight"].value if "rope_freqs.weight" in self.weights else 1
        )

    def linear(self, name, x):
        return linear(x, self.weights[name + ".weight"].value)

    def attention(self, p, x):
        q, k, v = self.heads_of(p, x)
        q, k = (rotate_consecutive(t, self.rope_base, self.rope_factors) for t in (q, k))
        return self.linear(p + "attn_output", attend(q, k, v))

    def feed_forward(self, p, x):
        gated = silu(self.linear(p + "ffn_gate", x)) * self.linear(p + "ffn_up", x)
        return self.linear(p + "ffn_down", gated)
