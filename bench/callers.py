"""Telephones that cost little: SIP over UDP by hand, PCMU, and RTP sockets that the kernel stamps.

Nothing in here is voxwire's, so that what is measured is not checked by itself, and a process can be hundreds of phones.
What comes in gets its time from the kernel (`SO_TIMESTAMPNS`), which on loopback is when it was sent: how late
this process reads it does not count.
"""

from __future__ import annotations

import random
import re
import select
import socket
import struct
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

STAMPS = 35
"""`SO_TIMESTAMPNS` of Linux: seconds and nanoseconds of `CLOCK_REALTIME` with each datagram."""
FRAME = 160
"""Bytes of 20 ms of PCMU."""
_STAMP = struct.Struct("@qq")
_RTP = struct.Struct("!BBHII")

REQUEST = """\
{method} sip:agent@{server} SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{call}{method}{cseq};rport
Max-Forwards: 70
From: <sip:caller@127.0.0.1:{port}>;tag={call}
To: <sip:agent@{server}>{tag}
Call-ID: {call}
CSeq: {cseq} {method}
Contact: <sip:caller@127.0.0.1:{port}>
{kind}Content-Length: {length}

{body}"""
OFFER = """\
v=0
o=- {port} 1 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio {port} RTP/AVP 0
a=rtpmap:0 PCMU/8000
"""


def stamped_socket() -> socket.socket:
    """A UDP socket on loopback whose datagrams come with the kernel's time."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, STAMPS, 1)
    made.bind(("127.0.0.1", 0))
    made.setblocking(False)
    return made


def arrived(one: socket.socket) -> Iterator[tuple[bytes, float]]:
    """What waits in a socket, and when it came, Unix seconds."""
    while True:
        try:
            data, extra, _flags, _address = one.recvmsg(4096, 64)
        except BlockingIOError:
            return
        seconds, nanoseconds = next(
            (_STAMP.unpack(value[:16]) for _, kind, value in extra if kind == STAMPS), (0, 0)
        )
        yield data, seconds + nanoseconds / 1e9


@dataclass
class Caller:
    """One call.

    Attributes:
        arrivals: of each RTP packet: when it came (Unix s), its sequence number and RTP timestamp, unwrapped nowhere.
        invited_at, answered_at: when the INVITE was sent and its 200 came, Unix s.
    """

    name: str
    rtp: socket.socket = field(default_factory=stamped_socket)
    target: tuple[str, int] | None = None
    tag: str = ""
    invited_at: float = 0.0
    answered_at: float = 0.0
    gone: bool = False
    times: array[float] = field(default_factory=lambda: array("d"))
    sequences: array[int] = field(default_factory=lambda: array("l"))
    stamps: array[int] = field(default_factory=lambda: array("l"))
    payloads: list[bytes] | None = None
    sequence: int = 0

    def say(self, payload: bytes) -> None:
        """Send 20 ms of PCMU."""
        if self.target is not None:
            self.sequence += 1
            stamp = self.sequence * FRAME & 0xFFFFFFFF
            header = _RTP.pack(0x80, 0, self.sequence & 0xFFFF, stamp, id(self) & 0xFFFFFFFF)
            self.rtp.sendto(header + payload, self.target)

    def hear(self) -> None:
        """Take what has come."""
        for data, at in arrived(self.rtp):
            _, kind, sequence, stamp, _ = _RTP.unpack_from(data)
            if kind & 0x7F == 0:
                self.times.append(at)
                self.sequences.append(sequence)
                self.stamps.append(stamp)
                if self.payloads is not None:
                    self.payloads.append(data[_RTP.size :])

    def forget(self) -> None:
        """Begin to count anew."""
        self.hear()
        for kept in (self.times, self.sequences, self.stamps):
            del kept[:]


class Phones:
    """Any number of callers behind one SIP port."""

    def __init__(self, server: str) -> None:
        self.server = server
        host, _, port = server.rpartition(":")
        self._address = (host, int(port))
        self._sip = stamped_socket()
        self._callers: dict[str, Caller] = {}

    def call(self, count: int, seconds: float = 20.0) -> list[Caller]:
        """Invite so many times at once, and wait until all are answered.

        Raises:
            RuntimeError: one is refused, or takes too long.
        """
        made = [Caller(f"{random.getrandbits(60):015x}") for _ in range(count)]
        for caller in made:
            self._callers[caller.name] = caller
            caller.invited_at = time.time()
            body = OFFER.format(port=caller.rtp.getsockname()[1])
            self._send(caller, "INVITE", 1, body)
        self._until(lambda: all(caller.answered_at for caller in made), seconds, "answered")
        return made

    def hang_up(self, callers: Sequence[Caller], seconds: float = 20.0) -> None:
        """End calls, and wait until that is acknowledged."""
        for caller in callers:
            self._send(caller, "BYE", 2)
        self._until(lambda: all(caller.gone for caller in callers), seconds, "ended")
        for caller in callers:
            caller.rtp.close()
            del self._callers[caller.name]

    def _send(self, caller: Caller, method: str, cseq: int, body: str = "") -> None:
        text = REQUEST.format(
            method=method,
            server=self.server,
            port=self._sip.getsockname()[1],
            call=caller.name,
            cseq=cseq,
            tag=f";tag={caller.tag}" if caller.tag else "",
            kind="Content-Type: application/sdp\n" if body else "",
            length=len(body) + body.count("\n"),
            body=body,
        )
        self._sip.sendto(text.replace("\n", "\r\n").encode(), self._address)

    def _until(self, done: Callable[[], bool], seconds: float, what: str) -> None:
        end = time.monotonic() + seconds
        while not done():
            select.select([self._sip], [], [], 0.1)
            for data, at in arrived(self._sip):
                self._received(data.decode(), at)
            if time.monotonic() > end:
                raise RuntimeError(f"not all calls were {what} within {seconds:g} s")

    def _received(self, text: str, at: float) -> None:
        status = re.match(r"SIP/2\.0 (\d+)", text)
        caller = self._callers.get(_field(text, "Call-ID"))
        if status is None or caller is None or int(status[1]) < 200:
            return
        if int(status[1]) >= 300:
            raise RuntimeError(f"a call was refused: {text.splitlines()[0]}")
        if "BYE" in _field(text, "CSeq"):
            caller.gone = True
            return
        if not caller.answered_at:
            caller.answered_at = at
            caller.tag = _field(text, "To").rpartition("tag=")[2]
            port = re.search(r"^m=audio (\d+)", text, re.MULTILINE)
            assert port is not None
            caller.target = ("127.0.0.1", int(port[1]))
        self._send(caller, "ACK", 1)

    def close(self) -> None:
        """Give the port back."""
        self._sip.close()


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{name}:\s*(.*?)\s*$", text, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def talk(
    callers: Sequence[Caller],
    speech: Sequence[bytes],
    seconds: float,
    then: Callable[[], object] | None = None,
) -> float:
    """Let all of them talk and hear, each at a beat of its own; returns how late the latest packet was sent, s.

    Args:
        speech: frames of PCMU, from which every caller begins elsewhere.
        then: called half a second before the end, which goes on without a pause.
    """
    turns = sorted((number * 7919 % 200 / 10_000, number) for number in range(len(callers)))
    begin, worst = time.monotonic() + 0.01, 0.0
    beats = round(seconds * 50)
    for beat in range(beats):
        if beat == beats - 25 and then is not None:
            then()
        for phase, number in turns:
            wait = begin + beat * 0.02 + phase - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            else:
                worst = max(worst, -wait)
            caller = callers[number]
            caller.say(speech[(beat + 37 * number) % len(speech)])
            caller.hear()
    return worst
