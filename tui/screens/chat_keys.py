"""The keys of a chat that work wherever the cursor is."""

from textual.binding import Binding, BindingType

KEYS: list[BindingType] = [
    Binding(
        "escape",
        "stop",
        "stop",
        key_display="esc",
        priority=True,
        tooltip="Stop the reply",
        id="chat.stop",
    ),
    Binding("escape", "step_back", "Step back", show=False, id="chat.back"),
    Binding("c", "write", "write", tooltip="Write a message", id="chat.write"),
    Binding("ctrl+n", "new", "new chat", tooltip="Begin a new chat", id="chat.new"),
    Binding(
        "ctrl+o",
        "chats",
        "chats",
        tooltip="Your chats: open, search, rename, delete",
        id="chat.chats",
    ),
    Binding(
        "ctrl+r",
        "again",
        "again",
        tooltip="Answer again; start an engine that has ended; load the model of a kept chat",
        id="chat.again",
    ),
    Binding(
        "ctrl+t",
        "leave_out",
        "leave out",
        tooltip="Answer without the oldest turns: they stay here, but are no longer sent",
        id="chat.leave_out",
    ),
    Binding(
        "ctrl+g",
        "models",
        "models",
        show=False,
        tooltip="Choose another model",
        id="chat.models",
    ),
    Binding(
        "ctrl+up",
        "edit_last",
        "edit last",
        show=False,
        tooltip="Edit your last message and send it again",
        id="chat.edit_last",
    ),
]
