"""What guardrails work with: the session, and what belongs to one connection."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, Protocol

from ..agent import RealtimeAgent
from ..guardrail import GuardrailSettings
from ..protocol.transport_events import TransportEventBase
from ..tools.context import RunContext
from ..transports.base import RealtimeTransportLayer
from .guardrail_runs import GuardrailRuns

__all__ = ["MAX_OWNERS", "Connection", "GuardrailsHost"]

MAX_OWNERS: Final = 64
"""Replies whose agent is remembered."""


class GuardrailsHost(Protocol):
    """What guardrails need of the session."""

    @property
    def transport(self) -> RealtimeTransportLayer:
        """What is stopped, and told why."""
        ...

    @property
    def context(self) -> RunContext[Any]:
        """The run context; its agent is the current one."""
        ...

    def emit(self, event: TransportEventBase, /) -> None:
        """Tell the session's listeners."""

    def report(self, error: Exception, /) -> None:
        """Tell them of an error."""


class Connection:
    """What belongs to one connection: a check that ends under another one finds nothing."""

    def __init__(self, settings: GuardrailSettings, config: Mapping[str, Any]) -> None:
        self.config = config
        self.runs = GuardrailRuns(settings.debounce_text_length, continuous=settings.hold_back_ms is not None)
        self.owners: OrderedDict[str, RealtimeAgent] = OrderedDict()
        self.answers: set[str] = set()
        """Responses to `session.ask`, which are not the agent's words to the user."""
        self.corrections = 0
        self.utterances = 0
        self.inputs = 0
