"""Fine-tuning: techniques, data, and the run as a child process.

Two halves. What needs no PyTorch (recipe, catalogue, shape, estimate, the run's folder) may be imported
by anyone. What needs it (techniques, bases, the trainer, export) is imported only by the child process
`python -m backend.train`.
"""
