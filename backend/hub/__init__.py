"""The Hub: search, models and their files, remote headers, downloads that do not fail.

Importing this costs next to nothing; huggingface_hub is loaded with the first question.
"""

import os

# The library would otherwise tell the Hub about installed packages and the environment. It reads this
# once, when it is imported.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
