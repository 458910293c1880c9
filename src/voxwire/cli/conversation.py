"""One conversation of the demo: server, session, microphone and loudspeaker, from beginning to end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..agent import RealtimeAgent
from ..audio.live_sources import SequenceSource
from ..audio.paced_sink import PacedSink
from ..audio.peaks import Outline
from ..protocol.redaction import Redaction
from ..protocol.transport_events import ErrorEvent
from ..protocol.usage import Usage
from ..recording.recorder import Recorder
from ..recording.timeline import Timeline
from ..session.events import SESSION_EVENTS
from ..session.session import RealtimeSession
from .dialogue import Line
from .director import Director, Stalled, Watch
from .narration import Entry, Narrator, partial
from .place import Place, make_config, open_service, open_transport
from .running import refreshed, take_back_cancellation
from .views import View, make_view

__all__ = ["Outcome", "hold"]

_USER_TEXT = "conversation.item.input_audio_transcription.completed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    Attributes:
        stopped: why it ended early, in words; None if it did not.
        by_user: whether it ended with Ctrl-C.
        outlines: waveforms of user and agent.
    """

    timeline: Timeline
    usage: Usage
    url: str
    model: str
    stopped: str | None
    by_user: bool
    outlines: tuple[Outline, Outline]


async def hold(
    agent: RealtimeAgent,
    lines: Sequence[Line],
    place: Place,
    *,
    prompt: str,
    folder: Path,
    plain: bool,
    max_seconds: float,
) -> Outcome:
    """Hold the conversation. Ctrl-C (the task being cancelled) ends it early; the files are complete then as well.

    Args:
        prompt: what a transcriber may expect to hear.
        folder: where recording and log go.

    Raises:
        VoxwireError: it could not begin.
        OSError: a file cannot be written.
    """
    async with AsyncExitStack() as stack:
        url, key = await stack.enter_async_context(open_service(place))
        timeline = Timeline(agent.name)
        source = SequenceSource()
        speaker = PacedSink()
        transport = open_transport(place, url, key, source, speaker)
        session = RealtimeSession(
            agent, transport=transport, config=make_config(place, prompt=prompt), context={}
        )
        stack.push_async_callback(speaker.close)
        stack.push_async_callback(source.close)
        redaction = Redaction(secrets=(key,) if key else ())
        recorder = Recorder(session, folder, report=False, redaction=redaction, timeline=timeline)
        await stack.enter_async_context(recorder)
        now = recorder.now_ms
        live = place.wire == "webrtc"
        view = make_view(plain=plain, partial=lambda: partial(timeline, now(), live=live), now=now)
        stage = _Stage(session, source, timeline, view, now)
        stopped, by_user = await stage.play(lines, max_seconds)
        await recorder.close()
        return Outcome(
            timeline,
            session.usage,
            place.address(url),
            transport.model,
            stopped,
            by_user,
            recorder.outlines(),
        )


class _Stage:
    """The session with everybody who looks on."""

    def __init__(
        self,
        session: RealtimeSession,
        source: SequenceSource,
        timeline: Timeline,
        view: View,
        now: Callable[[], float],
    ) -> None:
        self._session = session
        self._source = source
        self._timeline = timeline
        self._view = view
        self._now = now
        self._narrator = Narrator(timeline)
        self._watch = Watch(now)
        for name in SESSION_EVENTS:
            session.on(name, self._take)
        session.transport.on(_USER_TEXT, self._take)

    def _take(self, event: object) -> None:
        at = self._now()
        if isinstance(event, ErrorEvent):
            self._timeline.take(event, at)  # the recorder is told those of the transport, and everything else
        self._watch.nudge()
        for entry in self._narrator.take(event, at):
            self._view.show(entry)

    async def play(self, lines: Sequence[Line], max_seconds: float) -> tuple[str | None, bool]:
        """Play the lines; why it ended early, and whether the user wanted that."""
        director = Director(
            self._timeline,
            self._watch,
            self._now,
            say=self._say,
            type_in=self._type_in,
            announce=self._announce,
        )
        stopped: str | None = None
        by_user = False
        with self._view:
            try:
                async with refreshed(self._view), asyncio.timeout(max_seconds):
                    await self._session.connect()
                    await self._unless_closed(director.play(lines))
            except TimeoutError:
                stopped = f"not finished within {max_seconds:g} s (--max-seconds)"
            except Stalled as stall:
                stopped = str(stall)
            except asyncio.CancelledError:
                stopped, by_user = "stopped by the user", True
                take_back_cancellation()
            await self._session.close()
        # Only now: the recording ends with what is measured, however long closing took.
        self._timeline.finish(self._session.history, self._now())
        return stopped, by_user

    async def _unless_closed(self, play: Coroutine[Any, Any, None]) -> None:
        """Nobody answers on a closed connection, and nothing that is said there is ever sent."""
        playing = asyncio.create_task(play)
        closed = asyncio.create_task(self._session.wait_closed())
        try:
            await asyncio.wait({playing, closed}, return_when=asyncio.FIRST_COMPLETED)
            if not playing.done():
                raise Stalled("the connection ended")
            await playing
        finally:
            playing.cancel()
            closed.cancel()
            await asyncio.gather(playing, closed, return_exceptions=True)

    def _announce(self, line: Line) -> None:
        if line.file is None:
            self._view.show(Entry(self._now(), "user", "You", line.text))

    async def _say(self, line: Line) -> None:
        assert line.file is not None  # noqa: S101 - for the type checker: the director knows
        await self._source.say(line.file)

    async def _type_in(self, line: Line) -> None:
        await self._session.send_message(line.text)
