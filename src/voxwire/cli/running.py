"""What commands that go on for a while have in common: how they are stopped, drawn, and steered by keys."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

from .keys import Keyboard
from .views import View

__all__ = ["IMPOSSIBLE", "INTERRUPTED", "Actions", "refreshed", "run_until_stopped", "take_back_cancellation"]

T = TypeVar("T")

IMPOSSIBLE: Final = 2
"""The exit status where a command cannot do here what it was asked for."""
INTERRUPTED: Final = 130
"""That after Ctrl-C or SIGTERM."""
REFRESH_SECONDS: Final = 1 / 12
MOST_ACTIONS: Final = 8


def run_until_stopped(main: Coroutine[Any, Any, T]) -> T:
    """Run a command. Ctrl-C and SIGTERM cancel it; it may take that back, end in order, and return.

    Raises:
        KeyboardInterrupt: it was stopped, and did not return.
    """
    try:
        return asyncio.run(_until_terminated(main))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _until_terminated(main: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - for the type checker: this is a coroutine
    with suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await main


def take_back_cancellation() -> None:
    """What follows is the orderly end, which may wait."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


@asynccontextmanager
async def refreshed(view: View, keyboard: Keyboard | None = None) -> AsyncGenerator[None]:
    """Draw a view again, and look for keys, twelve times a second while in this block."""

    async def tick() -> None:
        while True:
            if keyboard is not None:
                keyboard.poll()
            view.refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    ticker = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticker.cancel()
        await asyncio.gather(ticker, return_exceptions=True)


class Actions:
    """What keys have set off and what takes a while: eight at a time, more of them are not taken.

    Args:
        report: told why one has failed, which ends nothing else.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, action: Coroutine[Any, Any, None]) -> None:
        """Begin, if there is room."""
        if len(self._tasks) >= MOST_ACTIONS:
            action.close()
            return
        task = asyncio.create_task(self._reported(action))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reported(self, action: Coroutine[Any, Any, None]) -> None:
        try:
            await action
        except Exception as error:  # noqa: BLE001 - a key that does not work does not end the conversation
            self._report(f"{type(error).__name__}: {error}")

    async def stop(self) -> None:
        """Give up what goes on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
