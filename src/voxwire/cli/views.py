"""How the demo shows itself: plain lines, or a live view in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

from ..errors import MissingExtraError
from .narration import Entry, Kind, Partial, clock_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["LiveView", "PlainView", "View", "make_view"]

_WIDTH = 6
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
        partial: what is being said. now: the time, ms. Both are asked at each refresh.
    """

    def __init__(self, console: Console, partial: Callable[[], Partial], now: Callable[[], float]) -> None:
        from rich.live import Live

        self._partial = partial
        self._now = now
        self._console = console
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=12, transient=True)

    def show(self, entry: Entry) -> None:
        """Add a line above the live part."""
        from rich.text import Text

        style = _STYLES[entry.kind]
        line = Text.assemble(
            (f"{clock_text(entry.at_ms):>7}  ", "dim"),
            (f"{entry.who:<{_WIDTH}} ", f"bold {style}" if entry.kind in ("user", "agent") else style),
            (f"{_SIGNS.get(entry.kind, '')}{entry.text}", "" if entry.kind in ("user", "agent") else style),
        )
        if entry.rest:
            line.append(f" {entry.rest}", "dim strike")
        self._console.print(line)

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
            rows.append(Text.assemble(("         You    ", "bold cyan"), (f"{said.user} …", "italic")))
        if said.agent:
            name = f"         {said.agent:<{_WIDTH}} "
            rows.append(Text.assemble((name, "bold green"), said.heard, (said.ahead, "dim")))
        return Group(*rows)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave only the lines."""
        self._live.stop()


def make_view(*, plain: bool, partial: Callable[[], Partial], now: Callable[[], float]) -> View:
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
    return LiveView(Console(), partial, now)
