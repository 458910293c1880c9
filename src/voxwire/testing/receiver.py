"""A receiver that writes down what a carrier does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..carriers.base import CarrierClosed

__all__ = ["RecordingReceiver"]


class RecordingReceiver:
    """A `CarrierReceiver` for tests.

    Attributes:
        messages: what arrived, in order.
        how: how the connection ended, None while it has not.
        log: `"message"` and `"closed"`, in the order of the calls.
        on_message: called with each message, inside the carrier's callback.
        failures: what `on_message` raised.
    """

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.how: CarrierClosed | None = None
        self.log: list[str] = []
        self.on_message: Callable[[str | bytes], None] | None = None
        self.failures: list[Exception] = []
        self._changed = asyncio.Event()

    def message(self, data: str | bytes, /) -> None:
        """Write a message down."""
        self.log.append("message")
        self.messages.append(data)
        self._changed.set()
        if self.on_message is not None:
            try:
                self.on_message(data)
            except Exception as error:  # noqa: BLE001 - kept for the test to look at
                self.failures.append(error)

    def closed(self, how: CarrierClosed, /) -> None:
        """Write the end down."""
        self.log.append("closed")
        self.how = how
        self._changed.set()

    async def until(self, condition: Callable[[], bool], timeout: float = 5.0) -> None:
        """Wait until something that arrived makes the condition true.

        Raises:
            AssertionError: after `timeout` seconds, saying what has arrived.
        """
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(
                f"not within {timeout:g} s; {len(self.messages)} messages arrived, end: {self.how}"
            ) from None

    async def ended(self, timeout: float = 5.0) -> CarrierClosed:
        """Wait for the end."""
        await self.until(lambda: self.how is not None, timeout)
        if self.how is None:
            raise AssertionError("the carrier took its goodbye back")
        return self.how
