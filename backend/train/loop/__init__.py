"""The training loop: trl's trainer with our techniques, checkpoints and events. Runs in the child process."""
