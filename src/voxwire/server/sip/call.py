"""A call by telephone: it rings, somebody decides, it is carried as a session, it ends."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..auth import Refusal
from ..calls import Call
from ..channel import Socket
from ..connection import Connection
from ..engine.errors import ClientError
from .host import offers
from .leg import Leg
from .media import SipMedia
from .message import Request
from .negotiation import LocalMedia
from .outputs import Ended, Established, Keyed, MediaChanged, Output, Transferred
from .ports import NoPortError
from .sdp import Codec, SdpError

if TYPE_CHECKING:
    from .line import PhoneLine

__all__ = ["SipCall"]

logger = logging.getLogger("voxwire.server")

BYE_SECONDS = 2.0
"""How long the call waits for the answer to its BYE; the user agent goes on sending it for 32 s."""
DECLINED = 603
UNAVAILABLE = 480
_TARGET = re.compile(r"(?:sips?:[^\s<>\"@]*@?[^\s<>\"]+|tel:[+0-9*#().;=\-A-Za-z]+)", re.IGNORECASE)


class SipCall(Call):
    """One call on a phone line.

    Args:
        line: what it came in on.
        leg: the call as SIP has it.
        request: the INVITE.
    """

    def __init__(self, call_id: str, line: PhoneLine, leg: Leg, request: Request) -> None:
        super().__init__(call_id)
        self._line = line
        self._leg = leg
        self._request = request
        self._media: SipMedia | None = None
        self._connection: Connection | None = None
        self._decided = asyncio.Event()
        self._gone = asyncio.Event()
        self._reason = ""

    # -- life -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Carry the call until it ends."""
        telling: asyncio.Task[None] | None = None
        try:
            if self._line.asks:
                self._leg.ring(self._line.now)
                self._line.flush()
                telling = asyncio.create_task(self._tell(), name=f"voxwire-server-{self.id}-webhook")
            else:
                self._accept_by_itself()
            await self._wait()
            if self._connection is not None and self._media is not None:
                await self._talk(self._connection, self._media)
        finally:
            if telling is not None:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)
            if self._media is not None:
                self._media.close()
            await self._leave()

    def _accept_by_itself(self) -> None:
        try:
            self.accept({"type": "realtime"})
        except ClientError as error:
            logger.warning("a call by SIP could not be accepted: %s", error.message)
            self._reject(500)

    async def _tell(self) -> None:
        try:
            told = await self._line.tell(self.id, self._request.headers)
        except Exception:
            logger.exception("nobody could be told of call %s", self.id)
            told = False
        if not told and self._waiting:
            self._reject(UNAVAILABLE)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._line.limits.ring_seconds):
                await self._decided.wait()
        except TimeoutError:
            self._reject(UNAVAILABLE)

    async def _talk(self, connection: Connection, media: SipMedia) -> None:
        opening = asyncio.create_task(media.open(), name=f"voxwire-server-{self.id}-media")
        try:
            await connection.run()
        finally:
            await asyncio.gather(opening, return_exceptions=True)

    async def _leave(self) -> None:
        if self._waiting:
            self._reject(UNAVAILABLE)
        self._leg.hang_up(self._line.now, self._reason or "the session has ended")
        self._line.flush()
        try:
            async with asyncio.timeout(BYE_SECONDS):
                await self._gone.wait()
        except TimeoutError:
            logger.info("the end of call %s was not acknowledged in time", self.id)
        self._line.forget(self._leg)

    # -- what the line tells ------------------------------------------------------------------

    def news(self, output: Output) -> None:
        """Something happened to the leg."""
        connection, media, agreed = self._connection, self._media, self._leg.media
        match output:
            case Established() | MediaChanged() if media is not None and agreed is not None:
                media.agree(agreed)
                if isinstance(output, Established):
                    media.begin()
            case Keyed(key=key):
                self._pressed(key)
            case Transferred(status=status, final=True):
                self._transferred(status)
            case Ended(reason=reason):
                self._gone.set()
                self._decided.set()
                if self._leg.unreachable:
                    logger.warning("call %s has ended here alone: %s", self.id, self._leg.unreachable)
                if connection is not None:
                    connection.end(1000, f"The call has ended: {reason}.")
            case _:
                pass

    def _pressed(self, key: str) -> None:
        if self._connection is not None:
            self._connection.press(key)

    def _transferred(self, status: int) -> None:
        if status < 300:
            self.end(1000, "The call was transferred.")
        else:
            logger.warning("call %s was not transferred: %d", self.id, status)

    def _silent(self) -> None:
        seconds = self._line.limits.media_silent_seconds
        self.end(1000, f"The call has ended: no audio came from the caller for {seconds:g} seconds.")

    # -- what can be done to it -----------------------------------------------------------------

    @property
    def _waiting(self) -> bool:
        return self._leg.state == "ringing"

    def accept(self, session: Mapping[str, Any]) -> None:
        """Answer the phone and begin the session.

        Raises:
            Refusal: it does not wait for that, there is no port for its audio, or its offer cannot be used.
            ClientError: the session is not valid.
        """
        if not self._waiting or self._connection is not None:
            raise self._not_waiting("accepted")
        try:
            media = self._line.make_media(on_key=self._pressed, on_silence=self._silent)
        except NoPortError as error:
            raise Refusal(503, f"{error}", code="server_overloaded", type="server_error") from error
        try:
            connection = self._line.make_connection(session, media, self._codec())
            self._answer(media)
        except BaseException:
            media.close()
            raise
        self._media, self._connection = media, connection
        self._decided.set()
        self._line.flush()

    def _codec(self) -> Codec | None:
        """What will be spoken; None if the offer is ours, and theirs is the choice."""
        offer = offers(self._request)
        return None if offer is None else self._leg.negotiation.check(offer).codec

    def _answer(self, media: SipMedia) -> None:
        host = self._leg.flow.local
        try:
            self._leg.accept(LocalMedia(host, media.port, self._line.new_session_id()), self._line.now)
        except SdpError as error:
            self._line.flush()
            raise Refusal(400, f"The caller's offer cannot be used: {error}", code="invalid_offer") from error
        if self._leg.media is not None:  # else the offer is ours, and the answer comes with the ACK
            media.agree(self._leg.media)

    def reject(self, status: int) -> None:
        """Refuse the call with a SIP status.

        Raises:
            Refusal: it does not wait for that.
        """
        if not self._waiting:
            raise self._not_waiting("rejected")
        self._reject(status)

    def _reject(self, status: int) -> None:
        self._leg.reject(status, self._line.now)
        self._line.flush()

    def refer(self, target: str) -> None:
        """Have the caller call somebody else. The call ends when that has worked, and goes on if it has not.

        Raises:
            Refusal: the target is no `tel:` or `sip:` URI, or the call cannot be referred now.
        """
        if not _TARGET.fullmatch(target) or not target.isprintable():
            raise Refusal(
                400, f"'{target[:80]}' is no tel: or sip: URI.", code="invalid_target", param="target_uri"
            )
        if not self._leg.refer(target, self._line.now):
            raise Refusal(
                400,
                f"Call '{self.id}' cannot be referred now: it is not established, or is being referred already.",
                code="call_not_established",
                param="call_id",
            )
        self._line.flush()

    def hang_up(self) -> None:
        """End the call; one that rings is declined."""
        if self._waiting:
            self._reject(DECLINED)
        else:
            super().hang_up()

    def end(self, code: int, reason: str) -> None:
        """End the call; idempotent."""
        self._reason = self._reason or reason
        if self._connection is not None:
            self._connection.end(code, reason)
        elif self._waiting:
            self._reject(UNAVAILABLE)

    def check_attach(self) -> None:
        """Raise `Refusal` if it was not accepted yet, or has too many clients."""
        connection, most = self._connection, self._line.limits.sidebands
        if connection is None:
            raise Refusal(
                400,
                f"Call '{self.id}' has no session yet: accept it first.",
                code="call_not_accepted",
                param="call_id",
            )
        if connection.attached >= most:
            raise Refusal(
                429,
                f"{most} clients are attached to call '{self.id}', the most it may have.",
                code="too_many_sidebands",
                type="rate_limit_error",
            )

    async def attach(self, socket: Socket) -> None:
        """Serve a client of its session until either ends."""
        if self._connection is not None:
            await self._connection.attach(socket)
