"""Every place where voxwire reaches into aiortc 1.16 and aioice 0.13, with `aiortc_channel`, and nothing else.

aiortc does SDP, ICE, DTLS, SRTP keys and SCTP. Its audio path (a thread per call, an executor per frame, a
buffer that never shrinks again after a lost packet) is not used: RTP goes from its ICE connection to us, and
from us to its socket. What is needed for that and is not documented, with what would do as public API:

`RTCIceTransport._connection` (an `aioice.Connection`): an accessor.
`Connection.data_received`, replaced: every datagram that is not STUN. A callback for them.
`Connection.get_component_candidates`, replaced: which addresses and ports are used (aioice#47).
`Connection.query_consent`, replaced: pings often enough to notice a lost peer. A "disconnected" state.
`Connection._nominated`, `CandidatePair.remote_addr`, `StunProtocol.transport`: a plain function for
    `Connection.send`, which is a coroutine without an await in it.
`Connection._protocols`: sockets found while gathering; and to cut them if closing does not end.
`Connection._early_checks_done`, `._check_list_done`, `._remote_candidates`, `._pair_remote_candidate`, `._check_list`,
    `.check_start_task`: a relay that comes late is checked, too. A method to add a local candidate.
`RTCDtlsTransport._rx_srtp`, `._tx_srtp`: the keys. `protect` and `unprotect` on the transport.
`RTCRtpSender.send`, `RTCRtpReceiver.receive`, replaced (public names): they would start aiortc's media.
`RTCIceTransport.start`, replaced (public name): closed during the DTLS handshake, aiortc starts ICE once more, in a
    task that nobody looks at, and that raises. A check in `RTCPeerConnection.__connect`.
`RTCSctpTransport._advertised_rwnd`: how much of unfinished messages is held. A limit for it.

`tests/rtc/test_aiortc_contract.py` fails with a clear message when a release changes one of them; at run time
`Seam` raises `ConfigError`.
"""

# ruff: noqa: SLF001 - that is what it is for
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any

from ..errors import ConfigError
from .aiortc_channel import ChannelSeam, repeat_sooner
from .base import RtcOptions
from .gathering import Gathering

__all__ = ["CONSENT_INTERVAL", "Seam"]

CONSENT_INTERVAL = 2.5
"""Seconds between consent checks, as libwebrtc; RFC 7675, 5.1 asks for at least one in 5 s."""

_RTCP = range(192, 224)  # second octet of an RTCP packet among RTP (RFC 5761, 4)
_RECEIVE_WINDOW = 1024 * 1024  # aiortc's, per association
_LATE = (
    "_early_checks_done",
    "_check_list_done",
    "_remote_candidates",
    "_pair_remote_candidate",
    "_check_list",
)


