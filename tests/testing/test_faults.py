"""The network that makes mistakes: what it decides, without a socket, and the relay that does it."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.carriers.base import CarrierRequest
from voxwire.carriers.signalling import Answer
from voxwire.errors import ConfigError, UserError
from voxwire.testing import Faults, FaultyPath, FaultyRelay, faults, is_media, is_rtp

RTP, RTCP, STUN, DTLS = b"\x80\x6f" + bytes(10), b"\x80\xc8" + bytes(26), b"\0\1" + bytes(18), b"\x17\xfe\xfd"


def arrivals(path, count=1000, step=0.02, datagram=RTP):
    """(number, when) of what arrives, in the order in which it does."""
    came = ((when, n) for n in range(count) for when in path.send(datagram, n * step))
    return [(n, when) for when, n in sorted(came)]


def runs(numbers, count):
    """Lengths of the losses in a row."""
    gone = [n not in numbers for n in range(count)]
    return [len(list(run)) for lost, run in itertools.groupby(gone) if lost]


def test_what_is_media():
    assert [is_media(d) for d in (RTP, RTCP, STUN, DTLS, b"", b"\x80")] == [True, True] + [False] * 4
    assert [is_rtp(d) for d in (RTP, RTCP, STUN, DTLS)] == [True, False, False, False]


def test_nothing_happens_by_itself():
    path = FaultyPath(Faults())
    assert arrivals(path) == [(n, n * 0.02) for n in range(1000)]
    assert (path.sent, path.lost, path.duplicated) == (1000, 0, 0)


def test_loss_is_random_and_the_same_for_the_same_seed():
    one, same, other = (FaultyPath(Faults(loss=0.1), seed) for seed in (1, 1, 2))
    came = arrivals(one)
    assert came == arrivals(same)
    assert came != arrivals(other)
    assert 70 <= one.lost <= 130
    assert one.lost == 1000 - len(came)


def test_loss_stays_where_it_is_whatever_else_happens():
    plain = {n for n, _ in arrivals(FaultyPath(Faults(loss=0.1), 1))}
    more = Faults(loss=0.1, delay_ms=50, jitter_ms=40, reorder=0.2, duplicate=0.3, bandwidth=1e6)
    assert {n for n, _ in arrivals(FaultyPath(more, 1))} == plain


@pytest.mark.parametrize("burst", [1.5, 3, 10])
def test_bursts(burst):
    path = FaultyPath(Faults(loss=0.1, burst=burst), 3)
    came = {n for n, _ in arrivals(path, 40_000)}
    lengths = runs(came, 40_000)
    assert path.lost / 40_000 == pytest.approx(0.1, abs=0.015)
    assert sum(lengths) / len(lengths) == pytest.approx(burst, rel=0.15)


def test_exact_ones_of_those_it_is_about():
    path = FaultyPath(Faults(lose={1, 3}, only=is_rtp))
    sent = [STUN, RTP, DTLS, RTP, RTCP, RTP, RTP]
    assert [len(path.send(datagram, 0.0)) for datagram in sent] == [1, 1, 1, 0, 1, 1, 0]
    path.change(Faults(lose=range(2), only=is_rtp), 1.0)
    assert [len(path.send(RTP, 1.0)) for _ in range(4)] == [0, 0, 1, 1]
    burst = FaultyPath(Faults(loss=0.01, burst=2, lose={0}), 5)
    assert burst.send(RTP, 0.0) == ()


def test_delay_and_jitter():
    waits = [when - n * 0.02 for n, when in arrivals(FaultyPath(Faults(delay_ms=30, jitter_ms=60), 1))]
    assert min(waits) == pytest.approx(0.03, abs=0.002)
    assert max(waits) == pytest.approx(0.09, abs=0.002)
    assert sum(waits) / len(waits) == pytest.approx(0.06, abs=0.003)


def test_jitter_lets_packets_overtake_each_other_unless_it_may_not():
    free, ordered = (
        [n for n, _ in arrivals(FaultyPath(Faults(jitter_ms=100, in_order=flag), 1))]
        for flag in (False, True)
    )
    assert free != sorted(free)
    assert ordered == list(range(1000))


def test_some_are_held_back():
    came = arrivals(FaultyPath(Faults(reorder=0.1, reorder_ms=50), 1))
    late = [n for n, when in came if when > n * 0.02]
    assert 70 <= len(late) <= 130
    assert [n for n, _ in came] != sorted(n for n, _ in came)


def test_some_come_twice():
    path = FaultyPath(Faults(duplicate=0.2, jitter_ms=10), 1)
    assert len(arrivals(path)) == 1000 + path.duplicated
    assert 160 <= path.duplicated <= 240


def test_bandwidth_makes_a_queue_and_the_queue_is_bounded():
    path = FaultyPath(Faults(bandwidth=80_000, queue_ms=100))
    came = [path.send(bytes(1000), 0.0) for _ in range(10)]  # 100 ms each
    assert came == [(pytest.approx(0.1),), (pytest.approx(0.2),), *[()] * 8]
    assert path.lost == 8
    assert path.send(bytes(100), 1.0) == (pytest.approx(1.01),)


def test_outages_and_interruptions():
    path = FaultyPath(Faults(outages=((1.0, 2.0), (3.0, 3.5))), start=10.0)
    heard = [when for when in (10 + n / 4 for n in range(20)) if path.send(RTP, when)]
    assert [when for when in heard if 11 <= when < 12 or 13 <= when < 13.5] == []
    assert len(heard) == 14
    path.interrupt(5.0, 20.0)
    assert path.send(RTP, 24.9) == ()
    assert path.send(RTP, 25.0) == (25.0,)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"loss": 1.5}, "loss is a share"),
        ({"duplicate": -0.1}, "duplicate is a share"),
        ({"jitter_ms": -1}, "jitter_ms is a time"),
        ({"burst": 0.5}, "burst is a number"),
        ({"loss": 0.9, "burst": 2}, "make them longer"),
        ({"bandwidth": 0}, "bandwidth is more than 0"),
    ],
)
def test_what_cannot_be(wrong, words):
    with pytest.raises(ConfigError, match=words):
        Faults(**wrong)


@given(
    st.floats(0, 0.4),
    st.one_of(st.none(), st.floats(1, 20)),
    st.floats(0, 500),
    st.floats(0, 500),
    st.floats(0, 1),
    st.booleans(),
    st.integers(),
)
def test_nothing_arrives_before_it_was_sent(loss, burst, delay, jitter, share, in_order, seed):
    if burst is not None:
        loss = min(loss, burst / (burst + 1))
    path = FaultyPath(
        Faults(
            loss=loss,
            burst=burst,
            delay_ms=delay,
            jitter_ms=jitter,
            reorder=share,
            duplicate=share,
            in_order=in_order,
        ),
        seed,
    )
    for n in range(50):
        times = path.send(RTP, n * 0.02)
        assert len(times) <= 2
        assert all(n * 0.02 + delay / 1000 - 1e-9 <= when for when in times)
    assert path.sent == 50


# -- the relay


class Socket(asyncio.DatagramProtocol):
    def __init__(self):
        self.got = []
        self.echo = False

    def connection_made(self, transport):
        self.transport = transport
        self.address = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data, addr):
        self.got.append((data, addr[:2]))
        if self.echo:
            self.transport.sendto(data, addr)


@pytest.fixture
async def sockets():
    made = []

    async def make(host="127.0.0.1"):
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_datagram_endpoint(Socket, local_addr=(host, 0))
        made.append(protocol)
        return protocol

    yield make
    for protocol in made:
        protocol.transport.close()
    await asyncio.sleep(0)


async def until(condition, seconds=5):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def description(*lines):
    return "\r\n".join(["v=0", "m=audio 9 UDP/TLS/RTP/SAVPF 111", *lines, "a=end-of-candidates"]) + "\r\n"


def candidate(address, kind="host", transport="udp"):
    return f"a=candidate:1 1 {transport} 2130706431 {address[0]} {address[1]} typ {kind}"


def address_in(sdp):
    (line,) = (line for line in sdp.splitlines() if line.startswith("a=candidate:"))
    words = line.split()
    return words[4], int(words[5])


async def test_peers_see_each_others_stand_ins(sockets):
    left, right = await sockets(), await sockets()
    async with FaultyRelay() as relay:
        for_right = await relay.offer(description(candidate(left.address), candidate(left.address, "srflx")))
        for_left = await relay.answer(
            description(candidate(right.address), candidate(("192.0.2.1", 5000)), candidate(("x.local", 1)))
        )
        assert for_left.count("a=candidate") == for_right.count("a=candidate") == 1
        assert for_left.endswith("a=end-of-candidates\r\n")
        stand_in_of_left, stand_in_of_right = address_in(for_right), address_in(for_left)
        assert stand_in_of_left != left.address
        assert stand_in_of_right != right.address
        left.transport.sendto(b"there", stand_in_of_right)
        await until(lambda: right.got)
        right.transport.sendto(b"back", stand_in_of_left)
        await until(lambda: left.got)
        assert right.got == [(b"there", stand_in_of_left)]
        assert left.got == [(b"back", stand_in_of_right)]
        assert (relay.there.sent, relay.back.sent, relay.dropped) == (1, 1, 0)
        again = await relay.offer(description(candidate(left.address)))
        assert address_in(again) == stand_in_of_left


async def test_a_service_and_its_clients(sockets):
    service, one, two = await sockets(), await sockets(), await sockets()
    service.echo = True
    async with FaultyRelay(Faults(delay_ms=20), seed=1) as relay:
        door = await relay.open(*service.address)
        for client, name in ((one, b"one"), (two, b"two")):
            for n in range(3):
                client.transport.sendto(b"%s %d" % (name, n), door)
        await until(lambda: len(one.got) == len(two.got) == 3)
        assert [data for data, _ in one.got] == [b"one 0", b"one 1", b"one 2"]
        assert {address for _, address in one.got + two.got} == {door}
        assert len({address for _, address in service.got}) == 2


async def test_each_direction_has_its_own_faults_and_they_can_change(sockets):
    service, client = await sockets(), await sockets()
    service.echo = True
    async with FaultyRelay(Faults(lose={0}), Faults(lose={1})) as relay:
        door = await relay.open(*service.address)
        for n in range(4):
            client.transport.sendto(b"%d" % n, door)
        await until(lambda: len(service.got) == 3 and len(client.got) == 2)
        assert [data for data, _ in service.got] == [b"1", b"2", b"3"]
        assert [data for data, _ in client.got] == [b"1", b"3"]
        assert relay.there.lost == relay.back.lost == 1
        relay.interrupt(60)
        client.transport.sendto(b"lost", door)
        await until(lambda: relay.there.lost == 2)
        relay.change(Faults(duplicate=1.0))
        client.transport.sendto(b"again", door)
        await until(lambda: len(client.got) == 6)
        assert [data for data, _ in client.got[2:]] == [b"again"] * 4


async def test_what_is_under_way_is_bounded_and_ends_with_the_relay(sockets, monkeypatch):
    monkeypatch.setattr(faults, "MAX_UNDER_WAY", 2)
    service, client = await sockets(), await sockets()
    async with FaultyRelay(Faults(delay_ms=60_000)) as relay:
        door = await relay.open(*service.address)
        for _ in range(5):
            client.transport.sendto(b"x", door)
        await until(lambda: relay.dropped == 3)
    await relay.close()
    assert not service.got
    with pytest.raises(UserError, match="has been closed"):
        await relay.open(*service.address)


async def test_no_more_strangers_than_it_has_room_for(sockets, monkeypatch):
    monkeypatch.setattr(faults, "MAX_STAND_INS", 2)
    service, one, two = await sockets(), await sockets(), await sockets()
    async with FaultyRelay() as relay:
        door = await relay.open(*service.address)
        one.transport.sendto(b"one", door)
        await until(lambda: service.got)
        two.transport.sendto(b"two", door)
        await until(lambda: relay.dropped)
        assert [data for data, _ in service.got] == [b"one"]


async def test_a_stranger_who_is_in_a_hurry(sockets, monkeypatch):
    monkeypatch.setattr(faults, "_MAX_FROM_UNKNOWN", 2)
    relay = FaultyRelay()
    service, stranger = await sockets(), ("192.0.2.1", 5)
    await relay.open(*service.address)
    at = relay._stand_ins[service.address]
    for _ in range(5):
        relay._received(at, b"x", stranger)  # it cannot be stood in for: not an address of this machine
    assert relay.dropped == 3
    await until(lambda: relay.dropped == 5)
    relay._received(at, b"x", ("127.0.0.1", 9))
    await relay.close()  # while its stand-in is being made


async def test_a_description_without_addresses_is_refused():
    async with FaultyRelay() as relay:
        with pytest.raises(UserError, match="let the peer gather first"):
            await relay.offer(
                description(candidate(("192.0.2.1", 5000)), candidate(("127.0.0.1", 9), "host", "tcp"))
            )


async def test_between_a_carrier_and_a_service(sockets):
    client, service = await sockets(), await sockets()
    seen = []

    async def post(request, offer):
        seen.append((request.url, address_in(offer)))
        return Answer(description(candidate(service.address)), "rtc_1")

    async with FaultyRelay() as relay:
        request = CarrierRequest("http://127.0.0.1/v1/realtime/calls")
        answer = await relay.signalling(post)(request, description(candidate(client.address)))
        assert answer.call_id == "rtc_1"
        assert address_in(answer.sdp) != service.address
        assert seen == [
            (request.url, next(s.bound for s in relay._stand_ins.values() if s.side == "offering"))
        ]
