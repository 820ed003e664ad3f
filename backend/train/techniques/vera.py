"""VeRA (Kopiczko et al. 2023, arXiv:2310.11454): h = W x + diag(b) B diag(d) A x.

A [r, widest d_in] and B [widest d_out, r] are random, frozen and shared by all matrices, which use their
first columns and rows; the vectors d [r] (from `d_initial`) and b [d_out] (from zero) learn. The
projections are saved with the adapter: a seed alone does not bring them back when targets or versions
differ.
"""

from collections.abc import Iterator

from peft import VeraConfig, get_peft_model
from peft.tuners.vera.layer import VeraLayer
from torch import nn

from backend.train.techniques.technique import ADAPTER, Factors, Technique, float32
from backend.train.techniques.vera_product import AdaptedVera, Narrowed


class Vera(Technique):
    """VeRA by peft."""

    def config(self) -> VeraConfig:
        """Return peft's configuration of this adapter."""
        s = self.spec
        return VeraConfig(
            task_type="CAUSAL_LM",
            r=s.rank,
            vera_dropout=s.dropout,
            target_modules=s.targets if isinstance(s.targets, str) else list(s.targets),
            projection_prng_key=s.projection_seed,
            save_projection=True,
            d_initial=s.d_initial,
            bias="none",
        )

    def attach(self, model: nn.Module) -> nn.Module:
        made: nn.Module = get_peft_model(model, self.config())
        narrowed = Narrowed()
        for layer in made.modules():
            AdaptedVera.take(layer, narrowed)
        return made

    def factors(self, model: nn.Module) -> Iterator[Factors]:
        """Fold exactly: A' = diag(d) A, B' = diag(b) B, of the matrix's own widths."""
        for name, layer in model.named_modules():
            if not isinstance(layer, VeraLayer) or ADAPTER not in layer.vera_lambda_d:
                continue
            assert layer.vera_A is not None
            assert layer.vera_B is not None
            a = float32(layer.vera_A[ADAPTER])[:, : layer.in_features]
            b = float32(layer.vera_B[ADAPTER])[: layer.out_features]
            d = float32(layer.vera_lambda_d[ADAPTER])
            scale = float32(layer.vera_lambda_b[ADAPTER])
            yield Factors(
                name.removeprefix("base_model.model."), d[:, None] * a, scale[:, None] * b
            )
