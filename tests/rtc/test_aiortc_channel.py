"""The shorter way of the data channel's datagrams, and what it relies on in aiortc."""

from __future__ import annotations

import asyncio
import inspect
import logging

import pytest

from voxwire.rtc.aiortc_channel import ACK_TICKS, INITIAL_RTO, MIN_RTO, ChannelSeam
from voxwire.testing import Faults, FaultyRelay

pytestmark = [pytest.mark.needs_module("aiortc"), pytest.mark.usefixtures("quick_reports")]


def source(function):
    return inspect.getsource(function)


def test_where_data_comes_in():
    from aiortc.rtcdtlstransport import RTCDtlsTransport
    from aiortc.rtcsctptransport import RTCSctpTransport

    receive = source(RTCDtlsTransport._recv_next)
    assert "data = self._ssl.recv(1500)" in receive
    assert "await self._data_receiver._handle_data(data)" in receive
    assert "self.__transport._register_data_receiver(self)" in source(RTCSctpTransport.start)


def test_acknowledgements_are_sent_through_the_object():
    from aiortc import rtcsctptransport as sctp

    transport = sctp.RTCSctpTransport
    assert "if self._sack_needed:\n            await self._send_sack()" in source(transport._handle_data)
    acknowledge = source(transport._send_sack)
    assert "await self._send_chunk(sack)" in acknowledge
    assert "self._sack_needed = False" in acknowledge
    assert "bytes(chunk)" in source(sctp.serialize_packet)
    created = source(transport.__init__)
    for name in ("_sack_duplicates", "_sack_misordered", "_sack_needed"):
        assert name in created


def test_times_are_set_through_the_object():
    from aiortc.rtcsctptransport import RTCSctpTransport

    transport = RTCSctpTransport
    assert "self._update_rto(" in source(transport._receive_sack_chunk)
    assert "self._rto = max(SCTP_RTO_MIN, min(self._srtt + 4 * self._rttvar" in source(transport._update_rto)
    for starts in (transport._t1_start, transport._t3_start, transport._t3_restart):
        assert "call_later(self._rto," in source(starts)


async def test_a_lost_message_is_sent_again_soon(make_peer, until):
    async with FaultyRelay() as relay:
        left, left_owner = make_peer()
        right, right_owner = make_peer()
        answer = await right.answer(await relay.offer(await left.offer()))
        assert left.native.sctp._rto == right.native.sctp._rto == INITIAL_RTO
        await left.take_answer(await relay.answer(answer))
        await until(lambda: left_owner.channels and right_owner.channels)
        left.send("one")
        await until(lambda: right_owner.messages == ["one"])
        await until(lambda: left.native.sctp._rto == MIN_RTO)
        relay.change(Faults(lose={0}, only=lambda datagram: datagram[0] == 23 or 31 < datagram[0] < 64))
        began = asyncio.get_running_loop().time()
        left.send("two")
        await until(lambda: right_owner.messages == ["one", "two"])
        assert relay.there.lost == 1
        assert MIN_RTO <= asyncio.get_running_loop().time() - began < 0.95
        await asyncio.gather(left.close(), right.close())


def datagrams(peer):
    """How many DTLS datagrams this peer sends from now on."""
    connection = peer._seam._connection
    sent = []
    send = peer._seam.ice._send

    async def counted(data):
        sent.append(len(data))
        await send(data)

    peer._seam.ice._send = counted
    assert connection._nominated
    return sent


async def test_acknowledgements_travel_with_answers(connect, until):
    left, left_owner, right, right_owner = await connect()
    await until(lambda: not left._seam._channel._unacknowledged)
    from_left, from_right = datagrams(left), datagrams(right)
    right_owner.message = right.send  # an echo
    for number in range(20):
        left.send(f"{number}")
        await until(lambda n=number: len(left_owner.messages) == n + 1)
    assert left_owner.messages == [str(number) for number in range(20)]
    assert len(from_left) <= 22
    assert len(from_right) <= 22


async def test_a_lone_message_is_acknowledged_soon(connect, until):
    left, _, right, right_owner = await connect()
    await until(lambda: not right._seam._channel._unacknowledged)
    left.send("hello")
    await until(lambda: right_owner.messages == ["hello"])
    sctp = left.native.sctp
    async with asyncio.timeout(ACK_TICKS * 0.02 + 0.5):
        while sctp._sent_queue:
            await asyncio.sleep(0.005)


async def test_a_long_message_takes_no_longer(connect, until):
    left, _, _, right_owner = await connect()
    async with asyncio.timeout(5):
        for _ in range(3):
            left.send("x" * 250_000)
            await left.drain()
        await until(lambda: len(right_owner.messages) == 3)


def stand_in(handle, *, receiver=True):
    """A `ChannelSeam` on an association that does what `handle` says."""

    class Ssl:
        def bio_write(self, data):
            self.data = data

        def recv(self, _size):
            if self.data == b"\x17goodbye":
                from OpenSSL import SSL

                raise SSL.ZeroReturnError
            return self.data[1:]

    class Dtls:
        _ssl = Ssl()

    class Sctp:
        _sack_needed = False
        _sack_misordered = _sack_duplicates = ()

        async def _handle_data(self, data):
            await handle(data)

        async def _send_sack(self):
            await self._send_chunk("sack")

        async def _send_chunk(self, chunk):
            raise ConnectionError

    dtls, sctp = Dtls(), Sctp()
    dtls._data_receiver = sctp if receiver else None
    forwarded, broken = [], []
    seam = ChannelSeam(
        dtls, sctp, need=getattr, forward=lambda datagram, _: forwarded.append(datagram), broken=broken.append
    )
    return seam, forwarded, broken


async def nothing(_data):
    pass


async def test_what_is_no_data_goes_aiortcs_way():
    seam, forwarded, broken = stand_in(nothing)
    for datagram in (b"\x16handshake", b"\x15alert", b"\x17goodbye"):
        seam.received(datagram)
    seam.received(b"\x17data")
    seam.received(b"\x2edata in DTLS 1.3")
    assert forwarded == [b"\x16handshake", b"\x15alert", b"\x17goodbye"]
    unready, forwarded, _ = stand_in(nothing, receiver=False)
    unready.received(b"\x17data")
    assert forwarded == [b"\x17data"]
    assert not broken


async def test_what_cannot_be_dealt_with_ends_the_peer(caplog):
    async def fails(data):
        raise AssertionError(data)

    seam, _, broken = stand_in(fails)
    with caplog.at_level(logging.ERROR, "voxwire"):
        seam.received(b"\x17data")
    assert broken == ["the peer sent on the data channel what cannot be dealt with: AssertionError(b'data')"]

    async def waits(_data):
        await asyncio.sleep(1)

    seam, _, broken = stand_in(waits)
    seam.received(b"\x17data")
    assert broken == ["aiortc waits where it did not; this version of it cannot be used"]


async def test_nothing_comes_of_sending_while_it_closes():
    async def closes(_data):
        raise ConnectionError

    seam, _, broken = stand_in(closes)
    seam.received(b"\x17data")
    await seam._sctp._send_sack()
    for _ in range(ACK_TICKS):
        seam.tick()
    assert not broken
