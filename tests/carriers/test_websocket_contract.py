"""What `carriers.websocket` uses of `websockets` beyond its documented interface.

If one of these fails after an upgrade, the carrier needs a look before the range in
pyproject.toml grows.
"""

from __future__ import annotations

import inspect

import pytest
from websockets.asyncio import client, connection
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import CLOSING, OPEN, Protocol

from voxwire.carriers import websocket
from voxwire.errors import ConfigError


def parameters(function):
    return list(inspect.signature(function).parameters)


def test_the_connection_can_be_made_by_a_factory():
    assert "create_connection" in parameters(client.connect.__init__)
    source = inspect.getsource(client.connect.__init__)
    assert "create_connection(\n                protocol," in source


@pytest.mark.parametrize("name", ["process_event", "data_received"])
def test_events_pass_through_methods_with_one_argument(name):
    assert len(parameters(getattr(client.ClientConnection, name))) == 2
    assert "self.process_event(event)" in inspect.getsource(connection.Connection.data_received)


@pytest.mark.parametrize(
    "name", ["send_data", "start_keepalive", "pause_writing", "resume_writing", "connection_lost"]
)
def test_the_connection_has_the_methods_we_call(name):
    assert callable(getattr(client.ClientConnection, name))


def test_the_connection_has_the_attributes_we_read():
    source = inspect.getsource(connection.Connection.__init__) + inspect.getsource(
        connection.Connection.connection_made
    )
    for name in (
        "protocol",
        "transport",
        "loop",
        "close_timeout",
        "keepalive_task",
        "connection_lost_waiter",
        "response",
    ):
        assert f"self.{name} = " in source or f"self.{name}: " in source, name


def test_the_protocol_is_sans_io():
    protocol = Protocol(client.ClientProtocol.__mro__ and __import__("websockets").protocol.CLIENT)
    protocol.send_text(b"hello")
    (data,) = protocol.data_to_send()
    assert data[:2] == bytes([0x81, 0x80 | 5])
    assert protocol.state is OPEN
    protocol.fail(1007, "why")
    assert protocol.state is CLOSING
    assert protocol.close_sent.code == 1007
    assert protocol.close_rcvd is None
    assert issubclass(ClientProtocol, Protocol)


def test_data_opcodes_are_numbers():
    assert {Opcode.CONT, Opcode.TEXT, Opcode.BINARY} == websocket._DATA
    assert Frame(Opcode.TEXT, b"x").fin


def test_redirects_are_decided_by_a_method():
    assert len(parameters(client.connect.process_redirect)) == 2


def test_before_version_15_there_is_no_proxy(monkeypatch):
    class OldConnect:
        def __init__(self, uri, *, open_timeout=10, **kwargs): ...

    monkeypatch.setattr(client, "connect", OldConnect)
    assert websocket._proxy_argument(True) == {}
    assert websocket._proxy_argument(None) == {}
    with pytest.raises(ConfigError, match="websockets 15"):
        websocket._proxy_argument("http://proxy:3128")
