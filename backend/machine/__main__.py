"""`python -m backend.machine TYPE …`: measure speeds that are not known yet, in a process of its own.

What it does is a line each on standard output, so that a screen can tell it.
"""

import sys

from backend.machine import speeds


def main() -> int:
    """Measure and keep; `--again` forgets what was measured before."""
    types = [word for word in sys.argv[1:] if word != "--again"]
    if "--again" in sys.argv[1:]:
        speeds.forget()
    speeds.measured(types, _tell)
    return 0


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
