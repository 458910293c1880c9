"""What `voxwire talk` says of the connection: meters, latency, statistics. Plain functions from numbers to words."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

from ..audio.devices import DeviceChanged, DeviceEvent
from ..recording.latency import heard_waits
from ..recording.timeline import Timeline
from ..rtc.base import RtcStats

__all__ = ["device_line", "keys_line", "latency_line", "meter", "path_line", "summary_lines"]

QUIETEST: Final = -60.0
"""dBFS at which a meter is empty."""
CELLS: Final = 24


def meter(name: str, level: float, remark: str = "") -> str:
    """A bar for a level in dBFS."""
    share = min(1.0, max(0.0, 1 - level / QUIETEST))
    filled = round(share * CELLS)
    number = f"{level:4.0f} dBFS" if level > QUIETEST else "   silent"
    return f"{name:<8} {'█' * filled}{'░' * (CELLS - filled)} {number}{f'  {remark}' if remark else ''}"


def device_line(event: DeviceEvent) -> str:
    """A device came, went, or was too slow."""
    if isinstance(event, DeviceChanged):
        after = f"now {event.after.name!r}" if event.after else "none is left"
        return f"the {event.direction} device changed: {event.reason}; {after}"
    return f"{event.direction} audio was dropped, {event.total_ms:.0f} ms in all"


def latency_line(timeline: Timeline) -> str:
    """How long answers took, ms from the user's last sample to the first that was heard."""
    heard = heard_waits(timeline.turns)
    if not heard:
        return "no answer yet"
    many = f", median {median(heard):.0f} ms of {len(heard)}" if len(heard) > 1 else ""
    return f"answer heard after {heard[-1]:.0f} ms{many}"


def path_line(stats: RtcStats | None) -> str:
    """How the media path is doing; None where there is none (WebSocket)."""
    if stats is None:
        return "websocket: audio as events, no statistics"
    parts = [] if stats.rtt_ms is None else [f"round trip {stats.rtt_ms:.0f} ms"]
    parts.append(f"lost {stats.packets_lost} of {stats.packets_received + stats.packets_lost} packets")
    if stats.jitter_ms is not None:
        parts.append(f"jitter {stats.jitter_ms:.0f} ms")
    parts.append(f"buffer {stats.buffer_ms:.0f} ms")
    if stats.concealed_ms:
        parts.append(f"concealed {stats.concealed_ms:.0f} ms")
    return f"webrtc: {', '.join(parts)}"


def keys_line(*, push_to_talk: bool) -> str:
    """What can be pressed."""
    if push_to_talk:
        return "space: begin and end a turn   m: mute   i: interrupt   q: quit"
    return "m: mute   space or i: interrupt   q: quit"


def summary_lines(timeline: Timeline, stats: RtcStats | None) -> Sequence[str]:
    """The conversation in two lines."""
    spoken = [turn for turn in timeline.turns if turn.recognised]
    cuts = len(timeline.interruptions)
    turns = f"{len(spoken)} turn{'' if len(spoken) == 1 else 's'}"
    interrupted = f", {cuts} interrupted" if cuts else ""
    return (f"{turns}, {latency_line(timeline)}{interrupted}", path_line(stats))
