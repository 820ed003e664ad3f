"""Small models with random weights, as GGUF files and as transformers' own models of the same weights."""

from dataclasses import dataclass, replace

import gguf
import numpy as np

from bench.random_blocks import TYPES, random_blocks

I2_S = 36
MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


@dataclass(frozen=True)
class Tiny:
    """Shape and traits of a small model."""

    arch: str = "bitnet"
    hidden: int = 256
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 768
    vocabulary: int = 301
    activation: str | None = "relu2"
    tied: bool = True
    rope_base: float = 10000.0
    eps: float = 1e-5
    context: int = 512

    @property
    def bitnet(self):
        return self.arch != "llama"

    @property
    def head_dim(self):
        return self.hidden // self.heads

    def sizes(self, name):
        """Return (rows, cols) of a layer's matrix."""
        kv, h, f = self.kv_heads * self.head_dim, self.hidden, self.feed_forward
        rows = {"attn_k": kv, "attn_v": kv, "ffn_gate": f, "ffn_up": f}.get(name, h)
        return rows, f if name == "ffn_down" else h


@dataclass
class Weights:
    """Float32 weights under their GGUF names, q and k in transformers' order of rows.

    `scale` holds the scale of each ternary matrix, whose codes are value / scale.
    """

    tiny: Tiny
    value: dict
    scale: dict


def random_weights(tiny, seed, *, ternary):
    """Draw weights such that each step adds about a thirtieth to the residual stream.

    Quantised activations make tiny differences jump: a value near a half, summed in another order,
    becomes another integer, and all that follows is quantised anew, which moves each step's output
    by up to a percent. Those are no mistakes. With steps this small they move the logits by less
    than 1e-3, while any mistake in a step moves them by more; and positions where nothing jumped
    must agree far closer (`assert_close` checks both).
    """
    rng = np.random.default_rng(seed)
    value, scale = {}, {}
    value["token_embd.weight"] = rng.standard_normal((tiny.vocabulary, tiny.hidden))
    if not tiny.tied:
        value["output.weight"] = rng.standard_normal((tiny.vocabulary, tiny.hidden))
    value["output_norm.weight"] = rng.uniform(0.5, 1.5, tiny.hidden)
    for layer in range(tiny.layers):
        p = f"blk.{layer}."
        for name in MATRICES:
            rows, cols = tiny.sizes(name)
            gain = 1 / 32 if name in ("attn_output", "ffn_down") else 1
            spread = gain * rng.uniform(0.8, 1.2) * cols**-0.5
            key = p + name + ".weight"
            if ternary:  # a scale that half precision holds, for the types that store it so
                scale[key] = np.float32(np.float16(spread * 1.5**0.5))
                value[key] = rng.integers(-1, 2, (rows, cols)) * scale[key]
            else:
                value[key] = rng.standard_normal((rows, cols)) * spread
        for name in ("attn_norm", "ffn_norm", *(("attn_sub_norm",) if tiny.bitnet else ())):
            value[p + name + ".weight"] = rng.uniform(0.5, 1.5, tiny.hidden)
        if tiny.bitnet:
            value[p + "ffn_sub_norm.weight"] = rng.uniform(0.5, 1.5, tiny.feed_forward)
    return Weights(tiny, {k: v.astype(np.float32) for k, v in value.items()}, scale)


DRAWN = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "IQ4_NL", "IQ4_XS", "MXFP4", "IQ2_XXS", "IQ2_XS", "IQ2_S",
         "IQ3_XXS", "IQ3_S")  # fmt: skip

# --- as a GGUF file --------------------------------------------------------------------------------


