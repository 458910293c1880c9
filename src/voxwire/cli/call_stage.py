"""The conversation of `voxwire call` while it goes on: who says what, what is shown, what keys do."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..audio.base import AudioSink
from ..audio.devices import DeviceEvent
from ..audio.levels import SILENCE_DBFS
from ..audio.live_sources import SequenceSource
from ..audio.wav import WavAudio
from ..server.sip.phone import SipPhone
from .call_hearing import Transcript, Turn, hints
from .call_line import Line
from .call_sound import CallSound, Ears
from .director import Condition, Stalled, Watch
from .keys import Keyboard
from .narration import Entry, Kind, Partial
from .running import INTERRUPTED, Actions, refreshed, take_back_cancellation
from .talk_audio import MeteredSource
from .talk_status import device_line, meter
from .views import make_view

__all__ = ["CallStage", "Clip", "Plan"]

DRAIN_SECONDS: Final = 10.0
"""How long words may take after the end of the call."""
_KEYS: Final = "0123456789*#"
_KEYS_LINE: Final = "0-9 * #: press keys   h: hold   m: mute   q: hang up"


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording that is to be said.

    Attributes:
        text: its words, where they are known.
    """

    path: Path
    audio: WavAudio
    text: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done on the line.

    Attributes:
        clips: what is said, one after the other; without any, what the microphone hears.
        keys: of the telephone, to be pressed first.
        ring_seconds: until nobody has answered. duration: the longest that the call may last, s, or None.
        pause_seconds: of silence, after which the other side has finished.
        record: a WAV file for both sides.
    """

    uri: str
    clips: Sequence[Clip] = ()
    keys: str = ""
    headers: Sequence[tuple[str, str]] = ()
    ring_seconds: float = 60.0
    duration: float | None = None
    pause_seconds: float = 1.5
    record: Path | None = None
    plain: bool = False


class CallStage:
    """One conversation.

    Args:
        source: what we say: a `SequenceSource` for the plan's clips, or a microphone.
        sink: where the other side is heard; None where nobody listens.
    """

    def __init__(
        self, plan: Plan, phone: SipPhone, ears: Ears, source: MeteredSource, sink: AudioSink | None
    ) -> None:
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._zero = self._loop.time()
        self._watch = Watch(self._now)
        self._transcript = Transcript(ears.transcriber, self._show_turn)
        self._phrases = ears.phrases
        self._sound = CallSound(
            source,
            sink,
            ears,
            self._transcript,
            now=self._now,
            on_change=self._watch.nudge,
            live=not plan.clips,
        )
        self._line = Line(phone, self._tell, self._sound.heard, self._sound.changed)
        self._left = len(plan.clips)
        self._saying = ""
        self._turns: list[Turn] = []
        self._last: list[Entry] = []
        self._quit = asyncio.Event()
        self._actions = Actions(lambda why: self._tell("error", why))
        self._view = make_view(plain=plan.plain, partial=self._partial, now=self._now, footer=self._footer)

    def _now(self) -> float:
        return (self._loop.time() - self._zero) * 1000

    @property
    def answered(self) -> bool:
        """Whether there was a call."""
        return self._line.call is not None

    # -- what is shown --------------------------------------------------------------------------

    def device_changed(self, event: DeviceEvent) -> None:
        """A device came, went, or was too slow."""
        self.remark(device_line(event))

    def remark(self, text: str) -> None:
        """Show a line that nobody said."""
        self._tell("info", text)

    def _tell(self, kind: Kind, text: str) -> None:
        self._view.show(Entry(self._now(), kind, "", text))
        self._watch.nudge()

    def _tell_last(self, kind: Kind, text: str) -> None:
        """Show a line about the end, once the last words have been understood."""
        self._last.append(Entry(self._now(), kind, "", text))

    def _show_turn(self, turn: Turn) -> None:
        before = self._turns[-1] if self._turns else None
        self._turns.append(turn)
        ours = turn.side == "us"
        if before is not None and before.side == "us" and not ours and turn.begin_ms > before.end_ms:
            late = turn.begin_ms - before.end_ms
            self._view.show(Entry(turn.begin_ms, "latency", "", f"answered after {late:.0f} ms"))
        text = turn.text or f"({(turn.end_ms - turn.begin_ms) / 1000:.1f} s of speech, not understood)"
        self._view.show(Entry(turn.begin_ms, "user" if ours else "agent", "You" if ours else "Them", text))

    def _partial(self) -> Partial:
        us, them = self._sound.us, self._sound.them
        saying = us.partial if us is not None and us.speaking else self._saying
        if self._line.call is None:
            return Partial(f"calling {self._plan.uri}", "", "", "", "")
        if self._line.held:
            return Partial("on hold", "", "", "", "")
        if them.speaking:
            return Partial("they speak", saying, "Them", them.partial or "...", "")
        return Partial("you speak" if saying else "quiet", saying, "", "", "")

    def _footer(self) -> Sequence[str]:
        call = self._line.call
        if call is None or call.agreed is None:
            return ("", "Ctrl-C hangs up")
        sound, audio = self._sound, call.media.audio
        lost, came = (audio.lost_packets, audio.received_packets) if audio is not None else (0, 0)
        ours = SILENCE_DBFS if sound.muted else sound.source.level
        return (
            "",
            meter("You", ours, "muted" if sound.muted else ""),
            meter("Them", sound.level),
            f"{call.agreed.codec.name}: lost {lost} of {lost + came} packets",
            _KEYS_LINE,
        )

    # -- what keys do ---------------------------------------------------------------------------

    def key(self, key: str) -> None:
        """Somebody pressed this."""
        match key.lower():
            case "q" | "\x04":  # Ctrl-D
                self._quit.set()
            case "m":
                self._sound.muted = not self._sound.muted
                self._tell("info", "the microphone is muted" if self._sound.muted else "the microphone is on")
            case "h":
                self._do(self._line.turn_hold())
            case _ if key in _KEYS and self._line.call is not None:
                self._press(key)
            case _:
                pass

    def _do(self, action: Coroutine[Any, Any, None]) -> None:
        if self._line.call is not None:
            self._actions.start(action)
        else:
            action.close()

    def _press(self, keys: str) -> bool:
        """Press keys of the telephone, if the other side takes them."""
        try:
            self._line.press(keys)
        except ValueError as error:
            self._tell("error", str(error))
            return False
        self._tell("info", f"you press {keys}")
        return True

    # -- from beginning to end ------------------------------------------------------------------

    async def hold(self) -> int:
        """Call, and talk until it is over; returns the exit status.

        Raises:
            VoxwireError: there is no call.
        """
        status = 1
        with self._view, Keyboard(self.key) as keyboard:
            try:
                async with refreshed(self._view, keyboard):
                    await self._sound.open()
                    self._tell("info", f"calling {self._plan.uri}")
                    await self._line.dial(
                        self._plan.uri, timeout=self._plan.ring_seconds, headers=self._plan.headers
                    )
                    self._sound.begin(self._line, self._plan.record)
                    status = await self._converse()
            except Stalled as stall:
                self._tell_last("error", str(stall))
            except asyncio.CancelledError:
                status = INTERRUPTED
                take_back_cancellation()
            finally:
                await self._leave()
        return status

    async def _converse(self) -> int:
        speaking = asyncio.create_task(self._sound.speak())
        ended = asyncio.create_task(self._line.wait_ended())
        talking = asyncio.create_task(self._talk())
        quitting = asyncio.create_task(self._quit.wait())
        tasks: set[asyncio.Task[Any]] = {ended, talking, quitting}
        try:
            done, _ = await asyncio.wait(
                tasks | {speaking}, timeout=self._plan.duration, return_when=asyncio.FIRST_COMPLETED
            )
            if ended in done:
                return self._over(lost=ended.result().lost, why=ended.result().reason)
            if talking in done:
                talking.result()
                return 0
            if speaking in done:  # a microphone that is gone for good
                speaking.result()
            if not done:
                self._tell_last("info", f"the call has lasted {self._plan.duration:g} s (--duration)")
            return self._unsaid()
        finally:
            for task in (*tasks, speaking):
                task.cancel()
            await asyncio.gather(*tasks, speaking, return_exceptions=True)

    def _over(self, *, lost: bool, why: str) -> int:
        self._tell_last("error" if lost else "info", why)
        return 1 if lost else self._unsaid()

    def _unsaid(self) -> int:
        if self._left and not self._quit.is_set():
            of = f"{self._left} of {len(self._plan.clips)}"
            self._tell_last("error", f"{of} recordings were not said to their end")
            return 1
        return 0

    async def _talk(self) -> None:
        """Say the recordings, each when the other side has finished; without any, go on for ever."""
        if self._plan.keys:
            await self._send_keys()
        since = self._now()
        for clip in self._plan.clips:
            await self._watch.until(self._quiet(since), "the other side goes on and on")
            since = await self._say(clip)
            await self._watch.until(self._answered(since), f"no answer to {clip.path.name}")
        if not self._plan.clips:
            await asyncio.Event().wait()

    async def _send_keys(self) -> None:
        if not self._press(self._plan.keys):
            raise Stalled("the keys could not be sent (--dtmf)")
        call = self._line.call
        await self._watch.until(
            lambda _: 20.0 if call is not None and call.pressing else 0.0, "keys that were not sent"
        )

    async def _say(self, clip: Clip) -> float:
        """Say a recording; returns when it was over."""
        begin = self._now()
        self._saying = clip.text or clip.path.name
        source = self._sound.source.source
        assert isinstance(source, SequenceSource)  # noqa: S101 - for the type checker: there are clips
        said = source.say(clip.audio)
        recognition = None
        if clip.text is None:
            recognition = self._transcript.begin(
                clip.audio.format, hints(self._phrases, narrowband=False), lambda _: None
            )
            recognition.feed(clip.audio.pcm)
        end = begin + clip.audio.duration_ms
        self._transcript.finish(recognition, "us", begin, end, clip.text or "")
        await said
        self._saying = ""
        self._left -= 1
        return self._now()

    def _quiet(self, since: float) -> Condition:
        """Nobody has spoken for a while, counted from `since`."""
        them, pause = self._sound.them, self._plan.pause_seconds * 1000

        def condition(now: float) -> float:
            return math.inf if them.speaking else max(0.0, max(them.ended_ms, since) + pause - now)

        return condition

    def _answered(self, since: float) -> Condition:
        """The other side has spoken after `since`, and has finished."""
        them, quiet = self._sound.them, self._quiet(since)

        def condition(now: float) -> float:
            return quiet(now) if them.ended_ms > since else math.inf

        return condition

    async def _leave(self) -> None:
        await self._actions.stop()
        call = self._line.call
        if call is not None and not call.ended:
            await self._line.hang_up()
            self._tell_last("info", "you hang up")
        self._sound.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._transcript.drain()
        for entry in self._last:
            self._view.show(entry)
