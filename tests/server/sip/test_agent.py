"""Calls between two user agents in virtual time: what is on the wire, what is told, what is left."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from voxwire.server.sip.agent import AgentOptions, UserAgent
from voxwire.server.sip.digest import Authenticator, Credentials, answer_challenge
from voxwire.server.sip.message import Headers, Request, parse_message
from voxwire.server.sip.negotiation import LocalMedia, codecs_named
from voxwire.server.sip.outputs import (
    Ended,
    Established,
    Flow,
    Invited,
    Keyed,
    MediaChanged,
    Progress,
    Transferred,
    Transmit,
)
from voxwire.server.sip.values import NameAddr, parse_uri

Pair = tuple[Any, Any, Any]
ALICE, BOB = "192.0.2.1", "192.0.2.2"


def quiet(network: Any) -> None:
    """After the longest timer nothing is left."""
    network.run(120)
    for node in network.nodes.values():
        assert (len(node.agent.legs), node.agent.transactions, node.agent.next_due) == (0, 0, None)


def test_a_whole_call(pair: Pair) -> None:
    network, alice, bob = pair
    ours = network.call(alice, bob)
    bob.leg.ring(network.now)
    network.run(0.1)
    assert [p.status for p in alice.of(Progress)] == [100, 180]
    bob.leg.accept(LocalMedia(BOB, 30_000), network.now)
    network.run(0.1)
    assert network.sent(ALICE) == ["INVITE", "ACK"]
    assert network.sent(BOB) == ["100 INVITE", "180 INVITE", "200 INVITE"]
    assert (len(alice.of(Established)), len(bob.of(Established))) == (1, 1)
    assert ours.media.codec.name == bob.leg.media.codec.name == "opus"
    assert (ours.media.remote, bob.leg.media.remote) == ((BOB, 30_000), (ALICE, 20_000))
    ours.hang_up(network.now)
    network.run(0.1)
    assert network.sent(ALICE)[-1] == "BYE"
    assert (alice.end.reason, bob.end.reason) == ("hung up here", "the caller hung up")
    quiet(network)


def test_the_callee_hangs_up(pair: Pair) -> None:
    network, alice, bob = pair
    _, theirs = network.established(alice, bob)
    theirs.hang_up(network.now, "enough")
    theirs.hang_up(network.now, "twice")
    network.run(0.1)
    assert bob.end.reason == "enough"
    assert alice.end.reason == "the other side hung up"
    quiet(network)


def test_both_hang_up_at_once(pair: Pair) -> None:
    network, alice, bob = pair
    ours, theirs = network.established(alice, bob)
    ours.hang_up(network.now)
    theirs.hang_up(network.now)
    network.run(0.1)
    assert (len(alice.of(Ended)), len(bob.of(Ended))) == (1, 1)
    quiet(network)


@pytest.mark.parametrize("status", [486, 603, 480])
def test_a_refused_call(pair: Pair, status: int) -> None:
    network, alice, bob = pair
    network.call(alice, bob)
    bob.leg.reject(status, network.now)
    network.run(0.1)
    assert (alice.end.status, bob.end.status) == (status, status)
    assert network.sent(ALICE) == ["INVITE", "ACK"]
    quiet(network)


def test_a_cancelled_call(pair: Pair) -> None:
    network, alice, bob = pair
    ours = network.call(alice, bob)
    bob.leg.ring(network.now)
    network.run(0.1)
    ours.cancel(network.now)
    network.run(0.1)
    assert network.sent(ALICE) == ["INVITE", "CANCEL", "ACK"]
    assert network.sent(BOB)[-2:] == ["200 CANCEL", "487 INVITE"]
    assert (alice.end.status, bob.end.status) == (487, 487)
    quiet(network)


def test_an_answer_that_crosses_a_cancel(pair: Pair) -> None:
    network, alice, bob = pair
    ours = network.call(alice, bob)
    bob.leg.ring(network.now)
    network.run(0.1)
    ours.cancel(network.now)
    bob.leg.accept(LocalMedia(BOB, 30_000), network.now)
    network.run(0.2)
    assert "BYE" in network.sent(ALICE)
    assert (len(alice.of(Ended)), len(bob.of(Ended))) == (1, 1)
    assert not alice.of(Established)
    quiet(network)


def test_cancel_waits_for_a_provisional_response(udp: Any) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    udp.lose = lambda sender, message: sender == BOB and udp.now < 101
    ours = udp.call(alice, bob)
    ours.cancel(udp.now)
    udp.run(0.1)
    assert udp.sent(ALICE) == ["INVITE"]  # RFC 3261 section 9.1
    udp.run(5)
    assert "CANCEL" in udp.sent(ALICE)
    assert (alice.end.status, bob.end.status) == (487, 487)
    quiet(udp)


def test_a_cancel_that_nobody_answers(udp: Any) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    ours = udp.call(alice, bob)
    udp.lose = lambda sender, message: True
    ours.cancel(udp.now)
    udp.run(40)
    assert alice.end.status == 408
    assert (len(alice.agent.legs), alice.agent.transactions) == (0, 0)


def test_nobody_answers(udp: Any) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    udp.lose = lambda sender, message: True
    udp.call(alice, bob)
    udp.run(40)
    # Timer A: after 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s; timer B ends it at 32 s.
    assert udp.sent(ALICE) == ["INVITE"] * 7
    assert alice.end.status == 408
    quiet(udp)


def test_every_message_lost_once(udp: Any) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    seen: set[tuple[str, str]] = set()

    def lose(sender: str, message: Any) -> bool:
        kind = (sender, message.to_bytes()[:40].decode())
        lost = kind not in seen
        seen.add(kind)
        return lost

    udp.lose = lose
    ours = udp.call(alice, bob)
    udp.run(2)
    bob.leg.accept(LocalMedia(BOB, 30_000), udp.now)
    udp.run(10)
    assert (ours.state, bob.leg.state) == ("established", "established")
    assert len(bob.of(Invited)) == 1
    ours.hang_up(udp.now)
    udp.run(10)
    assert (len(alice.of(Ended)), len(bob.of(Ended))) == (1, 1)
    quiet(udp)


def test_a_200_is_repeated_until_the_ack(udp: Any) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    udp.call(alice, bob)
    udp.lose = lambda sender, message: getattr(message, "method", "") == "ACK"
    bob.leg.accept(LocalMedia(BOB, 30_000), udp.now)
    udp.run(40)
    sent = udp.sent(BOB)
    assert 9 <= sent.count("200 INVITE") <= 12  # at 0.5 s, doubling to 4 s, for 32 s
    assert udp.sent(ALICE).count("ACK") == sent.count("200 INVITE")
    assert "BYE" in sent
    assert "did not acknowledge" in bob.end.reason
    quiet(udp)


def test_hanging_up_waits_for_the_ack(udp: Any) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    udp.call(alice, bob)
    bob.leg.accept(LocalMedia(BOB, 30_000), udp.now)
    bob.leg.hang_up(udp.now)
    udp.collect()
    assert "BYE" not in udp.sent(BOB)
    udp.run(0.1)
    assert "BYE" in udp.sent(BOB)
    quiet(udp)


def test_an_unanswered_bye_ends_the_call(udp: Any) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    ours, _ = udp.established(alice, bob)
    udp.lose = lambda sender, message: True
    ours.hang_up(udp.now)
    udp.run(33)
    assert alice.end.reason == "hung up here"
    assert udp.sent(ALICE).count("BYE") == 11  # timers E and F


def test_offer_in_the_answer(pair: Pair) -> None:
    """An INVITE without a description: the 200 has the offer, the ACK the answer."""
    network, alice, bob = pair
    ours, theirs = network.established(alice, bob)
    request = ours.dialog.request("INVITE")
    request.headers.add("Contact", alice.agent.contact(ours.flow))
    answers: list[Any] = []

    def answered(response: Any, now: float) -> None:
        if response.status == 200:
            answers.append(response)
            ack = ours.dialog.request("ACK", sequence=response.cseq[0])
            ack.body = ours.negotiation.answer(response.body)
            ack.headers.add("Content-Type", "application/sdp")
            alice.agent.send_ack(ack, ours.flow)

    alice.agent.send(request, ours.flow, network.now, answered, lambda now: None)
    network.run(0.2)
    assert b"m=audio 30000" in answers[0].body
    assert len(bob.of(MediaChanged)) == 1
    assert theirs.media.remote == (ALICE, 20_000)


def test_hold_and_back(pair: Pair) -> None:
    network, alice, bob = pair
    ours, theirs = network.established(alice, bob)
    ours.updates.turn("sendonly", network.now)
    network.run(0.1)
    assert (ours.media.direction, theirs.media.direction) == ("sendonly", "recvonly")
    assert theirs.media.held
    ours.updates.turn("sendrecv", network.now)
    network.run(0.1)
    assert (ours.media.direction, theirs.media.direction) == ("sendrecv", "sendrecv")
    assert (len(alice.of(MediaChanged)), len(bob.of(MediaChanged))) == (2, 2)
    bodies = [m.body for sender, m in network.messages if sender == ALICE and m.body]
    versions = [int(body.split(b" ")[2]) for body in bodies]
    assert versions == [1, 2, 3]


def test_both_change_the_call_at_once(pair: Pair) -> None:
    network, alice, bob = pair
    ours, theirs = network.established(alice, bob)
    ours.updates.turn("sendonly", network.now)
    theirs.updates.turn("sendrecv", network.now)
    network.run(0.1)
    assert "491 INVITE" in network.sent(ALICE) + network.sent(BOB)
    network.run(20)
    assert (ours.media.direction, theirs.media.direction) == ("sendonly", "recvonly")


def test_a_change_that_cannot_be_leaves_the_call_alone(pair: Pair) -> None:
    network, alice, bob = pair
    ours, theirs = network.established(alice, bob)
    before = theirs.media
    request = ours.dialog.request("INVITE")
    request.body = b"v=0\r\nm=audio 9 RTP/SAVP 0\r\nc=IN IP4 192.0.2.9\r\n"
    request.headers.add("Content-Type", "application/sdp")
    statuses: list[int] = []
    alice.agent.send(request, ours.flow, network.now, lambda r, n: statuses.append(r.status), lambda n: None)
    network.run(0.1)
    assert statuses == [488]
    assert theirs.media is before
    assert theirs.state == "established"


def test_transfer(pair: Pair) -> None:
    network, alice, bob = pair
    ours, theirs = network.established(alice, bob)
    assert theirs.refer("sip:desk@192.0.2.7", network.now)
    assert not theirs.refer("sip:desk@192.0.2.7", network.now)
    network.run(0.1)
    # Our own agent does not place calls for others.
    assert [(t.status, t.final) for t in bob.of(Transferred)] == [(603, True)]
    assert ours.state == theirs.state == "established"


def notify(network: Any, alice: Any, ours: Any, body: str, state: str = "active") -> int:
    request = ours.dialog.request("NOTIFY")
    request.headers.add("Event", "refer")
    request.headers.add("Subscription-State", state)
    request.headers.add("Content-Type", "message/sipfrag")
    request.body = body.encode()
    statuses: list[int] = []
    alice.agent.send(request, ours.flow, network.now, lambda r, n: statuses.append(r.status), lambda n: None)
    network.run(0.1)
    return statuses[0]


def test_the_news_of_a_transfer(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    network, alice, bob = pair
    ours, theirs = network.established(alice, bob)
    assert notify(network, alice, ours, "SIP/2.0 200 OK") == 481  # nobody asked

    def accept(transaction: Any, request: Any, now: float) -> None:
        transaction.refuse(202, now)

    monkeypatch.setattr(ours.referral, "came", accept)
    assert theirs.refer("tel:+15550100", network.now)
    network.run(0.1)
    refer = next(m for s, m in network.messages if s == BOB and getattr(m, "method", "") == "REFER")
    assert refer.headers.get("Refer-To") == "<tel:+15550100>"
    assert notify(network, alice, ours, "SIP/2.0 100 Trying") == 200
    assert notify(network, alice, ours, "SIP/2.0 180 Ringing") == 200
    assert notify(network, alice, ours, "SIP/2.0 200 OK", "terminated;reason=noresource") == 200
    assert [(t.status, t.final) for t in bob.of(Transferred)] == [(100, False), (180, False), (200, True)]


def test_a_transfer_of_which_nothing_is_heard(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    network, alice, bob = pair
    ours, theirs = network.established(alice, bob)
    monkeypatch.setattr(ours.referral, "came", lambda transaction, request, now: transaction.refuse(202, now))
    theirs.refer("tel:+15550100", network.now)
    network.run(100)
    assert [(t.status, t.final) for t in bob.of(Transferred)] == [(408, True)]


@pytest.mark.parametrize(
    ("kind", "body", "status", "keys"),
    [
        ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", 200, ["5"]),
        ("application/dtmf-relay", "Signal= #\r\n", 200, ["#"]),
        ("application/dtmf", "a", 200, ["A"]),
        ("application/dtmf-relay", "Duration=160\r\n", 200, []),
        ("application/dtmf", "77", 200, []),
        ("text/plain", "hello", 415, []),
        ("", "", 200, []),
    ],
)
def test_info(pair: Pair, kind: str, body: str, status: int, keys: list[str]) -> None:
    network, alice, bob = pair
    ours, _ = network.established(alice, bob)
    request = ours.dialog.request("INFO")
    request.body = body.encode()
    if kind:
        request.headers.add("Content-Type", kind)
    statuses: list[int] = []
    alice.agent.send(request, ours.flow, network.now, lambda r, n: statuses.append(r.status), lambda n: None)
    network.run(0.1)
    assert statuses == [status]
    assert [k.key for k in bob.of(Keyed)] == keys


# -- session timers -----------------------------------------------------------------------------


def test_the_callee_asks_for_session_timers(pair: Pair) -> None:
    network, alice, bob = pair
    ours, theirs = network.established(alice, bob)
    assert (ours.session_timer.seconds, ours.session_timer.ours) == (1800, True)
    assert (theirs.session_timer.seconds, theirs.session_timer.ours) == (1800, False)
    network.run(3 * 3600 + 10)
    assert ours.state == theirs.state == "established"
    assert network.sent(ALICE).count("UPDATE") == 12  # every 900 s


def test_a_peer_that_is_gone_is_noticed(udp: Any) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    udp.established(alice, bob)
    udp.lose = lambda sender, message: sender == ALICE
    udp.run(2000)
    assert "did not renew" in bob.end.reason
    assert alice.end.status == 408  # its refresh was not answered


def test_a_refresh_by_invite(pair: Pair) -> None:
    network, alice, bob = pair
    ours, theirs = network.established(alice, bob)
    ours.peer_allows = set()
    network.run(950)
    assert network.sent(ALICE)[-2:] == ["INVITE", "ACK"]
    network.run(2000)
    assert ours.state == theirs.state == "established"


@pytest.mark.parametrize(
    ("supported", "expires", "answer", "required"),
    [
        ("timer", "600", "600;refresher=uac", "timer"),
        ("timer", "600;refresher=uas", "600;refresher=uas", None),
        ("", "600", "600;refresher=uas", None),
        ("", None, None, None),
        ("timer", None, "1800;refresher=uac", "timer"),
        ("timer", "abc", "1800;refresher=uac", "timer"),
    ],
)
def test_session_expires(
    supported: str, expires: str | None, answer: str | None, required: str | None
) -> None:
    agent, now = solo(), 5.0
    extra = [("Supported", supported)] if supported else []
    extra += [("Session-Expires", expires)] if expires else []
    (invited,) = [o for o in agent.receive(invite(*extra), FLOW, now) if isinstance(o, Invited)]
    invited.leg.accept(LocalMedia(BOB, 30_000), now)
    ok = responses(agent)[-1]
    assert ok.status == 200
    assert ok.headers.get("Session-Expires") == answer
    assert ok.headers.get("Require") == required


def test_an_interval_that_is_too_short() -> None:
    (response,) = send(solo(), invite(("Supported", "timer"), ("Session-Expires", "30")))
    assert (response.status, response.headers.get("Min-SE")) == (422, "90")


# -- one agent, hand-made messages ----------------------------------------------------------------

FLOW = Flow("UDP", ALICE, 6000, BOB)
OFFER = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8\r\n"
)


def solo(**options: Any) -> UserAgent:
    settings: dict[str, Any] = {"port": 5060, "codecs": codecs_named(("PCMU",))}
    return UserAgent(AgentOptions(**(settings | options)), Random(1))


def request(
    method: str,
    *extra: tuple[str, str],
    body: bytes = b"",
    to: str = "<sip:bot@192.0.2.2>",
    via: str = "SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKx",
    uri: str = "sip:bot@192.0.2.2",
    number: int = 1,
) -> bytes:
    headers = Headers(
        [
            ("Via", via),
            ("From", "<sip:ann@192.0.2.1>;tag=a"),
            ("To", to),
            ("Call-ID", "c1"),
            ("CSeq", f"{number} {method}"),
            *extra,
        ]
    )
    return Request(method=method, uri=uri, headers=headers, body=body).to_bytes()


def invite(*extra: tuple[str, str], body: bytes = OFFER, **more: Any) -> bytes:
    given = [("Contact", "<sip:ann@192.0.2.1:5062>"), *extra]
    if body:
        given.append(("Content-Type", "application/sdp"))
    return request("INVITE", *given, body=body, **more)


def responses(agent: UserAgent, outputs: list[Any] | None = None) -> list[Any]:
    outputs = agent.take() if outputs is None else outputs
    return [parse_message(o.data) for o in outputs if isinstance(o, Transmit)]


def send(agent: UserAgent, data: bytes, now: float = 0.0) -> list[Any]:
    return responses(agent, agent.receive(data, FLOW, now))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (invite(("Require", "100rel, timer")), 420),
        (invite(uri="http://example.com/"), 416),
        (invite(uri="tel:+15550100"), 100),
        (invite(body=b"hello").replace(b"application/sdp", b"text/plain"), 415),
        (invite(body=OFFER.replace(b"0 8", b"9")), 488),
        (invite(body=OFFER.replace(b"RTP/AVP", b"RTP/SAVP")), 488),
        (invite(body=b"nonsense"), 400),
        (invite(body=OFFER.replace(b"192.0.2.1\r\nt", b"phone.example\r\nt")), 400),
        (request("INVITE"), 400),
        (request("BYE"), 481),
        (request("NOTIFY"), 481),
        (request("UPDATE", to="<sip:bot@192.0.2.2>;tag=unknown"), 481),
        (request("CANCEL"), 481),
        (request("REGISTER"), 405),
        (request("MESSAGE", body=b"hi"), 405),
        (request("SUBSCRIBE"), 489),
        (request("REFER"), 603),
        (request("OPTIONS"), 200),
        (request("OPTIONS").replace(b"tag=a", b"x=y"), 400),
        (request("OPTIONS").replace(b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE"), 400),
        (request("OPTIONS").replace(b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia"), 505),
        (request("OPTIONS").replace(b"Content-Length: 0", b"Content-Length: 9"), 400),
        (request("OPTIONS").replace(b"Content-Length: 0", b"Content-Length: x"), 400),
    ],
)
def test_answers(data: bytes, status: int) -> None:
    agent = solo()
    (response,) = send(agent, data)
    assert response.status == status
    if status != 100:
        assert response.to.tag or "x=y" in data.decode() or "unknown" in data.decode()


def test_the_reasons_are_told() -> None:
    (refused,) = send(solo(), invite(("Require", "100rel, timer")))
    assert refused.headers.get("Unsupported") == "100rel"
    (refused,) = send(solo(), invite(body=OFFER.replace(b"0 8", b"9")))
    assert "PCMU" in refused.headers.get("Warning")
    (options,) = send(solo(), request("OPTIONS"))
    assert "INVITE" in options.headers.get("Allow")
    assert options.headers.get("Contact") == "<sip:voxwire@192.0.2.2:5060>"
    (refused,) = send(solo(takes_calls=False), invite())
    assert refused.status == 480


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\x01\x02",
        b"hello",
        b"SIP/2.0 999 What\r\n\r\n",
        request("ACK"),
        request("ACK").replace(b"CSeq: 1 ACK", b"CSeq: x ACK"),
        request("OPTIONS").replace(b"Via", b"Vja"),
        request("OPTIONS").replace(b"Call-ID", b"Cal"),
        (
            b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKq\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n"
            b"Call-ID: 1\r\nCSeq: 1 INVITE\r\n\r\n"
        ),
    ],
)
def test_what_is_not_answered(data: bytes) -> None:
    agent = solo()
    assert send(agent, data) == []
    assert (len(agent.legs), agent.transactions) == (0, 0)


def test_responses_go_where_they_should() -> None:
    agent = solo()
    (transmit,) = agent.receive(request("OPTIONS"), FLOW, 0)
    assert isinstance(transmit, Transmit)
    assert (transmit.flow.host, transmit.flow.port) == (ALICE, 5062)  # the port that Via says
    via = "SIP/2.0/UDP phone.local;branch=z9hG4bKy;rport"
    (transmit,) = agent.receive(request("OPTIONS", via=via), FLOW, 0)
    assert isinstance(transmit, Transmit)
    assert (transmit.flow.host, transmit.flow.port) == (ALICE, 6000)
    assert parse_message(transmit.data).via.params == {
        "branch": "z9hG4bKy",
        "rport": "6000",
        "received": ALICE,
    }


def test_repeated_requests_are_answered_alike() -> None:
    agent = solo()
    first, second = send(agent, request("OPTIONS")), send(agent, request("OPTIONS"))
    assert first[0].to_bytes() == second[0].to_bytes()
    send(agent, invite())
    assert [r.status for r in send(agent, invite())] == [100]
    assert len(agent.legs) == 1


def test_old_elements_without_a_branch() -> None:
    agent = solo()
    via = "SIP/2.0/UDP 192.0.2.1:5062"
    assert [r.status for r in send(agent, invite(via=via))] == [100]
    assert [r.status for r in send(agent, invite(via=via))] == [100]
    assert len(agent.legs) == 1
    assert [r.status for r in send(agent, request("CANCEL", via=via))] == [200, 487]


def test_an_invite_that_comes_by_two_ways() -> None:
    agent = solo()
    send(agent, invite())
    other = invite(via="SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKother")
    assert [r.status for r in send(agent, other)] == [482]
    agent.legs[0].reject(486, 1.0)
    assert [r.status for r in responses(agent)] == [486]
    assert [r.status for r in send(agent, other, now=2.0)] == [482]  # it does not ring again
    agent.run(100.0)
    assert [r.status for r in send(agent, other, now=100.0)] == [100]  # the first one is forgotten


def test_a_copy_of_an_invite_with_a_password() -> None:
    doorman = Authenticator({"ann": "secret"}, "voxwire", b"key")
    agent = solo(authenticator=doorman)
    (challenge,) = send(agent, invite(), now=1.0)
    values = challenge.headers.get_all("WWW-Authenticate")
    answer = answer_challenge(values, Credentials("ann", "secret"), "INVITE", "sip:bot@192.0.2.2", cnonce="x")
    assert answer is not None
    via = "SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK"
    again = [invite(("Authorization", answer), via=via + way, number=2) for way in "12"]
    assert [r.status for r in send(agent, again[0], now=1.1)] == [100]
    assert [r.status for r in send(agent, again[1], now=1.1)] == [482]


def test_requests_that_are_out_of_order() -> None:
    agent = solo()
    (invited,) = [o for o in agent.receive(invite(number=7), FLOW, 0) if isinstance(o, Invited)]
    invited.leg.accept(LocalMedia(BOB, 30_000), 0)
    to = responses(agent)[-1].headers.get("To") or ""
    via = "SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK"
    assert send(agent, request("ACK", to=to, via=via + "ack", number=7)) == []
    assert [r.status for r in send(agent, request("INFO", to=to, via=via + "old", number=3))] == [500]
    assert [r.status for r in send(agent, request("OPTIONS", to=to, via=via + "new", number=8))] == [200]
    assert [r.status for r in send(agent, request("PUBLISH", to=to, via=via + "pub", number=9))] == [405]
    assert [r.status for r in send(agent, request("BYE", to=to, via=via + "bye", number=10))] == [200]
    assert [r.status for r in send(agent, request("BYE", to=to, via=via + "bye2", number=11))] == [481]


def test_a_bye_instead_of_a_cancel() -> None:
    agent = solo()
    (invited,) = [o for o in agent.receive(invite(), FLOW, 0) if isinstance(o, Invited)]
    invited.leg.ring(0)
    to = responses(agent)[-1].headers.get("To") or ""
    via = "SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKbye"
    outputs = agent.receive(request("BYE", to=to, via=via, number=2), FLOW, 1)
    assert [r.status for r in responses(agent, outputs)] == [200, 487]
    assert any(isinstance(o, Ended) for o in outputs)


def test_it_goes_on_ringing() -> None:
    agent = solo()
    (invited,) = [o for o in agent.receive(invite(), FLOW, 0) if isinstance(o, Invited)]
    invited.leg.ring(0)
    assert [r.status for r in responses(agent)] == [180]
    assert [r.status for r in responses(agent, agent.run(61))] == [180]
    invited.leg.reject(486, 62)
    invited.leg.accept(LocalMedia(BOB, 1), 62)
    invited.leg.hang_up(62)
    assert [r.status for r in responses(agent)] == [486]


# -- limits ---------------------------------------------------------------------------------------


def test_a_source_that_calls_too_often() -> None:
    agent = solo(invites_per_second=2.0)
    for number in range(4):
        via = f"SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK{number}"
        data = invite(via=via).replace(b"c1", f"c{number}".encode())
        (response,) = send(agent, data, now=10.0)
        assert response.status == (100 if number < 2 else 503)
    assert response.headers.get("Retry-After") == "5"
    other = Flow("UDP", "192.0.2.9", 5060, BOB)
    data = invite(via="SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKo").replace(b"c1", b"o")
    assert [r.status for r in responses(agent, agent.receive(data, other, 10.0))] == [100]
    data = invite(via="SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKl").replace(b"c1", b"l")
    assert [r.status for r in send(agent, data, now=11.0)] == [100]


def test_too_many_calls_and_the_end() -> None:
    agent = solo(max_legs=1)
    assert [r.status for r in send(agent, invite())] == [100]
    data = invite(via="SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKz").replace(b"c1", b"c2")
    (response,) = send(agent, data)
    assert (response.status, response.headers.get("Retry-After")) == (503, "5")
    agent = solo()
    agent.draining = True
    assert [r.status for r in send(agent, invite())] == [503]
    assert agent.transactions == 0


def test_options_are_answered_as_an_invite_would_be() -> None:
    """RFC 3261 section 11.2: whoever chooses between lines by OPTIONS learns that this one takes no calls."""
    ending, full = solo(), solo(max_legs=1)
    ending.draining = True
    send(full, invite())
    for agent in (ending, full):
        (response,) = send(agent, request("OPTIONS"))
        assert (response.status, response.headers.get("Retry-After")) == (503, "5")
        assert "INVITE" in (response.headers.get("Allow") or "")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("OPTIONS"), 200),
        (request("MESSAGE"), 405),
        (request("BYE", to="<sip:bot@192.0.2.2>;tag=unknown"), 481),
        (invite(to="<sip:bot@192.0.2.2>;tag=unknown"), 481),
        (request("CANCEL"), 481),
        (invite(("Require", "precondition")), 420),
        (invite(body=OFFER.replace(b"0 8", b"9")), 488),
    ],
)
def test_what_is_refused_costs_nothing(data: bytes, status: int) -> None:
    """A refusal is sent once: who forges the source of a request gets no more sent there than they sent."""
    agent = solo()
    first, again = send(agent, data), send(agent, data, now=1.0)
    assert [r.status for r in first] == [status]
    assert [r.to_bytes() for r in first] == [r.to_bytes() for r in again]  # section 8.2.7: the same To tag
    assert (agent.transactions, agent.next_due) == (0, None)
    other = data.replace(b"z9hG4bKx", b"z9hG4bKy").replace(b"c1", b"c2")
    if b"tag=unknown" not in data:
        assert send(agent, other)[0].to.tag != first[0].to.tag


def test_requests_in_a_call_are_remembered_up_to_a_limit() -> None:
    agent = solo(max_legs=1)
    (invited,) = [o for o in agent.receive(invite(), FLOW, 0) if isinstance(o, Invited)]
    invited.leg.accept(LocalMedia(BOB, 30_000), 0)
    to = responses(agent)[-1].headers.get("To") or ""
    via = "SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK"
    send(agent, request("ACK", to=to, via=via + "ack"))
    statuses = [
        send(agent, request("INFO", to=to, via=f"{via}{n}", number=n))[0].status for n in range(2, 102)
    ]
    assert set(statuses) == {200, 503}
    assert agent.transactions == statuses.count(200) + 1 == 20
    (full,) = send(agent, request("INFO", to=to, via=via + "full", number=200))
    assert full.headers.get("Retry-After") == "5"
    assert [r.status for r in send(agent, request("BYE", to=to, via=via + "bye", number=201))] == [200]
    agent.run(60.0)
    assert agent.transactions == 0


def test_an_extension_that_is_needed_in_the_middle_of_a_call() -> None:
    agent = solo()
    (invited,) = [o for o in agent.receive(invite(), FLOW, 0) if isinstance(o, Invited)]
    invited.leg.accept(LocalMedia(BOB, 30_000), 0)
    to = responses(agent)[-1].headers.get("To") or ""
    via = "SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK2"
    (refused,) = send(agent, request("INFO", ("Require", "timer, foo"), to=to, via=via, number=2))
    assert (refused.status, refused.headers.get("Unsupported")) == (420, "foo")
    (refused,) = send(agent, request("OPTIONS", ("Require", "foo")))
    assert (refused.status, refused.headers.get("Unsupported")) == (420, "foo")


def test_cancel_is_answered_with_the_tag_of_the_invite() -> None:
    agent = solo()
    send(agent, invite())
    answer, refusal = send(agent, request("CANCEL"))
    assert (answer.status, refusal.status) == (200, 487)
    assert answer.to.tag == refusal.to.tag  # section 9.2


def test_a_message_that_is_too_long() -> None:
    agent = solo(max_bytes=1000)
    assert send(agent, request("OPTIONS", ("X", "y" * 2000))) == []
    assert agent.malformed == 1


# -- digest ---------------------------------------------------------------------------------------


def test_a_caller_with_the_password(network: Any) -> None:
    doorman = Authenticator({"ann": "secret"}, "voxwire", b"key")
    alice = network.add(ALICE, credentials=Credentials("ann", "secret"))
    bob = network.add(BOB, authenticator=doorman)
    ours = network.call(alice, bob)
    network.run(0.2)
    assert network.sent(ALICE) == ["INVITE", "ACK", "INVITE"]
    bob.leg.accept(LocalMedia(BOB, 1000), network.now)
    network.run(0.1)
    assert ours.state == "established"
    ours.hang_up(network.now)
    network.run(0.1)
    assert len(bob.of(Ended)) == 1


@pytest.mark.parametrize("credentials", [None, Credentials("ann", "wrong"), Credentials("eve", "secret")])
def test_a_caller_without_it(network: Any, credentials: Credentials | None) -> None:
    doorman = Authenticator({"ann": "secret"}, "voxwire", b"key")
    alice = network.add(ALICE, credentials=credentials)
    bob = network.add(BOB, authenticator=doorman)
    network.call(alice, bob)
    network.run(0.2)
    assert alice.end.status == 401
    assert bob.news == []


def test_a_broken_connection_ends_what_waits_on_it() -> None:
    alice = solo()
    flow = Flow("TCP", BOB, 5060, ALICE, 1)
    leg = alice.call("sip:bob@192.0.2.2", flow, LocalMedia(ALICE, 1), 0, from_=NameAddr(parse_uri("sip:a@b")))
    alice.take()
    outputs = alice.broken(flow, 1.0)
    assert [o.status for o in outputs if isinstance(o, Ended)] == [408]
    assert leg.over
