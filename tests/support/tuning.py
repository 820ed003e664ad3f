"""Tiny Hugging Face models and a plain training loop, as an oracle for what the techniques do."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from backend.train.recipe import Technique as Spec
from backend.train.techniques import technique

SHAPE = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip


def tiny(seed=0, dtype=torch.float32, **changes):
    """Return a random llama of some ten thousand parameters."""
    torch.manual_seed(seed)
    config = LlamaConfig(**{**SHAPE, **changes}, attn_implementation="sdpa")
    return LlamaForCausalLM(config).to(dtype)


def attached(name, seed=1, base=None, **options):
    """Return (technique, model with it), made from the same seeds whatever the technique is."""
    spec = Spec(name=name, **{"rank": 4, "alpha": 8.0, **options})
    model = base if base is not None else tiny()
    torch.manual_seed(seed)
    way = technique(spec)
    return way, way.attach(model)


def batches(count, rows=2, length=12, seed=2, vocab=64):
    """Return `count` batches of random ids [rows, length]."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, vocab, (rows, length), generator=generator) for _ in range(count)]


def train(way, model, data, rate=1e-2, weight_decay=0.0, eps=1e-8, after=None, optimizer=None):
    """Train as plainly as can be; return the losses. `after(step)` is called after each step."""
    make = optimizer or torch.optim.AdamW
    groups = way.groups(model, rate, weight_decay)
    opt = make(groups, lr=rate) if optimizer else make(groups, lr=rate, eps=eps)
    way.begin(model, 0)
    model.train()
    losses = []
    for step, ids in enumerate(data, 1):
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        way.before_step(model)
        opt.step()
        opt.zero_grad()
        way.after_step(model, step)
        losses.append(loss.item())
        if after:
            after(step)
    return losses


@torch.no_grad()
def logits(model, ids):
    """Return the logits in evaluation mode."""
    model.eval()
    return model(input_ids=ids).logits


def base_weights(model):
    """Return copies of all frozen parameters of the base by name."""
    return {
        name: p.detach().clone()
        for name, p in model.named_parameters()
        if not p.requires_grad and "lora_" not in name and "vera_" not in name
    }
