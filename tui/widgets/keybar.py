"""The last line: at most six keys that work now."""

from __future__ import annotations

from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.style import Style
from textual.widget import Widget

MOST_KEYS = 6


class KeyBar(Widget):
    """Reads the live bindings; each can be clicked. One widget, so that a change costs one paint."""

    ALLOW_SELECT = False

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)

    def _bindings_changed(self, _screen: Screen[object]) -> None:
        self.refresh()

    def live(self) -> list[Binding]:
        """Return the keys to show: the focused thing's first, the palette always last."""
        active = self.screen.active_bindings
        chosen: dict[str, Binding] = {}
        palette = None
        covered = self.screen.has_class(
            "-narrow", "-side"
        )  # a side pane stands in the mode's place
        for node, binding, enabled, _tooltip in active.values():
            if binding.action == "command_palette":
                palette = binding
            elif binding.show and enabled and not (covered and node is self.screen):
                chosen.setdefault(binding.action, binding)
        keys = list(chosen.values())[: MOST_KEYS - 1]
        return [*keys, palette] if palette else keys

    def render(self) -> Content:
        """Return the keys that fit, the palette at the right end."""
        keys = self.live()
        width = self.size.width
        cells = [self._key(binding) for binding in keys]
        last = cells.pop() if keys and keys[-1].action == "command_palette" else Content()
        line = Content(" ")
        for cell in cells:
            if line.cell_length + cell.cell_length + last.cell_length + 2 > width:
                break
            line = line + cell + Content("  ")
        gap = width - line.cell_length - last.cell_length - 1
        return line + Content(" " * max(gap, 0)) + last

    def _key(self, binding: Binding) -> Content:
        press = Style.from_meta({"@click": f"app.simulate_key('{binding.key}')"})
        label = Content.assemble(
            (self.app.get_key_display(binding), "bold $text-accent"),
            " ",
            (binding.description, "$foreground 60%"),
        )
        return label.stylize(press)
