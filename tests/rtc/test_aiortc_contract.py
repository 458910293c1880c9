"""What `aiortc_seam` and `gathering` rely on in aiortc and aioice, beyond their documentation.

When one of these fails after an upgrade, the release has changed something that the audio path hangs on: look at
the list in `voxwire/rtc/aiortc_seam.py`, adapt the seam, and widen the version range in pyproject.toml.
"""

from __future__ import annotations

import asyncio
import inspect

import pytest

from voxwire.errors import ConfigError
from voxwire.rtc import RtcOptions
from voxwire.rtc.aiortc_seam import Seam

pytestmark = pytest.mark.needs_module("aiortc")


@pytest.fixture
async def transceiver():
    from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection

    pc = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
    yield pc.addTransceiver("audio")
    await pc.close()


def make_seam(transceiver):
    nothing = lambda *_: None  # noqa: E731
    return Seam(transceiver, RtcOptions(), on_rtp=nothing, on_rtcp=nothing, on_consent=nothing)


def parameters(function):
    return list(inspect.signature(function).parameters)


def source(function):
    return inspect.getsource(function)


async def test_the_connection_is_where_it_is_looked_for(transceiver):
    from aioice import Connection

    ice = transceiver.receiver.transport.transport
    assert isinstance(ice._connection, Connection)
    assert ice._connection._nominated == {}
    assert ice._connection._protocols == []
    assert transceiver.sender.transport is transceiver.receiver.transport


async def test_the_functions_that_are_replaced_are_called_through_the_object(transceiver):
    from aioice import Connection, ice
    from aiortc import RTCIceTransport, RTCPeerConnection

    assert parameters(Connection.data_received) == ["self", "data", "component"]
    assert "self.receiver.data_received(data" in source(ice.StunProtocol.datagram_received)
    assert parameters(Connection.get_component_candidates) == ["self", "component", "addresses", "timeout"]
    called = source(Connection.gather_candidates)
    assert "self.get_component_candidates(component=component, addresses=addresses)" in called
    assert inspect.iscoroutinefunction(Connection.query_consent)
    assert "create_task(self.query_consent())" in source(Connection.connect)
    assert parameters(RTCIceTransport.start) == ["self", "remoteParameters"]
    connect = source(RTCPeerConnection._RTCPeerConnection__connect)
    for call in ("iceTransport.start(", "transceiver.sender.send(", "transceiver.receiver.receive("):
        assert call in connect


async def test_sending_media_goes_through_the_nominated_pair(transceiver):
    from aioice import Connection, ice

    assert "self._nominated.get(component)" in source(Connection.sendto)
    assert "self.transport.sendto(data, addr)" in source(ice.StunProtocol.send_data)
    assert isinstance(ice.CandidatePair.remote_addr, property)
    assert parameters(Connection.build_request) == ["self", "pair", "nominate"]
    assert parameters(ice.StunProtocol.request)[1:] == ["request", "addr", "integrity_key", "retransmissions"]


async def test_the_keys_are_where_they_are_looked_for(transceiver):
    from aiortc.rtcdtlstransport import RTCDtlsTransport
    from pylibsrtp import Session

    dtls = transceiver.receiver.transport
    assert dtls._rx_srtp is None
    assert dtls._tx_srtp is None
    setup = source(RTCDtlsTransport._setup_srtp)
    assert "self._rx_srtp = Session(" in setup
    assert "self._tx_srtp = Session(" in setup
    for name in ("protect", "protect_rtcp", "unprotect", "unprotect_rtcp"):
        assert callable(getattr(Session, name))
    assert isinstance(dtls.encrypted, bool)


async def test_sockets_are_made_and_closed_as_gathering_does_it(transceiver):
    from aioice import Connection, ice
    from aioice.candidate import Candidate, candidate_foundation, candidate_priority

    assert parameters(ice.StunProtocol.__init__) == ["self", "receiver"]
    assert "self._protocols" in source(Connection.close)
    assert parameters(ice.server_reflexive_candidate) == ["protocol", "stun_server"]
    assert set(parameters(ice.relayed_candidate)) == {
        "component",
        "hide_related_address",
        "protocol_factory",
        "turn_server",
        "turn_username",
        "turn_password",
        "turn_ssl",
        "turn_transport",
    }
    assert candidate_priority(1, "host") > candidate_priority(1, "srflx")
    assert candidate_foundation("host", "udp", "127.0.0.1")
    assert "host" in parameters(Candidate.__init__)


async def test_a_local_candidate_can_come_late(transceiver):
    from aioice import Connection

    connect = source(Connection.connect)
    assert connect.index("self._pair_remote_candidate(") < connect.index("self._early_checks_done = True")
    assert "for protocol in self._protocols" in source(Connection._pair_remote_candidate)
    assert "self._find_pair(" in source(Connection._pair_remote_candidate), "and each pair only once"
    assert parameters(Connection.check_start_task) == ["self", "pair"]
    connection = transceiver.receiver.transport.transport._connection
    assert connection._early_checks_done is connection._check_list_done is False


async def test_unfinished_messages_are_counted_in_the_receive_window():
    from aiortc.rtcsctptransport import RTCSctpTransport

    receive = source(RTCSctpTransport._receive_data_chunk)
    assert "self._advertised_rwnd -= len(chunk.user_data)" in receive
    assert "self._advertised_rwnd += len(message[2])" in receive
    assert "self._advertised_rwnd = 1024 * 1024" in source(RTCSctpTransport.__init__)


async def test_an_empty_datagram_still_ends_aiortcs_transport():
    """The reason for a line in `Seam._data_received`; without it upstream, the line can go."""
    from aiortc.rtcdtlstransport import RTCDtlsTransport

    assert "first_byte = data[0]" in source(RTCDtlsTransport._recv_next)


async def test_a_seam_is_installed(transceiver):
    seam = make_seam(transceiver)
    connection = seam._connection
    assert connection.data_received == seam._data_received
    assert connection.query_consent == seam._check_consent
    assert connection.get_component_candidates == seam.gathering.candidates
    assert not seam.send_rtp(b"\x80" + bytes(20))
    assert not seam.send_rtcp(b"\x80\xc9\0\1" + bytes(4))
    connection.data_received(b"\x80" + bytes(20), 1)  # before there are keys
    assert seam.rejected == 0
    assert connection._queue.empty()
    connection.data_received(b"\x16" + bytes(20), 1)
    assert connection._queue.get_nowait() == (b"\x16" + bytes(20), 1)


@pytest.mark.parametrize("name", ["_connection", "_rx_srtp", "query_consent", "_protocols"])
async def test_a_missing_name_is_named(transceiver, name):
    class Without:
        """Stands in front of an object, and hides one name of it."""

        def __init__(self, inner):
            self._inner = inner

        def __getattr__(self, asked):
            if asked == name:
                raise AttributeError(asked)
            found = getattr(self._inner, asked)
            return Without(found) if asked in ("receiver", "sender", "transport", "_connection") else found

    with pytest.raises(ConfigError, match=rf"aiortc 1\.\S+ with aioice \S+ has no \w+\.{name}") as caught:
        make_seam(Without(transceiver))
    assert "aiortc>=1.16,<1.17" in str(caught.value)


async def test_what_replaces_aiortcs_media_does_nothing(transceiver):
    make_seam(transceiver)
    await transceiver.sender.send(None)
    await transceiver.receiver.receive(None)
    await asyncio.sleep(0)
