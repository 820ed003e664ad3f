"""What is found out while a fine-tune is put together: the base, the data, what it will take.

Each in a thread, and only what changed; an answer that comes too late for the draft is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual import on, work
from textual.message import Message
from textual.screen import Screen

from backend.errors import SternaError
from tui.messages import RunStarted
from tui.screens.preview import ROWS
from tui.telling import tell

if TYPE_CHECKING:
    from backend.train.estimate import Estimate
    from backend.train.looking import Look
    from backend.train.recipe import Recipe
    from backend.train.shape import ModelShape
    from tui.draft import Draft


@dataclass
class BaseRead(Message):
    """A base was looked at."""

    model: str
    name: str
    shape: ModelShape | None
    error: SternaError | None = None


@dataclass
class DataRead(Message):
    """Data was looked at."""

    recipe: Recipe
    seen: dict[str, Any] | None
    error: SternaError | None = None


@dataclass
class Reckoned(Message):
    """It is known what a recipe will take; `seen`: of which data, None where it was assumed."""

    recipe: Recipe
    seen: dict[str, Any] | None
    estimate: Estimate | None


class Preparing(Screen[None]):
    """The part of Train that finds things out. `draft` is the subclass's."""

    draft: Draft
    _look: Look | None = None
    _read: str | None = None  # the base that was looked at
    _looked: object = None  # what decides the look at the data

    def show_draft(self) -> None:
        """Show the draft as it is now."""
        raise NotImplementedError

    def name_of(self, model: str) -> str:
        """Return the library's name of a file, empty where it has none."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Find out what is not known of the draft, and show it."""
        draft = self.draft
        model = draft.recipe.base.model
        if model != self._read:
            self._read = model
            draft.shape = draft.base_error = draft.estimate = None
            if model:
                self._read_base(model)
        asked = _decides_look(draft.recipe)
        if asked != self._looked:
            self._looked = asked
            draft.seen = draft.data_error = draft.estimate = None
            self.stop_looking()
            draft.looking = bool(model and draft.recipe.data.path)
            if draft.looking:
                self._read_data(draft.recipe)
        self._reckon_soon()
        self.show_draft()

    def stop_looking(self) -> None:
        """End a look at data that nobody waits for any more."""
        if self._look is not None:
            self._look.stop()
            self._look = None

    def _reckon_soon(self) -> None:
        if self.draft.shape is not None:
            self._reckon(self.draft.recipe, self.draft.shape, self.draft.seen)

    @work(thread=True, exclusive=True, group="base", exit_on_error=False)
    def _read_base(self, model: str) -> None:
        from backend.train.source import find, shape_of

        try:
            source = find(model, "shape")
            self.post_message(BaseRead(model, source.name, shape_of(source)))
        except SternaError as error:
            self.post_message(BaseRead(model, model, None, error))

    @on(BaseRead)
    def _base_read(self, message: BaseRead) -> None:
        message.stop()
        if message.model == self.draft.recipe.base.model:
            self.draft.base_name = self.name_of(message.model) or message.name
            self.draft.shape, self.draft.base_error = message.shape, message.error
            self._reckon_soon()
            self.show_draft()

    @work(thread=True, exclusive=True, group="data", exit_on_error=False)
    def _read_data(self, recipe: Recipe) -> None:
        from backend.train.looking import ENOUGH, Look

        try:
            look = self._look = Look(recipe, ROWS, ENOUGH)
            self.post_message(DataRead(recipe, look.answer()))
        except SternaError as error:
            self.post_message(DataRead(recipe, None, error))

    @on(DataRead)
    def _data_read(self, message: DataRead) -> None:
        message.stop()
        if _decides_look(message.recipe) == _decides_look(self.draft.recipe):
            self.draft.looking = False
            self.draft.seen, self.draft.data_error = message.seen, message.error
            self.draft.estimate = None  # it was of other rows
            self._reckon_soon()
            self.show_draft()

    @work(thread=True, exclusive=True, group="reckon", exit_on_error=False)
    def _reckon(self, recipe: Recipe, shape: ModelShape, seen: dict[str, Any] | None) -> None:
        from backend.train.estimate import assumed, estimate
        from backend.train.looking import sequences

        try:
            made = estimate(recipe, shape, sequences(seen) if seen else assumed(recipe))
        except SternaError:  # targets that the model does not have: the start says so
            made = None
        self.post_message(Reckoned(recipe, seen, made))

    @on(Reckoned)
    def _reckoned(self, message: Reckoned) -> None:
        message.stop()
        if message.recipe == self.draft.recipe and message.seen is self.draft.seen:
            self.draft.estimate = message.estimate
            self.show_draft()

    # The start

    def start_draft(self) -> None:
        """Start what was put together: one run, or a race of the marked techniques."""
        if len(self.draft.marked) > 1:
            self._start_race(self.draft.recipe, sorted(self.draft.marked))
        else:
            self._start(self.draft.recipe)

    @work(thread=True, exclusive=True, group="start", exit_on_error=False)
    def _start(self, recipe: Recipe) -> None:
        from backend.train.begin import begin

        try:
            folder, process = begin(recipe)
        except SternaError as error:
            self.app.call_from_thread(tell, self, error)
        else:
            self.post_message(RunStarted(folder, process))

    @work(thread=True, exclusive=True, group="start", exit_on_error=False)
    def _start_race(self, recipe: Recipe, techniques: list[str]) -> None:
        from backend.train.race import begin_race

        try:
            _, process = begin_race(recipe, techniques)
        except SternaError as error:
            self.app.call_from_thread(tell, self, error)
        else:
            self.post_message(RunStarted(None, process))


def _decides_look(recipe: Recipe) -> object:
    return recipe.base.model, recipe.data, recipe.schedule.seed
