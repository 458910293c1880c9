"""A page's microphone and loudspeaker.

The browser records, cancels echo, plays and conceals; Python is shown what is played, 20 ms at a time, by a tap in an
AudioWorklet (W3C Web Audio API, 1.32). Without the tap (a page's content security policy may refuse
it) everything is heard all the same, but nothing is told of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from ..errors import DeviceError, UserError
from ..rtc.base import FRAME_SAMPLES, SAMPLE_RATE
from .browser_host import same_object
from .browser_tap import TAP, TAP_NAME
from .js import Proxies, js_host, js_words, to_bytes, to_object

__all__ = ["PageMicrophone", "PageSpeaker", "open_microphone"]

logger = logging.getLogger("voxwire")

_MICROPHONE_HELP: Final = "; pass media_stream= with another source, or audio_input=None for none"


class PageMicrophone:
    """The stream whose first audio track is sent.

    Args:
        stream: a JavaScript MediaStream.
        own: whether it was opened here, and is stopped here.

    Raises:
        UserError: if it has no audio track.
    """

    def __init__(self, stream: Any, *, own: bool) -> None:
        tracks = list(stream.getAudioTracks())
        if not tracks:
            raise UserError("media_stream has no audio track; give a MediaStream with one")
        self.stream = stream
        self.track = tracks[0]
        self._own = own

    def stop(self) -> None:
        """Let the device go, if it was opened here; idempotent."""
        if self._own:
            _stop_tracks(self.stream)


async def open_microphone(constraints: Mapping[str, Any] | bool = True) -> PageMicrophone:
    """Ask for the microphone; the page's user may be asked, and takes any time to answer.

    Args:
        constraints: of the audio, as `getUserMedia` has them (W3C Media Capture and Streams, 11).

    Raises:
        DeviceError: there is none, or the user or the page's policy refused it.
    """
    js = js_host("A page's microphone")
    devices = getattr(js.navigator, "mediaDevices", None)
    if devices is None:
        raise DeviceError(f"a page has a microphone only over https:// or on localhost{_MICROPHONE_HELP}")
    audio = constraints if isinstance(constraints, bool) else dict(constraints)
    asked = asyncio.ensure_future(_ask(js, devices, {"audio": audio}))
    try:
        stream = await asyncio.shield(asked)
    except asyncio.CancelledError:
        asked.add_done_callback(_unwanted)
        raise
    return PageMicrophone(stream, own=True)


async def _ask(js: Any, devices: Any, constraints: Mapping[str, Any]) -> Any:
    # An OverconstrainedError is no Error of JavaScript's, and Pyodide never ends an await of a promise that is rejected
    # with such a thing. So the promise is made where Python does not see it, and the one awaited is never rejected.
    promises = js.Array.of(to_object(constraints)).map(devices.getUserMedia.bind(devices))
    (settled,) = await js.Promise.allSettled(promises)
    if str(settled.status) == "rejected":
        raise DeviceError(f"no microphone for this page: {js_words(settled.reason)}{_MICROPHONE_HELP}")
    return settled.value


def _unwanted(asked: asyncio.Future[Any]) -> None:
    """The answer came when nobody waited for it any more."""
    if not asked.cancelled() and asked.exception() is None:
        _stop_tracks(asked.result())


def _stop_tracks(stream: Any) -> None:
    for track in stream.getTracks():
        track.stop()


class PageSpeaker:
    """Plays the peer's track in an audio element, and tells it frame by frame.

    Args:
        on_frame: gets 20 ms of PCM16, mono, 24 kHz each time.
        element: a JavaScript HTMLMediaElement of the page, which stays the caller's; None makes one.
        audible: False lets the listener hear nothing; the frames come all the same.
    """

    def __init__(
        self, on_frame: Callable[[bytes], None], element: Any = None, *, audible: bool = True
    ) -> None:
        self._js = js_host("A page's loudspeaker")
        self._on_frame = on_frame
        self._proxies = Proxies()
        self._element = element if element is not None else self._js.document.createElement("audio")
        self._element.autoplay = True
        if not audible:
            self._element.muted = True  # Chromium gives a track to Web Audio only while an element plays it
        self._stream: Any = None
        self._context: Any = None
        self._tap: Any = None
        self._source: Any = None
        self._play_task: asyncio.Future[None] | None = None
        self._blocked = False
        self._proxies.listen(self._js.document, {"pointerdown": self._touched, "keydown": self._touched})

    async def prepare(self) -> None:
        """Put the tap in place."""
        try:
            self._context = self._js.AudioContext.new()
            kind = to_object({"type": "text/javascript"})
            url = self._js.URL.createObjectURL(self._js.Blob.new(self._js.Array.of(TAP), kind))
            try:
                await self._context.audioWorklet.addModule(url)
            finally:
                self._js.URL.revokeObjectURL(url)
            settings = {"processorOptions": {"rate": SAMPLE_RATE, "samples": FRAME_SAMPLES}}
            self._tap = self._js.AudioWorkletNode.new(self._context, TAP_NAME, to_object(settings))
        except Exception as error:  # noqa: BLE001 - the page hears the agent without it
            logger.warning("'audio' events are not told in this page: %s", js_words(error))
            return
        self._tap.port.onmessage = self._proxies.proxy(self._frame)
        self._tap.connect(
            self._context.destination
        )  # it puts out silence, but is only run if it leads somewhere

    def take(self, track: Any) -> None:
        """Play this track from now on."""
        self._stream = self._js.MediaStream.new()
        self._stream.addTrack(track)
        self._element.srcObject = self._stream
        self._play_task = asyncio.ensure_future(self._play())
        if self._tap is not None:
            if self._source is not None:
                self._source.disconnect()
            self._source = self._context.createMediaStreamSource(self._stream)
            self._source.connect(self._tap)

    async def _play(self) -> None:
        """Begin; a page that its user has not touched yet may not, and tries again when that happens."""
        try:
            await self._element.play()
            self._blocked = False
        except Exception as error:  # noqa: BLE001 - AbortError: another track, or the end
            if getattr(error, "name", "") == "NotAllowedError":
                self._blocked = True
                logger.warning(
                    "the page may not play sound before its user has clicked or typed; it begins then"
                )

    def _touched(self, _event: Any) -> None:
        if self._context is not None and str(self._context.state) == "suspended":
            self._context.resume()
        if self._blocked:
            self._play_task = asyncio.ensure_future(self._play())

    def _frame(self, event: Any) -> None:
        self._on_frame(to_bytes(event.data))

    def close(self) -> None:
        """Play no more; an element of the caller's is left without a stream. Idempotent."""
        if self._stream is not None and same_object(self._element.srcObject, self._stream):
            self._element.pause()
            self._element.srcObject = None
        self._stream = None
        if self._tap is not None:
            self._tap.port.onmessage = None
            self._tap.disconnect()
        context, self._context, self._tap, self._source = self._context, None, None, None
        if context is not None:
            context.close()
        # One of them may be running: the end can come from within a frame's listener.
        asyncio.get_running_loop().call_soon(self._proxies.destroy)
