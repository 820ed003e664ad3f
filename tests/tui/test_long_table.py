"""A table of ten thousand rows: what is painted, where the cursor goes, what the mouse does."""

import pytest
from piloting import wait_until
from textual.app import App

from tui.widgets.long_table import Heading, LongTable

HEADINGS = [Heading("name", "NAME", 20), Heading("size", "SIZE▾", 8, number=True)]


class Numbers(LongTable):
    asked: list[int]

    def cells(self, row):
        self.asked.append(row)
        return [f"row {row} ÄÖ漢字" if row % 2 else f"row {row}", str(row)]

    def is_dim(self, row):
        return row == 3


class Demo(App[None]):
    def compose(self):
        table = Numbers()
        table.asked = []
        yield table

    def on_mount(self):
        self.heard = []
        table = self.query_one(Numbers)
        table.styles.height = 12
        table.focus()
        table.show(HEADINGS, 10_000, 0)

    def on_long_table_highlighted(self, message):
        self.heard.append(("highlighted", message.row))

    def on_long_table_selected(self, message):
        self.heard.append(("selected", message.row))

    def on_long_table_heading_selected(self, message):
        self.heard.append(("heading", message.key))


def lines(table):
    return [table.render_line(y).text.rstrip() for y in range(table.size.height)]


async def test_only_the_rows_on_the_screen_are_made():
    app = Demo()
    async with app.run_test(size=(60, 20)) as pilot:
        table = app.query_one(Numbers)
        await pilot.press("end")
        await wait_until(pilot, lambda: lines(table)[-1].startswith(" row 9999"))
        await pilot.press("pageup", "pageup", "home", "pagedown")
        await wait_until(pilot, lambda: table.cursor_row == 11)
        assert len(set(table.asked)) < 80


async def test_columns_are_aligned_by_cells_not_characters():
    app = Demo()
    async with app.run_test(size=(60, 20)):
        table = app.query_one(Numbers)
        shown = lines(table)
        assert shown[0] == f" {'NAME':<20}  {'SIZE▾':>8}"
        assert shown[1] == f" {'row 0':<20}  {'0':>8}"
        assert shown[2] == f" {'row 1 ÄÖ漢字':<18}  {'1':>8}"  # two of them are two cells wide
        width = table.scrollable_content_region.width
        assert {table.render_line(y).cell_length for y in range(12)} == {width}


async def test_keys_move_the_cursor_and_keep_it_in_sight():
    app = Demo()
    async with app.run_test(size=(60, 20)) as pilot:
        table = app.query_one(Numbers)
        await pilot.press("up")
        assert table.cursor_row == 0
        for key, row in [
            ("down", 1),
            ("j", 2),
            ("k", 1),
            ("pagedown", 12),
            ("end", 9999),
            ("down", 9999),
            ("home", 0),
        ]:
            await pilot.press(key)
            assert table.cursor_row == row, key
            await wait_until(
                pilot,
                lambda: table.scroll_offset.y <= table.cursor_row < table.scroll_offset.y + 11,
            )
        await pilot.press("down")
        app.heard.clear()
        table.action_select()
        await wait_until(pilot, lambda: app.heard == [("selected", 1)])


async def test_the_mouse_moves_opens_and_sorts():
    app = Demo()
    async with app.run_test(size=(60, 20)) as pilot:
        table = app.query_one(Numbers)
        await pilot.click(table, offset=(3, 4))
        await wait_until(pilot, lambda: table.cursor_row == 3)
        assert ("selected", 3) not in app.heard
        await pilot.click(table, offset=(3, 4))
        await wait_until(pilot, lambda: ("selected", 3) in app.heard)
        for x, key in ((1, "name"), (24, "size")):
            await pilot.click(table, offset=(x, 0))
            await wait_until(pilot, lambda key=key: ("heading", key) in app.heard)


@pytest.mark.parametrize("count", [0, 1, 5])
async def test_fewer_rows_than_before_leave_the_cursor_on_one(count):
    app = Demo()
    async with app.run_test(size=(60, 20)) as pilot:
        table = app.query_one(Numbers)
        await pilot.press("end")
        table.show(HEADINGS, count, table.cursor_row)
        await wait_until(pilot, lambda: table.scroll_offset.y == 0)
        assert table.cursor_row == max(0, count - 1)
        assert sum(bool(line) for line in lines(table)) == count + 1
        row = table.cursor_row if count else None
        await wait_until(pilot, lambda: app.heard[-1] == ("highlighted", row))
        await pilot.press("down", "pagedown", "enter")
