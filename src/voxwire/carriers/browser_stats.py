"""A browser's statistics (W3C webrtc-stats) as ours: a pure function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..media.levels import SILENCE_DBFS, dbfs
from ..rtc.base import RtcStats

__all__ = ["read_stats"]


def read_stats(entries: Iterable[Mapping[str, Any]]) -> RtcStats:
    """Our statistics from the entries of a `getStats` report. `output_level` is left at silence.

    What the browser made up is counted without the silence it made up (`silentConcealedSamples`), which is the
    comfort noise of a peer that sends nothing.
    """
    named: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        kind = str(entry.get("type", ""))
        if entry.get("kind", "audio") != "audio" or (kind == "candidate-pair" and not entry.get("nominated")):
            continue
        named[kind] = entry
    empty: Mapping[str, Any] = {}
    inbound, outbound = named.get("inbound-rtp", empty), named.get("outbound-rtp", empty)
    remote, pair = named.get("remote-inbound-rtp", empty), named.get("candidate-pair", empty)
    rate = 48_000.0  # the clock of Opus (RFC 7587, 4.1), in which these samples are counted
    emitted = _number(inbound, "jitterBufferEmittedCount")
    concealed = _number(inbound, "concealedSamples") - _number(inbound, "silentConcealedSamples")
    lost = remote.get("fractionLost")
    return RtcStats(
        rtt_ms=_ms(remote, "roundTripTime", _ms(pair, "currentRoundTripTime")),
        packets_sent=int(_number(outbound, "packetsSent")),
        packets_received=int(_number(inbound, "packetsReceived")),
        packets_lost=int(_number(inbound, "packetsLost")),
        remote_loss=None if lost is None else float(lost),
        jitter_ms=_ms(inbound, "jitter"),
        buffer_ms=_mean_ms(_number(inbound, "jitterBufferDelay"), emitted),
        target_ms=_mean_ms(_number(inbound, "jitterBufferTargetDelay"), emitted),
        concealed_ms=max(0.0, concealed) * 1000 / rate,
        recovered_ms=_number(inbound, "fecPacketsReceived") * 20,
        input_level=dbfs(_number(named.get("media-source", empty), "audioLevel")),
        output_level=SILENCE_DBFS,
    )


def _number(entry: Mapping[str, Any], name: str) -> float:
    return float(entry.get(name) or 0)


def _ms(entry: Mapping[str, Any], name: str, otherwise: float | None = None) -> float | None:
    seconds = entry.get(name)
    return otherwise if seconds is None else float(seconds) * 1000


def _mean_ms(total_seconds: float, samples: float) -> float:
    """These counters add up seconds times samples."""
    return 1000 * total_seconds / samples if samples else 0.0
