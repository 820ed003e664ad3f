"""What came out of converting, looked at by the gguf package and by transformers."""

import json

import gguf
import numpy as np
import pytest

from backend.errors import SternaError
from backend.gguf.converting import convert
from backend.inference import load_model

IDS = [int(i) for i in np.random.default_rng(0).integers(2, 299, 90)]


def tensors_of(path):
    """All tensors of a file as float32, by the package."""
    return {
        t.name: gguf.quants.dequantize(t.data, t.tensor_type).reshape((*t.data.shape[:-1], -1))
        for t in gguf.GGUFReader(path).tensors
    }


def same_logits(made, reference, tolerance=1e-3):
    """Whether our engine says what transformers said for IDS."""
    model = load_model(made.path, context=128)
    try:
        ours = model.logits(IDS)
    finally:
        model.close()
    return np.abs(ours - reference).max() <= tolerance * np.abs(reference).max()


def refused(folder, tmp_path):
    """Return the error of converting `folder`, which left nothing beside it."""
    with pytest.raises(SternaError) as told:
        convert(folder, tmp_path / "out.gguf")
    assert not [path for path in tmp_path.iterdir() if path.name != "model"]
    return told.value


def edit(path, drop=(), **changes):
    """Change a JSON file."""
    said = {k: v for k, v in json.loads(path.read_text()).items() if k not in drop}
    path.write_text(json.dumps(said | changes))
