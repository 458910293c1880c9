"""What a tool, an instructions function or a listener is told about the session it runs in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..protocol.items import RealtimeItem
from ..protocol.transport_events import FunctionCall
from ..protocol.usage import Usage

if TYPE_CHECKING:
    from ..agent import RealtimeAgent
    from ..session.session import RealtimeSession

__all__ = ["RunContext"]

ContextT = TypeVar("ContextT")


@dataclass(frozen=True, slots=True, eq=False)
class RunContext(Generic[ContextT]):
    """Access to the session from the code that it runs.

    Attributes:
        context: the object that was given to the session as `context=`, untouched.
        session: the session.
        agent: inside a tool, the agent that made the call, also after a handoff; else the
            current agent at the time.
        call: inside a tool, the call being answered; else None.
    """

    context: ContextT
    session: RealtimeSession
    agent: RealtimeAgent
    call: FunctionCall | None = None

    @property
    def history(self) -> Sequence[RealtimeItem]:
        """The conversation as it is now, oldest item first."""
        return self.session.history

    @property
    def usage(self) -> Usage:
        """What the session has used so far."""
        return self.session.usage

    def of_call(self, call: FunctionCall, agent: RealtimeAgent) -> RunContext[Any]:
        """The same, inside a tool call of `agent`."""
        return replace(self, agent=agent, call=call)

    def __repr__(self) -> str:
        # Never the user's object: it may hold what must not be logged.
        inside = f", call={self.call.tool_name!r}" if self.call else ""
        return f"RunContext(agent={self.agent.name!r}{inside})"
