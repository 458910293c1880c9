"""Rarer turns of a call: proxies on the way, forks, broken answers, changes that fail."""

from __future__ import annotations

from typing import Any

import pytest

from voxwire.server.sip.dialog import Dialog
from voxwire.server.sip.digest import Authenticator, Credentials
from voxwire.server.sip.message import Headers, Request, Response, answer_to, parse_message
from voxwire.server.sip.negotiation import LocalMedia
from voxwire.server.sip.outputs import ChangeRefused, Ended, Established, MediaChanged, Transmit
from voxwire.server.sip.timers import Timers
from voxwire.server.sip.values import NameAddr, SipError, parse_name_addr, parse_uri

ALICE, BOB = "192.0.2.1", "192.0.2.2"


def quiet(network: Any) -> None:
    network.run(120)
    for node in network.nodes.values():
        assert (len(node.agent.legs), node.agent.transactions, node.agent.next_due) == (0, 0, None)


def last(network: Any, host: str) -> Any:
    return [message for sender, message in network.messages if sender == host][-1]


def deliver(network: Any, node: Any, sender: str, message: Request | Response) -> None:
    network.perform(
        node, node.agent.receive(message.to_bytes(), network.flow(node.host, sender), network.now)
    )
    network.collect()


# -- routes -----------------------------------------------------------------------------------------


def dialog_of(*routes: str) -> Dialog:
    return Dialog(
        "c",
        parse_name_addr("<sip:a@h>;tag=1"),
        parse_name_addr("<sip:b@h>;tag=2"),
        target="sip:b@192.0.2.9",
        route=list(routes),
        sequence=1,
    )


@pytest.mark.parametrize(
    ("routes", "uri", "sent"),
    [
        ((), "sip:b@192.0.2.9", []),
        (("<sip:p1;lr>", "<sip:p2;lr>"), "sip:b@192.0.2.9", ["<sip:p1;lr>", "<sip:p2;lr>"]),
        # A strict router (RFC 3261 section 12.2.1.1).
        (("<sip:p1>", "<sip:p2;lr>"), "sip:p1", ["<sip:p2;lr>", "<sip:b@192.0.2.9>"]),
        (("nonsense",), "sip:b@192.0.2.9", ["nonsense"]),
    ],
)
def test_routes(routes: tuple[str, ...], uri: str, sent: list[str]) -> None:
    request = dialog_of(*routes).request("BYE")
    assert (request.uri, request.headers.get_all("Route"), request.cseq) == (uri, sent, (2, "BYE"))


def test_routes_of_both_sides() -> None:
    request = Request(method="INVITE", uri="sip:b@h", headers=Headers())
    for name, value in (
        ("Via", "SIP/2.0/UDP h;branch=z9hG4bK1"),
        ("Record-Route", "<sip:p1;lr>, <sip:p2;lr>"),
        ("From", "<sip:a@h>;tag=1"),
        ("To", "<sip:b@h>"),
        ("Call-ID", "c"),
        ("CSeq", "1 INVITE"),
        ("Contact", "<sip:a@192.0.2.1>"),
    ):
        request.headers.add(name, value)
    assert Dialog.of_invited(request, "t", 1).route == ["<sip:p1;lr>", "<sip:p2;lr>"]
    response = answer_to(request, 200, to_tag="t")
    with pytest.raises(SipError):
        Dialog.of_caller(request, response)
    response.headers.add("Contact", "<sip:b@192.0.2.2>")
    assert Dialog.of_caller(request, response).route == ["<sip:p2;lr>", "<sip:p1;lr>"]


def test_a_contact_that_cannot_be_used_changes_nothing() -> None:
    dialog = dialog_of()
    for contact in ("tel:+1", "<sip:", "*"):
        dialog.refresh(Response(status=200, headers=Headers([("Contact", contact)])))
    assert dialog.target == "sip:b@192.0.2.9"
    dialog.refresh(Response(status=200, headers=Headers([("Contact", "<sip:new@h>")])))
    assert dialog.target == "sip:new@h"


# -- answers to our INVITE ----------------------------------------------------------------------------


def test_two_phones_answer(udp: Any) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    udp.established(alice, bob)
    answer = next(m for s, m in udp.messages if s == BOB and getattr(m, "status", 0) == 200)
    answer.headers.put("To", str(answer.to.with_tag("another")))
    deliver(udp, alice, BOB, answer)
    sent = [m for s, m in udp.messages if s == ALICE][-2:]
    assert [(m.method, m.to.tag) for m in sent] == [("ACK", "another"), ("BYE", "another")]
    assert len(alice.of(Established)) == 1
    deliver(udp, alice, BOB, answer)  # its ACK was lost
    assert last(udp, ALICE).method == "ACK"


