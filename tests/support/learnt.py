"""Adapters as training would leave them, made in a moment: what learns is moved at random."""

import torch
from safetensors.torch import save_file

from backend.train.recipe import Technique as Spec
from backend.train.techniques import technique

IDS = [5, 17, 250, 3, 99, 120, 7, 44, 200, 6, 33, 8]
TECHNIQUES = {
    "lora": {"name": "lora"},
    "rslora": {"name": "lora", "rslora": True},
    "some": {"name": "lora", "targets": ["q_proj", "k_proj", "down_proj"]},
    "lora-fa": {"name": "lora-fa"},
    "lora-plus": {"name": "lora-plus"},
    "vera": {"name": "vera", "rank": 16},
    "delta-lora": {"name": "delta-lora", "start_step": 0, "update_ratio": 0.5},
    "dora": {"name": "lora", "dora": True},
}


@torch.no_grad()
def logits(model):
    return model.eval()(torch.tensor([IDS])).logits[0].numpy()


def learned(model, name, folder, *, checkpoint=False, targets="all-linear"):
    """Attach a technique, move what learns as training would, save; return the logits it gives."""
    spec = Spec(**{"rank": 4, "alpha": 8.0, "targets": targets, **TECHNIQUES[name]})
    torch.manual_seed(0)
    way = technique(spec)
    tuned = way.attach(model)
    way.begin(tuned, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in tuned.parameters():
            if p.requires_grad:
                p += 0.05 * torch.randn(p.shape, generator=generator)
    if checkpoint:
        tuned.save_pretrained(folder)
        save_file(way.state(tuned), folder / "technique.safetensors")
    else:
        way.save(tuned, folder)
    return logits(tuned)
