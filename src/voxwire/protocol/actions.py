"""What an engine tells its shell to do.

The shell carries them out in order and without awaiting in between, which is what makes
a barge-in immediate: `StopPlayback` takes effect before any listener runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import VoxwireError
from .transport_events import AudioEvent, TransportEventBase

__all__ = [
    "Action",
    "CancelTimer",
    "Emit",
    "Fail",
    "Play",
    "Ready",
    "Send",
    "SetTimer",
    "StopPlayback",
]


@dataclass(frozen=True, slots=True)
class Send:
    """Put this event on the wire."""

    event: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell the listeners."""

    event: TransportEventBase


@dataclass(frozen=True, slots=True)
class Play:
    """Hand this audio to the sink, then tell the listeners of `audio`."""

    audio: AudioEvent


@dataclass(frozen=True, slots=True)
class StopPlayback:
    """Drop everything the sink has not played.

    Attributes:
        heard_ms: the engine's knowledge of what was heard since the connection opened, ms
            of output audio; a sink that records cuts there.
    """

    heard_ms: float


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Call `engine.timer(name, now)` at `at` (seconds, the clock of `now`); replaces one of the same name."""

    name: str
    at: float


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget the timer of this name, if there is one."""

    name: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The session is configured; `connect()` may return."""

    warning: str | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """Connecting failed; close the carrier and raise this from `connect()`."""

    error: VoxwireError


Action: TypeAlias = Send | Emit | Play | StopPlayback | SetTimer | CancelTimer | Ready | Fail
