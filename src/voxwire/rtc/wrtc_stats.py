"""libwebrtc's statistics (W3C webrtc-stats) as ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from .base import RtcStats

__all__ = ["read_stats"]


def read_stats(report: Mapping[str, Any]) -> tuple[RtcStats, float]:
    """Our statistics, and the level of the last audio received, 0..1.

    Args:
        report: identifier to entry, as `RTCPeerConnection.get_stats` gives it.
    """
    entries: Iterable[Any] = report.values()
    named: dict[str, Any] = {}
    for entry in entries:
        named[str(getattr(entry.type, "value", entry.type))] = entry
    inbound, outbound = named.get("inbound-rtp"), named.get("outbound-rtp")
    remote, pair = named.get("remote-inbound-rtp"), named.get("candidate-pair")
    emitted = _get(inbound, "jitter_buffer_emitted_count") or 0
    rtt = _get(remote, "round_trip_time")
    if rtt is None:
        rtt = _get(pair, "current_round_trip_time")
    jitter = _get(inbound, "jitter")
    stats = RtcStats(
        rtt_ms=None if rtt is None else rtt * 1000,
        packets_sent=int(_get(outbound, "packets_sent") or 0),
        packets_received=int(_get(inbound, "packets_received") or 0),
        packets_lost=int(_get(inbound, "packets_lost") or 0),
        remote_loss=_get(remote, "fraction_lost"),
        jitter_ms=None if jitter is None else jitter * 1000,
        buffer_ms=_mean_ms(_get(inbound, "jitter_buffer_delay"), emitted),
        target_ms=_mean_ms(_get(inbound, "jitter_buffer_target_delay"), emitted),
        concealed_ms=(_get(inbound, "concealed_samples") or 0) / 48,
        recovered_ms=(_get(inbound, "fec_packets_received") or 0) * 20,
    )
    return stats, float(_get(inbound, "audio_level") or 0.0)


def _get(entry: Any, name: str) -> float | None:
    return cast("float | None", getattr(entry, name, None))


def _mean_ms(total_seconds: float | None, samples: float) -> float:
    """These counters add up seconds times samples."""
    return 1000 * total_seconds / samples if total_seconds and samples else 0.0
