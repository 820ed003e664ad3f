"""How long the first screen takes, beside an empty Textual app, and what the app uses when idle.

    python bench/startup.py [--rounds 9] [--idle 10]

Each app runs in a pseudo-terminal of its own, as in a real one. The clock starts before the process
does and stops when the last word of its first screen has come out of the terminal. The two apps
take turns, so that a busy moment of the machine hits both. The empty app shows one word, because
something must be seen to know that it has painted.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time

import psutil

EMPTY = """
from textual.app import App
from textual.widgets import Static
class Empty(App):
    def compose(self):
        yield Static("ready")
Empty().run()
"""
STERNA = "import sys; from tui.cli import main; sys.argv = ['sterna']; main()"
APPS = {"empty": (EMPTY, b"ready"), "sterna": (STERNA, b"everything")}
COLUMNS, LINES = 120, 40
PATIENCE = 30.0  # seconds for a first screen


class Terminal:
    """A child process in a pseudo-terminal."""

    def __init__(self, code: str, home: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        environment = {**os.environ, "STERNA_HOME": home, "HOME": home, "HF_HOME": home}
        environment |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.started = time.perf_counter()
        self._child = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)

    def wait_for(self, word: bytes) -> float:
        """Return the seconds from the start until `word` is on the screen."""
        seen = b""
        while time.perf_counter() - self.started < PATIENCE:
            if self._read(0.1):
                seen += self._last
                if word in seen:
                    return time.perf_counter() - self.started
            elif self._child.poll() is not None:
                break
        raise SystemExit(f"no {word!r} on the screen:\n{seen.decode(errors='replace')[-2000:]}")

    def idle(self, seconds: float) -> float:
        """Return the share of one core used during `seconds` in which nothing happens."""
        process = psutil.Process(self._child.pid)
        before = process.cpu_times()
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            self._read(left)
        after = process.cpu_times()
        return (after.user - before.user + after.system - before.system) / seconds

    def close(self) -> None:
        """End the child."""
        self._child.kill()
        self._child.wait()
        os.close(self._master)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], seconds)
        if not ready:
            return False
        try:
            self._last = os.read(self._master, 65536)
        except OSError:  # the other end has closed
            return False
        return True


def measure(rounds: int, idle: float) -> dict[str, object]:
    """Return seconds to the first screen of both apps, their ratio, and the idle share of a core."""
    times: dict[str, list[float]] = {name: [] for name in APPS}
    with tempfile.TemporaryDirectory() as home:
        for _ in range(rounds + 1):  # the first round warms the file cache and does not count
            for name, (code, word) in APPS.items():
                terminal = Terminal(code, home)
                times[name].append(terminal.wait_for(word))
                terminal.close()
        terminal = Terminal(*((STERNA, home)))
        terminal.wait_for(b"everything")
        terminal.idle(3)  # the first look over the stores is no idling
        share = terminal.idle(idle)
        terminal.close()
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    return {
        "empty_s": round(medians["empty"], 4),
        "sterna_s": round(medians["sterna"], 4),
        "ratio": round(medians["sterna"] / medians["empty"], 3),
        "idle_share_of_core": round(share, 5),
    }


def main() -> int:
    """Print the figures as JSON; fail when the ratio reaches 2 or idling takes 1 % of a core."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--idle", type=float, default=10.0)
    arguments = parser.parse_args()
    figures = measure(arguments.rounds, arguments.idle)
    print(json.dumps(figures))
    return 0 if figures["ratio"] < 2 and figures["idle_share_of_core"] < 0.01 else 1


if __name__ == "__main__":
    sys.exit(main())
