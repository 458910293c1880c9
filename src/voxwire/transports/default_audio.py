"""The microphone and the loudspeaker that a transport opens by itself where none were given."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ..audio.base import AudioSink, AudioSource
from ..errors import DeviceError

if TYPE_CHECKING:  # a Worker has no devices, and leaves their modules out of its bundle
    from ..audio.devices import DeviceEvent

__all__ = ["DEFAULT", "DefaultAudio", "EchoCancellation", "Given", "open_default_audio"]

logger = logging.getLogger("voxwire")


class _Default(enum.Enum):
    DEFAULT = "the device of this machine"

    def __repr__(self) -> str:
        return "DEFAULT"


DEFAULT: Final = _Default.DEFAULT
"""Stands for the machine's own microphone or loudspeaker, where None stands for none."""
Given: TypeAlias = Literal[_Default.DEFAULT]
EchoCancellation: TypeAlias = bool | Literal["require"]
"""True: where it is installed (extra `aec`), with one warning where it is not; "require": else an error."""


@dataclass(slots=True)
class DefaultAudio:
    """What was opened here, and is closed here."""

    source: AudioSource | None = None
    sink: AudioSink | None = None

    async def close(self) -> None:
        """Give both back; idempotent. One that cannot be closed is logged."""
        devices = [device for device in (self.source, self.sink) if device is not None]
        results = await asyncio.gather(*(device.close() for device in devices), return_exceptions=True)
        for device, result in zip(devices, results, strict=True):
            if isinstance(result, Exception):
                logger.error("the %s could not be closed", type(device).__name__, exc_info=result)


async def open_default_audio(
    *,
    source: bool,
    sink: bool,
    echo_cancellation: EchoCancellation,
    on_event: Callable[[DeviceEvent], object] | None = None,
) -> DefaultAudio:
    """The devices asked for, the one hearing what the other plays.

    Args:
        on_event: told when one of them goes away or is replaced, and when audio is dropped.

    Raises:
        DeviceError: if there is none, with the ways to do without.
        MissingExtraError: if `sounddevice` is not installed, or echo cancellation is required and not installed.
    """
    if not source and not sink:
        return DefaultAudio()
    from ..audio.devices_microphone import Microphone
    from ..audio.devices_speaker import Speaker
    from ..audio.echo import make_echo_canceller

    await _look_for(source=source, sink=sink)
    canceller = None
    if source and sink and echo_cancellation:
        if echo_cancellation == "require":
            canceller = make_echo_canceller(required=True)
        else:
            canceller = make_echo_canceller()
    return DefaultAudio(
        Microphone(echo_canceller=canceller, on_event=on_event) if source else None,
        Speaker(echo_canceller=canceller, on_event=on_event) if sink else None,
    )


async def _look_for(*, source: bool, sink: bool) -> None:
    """Find out before the call begins, rather than in the middle of it."""
    from ..audio.devices import choose, list_devices

    try:
        devices = await asyncio.to_thread(list_devices)
        if source:
            choose(devices, None, "input")
        if sink:
            choose(devices, None, "output")
    except DeviceError as error:
        words = f"{error}; or let transport='websocket' leave all audio to you"
        raise DeviceError(words, device=error.device, alternatives=error.alternatives) from None
