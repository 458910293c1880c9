"""Signatures: vectors of the test suite of Twilio's own Python library (tests/unit/test_request_validator.py)."""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.calls import sign_twilio, verify_twilio
from voxwire.errors import ConfigError

URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = {
    "CallSid": "CA1234567890ABCDE",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
    "Caller": "+14158675309",
}
TOKEN = "12345"
SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="
TWICE = "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234"
BODY = '{"property": "value", "boolean": true}'
HASH = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"


def test_twilio_s_vectors() -> None:
    assert sign_twilio(URL, FORM, TOKEN) == SIGNATURE
    assert verify_twilio(URL, FORM, SIGNATURE, TOKEN)
    assert verify_twilio(URL, list(FORM.items()), SIGNATURE, TOKEN)


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        (URL.replace(".com", ".com:1234"), SIGNATURE),  # signed without the port
        (URL, "kvajT1Ptam85bY51eRf/AJRuM3w="),  # signed with :443
        (URL.replace(".com", ".com:1234").replace("https", "http"), "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
        (URL.replace("https", "http"), "0ZXoZLH/DfblKGATFgpif+LLRf4="),  # signed with :80
    ],
)
def test_ports(url: str, signature: str) -> None:
    assert verify_twilio(url, FORM, signature, TOKEN)


def test_a_field_that_comes_twice() -> None:
    signature = "IK+Dwps556ElfBT0I3Rgjkr1wJU="
    assert verify_twilio(URL, parse_qsl(TWICE), signature, TOKEN)
    several = {"Sid": "CA123", "SidAccount": ["AC123"], "Digits": ["5678", "1234"]}
    assert verify_twilio(URL, several, signature, TOKEN)


def test_a_body_that_is_no_form() -> None:
    url, signature = f"{URL}&bodySHA256={HASH}", "a9nBmqA0ju/hNViExpshrM61xv4="
    assert verify_twilio(url, BODY, signature, TOKEN)
    assert verify_twilio(url, BODY.encode(), signature, TOKEN)
    assert not verify_twilio(url, BODY + " ", signature, TOKEN), "the body was changed"
    assert not verify_twilio(URL, BODY, sign_twilio(URL, None, TOKEN), TOKEN), (
        "the URL says nothing of a body"
    )
    other = f"{URL}&bodySHA256={hashlib.sha256(b'{}').hexdigest()}"
    assert not verify_twilio(other, "{}", signature, TOKEN), "the URL was changed to fit the body"


def test_a_websocket_s_handshake() -> None:
    url = "wss://example.com/media"
    for signed in (url, f"{url}/", "wss://example.com:443/media"):
        assert verify_twilio(url, None, sign_twilio(signed, None, TOKEN), TOKEN)
    assert not verify_twilio(url, None, sign_twilio("wss://example.com/other", None, TOKEN), TOKEN)


@pytest.mark.parametrize("signature", [None, "", "x", SIGNATURE[:-1], SIGNATURE.lower(), "né"])
def test_no_signature_or_a_wrong_one(signature: str | None) -> None:
    assert not verify_twilio(URL, FORM, signature, TOKEN)


def test_other_things_than_were_signed() -> None:
    assert not verify_twilio(URL, FORM, SIGNATURE, "54321")
    assert not verify_twilio(URL, {**FORM, "Digits": "1235"}, SIGNATURE, TOKEN)
    assert not verify_twilio(
        URL, {**FORM, "Extra": ""}, sign_twilio(URL, {**FORM, "Extra": "1"}, TOKEN), TOKEN
    )
    assert not verify_twilio(URL + "&x", FORM, SIGNATURE, TOKEN)
    assert not verify_twilio("https://host:port/", FORM, SIGNATURE, TOKEN)


def test_an_empty_token_signs_nothing() -> None:
    with pytest.raises(ConfigError, match="empty"):
        verify_twilio(URL, FORM, SIGNATURE, "")


@given(
    st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5), st.text(min_size=1, max_size=40)
)
def test_what_was_signed_is_verified(form: dict[str, str], token: str) -> None:
    signature = sign_twilio(URL, form, token)
    assert verify_twilio(URL, form, signature, token)
    assert not verify_twilio(
        URL, {**form, "Injected": "1"} if "Injected" not in form else {}, signature, token
    )
