"""Fixtures for pytest, for those who ask for them.

    # conftest.py
    pytest_plugins = ["voxwire.testing.pytest_plugin"]

Tests that use `realtime_server` are coroutines and need `pytest-asyncio` (any mode). It is no
entry point: installing voxwire changes nobody's test run.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from .clock import run_virtual
from .server import ScriptedServer
from .transport import ScriptedRealtimeTransport

__all__ = ["realtime_server", "run_in_virtual_time", "scripted_transport"]

T = TypeVar("T")


@pytest_asyncio.fixture
async def realtime_server() -> AsyncGenerator[ScriptedServer, None]:
    """A `ScriptedServer` that runs during the test."""
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
def scripted_transport() -> ScriptedRealtimeTransport:
    """A `ScriptedRealtimeTransport`, not connected."""
    return ScriptedRealtimeTransport()


@pytest.fixture
def run_in_virtual_time() -> Callable[[Coroutine[Any, Any, T]], T]:
    """`run_virtual`, for plain test functions: hours pass in milliseconds."""
    return run_virtual
