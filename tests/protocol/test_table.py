"""State tables: what they allow, and that every state of ours can be left and reached."""

from __future__ import annotations

import pytest

from voxwire.protocol.machines import CONNECTION, PLAYBACK, RESPONSE, TABLES, TOOL_CALL
from voxwire.protocol.table import IllegalTransition, Table

LIGHT = Table("light", "red", {("red", "go"): "green", ("green", "stop"): "red", ("green", "break"): "dark"})


def test_step_follows_the_table() -> None:
    assert LIGHT.step("red", "go") == "green"
    assert LIGHT.allows("green", "stop")


def test_an_illegal_step_names_machine_event_and_state() -> None:
    assert not LIGHT.allows("red", "stop")
    with pytest.raises(IllegalTransition, match="light: 'stop' is not possible in state 'red'"):
        LIGHT.step("red", "stop")


def test_states_begin_with_the_initial_one() -> None:
    assert LIGHT.states == ("red", "green", "dark")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_state_can_be_reached(table: Table) -> None:
    reached, grown = {table.initial}, True
    while grown:
        new = {target for (state, _), target in table.transitions.items() if state in reached}
        grown = not new <= reached
        reached |= new
    assert reached == set(table.states)


@pytest.mark.parametrize("table", [CONNECTION, RESPONSE, PLAYBACK], ids=lambda table: table.name)
def test_every_state_leads_back_to_the_beginning(table: Table) -> None:
    for start in table.states:
        reached = {start}
        for _ in table.states:
            reached |= {target for (state, _), target in table.transitions.items() if state in reached}
        assert table.initial in reached, start


def test_a_connection_can_end_in_every_state_but_the_last() -> None:
    for state in CONNECTION.states:
        assert CONNECTION.allows(state, "closed") == (state != "disconnected")


def test_a_response_may_begin_in_every_state() -> None:
    assert all(RESPONSE.allows(state, "created") for state in RESPONSE.states)


def test_an_answered_call_stays_answered() -> None:
    assert TOOL_CALL.step("announced", "answered") == "answered"
    assert not TOOL_CALL.allows("answered", "answered")
