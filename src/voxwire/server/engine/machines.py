"""The state machines of the server engine, as tables."""

from __future__ import annotations

from ...protocol.table import Table

__all__ = ["PLAYOUT", "RESPONSE", "TABLES", "TURN"]

RESPONSE = Table(
    "server response",
    "waiting",
    {
        # The text of what the user said is still to come.
        ("waiting", "understood"): "making",
        ("waiting", "cancelled"): "cancelled",
        ("waiting", "failed"): "failed",
        ("making", "completed"): "completed",
        ("making", "cancelled"): "cancelled",
        ("making", "incomplete"): "incomplete",
        ("making", "failed"): "failed",
    },
)
"""One response; on the wire the first two states are `in_progress`. Nothing leaves the other four."""

TURN = Table(
    "turn",
    "quiet",
    {
        ("quiet", "speech"): "speaking",
        ("speaking", "silence"): "quiet",
        ("speaking", "ended by the client"): "quiet",
        ("quiet", "ended by the client"): "quiet",
    },
)
"""Turn detection over the probabilities of a voice activity detector."""

PLAYOUT = Table(
    "playout",
    "queued",
    {
        ("queued", "first sample"): "playing",
        ("playing", "played out"): "stopped",
        # By the client, or by the user who speaks over it.
        ("queued", "cleared"): "cleared",
        ("playing", "cleared"): "cleared",
    },
)
"""The audio of one response on a media plane; the last three states are `output_audio_buffer.*` events."""

TABLES = (RESPONSE, TURN, PLAYOUT)
