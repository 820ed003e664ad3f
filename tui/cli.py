"""The command line."""

import sys


def main() -> int:
    """Run `sterna`."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write("sterna 0.1.0\n")
        return 0
    return 2
