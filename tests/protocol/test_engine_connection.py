"""Connecting, configuring, errors, time-outs. Numbers are those of docs/differences.md."""

from __future__ import annotations

from typing import Any

import pytest

from voxwire.errors import AuthenticationError, ConnectTimeout, NotConnectedError, ProviderError, UserError
from voxwire.protocol.engine import MAX_EARLY, EngineOptions
from voxwire.protocol.formats import PCMU
from voxwire.protocol.transport_events import (
    AudioStopped,
    ConnectionChange,
    ErrorEvent,
    FunctionCall,
    HistoryUpdated,
    SessionUpdated,
)

CONFIG = {"instructions": "be brief"}


def test_behaviour_50_connecting_then_connected(make_driver: Any) -> None:
    driver = make_driver()
    driver.do(driver.engine.connect(CONFIG, 0.0)).do(driver.engine.opened(0.0))
    assert driver.engine.status == "connecting"
    driver.recv("session.created", session={}).recv("session.updated", session=CONFIG)
    assert [event.status for event in driver.events(ConnectionChange)] == ["connecting", "connected"]
    assert driver.ready == [None]
    assert driver.timers == {}
    assert driver.sent == [
        {"type": "session.update", "event_id": "event_1", "session": {"type": "realtime", **CONFIG}}
    ]
    assert [event.session for event in driver.events(SessionUpdated)] == [{}, CONFIG]


def test_behaviour_51_connecting_twice(driver: Any) -> None:
    with pytest.raises(UserError, match="connected already"):
        driver.engine.connect(None, 0.0)


def test_nothing_to_configure(make_driver: Any) -> None:
    driver = make_driver()
    driver.do(driver.engine.connect(None, 0.0)).do(driver.engine.opened(0.0))
    assert driver.sent == []
    driver.recv("session.created", session={})
    assert driver.ready == [None]


def test_updated_without_created_and_created_too_late(make_driver: Any) -> None:
    driver = make_driver()
    driver.do(driver.engine.connect(CONFIG, 0.0)).do(driver.engine.opened(0.0))
    driver.recv("session.updated", session=CONFIG)
    assert driver.ready == [None]
    driver.recv("session.created", session={"instructions": "default"})
    assert driver.engine.session == CONFIG


@pytest.mark.parametrize("session", [None, CONFIG])
def test_events_that_arrive_before_the_carrier_is_open_are_not_lost(make_driver: Any, session: Any) -> None:
    driver = make_driver()
    driver.do(driver.engine.connect(session, 0.0))
    driver.recv("session.created", session={})
    if session:
        driver.recv("session.updated", session=session)
    assert driver.ready == []
    driver.do(driver.engine.opened(0.0))
    assert driver.ready == [None]


def test_an_error_before_the_carrier_is_open_fails_the_connect(make_driver: Any) -> None:
    driver = make_driver()
    driver.do(driver.engine.connect(CONFIG, 0.0))
    driver.error(message="no such model").do(driver.engine.opened(0.0))
    assert [str(error) for error in driver.failures] == ["no such model"]


def test_early_events_are_bounded(make_driver: Any) -> None:
    driver = make_driver()
    driver.do(driver.engine.connect(None, 0.0))
    for _ in range(MAX_EARLY * 2):
        driver.recv("session.created", session={})
    assert len(driver.engine._early) == MAX_EARLY


@pytest.mark.parametrize(("greeted", "missing"), [(False, "session.created"), (True, "session.updated")])
def test_the_service_is_silent(make_driver: Any, greeted: bool, missing: str) -> None:
    driver = make_driver()
    driver.do(driver.engine.connect(CONFIG, driver.now)).do(driver.engine.opened(driver.now))
    if greeted:
        driver.recv("session.created", session={})
    driver.wait(4.9)
    assert driver.failures == []
    driver.wait(0.2)
    (failure,) = driver.failures
    assert isinstance(failure, ConnectTimeout)
    assert missing in str(failure)
    assert driver.engine.status == "disconnecting"
    driver.recv("session.updated", session=CONFIG)  # too late
    assert driver.ready == []


def test_the_service_is_silent_and_that_is_tolerated(make_driver: Any) -> None:
    driver = make_driver(EngineOptions(configure_required=False, configure_timeout=1))
    driver.do(driver.engine.connect(CONFIG, driver.now)).do(driver.engine.opened(driver.now)).wait(1)
    assert len(driver.ready) == 1
    assert "session.created" in driver.ready[0]
    assert driver.engine.status == "connected"
    driver.do(driver.engine.timer("configure", driver.now)).do(driver.engine.timer("other", driver.now))
    assert len(driver.ready) == 1


@pytest.mark.parametrize("event_id", ["event_1", None])
def test_the_first_configuration_is_refused(make_driver: Any, event_id: str | None) -> None:
    driver = make_driver()
    driver.do(driver.engine.connect(CONFIG, 0.0)).do(driver.engine.opened(0.0))
    driver.recv("session.created", session={}).error(event_id=event_id, code="invalid_value")
    (failure,) = driver.failures
    assert isinstance(failure, ProviderError)
    assert failure.code == "invalid_value"
    assert len(driver.events(ErrorEvent)) == 1


def test_an_error_about_something_else_does_not_end_the_attempt(make_driver: Any) -> None:
    driver = make_driver()
    driver.do(driver.engine.connect(CONFIG, 0.0)).do(driver.engine.opened(0.0))
    driver.recv("session.created", session={}).error(event_id="another").recv("session.updated", session={})
    assert driver.failures == []
    assert driver.ready == [None]


