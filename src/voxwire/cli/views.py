"""How a conversation shows itself: plain lines, or a live view in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

from ..errors import MissingExtraError
from ..recording.words import clock_text
from .narration import Entry, Kind, Partial

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

__all__ = ["LiveView", "PlainView", "View", "make_view"]

_TIME_WIDTH = 7
_WIDTH = 6
_MOST_HEARD = 240
_MOST_AHEAD = 120
"""Characters of a long reply that are shown before and behind the word being heard."""
_STYLES: dict[Kind, str] = {
    "user": "cyan",
    "agent": "green",
    "tool": "magenta",
    "handoff": "bold yellow",
    "interruption": "bold red",
    "latency": "dim",
    "error": "bold white on red",
    "info": "dim",
}
_SIGNS: dict[Kind, str] = {
    "tool": "* ",
    "handoff": "> ",
    "interruption": "! ",
    "error": "error: ",
    "latency": "~ ",
}


class View(AbstractContextManager["View"], Protocol):
    """Shows a conversation while it goes on."""

    def show(self, entry: Entry) -> None:
        """Show a line."""

    def refresh(self) -> None:
        """Show what is being said now."""


class PlainView:
    """One line of text per entry."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, entry: Entry) -> None:
        """Print it at once."""
        rest = f"   [not heard: {len(entry.rest.split())} words]" if entry.rest else ""
        text = f"{_SIGNS.get(entry.kind, '')}{entry.text}{rest}"
        print(f"{clock_text(entry.at_ms):>7}  {entry.who:<{_WIDTH}} {text}", file=self._out, flush=True)

    def refresh(self) -> None:
        """Lines stay as they are."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing to put back."""


class LiveView:
    """Lines that scroll, and below them what is being said at the moment.

    Args:
        partial: what is being said. now: the time, ms. footer: lines below that. All are asked at each refresh.
    """

    def __init__(
        self,
        console: Console,
        partial: Callable[[], Partial],
        now: Callable[[], float],
        footer: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        from rich.live import Live

        self._partial = partial
        self._now = now
        self._footer = footer
        self._console = console
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=12, transient=True)

    def show(self, entry: Entry) -> None:
        """Add a line above the live part."""
        from rich.text import Text

        style = _STYLES[entry.kind]
        spoken = entry.kind in ("user", "agent")
        text = Text(f"{_SIGNS.get(entry.kind, '')}{entry.text}", "" if spoken else style)
        if entry.rest:
            text.append(f" {_beginning(entry.rest)}", "dim strike")
        self._console.print(
            _row(
                Text(clock_text(entry.at_ms), "dim"),
                Text(entry.who, f"bold {style}" if spoken else style),
                text,
            )
        )

    def refresh(self) -> None:
        """Draw the live part again; in the thread that changes what is shown."""
        self._live.refresh()

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.rule import Rule
        from rich.text import Text

        said = self._partial()
        rows: list[Any] = [Rule(f"{clock_text(self._now())}  {said.state}", style="dim", align="left")]
        if said.user:
            rows.append(_row(Text(), Text("You", "bold cyan"), Text(f"{said.user} ...", "italic")))
        if said.agent:
            words = Text.assemble(_ending(said.heard), (_beginning(said.ahead), "dim"))
            rows.append(_row(Text(), Text(said.agent, "bold green"), words))
        rows += [Text(line, "dim", no_wrap=True) for line in self._footer()]
        return Group(*rows)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave only the lines."""
        self._live.stop()


def _row(time: Text, who: Text, what: Text) -> RenderableType:
    """Three columns, so that long texts are indented."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=_TIME_WIDTH, justify="right", no_wrap=True)
    grid.add_column(width=_WIDTH, no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_row(time, who, what)
    return grid


def _ending(text: str) -> str:
    return text if len(text) <= _MOST_HEARD else f"... {text[-_MOST_HEARD:].partition(' ')[2]}"


def _beginning(text: str) -> str:
    return text if len(text) <= _MOST_AHEAD else f"{text[:_MOST_AHEAD].rpartition(' ')[0]} ..."


def make_view(
    *,
    plain: bool,
    partial: Callable[[], Partial],
    now: Callable[[], float],
    footer: Callable[[], Sequence[str]] = tuple,
) -> View:
    """The live view in a terminal, plain lines elsewhere.

    Raises:
        MissingExtraError: rich is needed and not installed.
    """
    if plain or not sys.stdout.isatty():
        return PlainView(sys.stdout)
    try:
        from rich.console import Console
    except ImportError as error:
        raise MissingExtraError("The live view", "cli", "rich") from error
    return LiveView(Console(), partial, now, footer)