def write_gguf(path, weights, matrix_type, head_type="F32", *, metadata=None, extra=None):
    """Write the weights with the layers' matrices in one type and embeddings and output in another."""
    tiny = weights.tiny
    writer = gguf.GGUFWriter(path, tiny.arch)
    writer.add_context_length(tiny.context)
    writer.add_embedding_length(tiny.hidden)
    writer.add_block_count(tiny.layers)
    writer.add_feed_forward_length(tiny.feed_forward)
    writer.add_head_count(tiny.heads)
    writer.add_head_count_kv(tiny.kv_heads)
    writer.add_rope_dimension_count(tiny.head_dim)
    writer.add_rope_freq_base(tiny.rope_base)
    writer.add_layer_norm_rms_eps(tiny.eps)
    if tiny.bitnet and tiny.activation is not None:
        writer.add_string(f"{tiny.arch}.hidden_activation", tiny.activation)
    for key, number in (metadata or {}).items():
        writer.add_float32(key, number)
    _add_tokenizer(writer, tiny.vocabulary)
    for name, value in (weights.value | (extra or {})).items():
        kind = "F32" if value.ndim == 1 else matrix_type if name.startswith("blk.") else head_type
        if not tiny.bitnet and (".attn_q." in name or ".attn_k." in name):
            heads = tiny.heads if ".attn_q." in name else tiny.kv_heads
            value = interleave_pairs(value, heads)
        _add_tensor(writer, name, value, kind, weights.scale.get(name))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def interleave_pairs(value, heads):
    """Reorder rows so that rotary pairs (i, i + width / 2) of each head become (2i, 2i + 1)."""
    rows, cols = value.shape
    return value.reshape(heads, 2, rows // heads // 2, cols).swapaxes(1, 2).reshape(rows, cols)


def _add_tensor(writer, name, value, kind, scale):
    if kind == "I2_S":
        writer.add_tensor_info(name, value.shape, np.dtype(np.float32), value.size // 4 + 32, I2_S)
        writer.tensors[-1][name].tensor = pack_i2_s(value, scale)
    elif kind == "Q6_K":
        writer.add_tensor(name, pack_q6_k(value), raw_dtype=gguf.GGMLQuantizationType.Q6_K)
    elif kind in DRAWN:  # what nobody here can quantise: random blocks of the same spread
        type_ = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(name, drawn_blocks(value, kind, seed=len(name)), raw_dtype=type_)
    else:
        type_ = gguf.GGMLQuantizationType[kind]
        packed = gguf.quants.quantize(value, type_)
        writer.add_tensor(name, packed, raw_dtype=type_)


def drawn_blocks(value, kind, *, seed):
    """Return random blocks with the spread of the values, uint8 [..., bytes of a row]."""
    rng = np.random.Generator(np.random.SFC64(seed))
    blocks = random_blocks(rng, TYPES[kind], value.size, float(value.std()))
    return blocks.reshape(*value.shape[:-1], -1)


def pack_i2_s(value, scale):
    """Return the bytes of an I2_S tensor."""
    codes = np.rint(value / scale).astype(np.uint8) + np.uint8(1)
    quarters = codes.reshape(-1, 4, 32) << np.array([6, 4, 2, 0], np.uint8).reshape(1, 4, 1)
    tail = np.zeros(8, np.float32)
    tail[0] = scale
    packed = np.bitwise_or.reduce(quarters, axis=1).reshape(-1)
    return np.concatenate([packed, tail.view(np.uint8)])


def pack_q6_k(value):
    """Return a plain Q6_K of the values, uint8 [rows, bytes]: round to nearest in each group of 16."""
    groups = value.reshape(-1, 16, 16)
    most = np.abs(groups).max(-1)
    d = np.float16(most.max(1) / (31 * 127))[:, None].astype(np.float32)
    scales = np.clip(np.rint(most / (31 * d)), 1, 127)
    codes = np.clip(np.rint(groups / (d * scales)[..., None]), -32, 31).astype(np.int8) + 32
    codes = codes.astype(np.uint8).reshape(-1, 2, 4, 32)  # halves of 128, quarters of 32
    low, high = codes & 15, codes >> 4
    ql = np.concatenate([low[:, :, 0] | low[:, :, 2] << 4, low[:, :, 1] | low[:, :, 3] << 4], -1)
    qh = high[:, :, 0] | high[:, :, 1] << 2 | high[:, :, 2] << 4 | high[:, :, 3] << 6
    blocks = len(codes)
    parts = [
        ql.reshape(blocks, 128),
        qh.reshape(blocks, 64),
        scales.astype(np.int8).view(np.uint8),
        d.astype(np.float16).view(np.uint8),
    ]
    return np.concatenate(parts, axis=1).reshape(len(value), -1)


def _add_tokenizer(writer, size):
    """A byte-level vocabulary without merges, filled up to `size`."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spare = iter(range(256, 512))
    tokens = [chr(byte if byte in shown else next(spare)) for byte in range(256)]
    tokens += [f"\u0120w{n}" for n in range(size - 258)] + ["<s>", "</s>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (size - 2) + [3, 3])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(size - 2)
    writer.add_eos_token_id(size - 1)


# --- as transformers' own model --------------------------------------------------------------------

_NAMES = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm", "attn_sub_norm": "self_attn.attn_sub_norm",
    "ffn_sub_norm": "mlp.ffn_sub_norm",
}  # fmt: skip


def _transformers_name(name):
    if name.startswith("blk."):
        _, layer, part, _ = name.split(".")
        return f"model.layers.{layer}.{_NAMES[part]}.weight"
    whole = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
    return whole[name.removesuffix(".weight")] + ".weight"


def to_transformers(weights, rope=None):
    """Return transformers' BitNetForCausalLM or LlamaForCausalLM, with BitLinear where ternary."""
    import torch
    from transformers import BitNetConfig, BitNetForCausalLM, LlamaConfig, LlamaForCausalLM
    from transformers.integrations.bitnet import AutoBitLinear

    tiny = weights.tiny
    numbers = {
        "vocab_size": tiny.vocabulary,
        "hidden_size": tiny.hidden,
        "intermediate_size": tiny.feed_forward,
        "num_hidden_layers": tiny.layers,
        "num_attention_heads": tiny.heads,
        "num_key_value_heads": tiny.kv_heads,
        "hidden_act": tiny.activation if tiny.bitnet else "silu",
        "rms_norm_eps": tiny.eps,
        "max_position_embeddings": tiny.context,
        "rope_parameters": {"rope_type": "default", "rope_theta": tiny.rope_base} | (rope or {}),
        "tie_word_embeddings": tiny.tied,
        "bos_token_id": tiny.vocabulary - 2,
        "eos_token_id": tiny.vocabulary - 1,
        "attn_implementation": "eager",
    }
    make = (BitNetForCausalLM, BitNetConfig) if tiny.bitnet else (LlamaForCausalLM, LlamaConfig)
    model = make[0](make[1](**numbers)).float().eval()
    state = {_transformers_name(k): torch.from_numpy(v) for k, v in weights.value.items()}
    for name, scale in weights.scale.items():
        key = _transformers_name(name).removesuffix(".weight")
        plain = model.get_submodule(key)
        bit = AutoBitLinear(plain.in_features, plain.out_features, bias=False)
        model.set_submodule(key, bit)
        state[key + ".weight"] = state[key + ".weight"] / scale
        state[key + ".weight_scale"] = torch.tensor([scale])
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert set(missing) <= ({"lm_head.weight"} if tiny.tied else set())
    return model.eval()


def transformers_logits(weights, prompts, rope=None):
    """Return transformers' logits after each token of each prompt, float32 [tokens, vocabulary] each."""
    import torch

    model = to_transformers(weights, rope)
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        return [model(torch.tensor([ids])).logits[0].numpy() for ids in prompts]


LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def llama3_factors(weights):
    """Return what the tensor rope_freqs.weight of such a model holds, by transformers' own rule."""
    plain, scaled = to_transformers(weights), to_transformers(weights, LLAMA3_ROPE)
    ratio = plain.model.rotary_emb.inv_freq / scaled.model.rotary_emb.inv_freq
    return ratio.numpy().astype(np.float32)


def relative(got, wanted):
    """Return the relative error of each position: norm of the difference over the norm."""
    got, wanted = np.asarray(got, np.float64), np.asarray(wanted, np.float64)
    return np.linalg.norm(got - wanted, axis=1) / np.linalg.norm(wanted, axis=1)


def assert_close(got, wanted, *, limit=1e-3, exact=5e-6, share=0.3):
    """Every position within `limit`, and a share of all positions `exact` but for float rounding."""
    errors = np.concatenate([relative(g, w) for g, w in zip(got, wanted, strict=True)])
    assert errors.max() < limit, f"worst position off by {errors.max():.2e}: {errors}"
    assert (errors < exact).mean() >= share, f"too few positions are exact: {errors}"


ODD = Tiny(hidden=768, layers=1, heads=6, kv_heads=3, feed_forward=1280, vocabulary=331)
LLAMA = Tiny(arch="llama", activation=None, tied=False)
FORK = replace(Tiny(), arch="bitnet-b1.58")
