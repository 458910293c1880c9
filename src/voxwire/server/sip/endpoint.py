"""A user agent on its sockets: the shell that has the clock."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from .agent import AgentOptions, UserAgent
from .outputs import Flow, Output, Transmit
from .sockets import SipSockets

__all__ = ["SipEndpoint"]

logger = logging.getLogger("voxwire.server")


class SipEndpoint:
    """Runs a `UserAgent`.

    Args:
        make_options: the agent's options, once the port is known.
        on_news: gets what the agent tells, everything but `Transmit`.
        public: our address as peers reach it (NAT).
        max_bytes, max_connections: see `SipSockets`.
    """

    def __init__(
        self,
        make_options: Callable[[int], AgentOptions],
        on_news: Callable[[Output], None],
        *,
        public: str | None = None,
        max_bytes: int = 65_535,
        max_connections: int = 100,
    ) -> None:
        self._make_options = make_options
        self._on_news = on_news
        self.sockets = SipSockets(
            self._message, self._broken, public=public, max_bytes=max_bytes, max_connections=max_connections
        )
        self._agent: UserAgent | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._performing = False
        self._closed = False

    @property
    def agent(self) -> UserAgent:
        """The user agent, once it is open."""
        if self._agent is None:
            raise RuntimeError("open() comes first")
        return self._agent

    @property
    def now(self) -> float:
        """The agent's time, s."""
        return self._loop.time()

    async def open(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            UserError: the address is taken.
        """
        await self.sockets.open(host, port)
        self._agent = UserAgent(self._make_options(self.sockets.port), random.SystemRandom())

    async def close(self) -> None:
        """Close the sockets; nothing is sent or told any more. Idempotent."""
        self.flush()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self.sockets.close()

    def flush(self) -> None:
        """Carry out what the agent wants after a command of its owner's."""
        if self._agent is not None:
            self._perform(self._agent.take())

    def _message(self, data: bytes, flow: Flow) -> None:
        self._step(lambda agent: agent.receive(data, flow, self.now))

    def _broken(self, flow: Flow) -> None:
        self._step(lambda agent: agent.broken(flow, self.now))

    def _due(self) -> None:
        self._step(lambda agent: agent.run(self.now))

    def _step(self, work: Callable[[UserAgent], list[Output]]) -> None:
        agent = self._agent
        if agent is None or self._closed:
            return
        try:
            outputs = work(agent)
        except Exception:  # one call must not take the timers of the others along
            logger.exception("a SIP message or timer could not be handled")
            outputs = agent.take()
        self._perform(outputs)

    def _perform(self, outputs: list[Output]) -> None:
        if self._closed or self._agent is None:
            return
        if self._performing:  # what this leads to is taken up by the loop below
            self._agent.put_back(outputs)
            return
        self._performing = True
        try:
            while outputs:
                for output in outputs:
                    self._do(output)
                outputs = self._agent.take()
        finally:
            self._performing = False
        self._set_timer()

    def _do(self, output: Output) -> None:
        try:
            if isinstance(output, Transmit):
                self.sockets.send(output.data, output.flow)
            else:
                self._on_news(output)
        except Exception:
            logger.exception("a SIP event could not be handled")

    def _set_timer(self) -> None:
        due = self.agent.next_due
        if self._timer is not None:
            if self._timer.when() == due and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._timer = None if due is None else self._loop.call_at(due, self._due)
