"""The ways through the machines that the engine relies on, spelled out."""

from __future__ import annotations

import pytest

from voxwire.protocol.machines import CONNECTION, MEDIA, PLAYBACK, RESPONSE, TOOL_CALL
from voxwire.protocol.table import Table

WAYS = [
    (CONNECTION, "connect opened created configured closed", "disconnected"),
    (CONNECTION, "connect opened configured", "connected"),
    (CONNECTION, "connect|opened|created, nothing to configure", "connected"),
    (CONNECTION, "connect|opened|timed out, tolerated", "connected"),
    (CONNECTION, "connect opened created failed closed", "disconnected"),
    (RESPONSE, "create sent|created|done", "idle"),
    (RESPONSE, "created|created|done", "idle"),
    (RESPONSE, "create sent|rejected", "idle"),
    (RESPONSE, "create sent|rejected as busy|done", "idle"),
    (RESPONSE, "create sent|interrupted|created", "cancelling"),
    (RESPONSE, "create sent|interrupted|rejected as busy|stalled", "idle"),
    (RESPONSE, "create sent|interrupted|unanswered", "idle"),
    (RESPONSE, "created|interrupted|done", "idle"),
    (RESPONSE, "created|interrupted|created", "active"),
    (RESPONSE, "created|stalled", "idle"),
    (PLAYBACK, "audio received|audio received|everything heard", "silent"),
    (PLAYBACK, "audio received|interrupted", "silent"),
    (MEDIA, "started|stopped|silence", "quiet"),
    (MEDIA, "sound|started|stopped|started", "playing"),
    (MEDIA, "sound|silence", "quiet"),
    (MEDIA, "started|interrupted|cleared|silence", "quiet"),
    (MEDIA, "started|stopped|interrupted|silence", "quiet"),
    (MEDIA, "started|interrupted|started", "playing"),
    (MEDIA, "unwanted|cleared|started", "playing"),
    (MEDIA, "started|interrupted|too long", "quiet"),
    (TOOL_CALL, "disconnected|", "dropped"),
]


@pytest.mark.parametrize(("table", "way", "end"), WAYS)
def test_ways(table: Table, way: str, end: str) -> None:
    state = table.initial
    for event in filter(None, way.split("|") if "|" in way else way.split()):
        state = table.step(state, event)
    assert state == end
