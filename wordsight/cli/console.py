"""The console that tables are printed on."""

from __future__ import annotations

from rich.console import Console

FILE_WIDTH = 110  # characters of a table, where no terminal sets them


def plain_console() -> Console:
    """A console that shows names as they are: "photo [edited].jpg" and "12:cat:30.jpg" hold no markup and no emoji."""
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    return console
