"""A Hugging Face checkpoint (config.json, safetensors, tokenizer) becomes a GGUF file.

Nothing of a checkpoint is run: weights are read from safetensors alone, never from pickles.
"""

from backend.gguf.converting.convert import Checkpoint, convert, name_of, open_checkpoint

__all__ = ["Checkpoint", "convert", "name_of", "open_checkpoint"]
