"""Calling what a user handed in: plain functions, coroutine functions, and values in their place."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["call", "call_in_thread", "is_coroutine_function"]


def is_coroutine_function(function: object) -> bool:
    """Whether calling it gives a coroutine; sees through `partial` and callable objects."""
    while isinstance(function, functools.partial):
        function = function.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
    )


async def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call a plain function at once, await a coroutine function."""
    result = function(*args)
    return await result if inspect.isawaitable(result) else result


async def call_in_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Await a coroutine function; run a plain one in a thread, so that it can block.

    Where there are no threads (Pyodide) it runs in place. When the caller is cancelled, a thread goes on
    to its end, and what it returns is dropped.
    """
    if is_coroutine_function(function):
        return await function(*args, **kwargs)
    work = functools.partial(function, *args, **kwargs)
    result = work() if sys.platform == "emscripten" else await asyncio.to_thread(_guarded, work)
    return await result if inspect.isawaitable(result) else result


def _guarded(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except StopIteration as error:
        # A future cannot hold it: before Python 3.12, whoever awaits would wait for ever.
        raise RuntimeError("the function raised StopIteration") from error
