"""Throw packets at the phone line: SIP, SDP, RTP and RTCP, valid ones mutated, and noise. Nothing may raise.

    python fuzz/fuzz_sip.py --seconds 60
    python fuzz/fuzz_sip.py --atheris corpus/        # coverage-guided, where atheris is installed

The run is repeatable with `--seed`. After every few thousand messages all timers fire, and nothing may be left.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from voxwire.media.rtp import pack_rtp
from voxwire.server.sip.agent import AgentOptions, UserAgent
from voxwire.server.sip.audio import SipAudio
from voxwire.server.sip.caller import OutgoingLeg
from voxwire.server.sip.digest import Authenticator, Credentials
from voxwire.server.sip.framing import Framer
from voxwire.server.sip.negotiation import AgreedMedia, LocalMedia, codecs_named
from voxwire.server.sip.outputs import Flow, Invited, Transmit
from voxwire.server.sip.sdp import Codec
from voxwire.server.sip.values import NameAddr, SipError, parse_uri

OFFER = (
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 96 0 8 101 13\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 usedtx=1\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=rtcp-mux\r\na=ptime:20\r\na=sendonly\r\n"
)
METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "NOTIFY", "REFER", "SUBSCRIBE", "X")
EXTRA = (
    "Require: timer, 100rel",
    "Supported: timer",
    "Session-Expires: 90;refresher=uas",
    "Session-Expires: 9",
    (
        'Authorization: Digest username="a", realm="voxwire", nonce="1-2", uri="sip:b@h", response="x", qop=auth, '
        'nc=00000001, cnonce="c", algorithm=MD5'
    ),
    "Record-Route: <sip:p;lr>, <sip:q>",
    "Event: refer",
    "Subscription-State: terminated",
    "Contact: *",
    "Allow: UPDATE, BYE",
    "Content-Type: application/dtmf-relay",
    "Content-Type: message/sipfrag",
    "m: <sip:x@192.0.2.1>",
)
PIECES = (
    b"\r\n",
    b"\n ",
    b";",
    b",",
    b'"',
    b"<",
    b">",
    b"\x00",
    b"\xff",
    b"9" * 40,
    b"=",
    b":",
    b" ",
    b"SIP/2.0 ",
    b"[::1]",
)
FLOW = Flow("UDP", "192.0.2.1", 5060, "192.0.2.2")


class Target:
    """A user agent with calls in every state, and an audio stream."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now = 0.0
        doorman = Authenticator({"a": "b"}, "voxwire", b"k") if rng.random() < 0.3 else None
        options = AgentOptions(
            port=5060,
            codecs=codecs_named(("opus", "PCMU", "PCMA")),
            authenticator=doorman,
            credentials=Credentials("a", "b"),
            invites_per_second=1e9,
        )
        self.agent = UserAgent(options, random.Random(rng.random()))
        self.calls: list[OutgoingLeg] = []
        self.tags = ["none"]
        self.branches = ["z9hG4bK1"]
        media = AgreedMedia(
            Codec(0, "PCMU", 8000),
            Codec(101, "telephone-event", 8000),
            True,
            ("192.0.2.1", 4000),
            None,
            "sendrecv",
        )
        self.audio = SipAudio(media, random.Random(1), cname="c", wall=0.0)

    def message(self) -> bytes:
        rng = self.rng
        method = rng.choice(METHODS)
        first = f"{method} sip:b@192.0.2.2 SIP/2.0"
        if rng.random() < 0.3:
            first = f"SIP/2.0 {rng.choice((100, 180, 200, 302, 401, 407, 422, 486, 491, 603))} Reason"
        tag = rng.choice(self.tags)
        lines = [
            first,
            f"Via: SIP/2.0/UDP 192.0.2.1;branch={rng.choice(self.branches)}{';rport' if rng.random() < 0.5 else ''}",
            "From: <sip:a@192.0.2.1>;tag=a",
            f"To: <sip:b@192.0.2.2>{'' if tag == 'none' else ';tag=' + tag}",
            f"Call-ID: c{rng.randrange(4)}",
            f"CSeq: {rng.randrange(1, 9)} {method}",
        ]
        if rng.random() < 0.8:
            lines.append("Contact: <sip:a@192.0.2.1>")
        body = OFFER if rng.random() < 0.6 else rng.choice(("Signal=5\r\n", "SIP/2.0 200 OK", ""))
        if body is OFFER:
            lines.append("Content-Type: application/sdp")
        lines += rng.sample(EXTRA, rng.randrange(3))
        if rng.random() < 0.9:
            lines.append(f"Content-Length: {len(body)}")
        return ("\r\n".join([*lines, "", ""]) + body).encode("utf-8", "surrogateescape")

    def take(self, data: bytes) -> None:
        """One datagram, and whatever an owner might do about it."""
        rng, agent = self.rng, self.agent
        self.now += rng.choice((0.0, 0.01, 1.0))
        outputs = agent.receive(data, FLOW, self.now)
        for output in outputs:
            if isinstance(output, Invited):
                self.act(output.leg)
        for output in [*outputs, *agent.run(self.now)]:
            if isinstance(output, Transmit):
                self.learn(output.data)
        for output in agent.take():
            if isinstance(output, Transmit):
                self.learn(output.data)

    def act(self, leg) -> None:
        choice = self.rng.randrange(5)
        if choice == 0:
            leg.ring(self.now)
        elif choice == 1:
            leg.reject(486, self.now)
        else:
            leg.accept(LocalMedia("192.0.2.2", 30_000), self.now)
            if choice == 2:
                leg.hang_up(self.now)

    def learn(self, data: bytes) -> None:
        """Tags and branches of our own, so that answers fit."""
        for line in data.decode("utf-8", "surrogateescape").split("\r\n"):
            if line.startswith("To:") and ";tag=" in line and len(line) < 200:
                self.tags = [*self.tags[-6:], line.rpartition(";tag=")[2]]
            if line.startswith("Via:") and "branch=" in line and len(line) < 200:
                self.branches = [*self.branches[-6:], line.partition("branch=")[2].partition(";")[0]]

    def call(self) -> None:
        leg = self.agent.call(
            "sip:b@192.0.2.1",
            FLOW,
            LocalMedia("192.0.2.2", 9),
            self.now,
            from_=NameAddr(parse_uri("sip:a@b")),
        )
        self.calls.append(leg)

    def rest(self) -> None:
        """When everybody has hung up and all timers have fired, nothing is left."""
        for leg in self.calls:
            leg.cancel(self.now)
        for leg in self.agent.legs:
            if leg.state == "ringing":
                leg.reject(480, self.now)
            leg.hang_up(self.now)
        while (due := self.agent.next_due) is not None:
            self.now = max(self.now, due)
            self.agent.run(self.now)
        self.agent.take()
        assert (len(self.agent.legs), self.agent.transactions) == (0, 0), self.left()

    def left(self) -> str:
        return (
            f"left behind: {[leg.state for leg in self.agent.legs]}, {self.agent.transactions} transactions"
        )

    def sound(self, data: bytes) -> None:
        self.audio.received(data, ("192.0.2.1", 4000), self.now)
        self.audio.received_rtcp(data, ("192.0.2.1", 4001), self.now)
        self.audio.pull(self.now)


