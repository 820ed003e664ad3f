"""Data to learn from: rows of files, what they mean, and the tokens and masks they become."""
