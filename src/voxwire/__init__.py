"""Realtime voice agents in Python, on any wire.

Every public name can be imported from here. Each is loaded when it is first used (PEP 562), so
that `import voxwire` costs next to nothing and needs no third-party package. A new name takes one line in
`_HOME` and one import for type checkers below; `tests/test_exports.py` keeps the two together.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from .agent import RealtimeAgent as RealtimeAgent
    from .errors import AuthenticationError as AuthenticationError
    from .errors import ConfigError as ConfigError
    from .errors import ConnectError as ConnectError
    from .errors import ConnectionLost as ConnectionLost
    from .errors import ConnectTimeout as ConnectTimeout
    from .errors import DeviceError as DeviceError
    from .errors import GuardrailTimeoutError as GuardrailTimeoutError
    from .errors import MissingExtraError as MissingExtraError
    from .errors import ModelBehaviorError as ModelBehaviorError
    from .errors import NotConnectedError as NotConnectedError
    from .errors import ProviderError as ProviderError
    from .errors import SignatureError as SignatureError
    from .errors import ToolTimeoutError as ToolTimeoutError
    from .errors import UserError as UserError
    from .errors import VoxwireError as VoxwireError
    from .errors import WireError as WireError
    from .guardrail import GuardrailResult as GuardrailResult
    from .guardrail import GuardrailSettings as GuardrailSettings
    from .guardrail import InputGuardrail as InputGuardrail
    from .guardrail import OutputGuardrail as OutputGuardrail
    from .guardrail import guardrail_feedback as guardrail_feedback
    from .handoffs import Handoff as Handoff
    from .handoffs import handoff as handoff
    from .mcp import HostedMcpTool as HostedMcpTool
    from .mcp import McpHttpServer as McpHttpServer
    from .mcp import McpServer as McpServer
    from .mcp import McpStdioServer as McpStdioServer
    from .mcp import McpToolError as McpToolError
    from .mcp import hosted_mcp_tool as hosted_mcp_tool
    from .protocol.call_events import CallStarted as CallStarted
    from .protocol.call_events import CallStopped as CallStopped
    from .protocol.call_events import MarkReturned as MarkReturned
    from .protocol.call_events import TelephonyMessage as TelephonyMessage
    from .protocol.config import AudioConfig as AudioConfig
    from .protocol.config import AudioInput as AudioInput
    from .protocol.config import AudioOutput as AudioOutput
    from .protocol.config import NoiseReduction as NoiseReduction
    from .protocol.config import Prompt as Prompt
    from .protocol.config import Reasoning as Reasoning
    from .protocol.config import SemanticVad as SemanticVad
    from .protocol.config import ServerVad as ServerVad
    from .protocol.config import SessionConfig as SessionConfig
    from .protocol.config import Tracing as Tracing
    from .protocol.config import Transcription as Transcription
    from .protocol.config import Truncation as Truncation
    from .protocol.formats import AudioFormat as AudioFormat
    from .protocol.items import FunctionCallItem as FunctionCallItem
    from .protocol.items import InputAudio as InputAudio
    from .protocol.items import InputImage as InputImage
    from .protocol.items import InputText as InputText
    from .protocol.items import McpApprovalRequestItem as McpApprovalRequestItem
    from .protocol.items import McpCallItem as McpCallItem
    from .protocol.items import McpListToolsItem as McpListToolsItem
    from .protocol.items import MessageItem as MessageItem
    from .protocol.items import OtherItem as OtherItem
    from .protocol.items import OtherPart as OtherPart
    from .protocol.items import OutputAudio as OutputAudio
    from .protocol.items import OutputText as OutputText
    from .protocol.items import RealtimeItem as RealtimeItem
    from .protocol.metrics import ToolMetrics as ToolMetrics
    from .protocol.metrics import TurnMetrics as TurnMetrics
    from .protocol.prices import DEFAULT_PRICES as DEFAULT_PRICES
    from .protocol.prices import Cost as Cost
    from .protocol.prices import ModelPrices as ModelPrices
    from .protocol.prices import PriceTable as PriceTable
    from .protocol.transport_events import AudioDone as AudioDone
    from .protocol.transport_events import AudioEvent as AudioEvent
    from .protocol.transport_events import AudioInterrupted as AudioInterrupted
    from .protocol.transport_events import AudioSent as AudioSent
    from .protocol.transport_events import AudioStarted as AudioStarted
    from .protocol.transport_events import AudioStopped as AudioStopped
    from .protocol.transport_events import ConnectionChange as ConnectionChange
    from .protocol.transport_events import DtmfReceived as DtmfReceived
    from .protocol.transport_events import ErrorEvent as ErrorEvent
    from .protocol.transport_events import FunctionCall as FunctionCall
    from .protocol.transport_events import HistoryAdded as HistoryAdded
    from .protocol.transport_events import HistoryUpdated as HistoryUpdated
    from .protocol.transport_events import InputTimeout as InputTimeout
    from .protocol.transport_events import ItemDeleted as ItemDeleted
    from .protocol.transport_events import ItemTruncation as ItemTruncation
    from .protocol.transport_events import ItemUpdate as ItemUpdate
    from .protocol.transport_events import McpApprovalRequest as McpApprovalRequest
    from .protocol.transport_events import McpToolCallCompleted as McpToolCallCompleted
    from .protocol.transport_events import McpToolsListed as McpToolsListed
    from .protocol.transport_events import MediaStateChange as MediaStateChange
    from .protocol.transport_events import SessionUpdated as SessionUpdated
    from .protocol.transport_events import TextDelta as TextDelta
    from .protocol.transport_events import TranscriptDelta as TranscriptDelta
    from .protocol.transport_events import TurnDone as TurnDone
    from .protocol.transport_events import TurnStarted as TurnStarted
    from .protocol.transport_events import UsageUpdate as UsageUpdate
    from .protocol.transport_events import UserSpeechStarted as UserSpeechStarted
    from .protocol.transport_events import UserSpeechStopped as UserSpeechStopped
    from .protocol.transport_events import UserTranscript as UserTranscript
    from .protocol.transport_events import UserTranscriptDelta as UserTranscriptDelta
    from .protocol.unset import UNSET as UNSET
    from .protocol.usage import Usage as Usage
    from .recording import Recorder as Recorder
    from .recording import Redaction as Redaction
    from .session.approvals import ToolErrorFormatterArgs as ToolErrorFormatterArgs
    from .session.events import AgentEnd as AgentEnd
    from .session.events import AgentHandoff as AgentHandoff
    from .session.events import AgentStart as AgentStart
    from .session.events import AgentToolEnd as AgentToolEnd
    from .session.events import AgentToolStart as AgentToolStart
    from .session.events import GuardrailTripped as GuardrailTripped
    from .session.events import McpApprovalRequested as McpApprovalRequested
    from .session.events import McpToolsChanged as McpToolsChanged
    from .session.events import ToolApprovalRequested as ToolApprovalRequested
    from .session.events import TransportEvent as TransportEvent
    from .session.metrics import SessionMetrics as SessionMetrics
    from .session.phone.receptionist import IgnoreCall as IgnoreCall
    from .session.phone.receptionist import Receptionist as Receptionist
    from .session.phone.receptionist import RejectCall as RejectCall
    from .session.phone.sip import OpenAIRealtimeSIP as OpenAIRealtimeSIP
    from .session.phone.tools import end_call as end_call
    from .session.phone.tools import transfer_call as transfer_call
    from .session.session import RealtimeSession as RealtimeSession
    from .session.telemetry import instrument as instrument
    from .session.transcription import Transcript as Transcript
    from .session.transcription import TranscriptionSession as TranscriptionSession
    from .tools import BackgroundResult as BackgroundResult
    from .tools import FunctionTool as FunctionTool
    from .tools import RunContext as RunContext
    from .tools import ToolGuardrailResult as ToolGuardrailResult
    from .tools import ToolGuardrailTripped as ToolGuardrailTripped
    from .tools import ToolImage as ToolImage
    from .tools import ToolInputGuardrail as ToolInputGuardrail
    from .tools import ToolOutputGuardrail as ToolOutputGuardrail
    from .tools import background_result as background_result
    from .tools import default_error_message as default_error_message
    from .tools import is_background_result as is_background_result
    from .tools import tool as tool
    from .transports.base import RealtimeTransportLayer as RealtimeTransportLayer
    from .transports.cloudflare import CloudflareRealtimeTransportLayer as CloudflareRealtimeTransportLayer
    from .transports.sideband import OpenAIRealtimeSideband as OpenAIRealtimeSideband
    from .transports.telephony.layer import TelephonyTransportLayer as TelephonyTransportLayer
    from .transports.telephony.providers import ExotelRealtimeTransportLayer as ExotelRealtimeTransportLayer
    from .transports.telephony.providers import PlivoRealtimeTransportLayer as PlivoRealtimeTransportLayer
    from .transports.telephony.providers import TelnyxRealtimeTransportLayer as TelnyxRealtimeTransportLayer
    from .transports.telephony.providers import VonageRealtimeTransportLayer as VonageRealtimeTransportLayer
    from .transports.twilio import TwilioRealtimeTransportLayer as TwilioRealtimeTransportLayer
    from .transports.webrtc import OpenAIRealtimeWebRTC as OpenAIRealtimeWebRTC
    from .transports.websocket import OpenAIRealtimeWebSocket as OpenAIRealtimeWebSocket

_HOME = {
    "RealtimeAgent": "agent",
    "AuthenticationError": "errors",
    "ConfigError": "errors",
    "ConnectError": "errors",
    "ConnectTimeout": "errors",
    "ConnectionLost": "errors",
    "DeviceError": "errors",
    "GuardrailTimeoutError": "errors",
    "MissingExtraError": "errors",
    "ModelBehaviorError": "errors",
    "NotConnectedError": "errors",
    "ProviderError": "errors",
    "SignatureError": "errors",
    "ToolTimeoutError": "errors",
    "UserError": "errors",
    "VoxwireError": "errors",
    "WireError": "errors",
    "GuardrailResult": "guardrail",
    "GuardrailSettings": "guardrail",
    "InputGuardrail": "guardrail",
    "OutputGuardrail": "guardrail",
    "guardrail_feedback": "guardrail",
    "Handoff": "handoffs",
    "handoff": "handoffs",
    "CallStarted": "protocol.call_events",
    "CallStopped": "protocol.call_events",
    "MarkReturned": "protocol.call_events",
    "TelephonyMessage": "protocol.call_events",
    "AudioConfig": "protocol.config",
    "AudioInput": "protocol.config",
    "AudioOutput": "protocol.config",
    "NoiseReduction": "protocol.config",
    "Prompt": "protocol.config",
    "Reasoning": "protocol.config",
    "SemanticVad": "protocol.config",
    "ServerVad": "protocol.config",
    "SessionConfig": "protocol.config",
    "Tracing": "protocol.config",
    "Transcription": "protocol.config",
    "Truncation": "protocol.config",
    "AudioFormat": "protocol.formats",
    "FunctionCallItem": "protocol.items",
    "InputAudio": "protocol.items",
    "InputImage": "protocol.items",
    "InputText": "protocol.items",
    "McpApprovalRequestItem": "protocol.items",
    "McpCallItem": "protocol.items",
    "McpListToolsItem": "protocol.items",
    "MessageItem": "protocol.items",
    "OtherItem": "protocol.items",
    "OtherPart": "protocol.items",
    "OutputAudio": "protocol.items",
    "OutputText": "protocol.items",
    "RealtimeItem": "protocol.items",
    "ToolMetrics": "protocol.metrics",
    "TurnMetrics": "protocol.metrics",
    "Cost": "protocol.prices",
    "DEFAULT_PRICES": "protocol.prices",
    "ModelPrices": "protocol.prices",
    "PriceTable": "protocol.prices",
    "AudioDone": "protocol.transport_events",
    "AudioEvent": "protocol.transport_events",
    "AudioInterrupted": "protocol.transport_events",
    "AudioSent": "protocol.transport_events",
    "AudioStarted": "protocol.transport_events",
    "AudioStopped": "protocol.transport_events",
    "ConnectionChange": "protocol.transport_events",
    "DtmfReceived": "protocol.transport_events",
    "ErrorEvent": "protocol.transport_events",
    "FunctionCall": "protocol.transport_events",
    "HistoryAdded": "protocol.transport_events",
    "HistoryUpdated": "protocol.transport_events",
    "InputTimeout": "protocol.transport_events",
    "ItemDeleted": "protocol.transport_events",
    "ItemTruncation": "protocol.transport_events",
    "ItemUpdate": "protocol.transport_events",
    "HostedMcpTool": "mcp",
    "McpHttpServer": "mcp",
    "McpServer": "mcp",
    "McpStdioServer": "mcp",
    "McpToolError": "mcp",
    "hosted_mcp_tool": "mcp",
    "McpApprovalRequest": "protocol.transport_events",
    "McpToolCallCompleted": "protocol.transport_events",
    "McpToolsListed": "protocol.transport_events",
    "MediaStateChange": "protocol.transport_events",
    "SessionUpdated": "protocol.transport_events",
    "TextDelta": "protocol.transport_events",
    "TranscriptDelta": "protocol.transport_events",
    "TurnDone": "protocol.transport_events",
    "TurnStarted": "protocol.transport_events",
    "UsageUpdate": "protocol.transport_events",
    "UserSpeechStarted": "protocol.transport_events",
    "UserSpeechStopped": "protocol.transport_events",
    "UserTranscript": "protocol.transport_events",
    "UserTranscriptDelta": "protocol.transport_events",
    "UNSET": "protocol.unset",
    "Usage": "protocol.usage",
    "Recorder": "recording",
    "Redaction": "recording",
    "AgentEnd": "session.events",
    "AgentHandoff": "session.events",
    "AgentStart": "session.events",
    "AgentToolEnd": "session.events",
    "AgentToolStart": "session.events",
    "McpApprovalRequested": "session.events",
    "McpToolsChanged": "session.events",
    "GuardrailTripped": "session.events",
    "TransportEvent": "session.events",
    "SessionMetrics": "session.metrics",
    "RealtimeSession": "session.session",
    "instrument": "session.telemetry",
    "Transcript": "session.transcription",
    "TranscriptionSession": "session.transcription",
    "FunctionTool": "tools",
    "RunContext": "tools",
    "default_error_message": "tools",
    "tool": "tools",
    "ToolErrorFormatterArgs": "session.approvals",
    "ToolApprovalRequested": "session.events",
    "BackgroundResult": "tools",
    "ToolGuardrailResult": "tools",
    "ToolGuardrailTripped": "tools",
    "ToolImage": "tools",
    "ToolInputGuardrail": "tools",
    "ToolOutputGuardrail": "tools",
    "background_result": "tools",
    "is_background_result": "tools",
    "RealtimeTransportLayer": "transports.base",
    "OpenAIRealtimeSIP": "session.phone.sip",
    "Receptionist": "session.phone.receptionist",
    "RejectCall": "session.phone.receptionist",
    "IgnoreCall": "session.phone.receptionist",
    "end_call": "session.phone.tools",
    "transfer_call": "session.phone.tools",
    "CloudflareRealtimeTransportLayer": "transports.cloudflare",
    "OpenAIRealtimeSideband": "transports.sideband",
    "OpenAIRealtimeWebRTC": "transports.webrtc",
    "TelephonyTransportLayer": "transports.telephony.layer",
    "ExotelRealtimeTransportLayer": "transports.telephony.providers",
    "PlivoRealtimeTransportLayer": "transports.telephony.providers",
    "TelnyxRealtimeTransportLayer": "transports.telephony.providers",
    "VonageRealtimeTransportLayer": "transports.telephony.providers",
    "TwilioRealtimeTransportLayer": "transports.twilio",
    "OpenAIRealtimeWebSocket": "transports.websocket",
}
"""Public name -> the module that has it."""

__all__ = ["__version__", *_HOME]  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll]


if not TYPE_CHECKING:  # a checker that saw this would let every misspelt name pass

    def __getattr__(name: str) -> Any:
        home = _HOME.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f".{home}", __name__), name)
        globals()[name] = value  # found at once from now on
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
