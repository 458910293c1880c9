from __future__ import annotations

from typing import Any

import pytest

from voxwire.protocol.table import IllegalTransition
from voxwire.server.engine.machines import RESPONSE, TABLES, TURN
from voxwire.server.engine.turns import TurnDetector


def test_final_states_are_final() -> None:
    final = {"completed", "cancelled", "incomplete", "failed"}
    assert set(RESPONSE.states) == {"waiting", "making"} | final
    assert not any(state in final for state, _ in RESPONSE.transitions)
    assert {table.name for table in TABLES} == {"server response", "turn", "playout"}


def test_a_response_that_waits_cannot_be_finished(bench: Any) -> None:
    bench.utter(800)
    response = bench.engine._output.active
    assert response.state == "waiting"
    with pytest.raises(IllegalTransition, match="waiting"):
        response.end("completed")
    bench.send("response.cancel")
    assert response.state == response.status == "cancelled"


def test_every_state_of_a_turn_is_reached() -> None:
    settings = {"type": "server_vad", "silence_duration_ms": 20}
    detector = TurnDetector(settings)
    seen = {detector._state}
    for probability in (1.0, 1.0, 1.0, 0.0):
        detector.feed(probability, 20)
        seen.add(detector._state)
    assert seen == set(TURN.states)
    assert not detector.speaking
