"""Random LoRA adapters: put on a transformers model by peft, and written as GGUF in llama.cpp's format."""

import re
from pathlib import Path

import numpy as np
from gguf_writing import write_gguf
from oracle_models import interleave_pairs
from tiny_families import _NAMES

_PARTS = re.compile(r"model\.layers\.(\d+)\.(.+)")


class Adapted:
    """A transformers model under peft; each adapter has a name."""

    def __init__(self, model, arch, *, names=None, interleaved=False):
        self.model, self.arch, self.interleaved = model, arch, interleaved
        self.names = _NAMES | (names or {})
        self.peft = None

    def add(
        self,
        name,
        path,
        targets,
        *,
        rank=4,
        alpha=8,
        seed=1,
        ranks=None,
        size=0.3,
        half=False,
        **header,
    ):
        """Put a random adapter on the model and write it; `ranks` differ by module. Return its path."""
        import torch
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=rank, lora_alpha=alpha, target_modules=targets, rank_pattern=ranks or {}
        )
        if self.peft is None:
            self.peft = get_peft_model(self.model, config, adapter_name=name).eval()
        else:
            self.peft.add_adapter(name, config)
        rng = np.random.default_rng(seed)
        tensors = {}
        with torch.no_grad():
            for module_name, module in self.peft.base_model.model.named_modules():
                if not hasattr(module, "lora_A"):
                    continue
                table = name in module.lora_embedding_A
                down, up = (
                    (module.lora_embedding_A, module.lora_embedding_B)
                    if table
                    else (module.lora_A, module.lora_B)
                )
                if name not in down:
                    continue
                halves = []
                for part in (down[name], up[name]):
                    values = part if table else part.weight
                    drawn = rng.standard_normal(values.shape) * size * values.shape[-1] ** -0.5
                    drawn = drawn * (8.0 if table else 1.0)
                    halves.append(drawn.astype(np.float32))
                    values.copy_(torch.from_numpy(halves[-1]))
                tensors |= self._stored(module_name, *halves, table)
        if half:
            tensors = {name: values.astype(np.float16) for name, values in tensors.items()}
        return write_adapter(path, self.arch, tensors, alpha, **header)

    def _stored(self, module, down, up, table):
        if table:
            return {
                "token_embd.weight.lora_a": np.ascontiguousarray(down.T),
                "token_embd.weight.lora_b": up,
            }
        if module == "lm_head":
            return {"output.weight.lora_a": down, "output.weight.lora_b": up}
        layer, part = _PARTS.fullmatch(module).groups()
        tensor = self.names[part]
        if self.interleaved and tensor in ("attn_q", "attn_k"):
            config = self.model.config
            heads = config.num_attention_heads if tensor == "attn_q" else config.num_key_value_heads
            up = interleave_pairs(up, heads)
        name = f"blk.{layer}.{tensor}.weight"
        return {name + ".lora_a": down, name + ".lora_b": np.ascontiguousarray(up)}

    def logits(self, prompts, scales):
        """Return logits with the named adapters, each times its scale."""
        import torch
        from peft.tuners.lora import LoraLayer

        usual = []
        self.peft.base_model.set_adapter(list(scales))
        for module in self.peft.modules():
            if isinstance(module, LoraLayer):
                usual.append((module, dict(module.scaling)))
                for name in module.scaling:
                    module.scaling[name] *= scales.get(name, 0)
        try:
            with torch.no_grad(), torch.compiler.set_stance("force_eager"):
                return [self.peft(torch.tensor([ids])).logits[0].numpy() for ids in prompts]
        finally:
            for module, scaling in usual:
                module.scaling.update(scaling)


def write_adapter(path, arch, tensors, alpha, **header):
    """Write an adapter file; `header` overrides keys, with dots as double underscores; None drops one."""
    said = {
        "general.architecture": arch,
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": float(alpha),
    } | {key.replace("__", "."): value for key, value in header.items()}
    return write_gguf(Path(path), {k: v for k, v in said.items() if v is not None}, tensors)