@pytest.mark.parametrize("what", ["Contact", "body", "codec"])
def test_an_answer_that_is_no_use(udp: Any, what: str) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    udp.call(alice, bob)
    invite = next(m for s, m in udp.messages if s == ALICE)
    answer = answer_to(invite, 200, to_tag="t")
    if what != "Contact":
        answer.headers.add("Contact", f"<sip:bob@{BOB}>")
    if what == "codec":
        answer.headers.add("Content-Type", "application/sdp")
        answer.body = b"v=0\r\nc=IN IP4 192.0.2.2\r\nm=audio 9 RTP/AVP 9\r\n"
    deliver(udp, alice, BOB, answer)
    udp.run(0.1)
    (end,) = alice.of(Ended) or [None]
    assert end is not None
    assert "answer" in end.reason
    assert not alice.of(Established)
    deliver(udp, alice, BOB, answer)  # once more: nobody has acknowledged it
    assert len(alice.of(Ended)) == 1


def test_a_second_phone_answers_after_the_first_could_not_be_used(udp: Any) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    udp.call(alice, bob)
    invite = next(m for s, m in udp.messages if s == ALICE)
    deliver(udp, alice, BOB, answer_to(invite, 200, to_tag="t"))
    good = answer_to(invite, 200, to_tag="u")
    good.headers.add("Contact", f"<sip:bob@{BOB}>")
    deliver(udp, alice, BOB, good)
    assert [m.method for s, m in udp.messages if s == ALICE][-2:] == ["ACK", "BYE"]
    assert len(alice.of(Ended)) == 1


def test_a_cancel_goes_the_way_of_its_invite(udp: Any) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    ours = udp.call(alice, bob, headers=[("Route", f"<sip:{BOB};lr>")])
    ours.cancel(udp.now)
    udp.run(0.1)
    cancel = next(m for s, m in udp.messages if s == ALICE and getattr(m, "method", "") == "CANCEL")
    assert cancel.headers.get_all("Route") == [f"<sip:{BOB};lr>"]  # section 9.1


@pytest.mark.parametrize(
    "header", [("X-Note", "a\r\nContact: <sip:evil@h>"), ("X\r\nY", "a"), ("X-Note", "a\x00"), ("", "a")]
)
def test_headers_that_would_be_others(udp: Any, header: tuple[str, str]) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    with pytest.raises(SipError):
        udp.call(alice, bob, headers=[header])
    assert udp.messages == []


def test_a_name_that_would_be_a_header(udp: Any) -> None:
    alice = udp.add(ALICE)
    name = NameAddr(parse_uri("sip:a@h"), "Ann\r\nX-Evil: yes")
    with pytest.raises(SipError):
        alice.agent.call("sip:b@h", udp.flow(ALICE, BOB), LocalMedia(ALICE, 1), 0.0, from_=name)


def test_an_offer_of_ours_that_is_not_answered(udp: Any) -> None:
    """The INVITE had no offer, and the ACK has no answer."""
    alice, bob = udp.add(ALICE), udp.add(BOB)
    udp.established(alice, bob)
    invite = next(m for s, m in udp.messages if s == ALICE)
    bare = Request(method="INVITE", uri=invite.uri, headers=Headers(invite.headers))
    for name, value in (("Via", f"SIP/2.0/UDP {ALICE};branch=z9hG4bKbare;rport"), ("Call-ID", "bare")):
        bare.headers.put(name, value)
    deliver(udp, bob, ALICE, bare)
    leg = bob.leg
    leg.accept(LocalMedia(BOB, 30_002), udp.now)
    udp.collect()
    ok = last(udp, BOB)
    assert b"m=audio 30002" in ok.body
    ack = Request(method="ACK", uri=invite.uri, headers=Headers(bare.headers))
    ack.headers.put("To", ok.headers.get("To"))
    ack.headers.put("CSeq", f"{ok.cseq[0]} ACK")
    ack.headers.put("Via", f"SIP/2.0/UDP {ALICE};branch=z9hG4bKack")
    deliver(udp, bob, ALICE, ack)
    assert last(udp, BOB).method == "BYE"
    udp.run(40)
    assert "no answer" in bob.end.reason


# -- changes ------------------------------------------------------------------------------------------


