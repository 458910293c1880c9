"""Every state machine of the engine, as one table each.

`docs/design.md` shows these tables as diagrams; a test keeps them in step.
"""

from __future__ import annotations

from .table import Table

__all__ = ["CONNECTION", "MEDIA", "PLAYBACK", "RESPONSE", "TABLES", "TOOL_CALL"]

CONNECTION = Table(
    "connection",
    "disconnected",
    {
        ("disconnected", "connect"): "opening",
        ("opening", "opened"): "greeting",
        # The service says hello with session.created; our first session.update is on its way.
        ("greeting", "created"): "configuring",
        ("greeting", "created, nothing to configure"): "connected",
        # Some compatible servers answer the update without having said hello.
        ("greeting", "configured"): "connected",
        ("configuring", "configured"): "connected",
        ("greeting", "timed out, tolerated"): "connected",
        ("configuring", "timed out, tolerated"): "connected",
        ("greeting", "failed"): "closing",
        ("configuring", "failed"): "closing",
        ("opening", "closed"): "disconnected",
        ("greeting", "closed"): "disconnected",
        ("configuring", "closed"): "disconnected",
        ("connected", "closed"): "disconnected",
        ("closing", "closed"): "disconnected",
    },
)
"""One connection, from `connect()` to the last event."""

RESPONSE = Table(
    "response",
    "idle",
    {
        ("idle", "create sent"): "requested",
        ("idle", "created"): "active",  # voice activity detection made one
        ("requested", "created"): "active",
        ("requested", "rejected"): "idle",
        ("requested", "rejected as busy"): "active",
        ("requested", "unanswered"): "idle",
        # Interrupted before it exists: cancel it as soon as it does.
        ("requested", "interrupted"): "withdrawn",
        ("withdrawn", "created"): "cancelling",
        ("withdrawn", "rejected"): "idle",
        ("withdrawn", "rejected as busy"): "cancelling",
        ("withdrawn", "unanswered"): "idle",
        ("active", "interrupted"): "cancelling",
        ("active", "created"): "active",  # the service went on to another
        ("active", "done"): "idle",
        ("active", "stalled"): "idle",
        ("cancelling", "created"): "active",
        ("cancelling", "done"): "idle",
        ("cancelling", "stalled"): "idle",
    },
)
"""The one response at a time of the default conversation."""

PLAYBACK = Table(
    "playback",
    "silent",
    {
        ("silent", "audio received"): "playing",
        ("playing", "audio received"): "playing",
        ("playing", "everything heard"): "silent",
        ("playing", "interrupted"): "silent",
    },
)
"""What the listener hears; it outlives the response, which is sent faster than it is heard."""

MEDIA = Table(
    "media plane",
    "quiet",
    {
        ("quiet", "sound"): "early",  # audio and events travel apart: the first sample may be here first
        ("quiet", "started"): "playing",
        ("early", "started"): "playing",
        ("early", "silence"): "quiet",  # it was no reply
        ("playing", "started"): "playing",  # the next one
        ("playing", "stopped"): "ending",
        ("early", "stopped"): "ending",
        # What the service has sent is still on its way through the network and the jitter buffer.
        ("ending", "silence"): "quiet",
        ("ending", "too long"): "quiet",
        ("ending", "started"): "playing",
        ("early", "interrupted"): "stopping",
        ("playing", "interrupted"): "stopping",
        ("ending", "interrupted"): "stopped",  # the service has nothing left to clear
        # A reply that nobody wants any more begins to play.
        ("quiet", "unwanted"): "stopping",
        ("early", "unwanted"): "stopping",
        ("playing", "unwanted"): "stopping",
        ("ending", "unwanted"): "stopping",
        ("stopping", "unwanted"): "stopping",
        ("stopped", "unwanted"): "stopping",
        ("stopping", "cleared"): "stopped",
        ("stopping", "too long"): "quiet",  # the service goes on talking: better heard than lost
        ("stopping", "started"): "playing",
        ("stopped", "silence"): "quiet",
        ("stopped", "too long"): "quiet",
        ("stopped", "started"): "playing",
    },
)
"""Where the service plays the audio itself (WebRTC, SIP): what a frame that arrives belongs to."""

TOOL_CALL = Table(
    "tool call",
    "announced",
    {
        ("announced", "answered"): "answered",
        ("announced", "disconnected"): "dropped",
    },
)
"""One call of a tool; the next response waits for all calls of the same response."""

TABLES = (CONNECTION, RESPONSE, PLAYBACK, MEDIA, TOOL_CALL)
