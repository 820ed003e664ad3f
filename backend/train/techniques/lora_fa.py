"""LoRA-FA (Zhang et al. 2023, arXiv:2308.03303): LoRA with A frozen at its random start; B learns.

A's gradient would need the input x of every adapted matrix; without it only A x (T r numbers for T
tokens) is kept for the backward pass. So A must be frozen before the first forward pass, which `attach`
does. Dropout inside the branch would keep a mask of x's size and lose the gain.

With `projected` (the paper's later version): g~_B = g_B (A A^T)^-1 / s^2, so that s g~_B A is the
least-squares fit g_W A^T (A A^T)^-1 A of the gradient of W among the changes that B can make.
"""

import torch
from torch import Tensor, nn

from backend.train.recipe import Technique as Spec
from backend.train.techniques.lora import Adapted, Lora, adapted


class LoraFA(Lora):
    """LoRA with a frozen A."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self._inverses: dict[str, Tensor] = {}  # (A A^T)^-1 / s^2 by module; A never changes

    def attach(self, model: nn.Module) -> nn.Module:
        model = super().attach(model)
        for m in adapted(model):
            m.a.requires_grad_(False)
        return model

    def before_step(self, model: nn.Module) -> None:
        if not self.spec.projected:
            return
        for m in adapted(model):
            if m.b.grad is not None:
                m.b.grad.copy_(m.b.grad.float() @ self._inverse(m))

    def _inverse(self, m: Adapted) -> Tensor:
        if m.path not in self._inverses:
            a = m.a.detach().double()
            inverse = torch.linalg.pinv(a @ a.T, hermitian=True) / m.scale**2
            self._inverses[m.path] = inverse.float()
        return self._inverses[m.path]
