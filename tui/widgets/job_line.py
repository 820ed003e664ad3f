"""One line that tells how far a job is which goes on whatever is done meanwhile."""

from __future__ import annotations

from textual.widgets import Static

from backend.progress import in_words
from backend.text import clean
from tui.making import Job


class JobLine(Static):
    """Hidden while there is no job."""

    def __init__(self) -> None:
        super().__init__(markup=False)

    def on_mount(self) -> None:
        self.display = False

    def show(self, job: Job) -> None:
        """Show where the job is."""
        self.update(f"{described(job)}   z shows it")
        self.display = True

    def done(self) -> None:
        """Go away."""
        self.display = False


def described(job: Job) -> str:
    """Return a job in words: what it does, how far it is, its speed and the time left."""
    far = in_words(job.latest) if job.latest else "beginning…"
    return f"{clean(job.title)}  {far}"
