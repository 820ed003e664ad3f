"""The trained model as a GGUF file that Sterna and llama.cpp load."""

from pathlib import Path

import gguf
import numpy as np
from bitnet import BitLinear, BitNet, scale_of, ternary
from corpus import TEMPLATE
from tokenizers import Tokenizer

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def pack_tq2_0(codes: np.ndarray, scale: float) -> np.ndarray:
    """Codes -1 0 1 [rows, cols] to TQ2_0: byte 32b + m of a block holds 128b + m + 32n in bits 2n."""
    rows, cols = codes.shape
    crumbs = (codes + 1).astype(np.uint8).reshape(rows, cols // 256, 2, 4, 32)
    packed = sum(crumbs[:, :, :, n] << (2 * n) for n in range(4)).reshape(rows, cols // 256, 64)
    d = np.full((rows, cols // 256, 1), scale, np.float16).view(np.uint8)
    return np.concatenate([packed, d], axis=-1).reshape(rows, -1)


def _vocabulary(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    import json

    size = tokenizer.get_vocab_size()
    tokens = [tokenizer.id_to_token(i) for i in range(size)]
    kinds = [gguf.TokenType.CONTROL if t in SPECIAL else gguf.TokenType.NORMAL for t in tokens]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_bos_token_id(tokenizer.token_to_id("<|endoftext|>"))
    writer.add_eos_token_id(tokenizer.token_to_id("<|im_end|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def _metadata(writer: gguf.GGUFWriter, model: BitNet) -> None:
    s = model.s
    writer.add_name("Sterna starter")
    writer.add_description(
        "A tiny ternary demonstration model: a guide to Sterna, quants and fine-tuning."
    )
    writer.add_license("apache-2.0")
    writer.add_author("Sterna")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_TQ2_0)
    writer.add_context_length(s.context)
    writer.add_embedding_length(s.hidden)
    writer.add_block_count(s.layers)
    writer.add_feed_forward_length(s.feed_forward)
    writer.add_head_count(s.heads)
    writer.add_head_count_kv(s.kv_heads)
    writer.add_layer_norm_rms_eps(s.eps)
    writer.add_rope_freq_base(s.rope_base)
    writer.add_rope_dimension_count(s.head)
    writer.add_vocab_size(s.vocab)


def export(model: BitNet, tokenizer: Tokenizer, path: Path) -> None:
    """Write the model: ternary matrices in TQ2_0, embeddings in Q8_0, norms in F32."""
    writer = gguf.GGUFWriter(path, "bitnet")
    _metadata(writer, model)
    _vocabulary(writer, tokenizer)
    q8 = gguf.GGMLQuantizationType.Q8_0
    table = model.token_embd.weight.detach().numpy()
    writer.add_tensor("token_embd.weight", gguf.quants.quantize(table, q8), raw_dtype=q8)
    tq2 = gguf.GGMLQuantizationType.TQ2_0
    for name, module in model.named_modules():
        if isinstance(module, BitLinear):
            codes = ternary(module.weight.detach()).numpy()
            packed = pack_tq2_0(codes, float(scale_of(module.weight.detach())))
            writer.add_tensor(f"{name}.weight", packed, raw_dtype=tq2)
        elif name.endswith("norm"):
            writer.add_tensor(f"{name}.weight", module.weight.detach().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
