"""One call of a `SipPhone`: what can be done to it, and what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ...errors import ConnectError, ConnectTimeout
from .caller import OutgoingLeg
from .endpoint import SipEndpoint
from .host import refusal
from .media import SipMedia
from .negotiation import AgreedMedia
from .outputs import ChangeRefused, Ended, Established, Keyed, MediaChanged, Output, Progress, Referred

__all__ = [
    "CallRefused",
    "HoldChanged",
    "KeyPressed",
    "OnPhoneEvent",
    "PhoneCall",
    "PhoneEvent",
    "Ringing",
    "TransferRequested",
]


class CallRefused(ConnectError):
    """The other side says no: nobody takes the call, or a change of it.

    Attributes:
        status: the SIP status: 486 is busy, 603 declined, 408 no answer.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Ringing:
    """Word from the other end before it answers: 100 it is there, 180 it rings, 183 the call makes progress."""

    status: int


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """The other side pressed a key: one of `0123456789*#ABCD`."""

    key: str


@dataclass(frozen=True, slots=True)
class HoldChanged:
    """The other side does not hear us from now on, or hears us again."""

    held: bool


@dataclass(frozen=True, slots=True)
class TransferRequested:
    """The other side asks to call somebody else (REFER): see `SipPhone.follow`, or ignore it.

    Attributes:
        target: whom; a URI of any scheme.
        headers: for the INVITE to it.
    """

    target: str
    headers: tuple[tuple[str, str], ...] = ()


PhoneEvent: TypeAlias = Ringing | KeyPressed | HoldChanged | TransferRequested
OnPhoneEvent: TypeAlias = Callable[[PhoneEvent], None]


class PhoneCall:
    """A call that was placed.

    Attributes:
        media: what to speak to and to listen to, 24 kHz PCM16.
    """

    def __init__(
        self, endpoint: SipEndpoint, leg: OutgoingLeg, media: SipMedia, on_event: OnPhoneEvent
    ) -> None:
        self.media = media
        self._endpoint = endpoint
        self._leg = leg
        self._on_event = on_event
        self._held = False
        self._lost = False
        self._refused = 0
        self._answered: asyncio.Event = asyncio.Event()
        self._ended = asyncio.Event()
        self._changed = asyncio.Event()
        self._end: Ended | None = None

    @property
    def leg(self) -> OutgoingLeg:
        """The call as SIP has it."""
        return self._leg

    @property
    def agreed(self) -> AgreedMedia | None:
        """What was agreed on for the audio."""
        return self._leg.media

    @property
    def reason(self) -> str:
        """Why it has ended; empty before."""
        return self._end.reason if self._end is not None else ""

    @property
    def lost(self) -> bool:
        """Whether it has ended although nobody hung up: the other side is gone."""
        return self._lost

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self._ended.is_set()

    def news(self, output: Output) -> None:
        """Something happened."""
        match output:
            case Progress(status=status):
                self._on_event(Ringing(status))
            case Established() | MediaChanged():
                self._agreed_anew(first=isinstance(output, Established))
            case ChangeRefused(status=status):
                self._refused = status
                self._changed.set()
            case Keyed(key=key):
                self._on_event(KeyPressed(key))
            case Referred(target=target, headers=headers):
                self._on_event(TransferRequested(target, headers))
            case Ended():
                self._end = output
                self._lost = self._lost or output.status is not None
                self.media.close()
                self._answered.set()
                self._changed.set()
                self._ended.set()
            case _:
                pass

    def _agreed_anew(self, *, first: bool) -> None:
        agreed = self._leg.media
        if agreed is None:
            return
        self.media.agree(agreed)
        self._changed.set()
        if first:
            self.media.begin()
            self._answered.set()
        if agreed.held != self._held:
            self._held = agreed.held
            self._on_event(HoldChanged(agreed.held))

    async def wait_answered(self, timeout: float) -> None:
        """Wait for the answer; see `SipPhone.call`."""
        try:
            async with asyncio.timeout(timeout):
                await self._answered.wait()
        except TimeoutError:
            self._give_up()
            what = (
                "the call was not answered" if self._leg.heard_back else "nothing was heard of the other side"
            )
            raise ConnectTimeout(f"{what} within {timeout:g} s") from None
        except asyncio.CancelledError:
            self._give_up()
            raise
        if self._end is not None:
            status = self._end.status or 500
            reason = self._end.reason
            about = "" if reason.endswith(refusal(status)) else f" ({reason})"
            raise CallRefused(f"the call was not taken: {refusal(status)}{about}", status)

    def _give_up(self) -> None:
        self._leg.cancel(self._endpoint.now)
        self._endpoint.flush()

    async def wait_ended(self) -> str:
        """Wait for the end of the call; returns the reason."""
        await self._ended.wait()
        return self.reason

    def press(self, keys: str) -> None:
        """Press keys of the telephone (RFC 4733).

        Raises:
            ValueError: there is no such key, or the other side does not take them.
        """
        self.media.press(keys)

    @property
    def pressing(self) -> bool:
        """Whether keys are still being sent; audio waits meanwhile."""
        return self.media.audio is not None and self.media.audio.pressing

    async def hold(self, held: bool = True) -> None:
        """Put the call on hold, or take it back; returns once the other side has agreed, or the call is over.

        Raises:
            CallRefused: it does not agree; everything stays as it was.
        """
        if self.ended:
            return
        self._changed.clear()
        self._refused = 0
        self._leg.updates.turn("sendonly" if held else "sendrecv", self._endpoint.now)
        self._endpoint.flush()
        await self._changed.wait()
        if self._refused:
            raise CallRefused(
                f"the call cannot be {'held' if held else 'taken back'}: {refusal(self._refused)}",
                self._refused,
            )

    def report_transfer(self, status: int) -> None:
        """Tell the other side how a transfer that it asked for goes; `SipPhone.follow` does it by itself.

        Args:
            status: with which SIP status its target has answered; from 200 on it is the last word. 603 declines.
        """
        self._leg.referral.report(status, self._endpoint.now)
        self._endpoint.flush()

    async def hang_up(self, timeout: float = 2.0) -> None:
        """End the call; waits for the other side's word, for so many seconds at most. Idempotent."""
        self._hang_up("hung up here")
        try:
            async with asyncio.timeout(timeout):
                await self._ended.wait()
        except TimeoutError:
            pass  # the user agent goes on saying it as long as the phone is open

    def _hang_up(self, reason: str) -> None:
        self._leg.cancel(self._endpoint.now, reason)
        self._endpoint.flush()
        self.media.close()

    def fell_silent(self, seconds: float) -> None:
        """Nothing has come from the other side for so long: it is gone without a word."""
        self._lost = True
        self._hang_up(f"nothing came from the other side for {seconds:g} s")
