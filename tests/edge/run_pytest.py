"""In Pyodide: run pytest. There are no sockets and no threads, and no waiting for the host either."""

from __future__ import annotations

import asyncio
import selectors
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any


class Waiting(selectors.PollSelector):
    """Emscripten's `poll` does not wait."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise TimeoutError(
                "nothing can happen any more: no timer is pending, and there is nothing else here"
            )
        time.sleep(max(0.0, timeout))
        return []


class PlainLoop(asyncio.SelectorEventLoop):
    """CPython's own loop without what wakes it from outside: there is no outside."""

    def __init__(self) -> None:
        super().__init__(Waiting())

    def _make_self_pipe(self) -> None: ...

    def _close_self_pipe(self) -> None: ...


class Loops:
    """A plugin: few examples, and every asynchronous test on a loop of its own."""

    def pytest_sessionstart(self) -> None:
        import hypothesis

        # Every example costs ten times what it costs elsewhere, and all of them are tried elsewhere.
        hypothesis.settings.register_profile(
            "pyodide", max_examples=10, deadline=None, derandomize=True, database=None
        )
        hypothesis.settings.load_profile("pyodide")

    def pytest_asyncio_loop_factories(
        self, config: Any, item: Any
    ) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
        return {"plain": PlainLoop}


def main(*arguments: str) -> int:
    sys.path[:0] = ["/site", "/repo/src"]
    import pytest

    host = asyncio._get_running_loop()
    asyncio._set_running_loop(None)  # Pyodide's own, which is always said to run
    try:
        return int(pytest.main(list(arguments), plugins=[Loops()]))
    finally:
        asyncio._set_running_loop(host)
