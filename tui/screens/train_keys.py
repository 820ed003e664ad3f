"""The keys of Train, and when each does something: in the menu, or for a run in some state."""

from collections.abc import Callable

from textual.binding import Binding, BindingType

_ENDED = ("stopped", "died", "failed")
_LEARNED = ("training", "paused", "stopped", "done", "died", "failed")

SHOWN: dict[str, Callable[[bool, str], bool]] = {
    "start": lambda menu, state: menu,
    "change": lambda menu, state: menu,
    "preview": lambda menu, state: menu,
    "every_choice": lambda menu, state: menu,
    "largest": lambda menu, state: menu,
    "copy": lambda menu, state: menu,
    "new": lambda menu, state: not menu,
    "beside": lambda menu, state: state in _LEARNED,
    "pause": lambda menu, state: state in ("training", "paused"),
    "save_and_stop": lambda menu, state: state in ("starting", "training", "paused"),
    "go_on": lambda menu, state: state in _ENDED,
    "longer": lambda menu, state: state in ("done", "stopped", "died"),
    "export": lambda menu, state: state in _LEARNED,
    "delete": lambda menu, state: state in (*_ENDED, "done", "new"),
    "undo": lambda menu, state: True,
    "race": lambda menu, state: not menu and bool(state),
}

KEYS: list[BindingType] = [
    Binding("enter", "start", "start", key_display="⏎", tooltip="Start the fine-tune", id="train.start"),
    Binding("space", "change", "change", tooltip="Choose or type the line under the cursor; mark a "
            "technique for a race", id="train.change"),
    Binding("p", "preview", "preview", tooltip="Show what will be learned", id="train.preview"),
    Binding("m", "every_choice", "more", tooltip="Every choice, or the usual ones", id="train.all"),
    Binding("b", "largest", "largest batch", show=False, tooltip="Take the largest batch that fits",
            id="train.largest"),
    Binding("y", "copy", "copy", tooltip="Copy the command that does the same", id="train.copy"),
    Binding("c", "beside", "chat", tooltip="Talk to the base beside what was learned",
            id="train.chat"),
    Binding("p", "pause", "pause", tooltip="Pause the chosen run, or let it go on", id="train.pause"),
    Binding("s", "save_and_stop", "save & stop", tooltip="Save a checkpoint and stop",
            id="train.stop"),
    Binding("r", "go_on", "go on", tooltip="Go on from the newest checkpoint", id="train.resume"),
    Binding("l", "longer", "longer", tooltip="Train for more steps", id="train.longer"),
    Binding("n", "new", "new", tooltip="A new fine-tune, with the choices of this one",
            id="train.new"),
    Binding("v", "race", "compare", show=False, tooltip="Compare runs of the same data",
            id="train.compare"),
    Binding("g", "export", "GGUF", show=False, tooltip="Write the adapter as a GGUF file",
            id="train.export"),
    Binding("x", "delete", "delete", show=False, tooltip="Delete the chosen run", id="train.delete"),
    Binding("u", "undo", "undo", show=False, tooltip="Bring back the run that was deleted last",
            id="train.undo"),
    Binding("escape", "step_back", "runs", show=False, tooltip="To the runs", id="train.back"),
    Binding("q", "app.quit", "Quit", show=False, tooltip="Leave Sterna", id="train.quit"),
]  # fmt: skip