def test_behaviour_22_errors_say_what_the_service_said(driver: Any) -> None:
    driver.error(message="slow down", code="rate_limit_exceeded", param="x", event_id="e9", type="t")
    (event,) = driver.events(ErrorEvent)
    error = event.error
    assert isinstance(error, ProviderError)
    assert (str(error), error.code, error.param, error.event_id, error.type) == (
        "slow down",
        "rate_limit_exceeded",
        "x",
        "e9",
        "t",
    )
    assert error.retryable
    assert error.raw is event.event
    driver.forget().recv("error", error=None)
    assert "without a message" in str(driver.events(ErrorEvent)[0].error)
    driver.forget().error(code="invalid_api_key")
    assert isinstance(driver.events(ErrorEvent)[0].error, AuthenticationError)


def test_the_session_is_a_copy(driver: Any) -> None:
    event = {"type": "session.updated", "session": {"audio": {"output": {"format": {"type": "audio/pcmu"}}}}}
    driver.do(driver.engine.receive(event, 0.0))
    event["session"]["audio"]["output"].clear()  # type: ignore[index]
    assert driver.engine.session["audio"]["output"] == {"format": {"type": "audio/pcmu"}}
    assert driver.engine.output_format == PCMU
    assert driver.engine.output_bytes_per_ms == 8


def test_the_end_tells_code_and_reason_and_stops_everything(driver: Any) -> None:
    driver.audio("r", "a", 1000).do(driver.engine.send_message("x", None, driver.now))
    lost = ProviderError("gone")
    driver.forget().do(driver.engine.disconnected(driver.now, code=1011, reason="why", error=lost))
    assert driver.events(ConnectionChange) == [ConnectionChange("disconnected", 1011, "why", lost)]
    assert driver.events(AudioStopped) == [AudioStopped(interrupted=True)]
    assert len(driver.stops) == 1
    assert driver.timers == {}
    assert driver.engine.disconnected(driver.now) == []
    assert driver.engine.receive({"type": "session.created"}, driver.now) == []


def test_a_reconnect_begins_with_an_empty_history(driver: Any) -> None:
    driver.recv("conversation.item.added", item={"id": "a", "type": "message", "role": "user"})
    driver.do(driver.engine.disconnected(driver.now))
    assert driver.history() == ["a"]  # still there to be read
    driver.forget().do(driver.engine.connect(None, driver.now))
    assert [list(event.history) for event in driver.events(HistoryUpdated)] == [[]]
    assert driver.engine.epoch == 2


def test_commands_need_a_connection(make_driver: Any) -> None:
    engine = make_driver().engine
    commands: list[Any] = [
        lambda: engine.send_event({"type": "x"}, 0),
        lambda: engine.request_response(None, 0),
        lambda: engine.send_message("x", None, 0),
        lambda: engine.update_session({}),
        lambda: engine.interrupt(0),
        lambda: engine.reset_history([], []),
        lambda: engine.send_function_call_output(FunctionCall("c", "t", "", "i"), "x", 0),
    ]
    for command in commands:
        with pytest.raises(NotConnectedError, match="disconnected"):
            command()


@pytest.mark.parametrize("event", [{}, {"type": ""}, {"type": 3}])
def test_an_event_needs_a_type(driver: Any, event: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="needs a 'type'"):
        driver.engine.send_event(event, 0)


# -- configuration


def test_an_update_sends_what_differs(make_driver: Any) -> None:
    driver = make_driver().connect({"instructions": "a", "tools": [{"name": "t"}]})
    driver.do(driver.engine.update_session({"instructions": "a", "tools": []}))
    assert [event["session"] for event in driver.sent] == [{"type": "realtime", "tools": []}]
    driver.forget().do(driver.engine.update_session({"instructions": "a", "tools": []}))
    assert driver.sent == []


def test_a_refused_update_can_be_sent_again(make_driver: Any) -> None:
    driver = make_driver().connect(CONFIG)
    for _ in range(2):
        driver.forget().do(driver.engine.update_session({"instructions": "x"}))
        assert len(driver.sent) == 1
        driver.error(event_id=driver.sent[0]["event_id"])
    assert len(driver.events(ErrorEvent)) == 1


def test_a_raw_update_is_known_to_later_ones(make_driver: Any) -> None:
    driver = make_driver().connect(CONFIG)
    driver.do(driver.engine.send_event({"type": "session.update", "session": {"instructions": "raw"}}, 0))
    driver.do(driver.engine.update_session({"instructions": "raw"}))
    assert len(driver.sent) == 1


def test_the_voice_is_left_out_once_the_agent_has_spoken(make_driver: Any) -> None:
    driver = make_driver().connect({"audio": {"output": {"voice": "marin"}}})
    driver.do(driver.engine.update_session({"audio": {"output": {"voice": "cedar"}}}))
    assert driver.sent[0]["session"]["audio"] == {"output": {"voice": "cedar"}}
    driver.forget().audio("r", "a", 20)
    driver.do(driver.engine.update_session({"audio": {"output": {"voice": "marin"}}}))
    assert driver.sent == []
    driver.do(driver.engine.update_session({"instructions": "x", "audio": {"output": {"voice": "marin"}}}))
    assert driver.sent[0]["session"] == {"type": "realtime", "instructions": "x"}
