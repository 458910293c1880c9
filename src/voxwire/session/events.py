"""What a session tells its listeners, beside the events of its transport.

The names are those of the JavaScript SDK's `RealtimeSessionEventTypes` in snake case. Every event is frozen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from ..agent import RealtimeAgent
from ..guardrail import GuardrailResult, InputGuardrail, OutputGuardrail
from ..protocol.items import McpApprovalRequestItem
from ..protocol.metrics import TurnMetrics
from ..protocol.transport_events import FunctionCall, TransportEventBase
from ..tools.context import RunContext
from ..tools.function import FunctionTool

__all__ = [
    "RELAYED",
    "SESSION_EVENTS",
    "AgentEnd",
    "AgentHandoff",
    "AgentStart",
    "AgentToolEnd",
    "AgentToolStart",
    "GuardrailTripped",
    "McpApprovalRequested",
    "McpToolsChanged",
    "ToolApprovalRequested",
    "TransportEvent",
]


@dataclass(frozen=True, slots=True)
class AgentStart(TransportEventBase):
    """An agent begins a response."""

    name: ClassVar[str] = "agent_start"
    context: RunContext[Any]
    agent: RealtimeAgent
    response_id: str


@dataclass(frozen=True, slots=True)
class AgentEnd(TransportEventBase):
    """The service has finished a response; it may still be playing.

    Attributes:
        agent: the one that began it, also if a handoff has happened since.
        text: what the agent said or wrote last in it; empty if it only called tools.
        status: `completed`, `cancelled`, `incomplete` or `failed`.
    """

    name: ClassVar[str] = "agent_end"
    context: RunContext[Any]
    agent: RealtimeAgent
    response_id: str
    text: str
    status: str


@dataclass(frozen=True, slots=True)
class AgentHandoff(TransportEventBase):
    """Another agent goes on; it is the session's current agent already."""

    name: ClassVar[str] = "agent_handoff"
    context: RunContext[Any]
    from_agent: RealtimeAgent
    to_agent: RealtimeAgent


@dataclass(frozen=True, slots=True)
class AgentToolStart(TransportEventBase):
    """A tool is about to run, or its call was rejected; `context.call` and `call` are the model's call."""

    name: ClassVar[str] = "agent_tool_start"
    context: RunContext[Any]
    agent: RealtimeAgent
    tool: FunctionTool[..., Any]
    call: FunctionCall


@dataclass(frozen=True, slots=True)
class AgentToolEnd(TransportEventBase):
    """A tool's call has been answered.

    Attributes:
        result: the text the model got.
        error: what went wrong, if `result` is an apology.
    """

    name: ClassVar[str] = "agent_tool_end"
    context: RunContext[Any]
    agent: RealtimeAgent
    tool: FunctionTool[..., Any]
    call: FunctionCall
    result: str
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class ToolApprovalRequested(TransportEventBase):
    """A tool waits for a person's word: pass this on to `session.approve` or `session.reject`.

    Attributes:
        context: the run context of the call.
        agent: the agent that made it; the tool runs as its, whoever has the conversation by then.
        arguments: as the model wrote them; None if they are no JSON object (the tool will refuse them).
        connection: which connection of the session it belongs to.
    """

    name: ClassVar[str] = "tool_approval_requested"
    context: RunContext[Any]
    agent: RealtimeAgent
    tool: FunctionTool[..., Any]
    call: FunctionCall
    arguments: Mapping[str, Any] | None
    connection: int


@dataclass(frozen=True, slots=True)
class McpApprovalRequested(TransportEventBase):
    """The service asks whether it may call a tool of a hosted MCP server.

    It comes under the same name as `ToolApprovalRequested`, and is answered by the same
    `session.approve` and `session.reject`.

    Attributes:
        agent: the current agent.
        item: the service's question.
        arguments: what the model filled in; None if it is no JSON object.
        connection: which of the session's connections it was asked on.
    """

    name: ClassVar[str] = "tool_approval_requested"
    kind: ClassVar[str] = "mcp"
    context: RunContext[Any]
    agent: RealtimeAgent
    item: McpApprovalRequestItem
    arguments: Mapping[str, Any] | None
    connection: int = 0

    @property
    def server_label(self) -> str:
        """The server whose tool it is."""
        return self.item.server_label

    @property
    def tool_name(self) -> str:
        """The tool, by the server's name for it."""
        return self.item.name


@dataclass(frozen=True, slots=True)
class McpToolsChanged(TransportEventBase):
    """Other tools of hosted MCP servers are available to the current agent than before.

    Attributes:
        tools: as their servers listed them (`name`, `description`, `input_schema`).
    """

    name: ClassVar[str] = "mcp_tools_changed"
    tools: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class GuardrailTripped(TransportEventBase):
    """A guardrail found something; the reply has been stopped, unless it was over already.

    Attributes:
        agent: whose reply it is, or who was spoken to.
        kind: `output` for what the agent said, `input` for what the user said.
        text: what was checked.
        item_id: the item with that text.
        response_id: the reply; None for `input`.
    """

    name: ClassVar[str] = "guardrail_tripped"
    context: RunContext[Any]
    agent: RealtimeAgent
    kind: Literal["output", "input"]
    guardrail: OutputGuardrail | InputGuardrail
    result: GuardrailResult
    text: str
    item_id: str
    response_id: str | None


@dataclass(frozen=True, slots=True)
class TransportEvent(TransportEventBase):
    """A wire event of the service, untouched; only for those who ask for it by name."""

    name: ClassVar[str] = "transport_event"
    event: Mapping[str, Any]


RELAYED: Final = (
    "audio",
    "audio_done",
    "audio_dropped",
    "audio_interrupted",
    "audio_start",
    "audio_stopped",
    "audio_transcript_delta",
    "connection_change",
    "device_changed",
    "dtmf",
    "error",
    "function_call",
    "history_added",
    "history_updated",
    "input_timeout",
    "item_deleted",
    "item_update",
    "mcp_approval_request",
    "mcp_tool_call_completed",
    "mcp_tools_listed",
    "media_state",
    "output_text_delta",
    "session_updated",
    "turn_done",
    "turn_started",
    "usage_update",
    "user_speech_started",
    "user_speech_stopped",
    "user_transcript",
    "user_transcript_delta",
)
"""Events of the transport that the session passes on, the same objects under the same names."""

SESSION_EVENTS: Final = (
    *RELAYED,
    AgentStart.name,
    AgentEnd.name,
    AgentHandoff.name,
    AgentToolStart.name,
    AgentToolEnd.name,
    TurnMetrics.name,
    GuardrailTripped.name,
    McpToolsChanged.name,
    ToolApprovalRequested.name,
)
"""What `async for event in session` gives."""
