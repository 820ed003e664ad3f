"""The Hub: search, models and their files, remote headers, downloads that do not fail.

Importing this costs next to nothing; huggingface_hub is loaded with the first question.
"""
