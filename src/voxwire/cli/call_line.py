"""The line of `voxwire call`: one call after the other, as the other side transfers us."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from ..errors import ConnectError, VoxwireError
from ..protocol.formats import PCM16
from ..server.sip.phone import SipPhone
from ..server.sip.phone_call import (
    HoldChanged,
    KeyPressed,
    PhoneCall,
    PhoneEvent,
    Ringing,
    TransferRequested,
)
from .call_words import agreed_text, explain, ringing_text
from .narration import Kind

__all__ = ["Line"]

_HINT_AFTER: Final = 3.0
_LEAVE_SECONDS: Final = 3.0
"""How long the other side of a call that it has transferred may take to hang up."""
_MOST_TRANSFERS: Final = 8
_LEAD_MS: Final = 60
"""Audio that waits to be sent while we speak, so that a late frame leaves no gap."""
_MOST_WAITING_MS: Final = 300


class Line:
    """Calls somebody, and stays with whoever that call leads to.

    Args:
        phone: open, and one that takes transfers.
        tell: shows a line of text about what happens.
        hear: gets what is heard, 24 kHz PCM16, 20 ms at a time.
        on_media: told when there is another codec, or hold has changed.
    """

    def __init__(
        self,
        phone: SipPhone,
        tell: Callable[[Kind, str], None],
        hear: Callable[[bytes], None],
        on_media: Callable[[], None],
    ) -> None:
        self._phone = phone
        self._tell = tell
        self._hear = hear
        self._on_media = on_media
        self._call: PhoneCall | None = None
        self._transferring: asyncio.Task[None] | None = None
        self._transfers = 0
        self._early: list[TransferRequested] = []
        self._heard = False
        self._rang = 0
        self._holding = False
        self._spoke = False
        self.dropped_ms = 0.0

    @property
    def call(self) -> PhoneCall | None:
        """The call that we are in; None before one is answered."""
        return self._call

    @property
    def held(self) -> bool:
        """Whether what we say would not be heard."""
        agreed = self._call.agreed if self._call is not None else None
        return agreed is None or agreed.direction != "sendrecv"

    @property
    def narrowband(self) -> bool:
        """Whether nothing on the line is above 4 kHz."""
        agreed = self._call.agreed if self._call is not None else None
        return agreed is not None and agreed.codec.rate <= 8000

    async def dial(self, uri: str, *, timeout: float, headers: Sequence[tuple[str, str]]) -> None:
        """Place the call, and return when it is answered.

        Raises:
            UserError: it cannot be called.
            ConnectError: it was refused, or not answered; in words.
        """
        hint = asyncio.create_task(self._hint(uri))
        try:
            call = await self._phone.call(uri, timeout=timeout, headers=headers, on_event=self._happened)
        except ConnectError as error:
            raise ConnectError(explain(error, uri, heard=self._heard)) from error
        finally:
            hint.cancel()
        self._take(call)
        self._tell("info", f"answered: {agreed_text(call.agreed)}")
        for asked in self._early:
            self._asked(asked)

    async def _hint(self, uri: str) -> None:
        await asyncio.sleep(_HINT_AFTER)
        if not self._heard:
            self._tell("info", f"nothing has come back from {uri} yet; still trying")

    def _take(self, call: PhoneCall) -> None:
        if self._call is not None:
            self._call.media.listen(lambda _pcm: None)
        self._call = call
        self._holding = self._spoke = False
        call.media.listen(self._hear)
        self._on_media()

    # -- what happens ---------------------------------------------------------------------------

    def _happened(self, event: PhoneEvent) -> None:
        match event:
            case Ringing(status):
                self._heard = True
                if status > 100 and status != self._rang:  # a phone goes on saying so
                    self._rang = status
                    self._tell("info", ringing_text(status))
            case KeyPressed(key):
                self._tell("info", f"the other side pressed {key}")
            case HoldChanged(held):
                self._tell("info", "on hold" if held else "taken back from hold")
                self._on_media()
            case TransferRequested() as asked:
                self._asked(asked)

    def _asked(self, asked: TransferRequested) -> None:
        call = self._call
        if call is None:  # it came right behind the answer
            self._early.append(asked)
            return
        self._tell("handoff", f"the other side transfers the call to {asked.target}")
        if self._transfers >= _MOST_TRANSFERS or (self._transferring and not self._transferring.done()):
            self._tell("error", "not followed: that is one transfer too many")
            call.report_transfer(603)
            return
        self._transfers += 1
        self._transferring = asyncio.create_task(self._follow(call, asked), name="voxwire-call-transfer")

    async def _follow(self, call: PhoneCall, asked: TransferRequested) -> None:
        self._heard, self._rang = False, 0
        try:
            made = await self._phone.follow(call, asked, on_event=self._happened)
        except VoxwireError as error:
            why = (
                explain(error, asked.target, heard=self._heard) if isinstance(error, ConnectError) else error
            )
            self._tell("error", f"the transfer failed: {why}")
            return
        self._take(made)
        self._tell("handoff", f"transferred; answered: {agreed_text(made.agreed)}")
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await call.wait_ended()
        except TimeoutError:
            await call.hang_up()

    async def wait_ended(self) -> PhoneCall:
        """Wait for the end of the last call, and return it. Being transferred is no end."""
        while True:
            call = self._call
            if call is None:
                raise RuntimeError("dial() comes first")
            await call.wait_ended()
            if self._transferring is not None and self._call is call:
                await asyncio.wait([self._transferring])  # the first call may end before the second is there
            if self._call is call:
                return call

    # -- what can be done -----------------------------------------------------------------------

    def speak(self, pcm: bytes) -> None:
        """Say this, 24 kHz PCM16, as it comes from a microphone: silence too."""
        call = self._call
        if call is None or self.held or call.ended:
            return
        if not self._spoke:
            self._spoke = True
            call.media.write(bytes(PCM16.size_of(_LEAD_MS)))
        waiting = call.media.audio.queued_ms if call.media.audio is not None else 0.0
        # Audio waits while keys are sent, and where a microphone's clock is fast; that is made up for in silence.
        if waiting > 2 * _LEAD_MS and not any(pcm):
            return
        if waiting > _MOST_WAITING_MS:
            self.dropped_ms += PCM16.duration_ms(len(pcm))
            return
        call.media.write(pcm)

    def press(self, keys: str) -> None:
        """Press keys of the telephone.

        Raises:
            ValueError: there are none such, or the other side does not take them.
        """
        if self._call is not None:
            self._call.press(keys)

    async def turn_hold(self) -> None:
        """Put the other side on hold, or take it back.

        Raises:
            ConnectError: it does not agree; everything stays as it was.
        """
        if self._call is not None and not self._call.ended:
            self._holding = not self._holding
            try:
                await self._call.hold(self._holding)
            except VoxwireError:
                self._holding = not self._holding
                raise
            self._tell(
                "info", "you have put the call on hold" if self._holding else "you have taken the call back"
            )

    async def hang_up(self) -> None:
        """End what there is; idempotent."""
        if self._transferring is not None and not self._transferring.done():
            self._transferring.cancel()
            await asyncio.wait([self._transferring])
        if self._call is not None and not self._call.ended:
            await self._call.hang_up()
