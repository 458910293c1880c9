"""For tests of voice agents: a scripted service, a scripted transport, virtual time, conformance checks.

Names are imported when they are first used; nothing here imports pytest, except the plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .call_server import ScriptedCall, ScriptedCallServer
    from .clock import VirtualTimeLoop, run_virtual
    from .conformance import (
        CarrierEnds,
        CarrierPeer,
        check_carrier,
        check_sink,
        check_source,
        check_transport,
        memory_ends,
        websocket_ends,
    )
    from .fault_path import Faults, FaultyPath, is_media, is_rtp
    from .faults import FaultyRelay
    from .pulse import PrivatePulse
    from .receiver import RecordingReceiver
    from .responses import response_events
    from .script import IncompleteScenarioError, RecordedCall, UnexpectedCallError, UnmatchedCallError
    from .server import ScriptedConnection, ScriptedServer, UnexpectedEventError
    from .transport import ConnectionSupersededError, ScriptedRealtimeTransport, TransportNotClosedError
    from .twilio import StreamPlayout, TwilioCaller

__all__ = [
    "CarrierEnds",
    "CarrierPeer",
    "ConnectionSupersededError",
    "Faults",
    "FaultyPath",
    "FaultyRelay",
    "IncompleteScenarioError",
    "PrivatePulse",
    "RecordedCall",
    "RecordingReceiver",
    "ScriptedCall",
    "ScriptedCallServer",
    "ScriptedConnection",
    "ScriptedRealtimeTransport",
    "ScriptedServer",
    "StreamPlayout",
    "TransportNotClosedError",
    "TwilioCaller",
    "UnexpectedCallError",
    "UnexpectedEventError",
    "UnmatchedCallError",
    "VirtualTimeLoop",
    "check_carrier",
    "check_sink",
    "check_source",
    "check_transport",
    "is_media",
    "is_rtp",
    "memory_ends",
    "response_events",
    "run_virtual",
    "websocket_ends",
]

_HOME = {
    "CarrierEnds": "conformance",
    "CarrierPeer": "conformance",
    "ConnectionSupersededError": "transport",
    "Faults": "fault_path",
    "FaultyPath": "fault_path",
    "FaultyRelay": "faults",
    "IncompleteScenarioError": "script",
    "PrivatePulse": "pulse",
    "RecordedCall": "script",
    "RecordingReceiver": "receiver",
    "ScriptedCall": "call_server",
    "ScriptedCallServer": "call_server",
    "ScriptedConnection": "server",
    "ScriptedRealtimeTransport": "transport",
    "ScriptedServer": "server",
    "StreamPlayout": "twilio",
    "TransportNotClosedError": "transport",
    "TwilioCaller": "twilio",
    "UnexpectedCallError": "script",
    "UnexpectedEventError": "server",
    "UnmatchedCallError": "script",
    "VirtualTimeLoop": "clock",
    "check_carrier": "conformance",
    "check_sink": "conformance",
    "check_source": "conformance",
    "check_transport": "conformance",
    "is_media": "fault_path",
    "is_rtp": "fault_path",
    "memory_ends": "conformance",
    "response_events": "responses",
    "run_virtual": "clock",
    "websocket_ends": "conformance",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
