"""Text to token ids and back, built from a GGUF file alone on Hugging Face `tokenizers`."""

from backend.inference.tokenizer.tokenizer import StreamDecoder, Tokenizer, encode_rendered

__all__ = ["StreamDecoder", "Tokenizer", "encode_rendered"]
