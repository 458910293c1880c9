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
    from .errors import (
        AuthenticationError as AuthenticationError,
        ConfigError as ConfigError,
        ConnectError as ConnectError,
        ConnectionLost as ConnectionLost,
        ConnectTimeout as ConnectTimeout,
        MissingExtraError as MissingExtraError,
        ModelBehaviorError as ModelBehaviorError,
        NotConnectedError as NotConnectedError,
        ProviderError as ProviderError,
        ToolTimeoutError as ToolTimeoutError,
        UserError as UserError,
        VoxwireError as VoxwireError,
        WireError as WireError,
    )
    from .protocol.formats import AudioFormat as AudioFormat
    from .protocol.items import (
        FunctionCallItem as FunctionCallItem,
        InputAudio as InputAudio,
        InputImage as InputImage,
        InputText as InputText,
        McpApprovalRequestItem as McpApprovalRequestItem,
        McpCallItem as McpCallItem,
        McpListToolsItem as McpListToolsItem,
        MessageItem as MessageItem,
        OtherItem as OtherItem,
        OtherPart as OtherPart,
        OutputAudio as OutputAudio,
        OutputText as OutputText,
        RealtimeItem as RealtimeItem,
    )
    from .protocol.transport_events import (
        AudioDone as AudioDone,
        AudioEvent as AudioEvent,
        AudioInterrupted as AudioInterrupted,
        AudioStarted as AudioStarted,
        AudioStopped as AudioStopped,
        ConnectionChange as ConnectionChange,
        DtmfReceived as DtmfReceived,
        ErrorEvent as ErrorEvent,
        FunctionCall as FunctionCall,
        HistoryAdded as HistoryAdded,
        HistoryUpdated as HistoryUpdated,
        InputTimeout as InputTimeout,
        ItemDeleted as ItemDeleted,
        ItemUpdate as ItemUpdate,
        McpApprovalRequest as McpApprovalRequest,
        McpToolCallCompleted as McpToolCallCompleted,
        McpToolsListed as McpToolsListed,
        SessionUpdated as SessionUpdated,
        TextDelta as TextDelta,
        TranscriptDelta as TranscriptDelta,
        TurnDone as TurnDone,
        TurnStarted as TurnStarted,
        UsageUpdate as UsageUpdate,
        UserSpeechStarted as UserSpeechStarted,
        UserSpeechStopped as UserSpeechStopped,
        UserTranscriptDelta as UserTranscriptDelta,
    )
    from .protocol.unset import UNSET as UNSET
    from .protocol.usage import Usage as Usage

_HOME = {
    "AuthenticationError": "errors",
    "ConfigError": "errors",
    "ConnectError": "errors",
    "ConnectTimeout": "errors",
    "ConnectionLost": "errors",
    "MissingExtraError": "errors",
    "ModelBehaviorError": "errors",
    "NotConnectedError": "errors",
    "ProviderError": "errors",
    "ToolTimeoutError": "errors",
    "UserError": "errors",
    "VoxwireError": "errors",
    "WireError": "errors",
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
    "AudioDone": "protocol.transport_events",
    "AudioEvent": "protocol.transport_events",
    "AudioInterrupted": "protocol.transport_events",
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
    "ItemUpdate": "protocol.transport_events",
    "McpApprovalRequest": "protocol.transport_events",
    "McpToolCallCompleted": "protocol.transport_events",
    "McpToolsListed": "protocol.transport_events",
    "SessionUpdated": "protocol.transport_events",
    "TextDelta": "protocol.transport_events",
    "TranscriptDelta": "protocol.transport_events",
    "TurnDone": "protocol.transport_events",
    "TurnStarted": "protocol.transport_events",
    "UsageUpdate": "protocol.transport_events",
    "UserSpeechStarted": "protocol.transport_events",
    "UserSpeechStopped": "protocol.transport_events",
    "UserTranscriptDelta": "protocol.transport_events",
    "UNSET": "protocol.unset",
    "Usage": "protocol.usage",
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
