"""Tables as they are printed: they read as well in a file as in a terminal."""

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table


class UnbrokenTable(Table):
    """A table that grows beyond a narrow console rather than break an id or a word over two lines, or cut a number."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widest = options.update(width=10_000)
        for place, column in enumerate(self.columns):
            needed, padding = self._measure_column(console, widest, column), self._get_padding_width(place)
            column.min_width = (
                needed.maximum - padding if column.no_wrap else min(needed.minimum - padding, _LONGEST_WORD)
            )
        least = sum(self._measure_column(console, widest, column).minimum for column in self.columns)
        yield from super().__rich_console__(
            console, options.update(width=max(options.max_width, least + self._extra_width))
        )


# A word of more columns, such as a path, is folded where there is no room.
_LONGEST_WORD = 20


def table_of(*headings: str, title: str | None = None, id: str | None = None) -> Table:
    """A table with columns of text that are folded where there is no room; before them one of ids, which are not."""
    table = UnbrokenTable(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    if id is not None:
        id_column(table, id)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def id_column(table: Table, heading: str) -> None:
    """A column whose texts are copied: they stay on one line."""
    table.add_column(heading, no_wrap=True, overflow="ignore")


def number_columns(table: Table, *headings: str) -> None:
    """Columns of numbers: too long a name is folded before one is cut."""
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
