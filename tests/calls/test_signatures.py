"""Signed webhooks, by the words of Standard Webhooks 1.0.0; the clock is handed in."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.calls import IncomingCall, WebhookEvent, sign, verify
from voxwire.errors import ConfigError, SignatureError, UserError, WireError

NOW = 1_750_287_078.4
KEY = bytes(range(24))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
OTHER = "whsec_" + base64.b64encode(b"another key of some length").decode()
BODY = b'{"id":"evt_1","object":"event","type":"response.completed","created_at":1750287018,"data":{"id":"resp_1"}}'


def signed(body: bytes = BODY, secret: object = SECRET, now: float = NOW) -> dict[str, str]:
    return sign(body, secret, webhook_id="wh_1", now=now)  # type: ignore[arg-type]


def flaw(headers: object, *, secret: object = SECRET, body: bytes = BODY, now: float = NOW) -> str:
    with pytest.raises(SignatureError) as caught:
        verify(body, headers, secret, now=now)  # type: ignore[arg-type]
    assert caught.value.fault == "peer"
    assert not caught.value.retryable
    assert "whsec" not in str(caught.value)
    return caught.value.reason


def test_the_example_of_the_reference_libraries() -> None:
    """Known answer of the Standard Webhooks libraries' own tests."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = sign(b'{"test": 2432232314}', secret, webhook_id="msg_p5jXN8AQM9LWM0D4loKWxJek", now=1614265330)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_an_event_comes_out() -> None:
    event = verify(BODY, signed(), SECRET, now=NOW)
    assert event == WebhookEvent(
        type="response.completed",
        id="evt_1",
        webhook_id="wh_1",
        created_at=1750287018,
        data={"id": "resp_1"},
    )
    assert event.raw["object"] == "event"


@pytest.mark.parametrize(
    "headers",
    [
        {name.title(): value for name, value in signed().items()},
        [(name.encode(), value.encode()) for name, value in signed().items()],
        [("Host", "x"), *signed().items()],
    ],
    ids=["other case", "ASGI pairs", "pairs"],
)
def test_headers_in_any_shape(headers: object) -> None:
    assert verify(BODY, headers, SECRET, now=NOW).id == "evt_1"  # type: ignore[arg-type]


def test_text_and_bytes_are_the_same() -> None:
    assert sign(BODY.decode(), KEY, webhook_id="wh_1", now=NOW) == signed()
    assert verify(BODY.decode(), signed(), KEY, now=NOW).id == "evt_1"


def test_a_secret_without_prefix_is_the_key_itself() -> None:
    headers = sign(BODY, "plain", webhook_id="wh_1", now=NOW)
    assert verify(BODY, headers, b"plain", now=NOW).id == "evt_1"


def test_keys_can_be_exchanged() -> None:
    both = signed(secret=[OTHER, SECRET])
    assert both["webhook-signature"].count("v1,") == 2
    assert verify(BODY, both, SECRET, now=NOW).id == "evt_1"
    assert verify(BODY, both, OTHER, now=NOW).id == "evt_1"
    assert verify(BODY, signed(secret=OTHER), [SECRET, OTHER], now=NOW).id == "evt_1"


def test_other_versions_of_signatures_are_passed_over() -> None:
    headers = signed()
    headers["webhook-signature"] = "v1a,AAAA v2,BBBB " + headers["webhook-signature"]
    assert verify(BODY, headers, SECRET, now=NOW).id == "evt_1"


def test_what_does_not_fit() -> None:
    assert flaw(signed(), secret=OTHER) == "mismatch"
    assert flaw(signed(), body=BODY + b" ") == "mismatch"
    assert flaw({**signed(), "webhook-id": "wh_2"}) == "mismatch"
    assert flaw({**signed(), "webhook-timestamp": str(int(NOW) - 1)}) == "mismatch"
    assert flaw({**signed(), "webhook-signature": "v1,\u00e4"}) == "mismatch"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("value", [None, "", "  "])
def test_missing_headers(name: str, value: str | None) -> None:
    headers = signed()
    del headers[name]
    assert flaw(headers if value is None else {**headers, name: value}) == "missing"


@pytest.mark.parametrize(
    "timestamp", ["1_750_287_078", "+1750287078", "1750287078.5", "soon", "\u0661", "9" * 13]
)
def test_a_timestamp_that_is_none(timestamp: str) -> None:
    assert flaw({**signed(), "webhook-timestamp": timestamp}) == "malformed"


def test_malformed_signatures() -> None:
    assert flaw({**signed(), "webhook-signature": "v1a,AAAA"}) == "malformed"
    assert flaw([*signed().items(), ("Webhook-Id", "wh_2")]) == "malformed"


def test_a_fitting_signature_beyond_the_limit_is_not_looked_at() -> None:
    headers = signed()
    headers["webhook-signature"] = "v1,AAAA " * 16 + headers["webhook-signature"]
    assert flaw(headers) == "mismatch"