def test_a_change_that_is_refused_leaves_things_as_they_are(
    udp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    ours, theirs = udp.established(alice, bob)
    monkeypatch.setattr(theirs.updates, "invite_came", lambda t, r, now: t.refuse(488, now))
    ours.updates.turn("sendonly", udp.now)
    udp.run(1)
    assert (ours.state, ours.media.direction) == ("established", "sendrecv")
    assert not alice.of(MediaChanged)
    assert [refused.status for refused in alice.of(ChangeRefused)] == [488]
    assert ours.negotiation.wish == "sendrecv"
    theirs.updates.turn("sendrecv", udp.now)  # a change of theirs: we have not put them on hold
    udp.run(1)
    assert (ours.media.direction, theirs.media.direction) == ("sendrecv", "sendrecv")


def test_an_old_answer_is_not_taken_for_a_new_one(udp: Any) -> None:
    """The ACK to the first change was lost, and its 200 comes again while the second one is under way."""
    alice, bob = udp.add(ALICE), udp.add(BOB)
    ours, _ = udp.established(alice, bob)
    ours.updates.turn("sendonly", udp.now)
    udp.run(0.1)
    old = next(m for s, m in reversed(udp.messages) if s == BOB and getattr(m, "status", 0) == 200)
    udp.lose = lambda sender, message: sender == BOB
    ours.updates.turn("sendrecv", udp.now)
    udp.run(0.1)
    deliver(udp, alice, BOB, old)
    assert last(udp, ALICE).cseq == (old.cseq[0], "ACK")
    assert ours.media.direction == "sendonly"
    udp.lose = lambda sender, message: False
    udp.run(2)
    assert ours.media.direction == "sendrecv"
    assert ours.state == "established"


def test_a_change_in_a_call_that_the_peer_has_forgotten(udp: Any) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    ours, theirs = udp.established(alice, bob)
    bob.agent.forget(theirs.dialog)
    ours.updates.turn("sendonly", udp.now)
    udp.run(1)
    assert alice.end.status == 481
    assert udp.sent(ALICE)[-1] == "BYE"  # section 12.2.1.2: it may be there all the same


def test_a_change_that_is_not_acknowledged(udp: Any) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    ours, _ = udp.established(alice, bob)
    udp.lose = lambda sender, message: getattr(message, "method", "") == "ACK"
    ours.updates.turn("sendonly", udp.now)
    udp.run(0.1)
    ours.updates.turn("sendrecv", udp.now)  # has to wait for the other one
    udp.run(40)
    assert "did not acknowledge a change" in bob.end.reason


def test_an_answer_to_a_change_that_is_no_use(udp: Any) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    ours, _ = udp.established(alice, bob)
    udp.lose = lambda sender, message: sender == BOB
    ours.updates.turn("sendonly", udp.now)
    udp.run(0.1)
    ok = last(udp, BOB)
    udp.lose = lambda sender, message: False
    ok.body = b""
    deliver(udp, alice, BOB, ok)
    udp.run(1)
    assert "without a description" in alice.end.reason
    quiet(udp)


@pytest.mark.parametrize(
    ("method", "body", "extra", "status"),
    [
        ("UPDATE", b"", (), 200),
        ("UPDATE", b"nonsense", (), 488),
        ("INVITE", b"nonsense", (), 488),
        ("UPDATE", b"", (("Session-Expires", "20"), ("Supported", "timer")), 422),
        ("INVITE", b"", (("Session-Expires", "20"), ("Supported", "timer")), 422),
    ],
)
def test_changes_from_outside(
    udp: Any, method: str, body: bytes, extra: tuple[tuple[str, str], ...], status: int
) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    ours, theirs = udp.established(alice, bob)
    request = ours.dialog.request(method)
    request.body = body
    if body:
        request.headers.add("Content-Type", "application/sdp")
    for name, value in extra:
        request.headers.add(name, value)
    statuses: list[int] = []
    alice.agent.send(request, ours.flow, udp.now, lambda r, n: statuses.append(r.status), lambda n: None)
    udp.run(0.1)
    assert statuses == [status]
    assert theirs.state == "established"


def test_an_update_with_an_offer(udp: Any) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    ours, theirs = udp.established(alice, bob)
    request = ours.dialog.request("UPDATE")
    request.body = ours.negotiation.offer().replace(b"a=sendrecv", b"a=inactive")
    request.headers.add("Content-Type", "application/sdp")
    bodies: list[bytes] = []
    alice.agent.send(request, ours.flow, udp.now, lambda r, n: bodies.append(r.body), lambda n: None)
    udp.run(0.1)
    assert b"a=inactive" in bodies[0]
    assert theirs.media.held
    assert len(bob.of(MediaChanged)) == 1


def test_a_refresh_that_is_refused(udp: Any) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    ours, theirs = udp.established(alice, bob)
    bob.agent.forget(theirs.dialog)
    udp.run(901)
    assert (alice.end.status, ours.over) == (481, True)


def refuse_updates(
    leg: Any, monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, dict[str, str]]
) -> list[float]:
    """Refuse as many refreshes as there are answers, then take them again; returns when they came."""
    came: list[float] = []
    left = list(answers)

    def refuse(transaction: Any, request: Any, now: float) -> None:
        came.append(now)
        if not left:
            type(leg.updates).update_came(leg.updates, transaction, request, now)
            return
        status, headers = left.pop(0)
        transaction.refuse(status, now, **headers)

    monkeypatch.setattr(leg.updates, "update_came", refuse)
    return came


