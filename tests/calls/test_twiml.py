"""TwiML: Twilio documentation, "TwiML Voice: <Stream>"."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.calls import twiml
from voxwire.errors import ConfigError
from voxwire.testing import TwilioCaller

URL = "wss://example.com/media"


def test_as_in_the_documentation() -> None:
    assert twiml(URL, {"FirstName": "Jane"}) == (
        '<?xml version="1.0" encoding="UTF-8"?><Response><Connect><Stream url="wss://example.com/media">'
        '<Parameter name="FirstName" value="Jane"/></Stream></Connect></Response>'
    )


def test_everything() -> None:
    text = twiml(
        URL,
        parameters={},
        name="a",
        status_callback="https://e.com/s?a=1&b=2",
        say="Hi & <hello>",
        goodbye="Bye.",
    )
    root = ET.fromstring(text)
    assert [child.tag for child in root] == ["Say", "Connect", "Say"]
    assert [say.text for say in root.findall("Say")] == ["Hi & <hello>", "Bye."]
    stream = root.find("./Connect/Stream")
    assert stream is not None
    assert stream.attrib == {"url": URL, "name": "a", "statusCallback": "https://e.com/s?a=1&b=2"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://e.com/m", "wss://e.com/m"),
        ("http://127.0.0.1:80/m", "ws://127.0.0.1:80/m"),
        ("ws://h/", "ws://h/"),
    ],
)
def test_the_stream_s_url(url: str, expected: str) -> None:
    assert TwilioCaller.answering(twiml(url)).url == expected


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("/media", "looks like wss"),
        ("ftp://e.com", "looks like wss"),
        ("wss://", "looks like wss"),
        ("wss://e.com/m?token=1", "parameters="),
        ("wss://e.com/m#x", "parameters="),
    ],
)
def test_urls_that_twilio_would_not_take(url: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        twiml(url)


def test_limits() -> None:
    assert twiml(URL, {"n": "v" * 499})
    with pytest.raises(ConfigError, match="501 characters"):
        twiml(URL, {"n": "v" * 500})
    with pytest.raises(ConfigError, match=r"U\+0000 at 2"):
        twiml(URL, {"n": "ab\0"})
    with pytest.raises(ConfigError, match=r"U\+D800"):
        twiml(URL, say="\ud800")


XML_TEXT = st.text(
    st.characters(
        exclude_categories=["Cs"],
        exclude_characters="".join(map(chr, [*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF])),
    ),
    max_size=40,
)


@given(st.dictionaries(XML_TEXT, XML_TEXT, max_size=4))
def test_parameters_arrive_as_they_were(parameters: dict[str, str]) -> None:
    assert TwilioCaller.answering(twiml(URL, parameters))._parameters == parameters


@pytest.mark.parametrize("answer", ["<Response><Say>hello</Say></Response>", "not xml"])
def test_an_answer_without_a_stream(answer: str) -> None:
    with pytest.raises(ConfigError, match="TwiML"):
        TwilioCaller.answering(answer)
