"""In Pyodide: run pytest. There are no sockets and no threads, so every coroutine runs in virtual time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import Any


class Loops:
    """A plugin: few examples, and every asynchronous test on a `VirtualTimeLoop`, of which the host's knows nothing."""

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
        from voxwire.testing import VirtualTimeLoop

        return {"virtual": VirtualTimeLoop}


def main(*arguments: str) -> int:
    sys.path[:0] = ["/site", "/repo/src"]
    import pytest

    host = asyncio._get_running_loop()
    asyncio._set_running_loop(None)  # Pyodide's own, which is always said to run
    try:
        return int(pytest.main(list(arguments), plugins=[Loops()]))
    finally:
        asyncio._set_running_loop(host)
