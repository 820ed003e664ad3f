"""A run on disk: its folder, events, checkpoints and child process. No PyTorch here."""
