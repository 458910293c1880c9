"""The conversation of `voxwire talk` while it goes on: what is shown, and what keys do."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..audio.devices import DeviceEvent
from ..audio.push_to_talk import PushToTalk
from ..protocol.transport_events import AudioEvent, AudioInterrupted, ConnectionChange
from ..recording.recorder import Recorder
from ..rtc.base import RtcStats
from ..session.events import SESSION_EVENTS
from ..session.session import RealtimeSession
from ..transports.media import MediaTransport
from .director import PAUSE_MS, Condition, Stalled, Watch, quiet_for
from .keys import Keyboard
from .narration import Entry, Narrator, Partial, partial
from .running import INTERRUPTED, Actions, refreshed, take_back_cancellation
from .talk_audio import HeardLevel, MeteredSource, Sound
from .talk_status import device_line, keys_line, latency_line, meter, path_line, summary_lines
from .views import make_view

__all__ = ["End", "TalkStage"]

_USER_TEXT: Final = "conversation.item.input_audio_transcription.completed"


@dataclass(frozen=True, slots=True)
class End:
    """How it ended: an exit status, and what to print."""

    status: int
    lines: Sequence[str]


class TalkStage:
    """One conversation.

    Args:
        recorder: started; its timeline is what is shown.
        microphone: the source, metered. push: the same behind a key, if turns are ended by hand.
    """

    def __init__(
        self,
        session: RealtimeSession,
        recorder: Recorder,
        sound: Sound,
        microphone: MeteredSource,
        push: PushToTalk | None,
        *,
        plain: bool,
    ) -> None:
        self._session = session
        self._transport: Any = session.transport
        self._timeline = recorder.timeline
        self._now = recorder.now_ms
        self._sound = sound
        self._microphone = microphone
        self._push = push
        self._narrator = Narrator(self._timeline)
        self._watch = Watch(self._now)
        self._heard = HeardLevel()
        self._quit = asyncio.Event()
        self._actions = Actions(lambda why: self._view.show(Entry(self._now(), "error", "", why)))
        self._why = "the connection ended"
        self._view = make_view(
            plain=plain,
            partial=self._partial,
            now=self._now,
            footer=self._footer,
        )
        for name in SESSION_EVENTS:
            session.on(name, self._take)
        session.transport.on(_USER_TEXT, self._take)

    # -- what is shown -----------------------------------------------------------------------

    def remark(self, text: str) -> None:
        """Show a line that nobody said."""
        self._view.show(Entry(self._now(), "info", "", text))

    def device_changed(self, event: DeviceEvent) -> None:
        """A device came, went, or was too slow."""
        self.remark(device_line(event))

    def _take(self, event: object) -> None:
        match event:
            case AudioEvent(data=pcm, format=audio_format):
                self._heard.add(pcm, audio_format, self._transport.heard_ms)
            case AudioInterrupted():
                self._heard.drop(self._transport.heard_ms)
            case ConnectionChange(status="disconnected", reason=reason) if reason:
                self._why = f"the connection ended: {reason}"
            case _:
                pass
        self._watch.nudge()
        for entry in self._narrator.take(event, self._now()):
            self._view.show(entry)

    def _partial(self) -> Partial:
        if self._session.status != "connected":
            return Partial(self._session.status, "", "", "", "")
        live = isinstance(self._session.transport, MediaTransport)
        return partial(self._timeline, self._now(), live=live)

    def _footer(self) -> Sequence[str]:
        agent = self._heard.at(self._transport.heard_ms, playing=self._session.transport.speaking)
        held = self._push is not None and not self._push.pressed
        remark = "muted" if self._session.muted else "press space to talk" if held else ""
        return (
            "",
            meter("You", self._microphone.level, remark),
            meter(self._timeline.agent, agent),
            f"{latency_line(self._timeline)}   {path_line(self._stats())}",
            keys_line(push_to_talk=self._push is not None),
        )

    def _stats(self) -> RtcStats | None:
        transport = self._session.transport
        return transport.get_stats() if isinstance(transport, MediaTransport) else None

    # -- what keys do ------------------------------------------------------------------------

    def key(self, key: str) -> None:
        """Somebody pressed this."""
        match key.lower():
            case "q" | "\x04":  # Ctrl-D
                self._quit.set()
            case "m":
                self._do(self._mute())
            case " " if self._push is not None:
                self._do(self._talk(self._push))
            case " " | "i":
                self._do(self._session.interrupt())
            case _:
                pass

    def _do(self, action: Coroutine[Any, Any, None]) -> None:
        if self._session.status == "connected":
            self._actions.start(action)
        else:
            action.close()

    async def _mute(self) -> None:
        muted = not self._session.muted
        await self._session.mute(muted)
        self.remark("the microphone is muted" if muted else "the microphone is on")

    async def _talk(self, push: PushToTalk) -> None:
        if push.pressed:
            push.release()
            return
        if self._session.transport.speaking:
            await self._session.interrupt()
        # Over WebRTC the service has heard the silence until now, too.
        await self._session.transport.send_event({"type": "input_audio_buffer.clear"})
        push.press()

    async def commit(self) -> None:
        """All of what was said behind the key is on its way: have it answered."""
        await self._session.send_audio(b"", commit=True)
        await self._session.transport.request_response()

    # -- from beginning to end ---------------------------------------------------------------

    async def hold(self, file: Path | None) -> End:
        """Connect, and talk until it is over; see `End`.

        Args:
            file: what to say; without it, whatever the microphone hears.

        Raises:
            VoxwireError: there is no connection.
        """
        status, why = 0, ""
        with self._view, Keyboard(self.key) as keyboard:
            try:
                async with refreshed(self._view, keyboard):
                    await self._session.connect()
                    keys = keys_line(push_to_talk=self._push is not None) if keyboard.interactive else ""
                    self.remark(f"connected   {keys}".rstrip())
                    await self._until_over(file)
            except Stalled as stall:
                status, why = 1, str(stall)
            except asyncio.CancelledError:
                status, why = INTERRUPTED, "stopped by the user"
                take_back_cancellation()
            stats = self._stats()
            await self._close()
        lines = summary_lines(self._timeline, stats)
        return End(status, [*([why] if why else []), *lines])

    async def _until_over(self, file: Path | None) -> None:
        closed = asyncio.create_task(self._session.wait_closed())
        waiting: set[asyncio.Task[Any]] = {closed, asyncio.create_task(self._quit.wait())}
        if file is not None:
            waiting.add(asyncio.create_task(self._speak(file)))
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
            if closed in done and not self._quit.is_set():
                raise Stalled(self._why)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _speak(self, file: Path) -> None:
        assert self._sound.clip is not None  # noqa: S101 - for the type checker: there is a file
        await self._sound.clip.say(file)
        await self._watch.until(self._answered(), f"no answer to {file}")

    def _answered(self) -> Condition:
        quiet = quiet_for(self._timeline, PAUSE_MS)

        def condition(now: float) -> float:
            turn = self._timeline.current
            return math.inf if turn is None or not turn.replies else quiet(now)

        return condition

    async def _close(self) -> None:
        await self._actions.stop()
        await self._session.close()
