"""Supervised fine-tuning of all weights (Ouyang et al. 2022, arXiv:2203.02155).

Minimises -(1/N) sum_t log p(y_t | y_<t, x) over the N tokens that are to be learned in a whole step,
accumulated batches together.
"""

from collections.abc import Iterator

from torch import nn

from backend.errors import SternaError
from backend.train.techniques.technique import Factors, Technique


class FullTuning(Technique):
    """Every parameter learns."""

    def attach(self, model: nn.Module) -> nn.Module:
        model.requires_grad_(True)
        return model

    def factors(self, model: nn.Module) -> Iterator[Factors]:
        raise SternaError(
            "no_factors",
            "A full fine-tune changes every weight: there is no adapter.",
            "Export merged weights instead.",
        )
