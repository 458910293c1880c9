"""The sans-I/O engine of the embedded server: no await, no clock, no randomness."""

from __future__ import annotations

from .actions import (
    CallMcpTool,
    CancelMcp,
    CancelResponse,
    CancelTimer,
    CancelTranscription,
    ClearPlayout,
    Close,
    EngineAction,
    FeedTranscription,
    FinishTranscription,
    Hear,
    ListMcpTools,
    Play,
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
    "ClearPlayout",
    "Close",
    "EngineAction",
    "FeedTranscription",
    "FinishTranscription",
    "Hear",
    "ListMcpTools",
    "Play",
    "ResetHearing",
    "Send",
    "ServerEngine",
    "SetTimer",
    "SpokenPiece",
    "SpokenWord",
    "StartResponse",
    "StartTranscription",
]
