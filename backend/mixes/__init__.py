"""Which tensor gets which type in a quant: the mixes behind the names `_S`, `_M` and `_L`.

They are those of llama.cpp's quantize tool, so a file made here has the size of one made there, and
the size of a quant that nobody has made yet can be told from the shapes of its tensors. A mix says
for each role of a tensor which type it gets, depending on its layer; the first condition that holds
decides, and the base type is for the rest.
"""

from backend.mixes.plan import ALIGNMENT, names, plan, planned_bytes
from backend.mixes.traits import Fields, Stored, Tensor, Traits

__all__ = ["ALIGNMENT", "Fields", "Stored", "Tensor", "Traits", "names", "plan", "planned_bytes"]
