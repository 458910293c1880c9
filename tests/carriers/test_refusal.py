from __future__ import annotations

import socket
import ssl

import pytest

from voxwire.carriers.refusal import endpoint, refused, timed_out, unreachable
from voxwire.errors import ConfigError, ConnectTimeout


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("ws://host/path?key=secret", "host:80"),
        ("wss://host", "host:443"),
        ("wss://user:secret@host:8443/", "host:8443"),
        ("ws://[::1]:9/", "[::1]:9"),
    ],
)
def test_an_endpoint_is_host_and_port_and_nothing_else(url, where):
    assert endpoint(url) == where


@pytest.mark.parametrize("url", ["", "host", "https://host/", "ws:///path", "ws://h:99999/", "ws://[::1/"])
def test_other_urls_are_refused(url):
    with pytest.raises(ConfigError, match="WebSocket URL"):
        endpoint(url)


def test_an_unknown_status_and_a_body_that_is_no_json():
    error = refused("h:1", 599, b"\xffoops")
    assert "HTTP 599: unknown status" in str(error)
    assert error.raw == "\ufffdoops"
    assert not error.retryable


def test_fields_of_other_types_are_left_out():
    error = refused("h:1", 400, b'{"error": {"message": 5, "code": 7, "type": "t"}}')
    assert (error.code, error.type) == (None, "t")
    assert "Bad Request" in str(error)
    assert error.raw == {"error": {"message": 5, "code": 7, "type": "t"}}


@pytest.mark.parametrize(
    ("location", "words"), [("wss://other/x?key=1", "to other:443;"), ("/login", "to another address;")]
)
def test_a_redirect_names_the_host_at_most(location, words):
    assert words in str(refused("h:1", 302, b"", location))


def test_reasons():
    assert isinstance(unreachable("h:1", TimeoutError()), ConnectTimeout)
    assert "in time" in str(timed_out("h:1", None))
    assert "Name or service" in str(unreachable("h:1", socket.gaierror(-2, "Name or service not known")))
    assert "EOFError" in str(unreachable("h:1", EOFError()))
    assert unreachable("h:1", ssl.SSLCertVerificationError("self-signed")).retryable is False