@pytest.mark.parametrize(
    ("age", "reason"), [(-301, "too_new"), (-299, None), (0, None), (300, None), (302, "too_old")]
)
def test_only_what_was_sent_lately(age: float, reason: str | None) -> None:
    headers = signed(now=int(NOW) - age)
    if reason is None:
        assert verify(BODY, headers, SECRET, now=int(NOW)).id == "evt_1"
    else:
        assert flaw(headers, now=int(NOW)) == reason


def test_tolerance_is_the_users() -> None:
    assert verify(BODY, signed(), SECRET, now=NOW + 1000, tolerance=1001).id == "evt_1"
    with pytest.raises(SignatureError, match="at most 10 s"):
        verify(BODY, signed(), SECRET, now=NOW + 20, tolerance=10)


def test_who_has_no_key_learns_nothing_of_the_clock() -> None:
    """The signature is judged first."""
    assert flaw(signed(secret=OTHER, now=NOW - 10_000)) == "mismatch"


@pytest.mark.parametrize("secret", ["whsec_***", "whsec_", "", b"", [], 7, None, [None]])
def test_secrets_that_cannot_be_used(secret: object) -> None:
    with pytest.raises(ConfigError) as caught:
        verify(BODY, signed(), secret, now=NOW)  # type: ignore[arg-type]
    assert "***" not in str(caught.value)


@pytest.mark.parametrize("webhook_id", ["", "a.b", "a b", "x" * 257])
def test_ids_that_cannot_be_signed(webhook_id: str) -> None:
    with pytest.raises(UserError, match="webhook_id"):
        sign(BODY, SECRET, webhook_id=webhook_id, now=NOW)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"{}", b'{"type": 7}', b'{"type": ""}', b"\xff", b"[" * 100_000]
)
def test_signed_but_no_event(body: bytes) -> None:
    with pytest.raises(WireError, match="webhook's body"):
        verify(body, signed(body), SECRET, now=NOW)


@given(
    st.binary(max_size=200), st.binary(min_size=1, max_size=64), st.text("abc_123", min_size=1, max_size=20)
)
def test_what_is_signed_is_accepted_and_nothing_else(body: bytes, key: bytes, webhook_id: str) -> None:
    headers = sign(body, key, webhook_id=webhook_id, now=NOW)
    event = json.dumps({"type": "x", "data": {"body": list(body)}}).encode()
    signed_event = sign(event, key, webhook_id=webhook_id, now=NOW)
    assert verify(event, signed_event, key, now=NOW).webhook_id == webhook_id
    if body != event:
        with pytest.raises(SignatureError):
            verify(event, headers, key, now=NOW)


def test_an_incoming_call() -> None:
    pairs = [
        {
            "name": "f",
            "value": '"Smith, Ann" <sip:+1-415-555-0111;phone-context=x@Example.COM:5060;user=phone>;tag=7',
        },
        {"name": "To", "value": "tel:+1(555)123-0000;ext=5"},
        {"name": "X-Team", "value": "sales"},
        {"name": "x-team", "value": "second"},
        {"name": 7, "value": "dropped"},
        "dropped",
    ]
    data = {"call_id": "rtc_1", "sip_headers": pairs, "sip_media_security": "srtp"}
    body = json.dumps(
        {"type": "realtime.call.incoming", "id": "evt_2", "created_at": True, "data": data}
    ).encode()
    call = verify(body, signed(body), SECRET, now=NOW)
    assert isinstance(call, IncomingCall)
    assert (call.call_id, call.type, call.media_security) == ("rtc_1", "realtime.call.incoming", "srtp")
    assert call.created_at is None
    assert (call.from_.number, call.from_.host) == ("+14155550111", "example.com")
    assert call.from_.display_name == "Smith, Ann"
    assert (call.to.number, str(call.to)) == ("+15551230000", "tel:+1(555)123-0000")
    assert call.sip_headers["x-TEAM"] == "sales"
    assert call.sip_headers.get_all("X-Team") == ("sales", "second")
    assert "rtc_1" in repr(call)
    assert "555" not in repr(call), "numbers of callers do not belong into a log"


@pytest.mark.parametrize("data", [None, {}, {"call_id": ""}, {"call_id": 7}])
def test_a_call_without_an_id(data: object) -> None:
    body = json.dumps({"type": "realtime.call.incoming", "data": data}).encode()
    with pytest.raises(WireError, match="call_id"):
        verify(body, signed(body), SECRET, now=NOW)


def test_a_call_without_headers() -> None:
    body = json.dumps(
        {"type": "realtime.call.incoming", "data": {"call_id": "x", "sip_headers": {}}}
    ).encode()
    call = verify(body, signed(body), SECRET, now=NOW)
    assert isinstance(call, IncomingCall)
    assert (len(call.sip_headers), call.from_.uri, call.to.number) == (0, "", "")
