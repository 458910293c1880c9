"""The data channel's datagrams on aiortc 1.16: a shorter way through DTLS, and fewer acknowledgements.

aiortc takes each datagram through a queue and a task, and answers each with an acknowledgement (SACK) of its own, which
costs as much as a message. Here a datagram goes to SCTP in the callback of the socket, and acknowledgements travel
with the next message, or for every second datagram, or after 60 ms, as RFC 9260 section 6.2 has it (200 ms at most).

What is needed for that and is not documented, beside what `aiortc_seam` lists, with what would do as public API:

`RTCDtlsTransport._ssl`, `._data_receiver`: a data receiver that is called without a task.
`RTCSctpTransport._handle_data`: a coroutine without an await in it that suspends. A plain function.
`RTCSctpTransport._send_sack`, `._send_chunk`, replaced; `._sack_needed`, `._sack_misordered`, `._sack_duplicates`:
    delayed acknowledgements, and chunks bundled into one datagram.
`RTCSctpTransport._rto`, `._srtt`, `._rttvar`, and `._update_rto`, replaced: the times as options.
"""

# ruff: noqa: SLF001 - that is what it is for
# pyright: reportPrivateUsage=false

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

__all__ = ["ACK_TICKS", "INITIAL_RTO", "MIN_RTO", "ChannelSeam", "repeat_sooner"]

logger = logging.getLogger("voxwire")

ACK_TICKS: Final = 3
"""Ticks of 20 ms that an acknowledgement waits at most."""
INITIAL_RTO: Final = 1.0
"""Seconds until what is not acknowledged is sent again, before a round trip was measured (RFC 9260 section 16). aiortc
has the 3 s of RFC 4960."""
MIN_RTO: Final = 0.4
"""The least afterwards, as in libwebrtc: a lost event is missed like a lost word, and 1 s (RFC 9260) is long. It has to
be more than the 0.2 s that the peer may keep an acknowledgement."""
_MAX_RTO: Final = 60.0
_PER_ACK: Final = 2
"""Datagrams for each acknowledgement (RFC 9260 section 6.2)."""
_BUNDLED_BYTES: Final = 1100
"""Longer messages go alone: with the acknowledgement they would not fit into 1280 bytes of IPv6."""
_RECORD_BYTES: Final = 1500
_DTLS_1_2_DATA: Final = 23
_DTLS_1_3: Final = range(32, 64)
"""First octets of records with data: RFC 6347 section 4.1, RFC 9147 section 4."""


def repeat_sooner(sctp: Any, need: Callable[..., Any]) -> None:
    """Send lost messages again sooner than aiortc does; to be called before the association is set up.

    Args:
        sctp: the transport; `need` walks along its attributes, and raises where one is missing.
    """
    for name in ("_rto", "_srtt", "_rttvar"):
        need(sctp, name)
    update: Callable[[float], None] = need(sctp, "_update_rto")

    def update_rto(round_trip: float) -> None:
        update(round_trip)
        sctp._rto = max(MIN_RTO, min(sctp._srtt + 4 * sctp._rttvar, _MAX_RTO))

    sctp._update_rto = update_rto
    sctp._rto = INITIAL_RTO


class ChannelSeam:
    """Our way on one association, once DTLS is connected.

    Args:
        dtls, sctp: aiortc's transports; `need` walks along their attributes, and raises where one is missing.
        forward: takes a datagram the way that aiortc has for it.
        broken: told why, when what came cannot be dealt with.
    """

    def __init__(
        self,
        dtls: Any,
        sctp: Any,
        *,
        need: Callable[..., Any],
        forward: Callable[[bytes, int], None],
        broken: Callable[[str], None],
    ) -> None:
        from aiortc.rtcsctptransport import DataChunk
        from OpenSSL import SSL

        self._dtls = dtls
        self._sctp = sctp
        self._forward = forward
        self._broken = broken
        self._data_chunk: type[Any] = DataChunk
        self._ssl_error: type[Exception] = SSL.Error
        self._ssl = need(dtls, "_ssl")
        need(dtls, "_data_receiver")
        for name in ("_sack_needed", "_sack_misordered", "_sack_duplicates"):
            need(sctp, name)
        self._handle: Callable[[bytes], Coroutine[Any, Any, None]] = need(sctp, "_handle_data")
        self._send_sack: Callable[[], Coroutine[Any, Any, None]] = need(sctp, "_send_sack")
        self._send_chunk: Callable[[Any], Coroutine[Any, Any, None]] = need(sctp, "_send_chunk")
        self._unacknowledged = 0  # datagrams
        self._ticks = 0
        self._with: Any = None  # the chunk that an acknowledgement is to travel with
        sctp._send_sack = self._acknowledge
        sctp._send_chunk = self._send

    def received(self, datagram: bytes, component: int = 1) -> None:
        """A DTLS datagram came."""
        first = datagram[0]
        if (
            first != _DTLS_1_2_DATA and first not in _DTLS_1_3
        ) or self._dtls._data_receiver is not self._sctp:
            self._forward(datagram, component)
            return
        self._ssl.bio_write(datagram)
        try:
            data = self._ssl.recv(_RECORD_BYTES)
        except self._ssl_error:
            # A goodbye, a repetition, or nothing: aiortc comes to the same conclusion.
            self._forward(datagram, component)
            return
        self._run(self._handle(data))

    def tick(self) -> None:
        """20 ms have passed."""
        if self._unacknowledged:
            self._ticks += 1
            if self._ticks >= ACK_TICKS:
                self._run(self._acknowledge_now())

    async def _acknowledge(self) -> None:
        """In place of `_send_sack`: a datagram with data came. Gaps and repetitions are told at once (RFC 9260, 6.7)."""
        self._unacknowledged += 1
        sctp = self._sctp
        if self._unacknowledged >= _PER_ACK or sctp._sack_misordered or sctp._sack_duplicates:
            await self._acknowledge_now()
        else:
            sctp._sack_needed = False

    async def _acknowledge_now(self) -> None:
        self._unacknowledged = self._ticks = 0
        await self._send_sack()

    async def _send(self, chunk: Any) -> None:
        """In place of `_send_chunk`: data takes a waiting acknowledgement along."""
        companion, self._with = self._with, None
        try:
            await self._send_or_bundle(chunk, companion)
        except (self._ssl_error, ConnectionError):
            # The connection is being closed. What does not go out is lost, like any datagram.
            self._unacknowledged = 0

    async def _send_or_bundle(self, chunk: Any, companion: Any) -> None:
        if companion is not None:
            await self._send_chunk(_Both(chunk, companion))
        elif (
            self._unacknowledged
            and isinstance(chunk, self._data_chunk)
            and len(chunk.user_data) <= _BUNDLED_BYTES
        ):
            self._with = chunk
            await self._acknowledge_now()
        else:
            await self._send_chunk(chunk)

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine of aiortc that never waits."""
        try:
            coroutine.send(None)
        except StopIteration:
            return
        except ConnectionError:  # it closes
            return
        except Exception as error:
            logger.exception("the data channel cannot go on")
            self._broken(f"the peer sent on the data channel what cannot be dealt with: {error!r}")
            return
        coroutine.close()
        self._broken("aiortc waits where it did not; this version of it cannot be used")


class _Both:
    """Two chunks in one datagram: control first, then data (RFC 9260 section 6.10)."""

    def __init__(self, control: Any, data: Any) -> None:
        self._chunks = (control, data)

    def __bytes__(self) -> bytes:
        control, data = self._chunks
        return bytes(control) + bytes(data)
