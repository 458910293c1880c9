"""The calls of a server, and what can be done to one from outside.

A call is a session whose audio has a media plane. It is found by its id: to attach another client
(a sideband), to hang up, and, for calls that come in by telephone, to accept, reject or refer them.
"""

from __future__ import annotations

import abc
import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from .auth import Refusal
from .channel import Socket
from .limits import Limits

__all__ = ["Call", "Calls"]

logger = logging.getLogger("voxwire.server")

STOP_SECONDS = 6.0
"""How long calls may take to end before they are cancelled; a peer closes within five."""


class Call(abc.ABC):
    """One call.

    Attributes:
        id: as in `Location`, in `call_id` and in the paths of the control endpoints.
    """

    def __init__(self, call_id: str) -> None:
        self.id = call_id

    @abc.abstractmethod
    async def run(self) -> None:
        """Carry the call until it ends; nothing of it is left then."""

    @abc.abstractmethod
    def end(self, code: int, reason: str) -> None:
        """End it; its clients are told with this WebSocket close code. Idempotent."""

    @abc.abstractmethod
    def check_attach(self) -> None:
        """Raise `Refusal` if another client cannot be attached now."""

    @abc.abstractmethod
    async def attach(self, socket: Socket) -> None:
        """Serve another client of its session until either ends."""

    def hang_up(self) -> None:
        """`POST .../hangup`."""
        self.end(1000, "The call was hung up.")

    def accept(self, session: Mapping[str, Any]) -> None:  # noqa: ARG002 - for calls that can
        """`POST .../accept`: begin the session of a call that waits for it.

        Raises:
            Refusal: it does not wait.
            ClientError: the session is not valid.
        """
        raise self._not_waiting("accepted")

    def reject(self, status: int) -> None:  # noqa: ARG002
        """`POST .../reject`: refuse a call that waits, with this SIP status.

        Raises:
            Refusal: it does not wait.
        """
        raise self._not_waiting("rejected")

    def refer(self, target: str) -> None:  # noqa: ARG002
        """`POST .../refer`: have the caller call `target` (a `tel:` or `sip:` URI).

        Raises:
            Refusal: it cannot be.
        """
        raise Refusal(
            400,
            f"Call '{self.id}' cannot be referred: only calls by SIP can.",
            code="call_not_sip",
            param="call_id",
        )

    def _not_waiting(self, done: str) -> Refusal:
        return Refusal(
            400,
            f"Call '{self.id}' cannot be {done}: only an incoming call by SIP that waits for it can.",
            code="call_not_incoming",
            param="call_id",
        )


class Calls:
    """The calls there are, and the tasks that carry them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._calls: dict[str, Call] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening = 0

    def __len__(self) -> int:
        return len(self._tasks) + self._opening

    def take(self) -> None:
        """Take a place for a call that is being opened; `give_back` or `carry` follow.

        Raises:
            Refusal: there is none.
        """
        if len(self) >= self._limits.calls:
            raise Refusal(
                429,
                f"{self._limits.calls} calls are open, the most that this server takes. Try again later.",
                code="too_many_calls",
                type="rate_limit_error",
            )
        self._opening += 1

    def give_back(self) -> None:
        """The call could not be opened."""
        self._opening -= 1

    def carry(self, call: Call, on_end: Callable[[], None]) -> None:
        """Run a call in a task of its own, under its id, in the place that was taken for it."""
        self._opening -= 1
        self._calls[call.id] = call
        task = asyncio.create_task(self._run(call, on_end), name=f"voxwire-server-{call.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, call: Call, on_end: Callable[[], None]) -> None:
        try:
            await call.run()
        except Exception:
            logger.exception("a call failed")
        finally:
            del self._calls[call.id]
            on_end()

    def find(self, call_id: str) -> Call:
        """The call of this id.

        Raises:
            Refusal: there is none, or it is over (404).
        """
        call = self._calls.get(call_id)
        if call is None:
            raise Refusal(
                404,
                f"No session found for the provided call_id: '{call_id[:64]}' is unknown, or has ended.",
                code="call_id_not_found",
                param="call_id",
            )
        return call

    def end_all(self, code: int, reason: str) -> None:
        """End every call."""
        for call in list(self._calls.values()):
            call.end(code, reason)

    async def close(self) -> None:
        """Wait until every call has ended, which was asked for, and cancel those that take too long."""
        tasks = list(self._tasks)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
