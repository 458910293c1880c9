"""Requests of ours that are asked for a password: what is sent again, with which answers, and when not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from voxwire.server.sip.digest import Authenticator, Credentials, parse_credentials
from voxwire.server.sip.message import Request, answer_to
from voxwire.server.sip.negotiation import LocalMedia
from voxwire.server.sip.outputs import Ended, Progress

ALICE, BOB = "192.0.2.1", "192.0.2.2"
ANN = Credentials("ann", "secret")
ASKS = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}
Step = Callable[[Any, Request, float], None]


class Gate:
    """Stands before what a call does with a request, and asks for passwords as a row of servers would."""

    def __init__(self, go_on: Step, *statuses: int, lifetime: float = 60.0) -> None:
        self.seen: list[Request] = []
        self._go_on = go_on
        self._doormen = [
            (status, Authenticator({"ann": "secret"}, f"realm {status}", b"%d" % status, lifetime=lifetime))
            for status in statuses
        ]

    def __call__(self, transaction: Any, request: Request, now: float) -> None:
        self.seen.append(request)
        for status, doorman in self._doormen:
            challenge, answer = ASKS[status]
            given = request.headers.get(answer)
            verdict = "no" if given is None else doorman.verify(given, request.method, request.uri, now)
            if verdict != "ok":
                response = answer_to(request, status)
                for value in doorman.challenges(now, stale=verdict == "stale"):
                    response.headers.add(challenge, value)
                transaction.respond(response, now)
                return
        self._go_on(transaction, request, now)


def fields(request: Request, name: str) -> dict[str, str]:
    found = parse_credentials(request.headers.get(name) or "")
    assert found is not None
    return found


@pytest.fixture
def talking(udp: Any) -> tuple[Any, Any, Any, Any, Any]:
    alice, bob = udp.add(ALICE, credentials=ANN), udp.add(BOB)
    return udp, alice, bob, *udp.established(alice, bob)


def test_a_proxy_and_the_peer_ask_one_after_the_other(
    talking: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, alice, bob, ours, theirs = talking
    gate = Gate(theirs._bye_came, 407, 401)
    monkeypatch.setattr(theirs, "_bye_came", gate)
    ours.hang_up(network.now)
    network.run(0.2)
    assert (len(alice.of(Ended)), len(bob.of(Ended))) == (1, 1)
    first, second, third = gate.seen
    assert [r.cseq[0] - first.cseq[0] for r in gate.seen] == [0, 1, 2]
    assert "Authorization" not in second.headers
    # The proxy's nonce is used a second time, and says so (RFC 7616 section 3.4).
    assert [fields(r, "Proxy-Authorization")["nc"] for r in (second, third)] == ["00000001", "00000002"]
    assert fields(third, "Authorization")["nc"] == "00000001"


def test_a_nonce_that_is_too_old_is_replaced_once(udp: Any) -> None:
    doorman = Authenticator({"ann": "secret"}, "voxwire", b"key", lifetime=-1)  # no nonce is ever fresh
    alice, bob = udp.add(ALICE, credentials=ANN), udp.add(BOB, authenticator=doorman)
    udp.call(alice, bob)
    udp.run(0.2)
    assert udp.sent(ALICE) == ["INVITE", "ACK"] * 3
    assert alice.end.status == 401
    answers = [
        fields(message, "Authorization")["nonce"]
        for sender, message in udp.messages
        if sender == ALICE
        and getattr(message, "method", "") == "INVITE"
        and "Authorization" in message.headers
    ]
    assert len(set(answers)) == 2


def test_a_nonce_that_is_too_old_in_the_middle_of_a_call(
    talking: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, alice, bob, ours, theirs = talking
    gate = Gate(theirs._bye_came, 401, lifetime=0.03)
    monkeypatch.setattr(theirs, "_bye_came", gate)
    slow = [True]

    def late(sender: str, message: Any) -> bool:
        """The first answer is lost, and comes again when its nonce is too old."""
        lost = sender == ALICE and "Authorization" in message.headers and slow[0]
        slow[0] = slow[0] and not lost
        return lost

    network.lose = late
    ours.hang_up(network.now)
    network.run(2)
    assert ["Authorization" in r.headers for r in gate.seen] == [False, True, True]
    assert (len(alice.of(Ended)), len(bob.of(Ended))) == (1, 1)


def test_a_wrong_password_is_said_once(udp: Any) -> None:
    doorman = Authenticator({"ann": "secret"}, "voxwire", b"key")
    alice = udp.add(ALICE, credentials=Credentials("ann", "wrong"))
    bob = udp.add(BOB, authenticator=doorman)
    udp.call(alice, bob)
    udp.run(0.2)
    assert udp.sent(ALICE) == ["INVITE", "ACK"] * 2
    assert alice.end.status == 401


def test_every_ack_has_what_its_invite_had(udp: Any) -> None:
    """RFC 3261 section 22.1: an ACK cannot be asked for a password, so it brings it along."""
    doorman = Authenticator({"ann": "secret"}, "voxwire", b"key")
    alice, bob = udp.add(ALICE, credentials=ANN), udp.add(BOB, authenticator=doorman)
    udp.call(alice, bob)
    udp.run(0.2)
    bob.leg.accept(LocalMedia(BOB, 30_000), udp.now)
    udp.run(0.2)
    of_alice = [message for sender, message in udp.messages if sender == ALICE]
    assert udp.sent(ALICE) == ["INVITE", "ACK", "INVITE", "ACK"]
    invite, ack = of_alice[2:]
    assert invite.headers.get("Authorization") == ack.headers.get("Authorization") is not None


def test_the_ack_to_a_refusal_has_it_as_well(udp: Any) -> None:
    doorman = Authenticator({"ann": "secret"}, "voxwire", b"key")
    alice, bob = udp.add(ALICE, credentials=ANN), udp.add(BOB, authenticator=doorman)
    udp.call(alice, bob)
    udp.run(0.2)
    bob.leg.reject(486, udp.now)
    udp.run(0.2)
    *_, ack = [message for sender, message in udp.messages if sender == ALICE]
    assert ack.method == "ACK"
    assert "Authorization" in ack.headers


def test_the_ack_of_a_change_has_it_as_well(
    talking: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, _alice, _bob, ours, theirs = talking
    gate = Gate(theirs.updates.invite_came, 407, 401)
    monkeypatch.setattr(theirs.updates, "invite_came", gate)
    ours.updates.turn("sendonly", network.now)
    network.run(0.3)
    assert theirs.media.direction == "recvonly"
    of_alice = [message for sender, message in network.messages if sender == ALICE]
    *_, invite, ack = of_alice
    assert (invite.method, ack.method) == ("INVITE", "ACK")
    for name in ("Authorization", "Proxy-Authorization"):
        assert invite.headers.get(name) == ack.headers.get(name) is not None


def test_a_cancel_waits_for_word_of_the_invite_that_is_sent_again(udp: Any) -> None:
    """RFC 3261 section 9.1: what was heard of the first INVITE says nothing of the second."""
    doorman = Authenticator({"ann": "secret"}, "voxwire", b"key")
    alice, bob = udp.add(ALICE, credentials=ANN), udp.add(BOB, authenticator=doorman)
    trying = [True]

    def no_word(sender: str, message: Any) -> bool:
        return sender == BOB and getattr(message, "status", 0) == 100 and trying[0]

    challenged = alice.agent._transactions.answer

    def forked(response: Any, now: float) -> Any:
        """A proxy in between says 100 before the password is asked for."""
        if response.status == 401:
            early = answer_to(udp.messages[0][1], 100)
            challenged(early, now)
        return challenged(response, now)

    alice.agent._transactions.answer = forked
    udp.lose = no_word
    ours = udp.call(alice, bob)
    assert ours.heard_back
    assert udp.sent(ALICE)[-1] == "INVITE"
    ours.cancel(udp.now)
    udp.run(0.05)
    assert "CANCEL" not in udp.sent(ALICE)
    trying[0] = False
    udp.run(1)
    assert udp.sent(ALICE)[-2:] == ["CANCEL", "ACK"]
    assert [p.status for p in alice.of(Progress)] == [100]
    assert (alice.end.status, bob.end.status) == (487, 487)


def test_a_question_for_the_password_is_word_from_the_other_side(udp: Any) -> None:
    doorman = Authenticator({"ann": "secret"}, "voxwire", b"key")
    alice = udp.add(ALICE, credentials=ANN)
    udp.add(BOB, authenticator=doorman)
    udp.lose = lambda sender, message: sender == ALICE and "Authorization" in message.headers
    ours = udp.call(alice, udp.nodes[BOB])
    udp.run(1)
    assert ours.state == "calling"
    assert ours.heard_back
