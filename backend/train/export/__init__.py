"""What was learned, for other programs: GGUF adapters, merged weights. No PyTorch here."""
