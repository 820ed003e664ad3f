"""The architectures that the engine runs: what differs between them, one line each.

A new one that only differs in these traits is a line here; one with new parts also needs a step in
`graph.py`. Sources: the reference implementations in transformers, and llama.cpp for the names in
GGUF files.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """Traits of a decoder-only transformer.

    `neox`: rotary pairs are (i, i + half) and not (2i, 2i + 1). `squared`: the default of the
    feed-forward's activation is ReLU squared and not SiLU. `sub_norms`: RMS norms before the output
    projections of attention and feed-forward (BitNet b1.58).
    """

    neox: bool = False
    squared: bool = False
    sub_norms: bool = False


ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture(),
    "bitnet": Architecture(neox=True, sub_norms=True),
    "bitnet-b1.58": Architecture(neox=True, sub_norms=True, squared=True),
}