def mutate(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 4))):
        start = rng.randrange(len(changed) + 1)
        end = min(len(changed), start + rng.randrange(12))
        match rng.randrange(3):
            case 0:
                del changed[start:end]
            case 1:
                changed[start:start] = rng.choice(PIECES)
            case _:
                changed[start:end] = rng.randbytes(end - start)
    return bytes(changed)


def frame(rng: random.Random, data: bytes) -> None:
    framer = Framer(5000)
    try:
        while data:
            cut = rng.randrange(1, len(data) + 1)
            framer.feed(data[:cut])
            data = data[cut:]
    except SipError:
        pass


def check(data: bytes) -> None:
    rng = random.Random(len(data))
    target = Target(rng)
    target.take(data)
    target.sound(data)
    frame(rng, data)
    target.rest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--atheris", nargs="?", const="", metavar="CORPUS")
    options = parser.parse_args()
    if options.atheris is not None:
        import atheris

        atheris.instrument_all()
        atheris.Setup([sys.argv[0], *filter(None, [options.atheris])], check)
        atheris.Fuzz()
        return 0
    rng = random.Random(options.seed)
    total = answered = 0
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        target = Target(rng)
        for number in range(400):
            if rng.random() < 0.02:
                target.call()
            data = mutate(rng, target.message() if rng.random() < 0.98 else rng.randbytes(100))
            sound = mutate(
                rng, pack_rtp(rng.choice((0, 13, 101)), number, number * 160, 7, rng.randbytes(160))
            )
            try:
                target.take(data)
                target.sound(sound)
                target.sound(b"\x80" + bytes([rng.randrange(192, 224)]) + sound[2:60])
                frame(rng, data)
            except BaseException:
                print(f"seed {options.seed}, message {total}: {data!r} {sound!r}", file=sys.stderr)
                raise
            total += 1
        answered += len(target.tags)
        target.rest()
    print(f"{total} messages")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
