"""What `voxwire serve` says of calls."""

from __future__ import annotations

from typing import Any

import pytest

from voxwire.cli.serve import ServeOptions, make_options, parse_ports
from voxwire.errors import ConfigError
from voxwire.rtc.base import IceServer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--udp-ports", "a-b"], "--udp-ports 'a-b' must be FIRST-LAST"),
        (["--udp-ports", "5000-4000"], "udp_ports must be a first and a last port"),
        (["--ice-server", "turn:t.example,user=me"], "only username=... and credential=..."),
        (["--ice-server", "t.example"], "'t.example' is no ICE server"),
        (["--cors-origin", "example.com"], "cors_origins holds 'example.com'"),
        (["--public-address", "me"], "public_address must be an IP address"),
        (["--rtc-backend", "x"], "choose one of aiortc, wrtc"),
    ],
)
def test_bad_options_are_named(arguments: list[str], message: str, run_voxwire: Any) -> None:
    status, out, errors = run_voxwire("serve", "--port", "0", *arguments)
    assert (status, out) == (2, "")
    assert message in errors


def test_options_become_the_servers() -> None:
    given = ServeOptions(
        cors_origins=["https://example.com"],
        ice_servers=["stun:s.example:3478", "turn:t.example,username=me,credential=hush"],
        public_address="192.0.2.7",
        udp_ports="40000-40100",
        rtc_backend="aiortc",
    )
    options = make_options(given)
    assert options.ice_servers == (
        IceServer(("stun:s.example:3478",)),
        IceServer(("turn:t.example",), "me", "hush"),
    )
    assert (options.cors_origins, options.public_address) == (["https://example.com"], "192.0.2.7")
    assert (options.udp_ports, options.rtc_backend) == ((40000, 40100), "aiortc")
    assert "hush" not in repr(given) + repr(options)
    assert make_options(ServeOptions()).cors_origins is None


def test_ports() -> None:
    assert parse_ports("5000") == (5000, 5000)
    with pytest.raises(ConfigError, match="FIRST-LAST"):
        parse_ports("-")