@pytest.mark.parametrize(
    ("status", "headers", "again_after"),
    [(500, {}, 450.0), (491, {}, 3.05), (422, {"Min_SE": "3600"}, 0.0), (422, {"Min_SE": "60"}, 450.0)],
)
def test_a_refresh_that_is_refused_is_tried_again(
    udp: Any,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    headers: dict[str, str],
    again_after: float,
) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    ours, theirs = udp.established(alice, bob)
    came = refuse_updates(theirs, monkeypatch, (status, headers))
    udp.run(3600)
    assert came[1] - came[0] == pytest.approx(again_after, abs=1)
    assert (ours.state, theirs.state) == ("established", "established")
    assert ours.session_timer.seconds == theirs.session_timer.seconds == (3600 if again_after == 0 else 1800)


def test_a_session_that_is_never_renewed_is_ended(udp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    _, theirs = udp.established(alice, bob)
    theirs.session_timer.stop()  # it is for us to notice
    came = refuse_updates(theirs, monkeypatch, *[(500, {})] * 100)
    began = udp.now
    udp.run(1900)
    assert 3 < len(came) < 10
    assert "refused to renew" in alice.end.reason
    assert [what for what in udp.sent(ALICE) if what == "BYE"] == ["BYE"]
    assert came[-1] - began < 1800
    quiet(udp)


def test_a_peer_that_does_not_answer_a_refresh_is_told_of_the_end(udp: Any) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    udp.established(alice, bob)
    udp.lose = lambda sender, message: sender == BOB  # it is heard, and cannot make itself heard
    udp.run(1000)
    assert alice.end.status == 408
    assert bob.end.reason == "the caller hung up"
    quiet(udp)


def test_a_password_is_asked_for_in_the_middle_of_a_call(udp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    doorman = Authenticator({"ann": "secret"}, "r", b"k")
    alice, bob = udp.add(ALICE, credentials=Credentials("ann", "secret")), udp.add(BOB)
    ours, theirs = udp.established(alice, bob)
    go_on = theirs._bye_came

    def ask(transaction: Any, request: Any, now: float) -> None:
        given = request.headers.get("Proxy-Authorization")
        if given is not None and doorman.verify(given, "BYE", request.uri, now) == "ok":
            go_on(transaction, request, now)
            return
        response = answer_to(request, 407)
        for challenge in doorman.challenges(now):
            response.headers.add("Proxy-Authenticate", challenge)
        transaction.respond(response, now)

    monkeypatch.setattr(theirs, "_bye_came", ask)
    ours.hang_up(udp.now)
    udp.run(0.2)
    assert udp.sent(ALICE)[-2:] == ["BYE", "BYE"]
    assert (len(alice.of(Ended)), len(bob.of(Ended))) == (1, 1)
    quiet(udp)


# -- pieces -------------------------------------------------------------------------------------------


def test_timers() -> None:
    timers, fired = Timers(), []
    timers.set(2.0, fired.append)
    timers.set(1.0, fired.append).cancel()
    assert (timers.next_due, len(timers)) == (2.0, 1)
    for _ in range(1000):
        timers.set(9.0, fired.append).cancel()
    assert len(timers._heap) < 200
    timers.run(3.0)
    assert (fired, timers.next_due, len(timers)) == ([3.0], None, 0)


def test_repeated_refusals_are_acknowledged_again(udp: Any) -> None:
    alice, bob = udp.add(ALICE), udp.add(BOB)
    udp.call(alice, bob)
    udp.lose = lambda sender, message: getattr(message, "method", "") == "ACK" and udp.now < 103
    bob.leg.reject(486, udp.now)
    udp.run(5)
    assert udp.sent(BOB).count("486 INVITE") == udp.sent(ALICE).count("ACK") > 1
    quiet(udp)


def test_a_message_of_nobody_s(udp: Any) -> None:
    alice = udp.add(ALICE)
    outputs = alice.agent.receive(b"SIP/2.0 200 OK\r\n\r\n", udp.flow(ALICE, BOB), 0)
    assert outputs == []
    alice.agent.put_back([Transmit(b"x", udp.flow(ALICE, BOB))])
    assert len(alice.agent.take()) == 1
    assert (
        parse_message(
            Request(
                method="X",
                uri="sip:a@b",
                headers=Headers(
                    [
                        ("Via", "SIP/2.0/UDP h"),
                        ("f", "<sip:a@b>"),
                        ("t", "<sip:a@b>"),
                        ("i", "1"),
                        ("CSeq", "1 X"),
                    ]
                ),
            ).to_bytes()
        ).call_id
        == "1"
    )
