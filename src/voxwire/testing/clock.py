"""Time that passes when nothing else happens: hours of audio in milliseconds of test.

```python
async def scenario() -> float:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(3600)
    return loop.time()

assert run_virtual(scenario()) == 3600
```
"""

from __future__ import annotations

import asyncio
import selectors
import sys
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

__all__ = ["VirtualTimeLoop", "run_virtual"]

T = TypeVar("T")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` jumps to the next timer as soon as nothing is ready to run.

    Timers fire in order and exactly on time, so tests of pacing, time-outs and play-out need neither
    sleeps nor tolerances. What happens outside of the loop takes no virtual time: while a timer is pending,
    the clock does not wait for a socket, a subprocess or a thread that has not answered yet. Test those on
    an ordinary loop.

    Args:
        start: what `time()` says at first, seconds.
        patience: how long to wait, in real seconds, when no timer is pending at all (for a thread, say)
            before giving the loop up as stuck.

    Raises:
        TimeoutError: from `run_until_complete`, if everything waits for something that never comes.
    """

    def __init__(self, start: float = 0.0, *, patience: float = 5.0) -> None:
        self._virtual_now = start
        super().__init__(_JumpingSelector(self, patience))

    def time(self) -> float:
        """Virtual seconds."""
        return self._virtual_now

    if sys.platform == "emscripten":  # Pyodide: no sockets to wake the loop by, and no threads that would

        def _make_self_pipe(self) -> None: ...

        def _close_self_pipe(self) -> None: ...

    def jump(self, seconds: float) -> None:
        """Let `seconds` pass at once, as if the process had been suspended: late timers fire late."""
        self._virtual_now += seconds


def run_virtual(main: Coroutine[Any, Any, T], *, start: float = 0.0, patience: float = 5.0) -> T:
    """Run `main` to its end on a `VirtualTimeLoop`, from a thread without a running loop; returns its result."""
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(start, patience=patience)) as runner:
        return runner.run(main)


class _JumpingSelector(selectors.BaseSelector):
    """Turns the loop's wait for its next timer into a jump of its clock."""

    def __init__(self, loop: VirtualTimeLoop, patience: float) -> None:
        self._loop = loop
        self._patience = patience
        self._inner = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._inner.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is not None:
            self._loop.jump(timeout)
            return []
        ready = self._inner.select(self._patience)
        if not ready:
            raise TimeoutError(
                f"nothing can happen any more: no timer is pending, and nothing came in for {self._patience:g} s"
            )
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()
