"""LoRA+ (Hayou et al. 2024, arXiv:2402.12354): LoRA where B learns `ratio` times faster than A.

In wide models A should learn at the order of 1/n and B at the order of 1; one rate for both leaves one of
them behind. The authors take a ratio of 16 and halve A's rate against plain LoRA.
"""

from typing import Any

from torch import nn

from backend.train.techniques.lora import Lora, adapted


class LoraPlus(Lora):
    """LoRA with two learning rates: every B in one group, everything else in the groups of LoRA."""

    def groups(self, model: nn.Module, rate: float, weight_decay: float) -> list[dict[str, Any]]:
        fast = [m.b for m in adapted(model)]
        are_fast = {id(p) for p in fast}
        groups = super().groups(model, rate, weight_decay)
        for group in groups:
            group["params"] = [p for p in group["params"] if id(p) not in are_fast]
        groups.append({"params": fast, "lr": rate * self.spec.ratio, "weight_decay": weight_decay})
        return [group for group in groups if group["params"]]
