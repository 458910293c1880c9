"""The sans-I/O engine of the embedded server: no await, no clock, no randomness."""

from __future__ import annotations

from .actions import (
    CallMcpTool,
    CancelMcp,
    CancelResponse,
    CancelTimer,
    CancelTranscription,
    Close,
    EngineAction,
    FeedTranscription,
    FinishTranscription,
    Hear,
    ListMcpTools,
    ResetHearing,
    Send,
    SetTimer,
    StartResponse,
    StartTranscription,
)
from .engine import ServerEngine
from .responses import SpokenPiece
from .transcripts import SpokenWord

__all__ = [
    "CallMcpTool",
    "CancelMcp",
    "CancelResponse",
    "CancelTimer",
    "CancelTranscription",
    "Close",
    "EngineAction",
    "FeedTranscription",
    "FinishTranscription",
    "Hear",
    "ListMcpTools",
    "ResetHearing",
    "Send",
    "ServerEngine",
    "SetTimer",
    "SpokenPiece",
    "SpokenWord",
    "StartResponse",
    "StartTranscription",
]
