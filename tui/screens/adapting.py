"""An adapter is chatted with beside a model: which one is asked where several fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backend.text import clean
from tui.messages import AdapterWanted
from tui.screens.choose import Choice, ChooseScreen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.screen import Screen

    from backend.library import LibraryModel


def put_beside(screen: Screen[None], adapter: LibraryModel, models: Iterable[LibraryModel]) -> None:
    """Ask which of the models an adapter belongs to, and chat with both."""
    bases = {
        model.path: model
        for model in models
        if model.kind == "model" and model.error is None and model.arch == adapter.arch
    }
    if not bases:
        screen.notify(
            f"An adapter goes beside the model that it was trained on: none of the architecture "
            f"{clean(adapter.arch) or 'that it names'} is here.",
            severity="warning",
            markup=False,
        )
        return

    def listed(text: str) -> list[Choice]:
        return [
            Choice(str(path), f"{model.name} {model.quant}".strip())
            for path, model in bases.items()
            if text.casefold() in f"{model.name} {model.quant}".casefold()
        ]

    def chosen(value: str | None) -> None:
        model = next((model for path, model in bases.items() if str(path) == value), None)
        if model is not None:
            screen.post_message(AdapterWanted(model, adapter))

    screen.app.push_screen(
        ChooseScreen(
            f"Beside which model? {clean(adapter.name)} fits the one that it was trained on.",
            listed,
            "some of its name",
        ),
        chosen,
    )
