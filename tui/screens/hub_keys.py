"""The keys of the Hub."""

from textual.binding import Binding, BindingType

KEYS: list[BindingType] = [
    Binding(
        "d",
        "download",
        "download",
        tooltip="Download the chosen or recommended file",
        id="hub.download",
    ),
    Binding(
        "slash",
        "search",
        "search",
        key_display="/",
        tooltip="Search the Hub, or paste an address",
        id="hub.search",
    ),
    Binding(
        "f", "facets", "facets", tooltip="Format, size, licence, and the like", id="hub.facets"
    ),
    Binding("m", "card", "card", tooltip="Read the model's card", id="hub.card"),
    Binding("s", "sort", "sort", show=False, tooltip="Sort by the next measure", id="hub.sort"),
    Binding(
        "i", "details", "details", show=False, tooltip="Show or hide details", id="hub.details"
    ),
    Binding(
        "e",
        "fit_grid",
        "fit grid",
        show=False,
        tooltip="Which quant of the chosen model, how long a context, how fast",
        id="hub.fit",
    ),
    Binding(
        "c", "chat", "chat", show=False, tooltip="Chat with it, once it is here", id="hub.chat"
    ),
    Binding("o", "page", "page", show=False, tooltip="Open its page in the browser", id="hub.page"),
    Binding("y", "copy", "copy", show=False, tooltip="Copy its name", id="hub.copy"),
    Binding(
        "l", "log_in", "token", show=False, tooltip="Give your token of the Hub", id="hub.token"
    ),
    Binding("r", "again", "again", show=False, tooltip="Ask the Hub again", id="hub.again"),
    Binding("right", "unfold", "Show files", show=False, id="hub.unfold"),
    Binding("left", "fold", "Hide files", show=False, id="hub.fold"),
    Binding("escape", "step_back", "Step back", show=False, id="hub.back"),
    Binding("q", "app.quit", "Quit", show=False, tooltip="Leave Sterna", id="hub.quit"),
]
