"""Benchmarks that print ratios: Sterna's engine beside others on the same files and machine."""