class Seam:
    """Our RTP path on one `RTCPeerConnection`.

    Args:
        transceiver: the audio transceiver, whose transport everything is bundled on.
        options: which addresses and ports to use.
        on_rtp, on_rtcp: get each packet, decrypted and authenticated. They must not raise.
        on_consent: told when a consent check was answered.

    Attributes:
        heard: `loop.time()` of the last authenticated packet of the peer: media, or an answer to a consent check.
        rejected: packets that SRTP did not accept.
    """

    def __init__(
        self,
        transceiver: Any,
        options: RtcOptions,
        *,
        on_rtp: Callable[[bytes], None],
        on_rtcp: Callable[[bytes], None],
        on_consent: Callable[[], None],
    ) -> None:
        self._dtls = _need(transceiver, "receiver", "transport")
        self._ice = _need(self._dtls, "transport")
        self._connection = _need(self._ice, "_connection")
        self._on_rtp = on_rtp
        self._on_rtcp = on_rtcp
        self._on_consent = on_consent
        self._time = asyncio.get_running_loop().time
        self.heard = self._time()
        self.rejected = 0
        self.gathering = Gathering(
            self._connection,
            options,
            keep=_need(self._connection, "_protocols", "append"),
            late=self._check_late_relay,
        )
        self._forward: Callable[[bytes, int], None] = _need(self._connection, "data_received")
        self._take_dtls = self._forward
        self._channel: ChannelSeam | None = None
        self._install(transceiver)

    def _install(self, transceiver: Any) -> None:
        import pylibsrtp

        for name in ("_nominated", *_LATE):
            _need(self._connection, name)
        _need(self._dtls, "_rx_srtp")
        _need(self._dtls, "_tx_srtp")
        for name, replacement in (
            ("data_received", self._data_received),
            ("get_component_candidates", self.gathering.candidates),
            ("query_consent", self._check_consent),
        ):
            _need(self._connection, name)
            setattr(self._connection, name, replacement)
        for owner, name in ((transceiver.sender, "send"), (transceiver.receiver, "receive")):
            _need(owner, name)
            setattr(owner, name, _no_media)
        self._start_ice = _need(self._ice, "start")
        self._ice.start = self._start_ice_unless_closed
        self._srtp_error: type[Exception] = pylibsrtp.Error

    @property
    def dtls(self) -> Any:
        """The `RTCDtlsTransport`."""
        return self._dtls

    @property
    def ice(self) -> Any:
        """The `RTCIceTransport`."""
        return self._ice

    def _check_late_relay(self) -> None:
        """A local candidate came when the checks may have begun: pair it, and check what is new.

        Before they begin nothing is to be done, they will include it; when they are over there is no use for it.
        """
        connection = self._connection
        if connection._early_checks_done and not connection._check_list_done:
            before = len(connection._check_list)
            for candidate in connection._remote_candidates:
                connection._pair_remote_candidate(candidate)
            for pair in connection._check_list[before:]:
                connection.check_start_task(pair)

    async def _start_ice_unless_closed(self, parameters: object) -> None:
        if self._ice.state != "closed":
            await self._start_ice(parameters)

    def send_rtp(self, packet: bytes) -> bool:
        """Encrypt and send one packet; False while there is nowhere to send it."""
        srtp = self._dtls._tx_srtp
        return srtp is not None and self._send(srtp.protect(packet))

    def send_rtcp(self, packet: bytes) -> bool:
        """The same for a compound RTCP packet."""
        srtp = self._dtls._tx_srtp
        return srtp is not None and self._send(srtp.protect_rtcp(packet))

    def _send(self, datagram: bytes) -> bool:
        pair = self._connection._nominated.get(1)
        if pair is None:
            return False
        pair.protocol.transport.sendto(datagram, pair.remote_addr)
        return True

    def _data_received(self, data: bytes, component: int) -> None:
        """In place of `Connection.data_received`: media to us at once, DTLS to aiortc's queue or our channel.

        The first octet tells them apart (RFC 7983, 7). All else is dropped: an empty datagram, from
        anybody, would end aiortc's transport.
        """
        first = data[0] if len(data) > 1 else 0
        if not 127 < first < 192:
            if 19 < first < 64:
                self._take_dtls(data, component)
            return
        srtp = self._dtls._rx_srtp
        if srtp is None:  # before the handshake is over: live media is not worth waiting for
            return
        try:
            if data[1] in _RTCP:
                packet, handle = srtp.unprotect_rtcp(data), self._on_rtcp
            else:
                packet, handle = srtp.unprotect(data), self._on_rtp
        except self._srtp_error:
            self.rejected += 1
            return
        self.heard = self._time()
        handle(packet)

    async def _check_consent(self) -> None:
        """In place of `Connection.query_consent`: ask for ever; the peer connection draws the conclusions."""
        from aioice import stun

        connection = self._connection
        while True:
            await asyncio.sleep(CONSENT_INTERVAL * random.uniform(0.8, 1.2))  # noqa: S311 - RFC 7675, 5.1
            for pair in tuple(connection._nominated.values()):
                request = connection.build_request(pair, nominate=False)
                with contextlib.suppress(stun.TransactionError):
                    await pair.protocol.request(
                        request,
                        pair.remote_addr,
                        integrity_key=connection.remote_password.encode(),
                        retransmissions=1,
                    )
                    self.heard = self._time()
                    self._on_consent()

    @staticmethod
    def prepare_channel(sctp: Any) -> None:
        """Set up what has to be before the data channel's association begins."""
        repeat_sooner(sctp, _need)

    def take_channel(self, sctp: Any, broken: Callable[[str], None]) -> None:
        """Take the data channel's datagrams from now on, too: DTLS is connected; see `ChannelSeam`."""
        if self._channel is None:
            self._channel = ChannelSeam(self._dtls, sctp, need=_need, forward=self._forward, broken=broken)
            self._take_dtls = self._channel.received

    def tick(self) -> None:
        """20 ms have passed."""
        if self._channel is not None:
            self._channel.tick()

    def unfinished_bytes(self, sctp: Any) -> int:
        """Bytes of data channel messages that are not complete yet."""
        return _RECEIVE_WINDOW - int(sctp._advertised_rwnd)

    def cut(self) -> None:
        """Close the sockets, whatever state aiortc is in."""
        for protocol in tuple(self._connection._protocols):
            with contextlib.suppress(Exception):
                abort = getattr(protocol.transport, "abort", None) or protocol.transport.close
                abort()


async def _no_media(_parameters: object) -> None:
    """In place of `RTCRtpSender.send` and `RTCRtpReceiver.receive`."""


def _need(owner: Any, *names: str) -> Any:
    """Walk along attributes.

    Raises:
        ConfigError: if one is not there: another aiortc than this module was written for.
    """
    for name in names:
        if not hasattr(owner, name):
            raise _changed(owner, name)
        owner = getattr(owner, name)
    return owner


def _changed(owner: Any, name: str) -> ConfigError:
    import aioice
    import aiortc

    return ConfigError(
        f"aiortc {aiortc.__version__} with aioice {aioice.__version__} has no {type(owner).__name__}.{name}, "
        "which voxwire needs; install 'aiortc>=1.16,<1.17' and 'aioice>=0.13,<0.14', or the extra 'libwebrtc'"
    )
