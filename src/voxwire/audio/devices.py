"""The sound devices of this machine: what is there, and which one is meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias

from ..errors import DeviceError
from ..protocol.transport_events import TransportEventBase

__all__ = [
    "AudioDevice",
    "AudioDropped",
    "DeviceChanged",
    "DeviceEvent",
    "Direction",
    "choose",
    "list_devices",
]

Direction: TypeAlias = Literal["input", "output"]

_NOUNS: Final = {"input": "microphone", "output": "loudspeaker"}
_WAYS_OUT: Final = {
    "input": "pass audio_input=None and push audio with send_audio(), or a WavSource",
    "output": "pass audio_output=None and listen to the audio event, or a WavSink",
}


@dataclass(frozen=True, slots=True)
class AudioDevice:
    """One device, as PortAudio sees it.

    Attributes:
        index: valid until devices are listed anew; a name is the better choice.
        name: what a person calls it.
        host_api: the system behind it: ALSA, Core Audio, Windows WASAPI, ...
        inputs, outputs: channels it has at most; 0 for none.
        rate: its usual sample rate, Hz.
        default_input, default_output: whether the host API uses it where none is named.
    """

    index: int
    name: str
    host_api: str
    inputs: int
    outputs: int
    rate: int
    default_input: bool = False
    default_output: bool = False

    def channels(self, direction: Direction) -> int:
        """Channels in that direction, 0 for none."""
        return self.inputs if direction == "input" else self.outputs

    def is_default(self, direction: Direction) -> bool:
        """Whether it is the one to use where none is named."""
        return self.default_input if direction == "input" else self.default_output


@dataclass(frozen=True, slots=True)
class DeviceChanged(TransportEventBase):
    """A microphone or loudspeaker went away, or another one took its place.

    Attributes:
        direction: "input" or "output".
        before: the device until now; None if there was none.
        after: the device from now on; None while there is none: a microphone gives silence then, and
            what a loudspeaker would play passes unheard.
        reason: why, in words.
    """

    name: ClassVar[str] = "device_changed"
    direction: Direction
    before: AudioDevice | None
    after: AudioDevice | None
    reason: str


@dataclass(frozen=True, slots=True)
class AudioDropped(TransportEventBase):
    """A queue was full. Reported once per stretch of losses.

    Attributes:
        direction: "input" if recorded audio was dropped (the oldest), "output" if audio to be played was.
        total_ms: dropped until now, ms.
    """

    name: ClassVar[str] = "audio_dropped"
    direction: Direction
    total_ms: float


DeviceEvent: TypeAlias = DeviceChanged | AudioDropped


def list_devices(*, rescan: bool = False) -> list[AudioDevice]:
    """The sound devices of this machine, in PortAudio's order; blocks for some 10 ms.

    Args:
        rescan: look for devices that were plugged in since the first call. PortAudio is restarted for
            that: open microphones and speakers of voxwire pause for a moment, other streams of
            `sounddevice` in this process end.

    Raises:
        MissingExtraError: `sounddevice` is not installed.
        DeviceError: the PortAudio library is not installed, or does not answer.
    """
    from . import devices_portaudio as portaudio

    return portaudio.worker().wait(portaudio.rescan if rescan else portaudio.query)


def choose(devices: Sequence[AudioDevice], wanted: str | int | None, direction: Direction) -> AudioDevice:
    """The device that is meant.

    Args:
        devices: those there are.
        wanted: an index; a name or a part of one, upper and lower case being the same; or None for the
            default. Where several names fit, one that is equal wins, then one of the default's host API
            (Windows lists every device once per API). `"name, host api"` fits as well.
        direction: only devices that can do this are looked at.

    Raises:
        DeviceError: none fits, or several do; the message lists what there is.
    """
    able = [device for device in devices if device.channels(direction) > 0]
    if wanted is None:
        found = [device for device in able if device.is_default(direction)] or able
    elif isinstance(wanted, int):
        found = [device for device in able if device.index == wanted]
    else:
        found = _by_name(able, wanted.strip().casefold(), direction)
    if not found:
        raise _error(_absent(wanted, direction), able, wanted, direction)
    if len(found) > 1 and wanted is not None:
        raise _error(f"{wanted!r} fits {len(found)} {_NOUNS[direction]}s", found, wanted, direction)
    return found[0]


def _by_name(able: list[AudioDevice], wanted: str, direction: Direction) -> list[AudioDevice]:
    fitting = [device for device in able if wanted in _full_name(device)]
    equal = [device for device in fitting if wanted in (device.name.casefold(), _full_name(device))]
    fitting = equal or fitting
    apis = {device.host_api for device in able if device.is_default(direction)}
    usual = [device for device in fitting if device.host_api in apis]
    return usual if len(usual) == 1 else fitting


def _full_name(device: AudioDevice) -> str:
    return f"{device.name}, {device.host_api}".casefold()


def _absent(wanted: str | int | None, direction: Direction) -> str:
    noun = _NOUNS[direction]
    if wanted is None:
        return f"this machine has no {noun}"
    return f"no {noun} has the {'index' if isinstance(wanted, int) else 'name'} {wanted!r}"


def _error(
    problem: str, listed: Sequence[AudioDevice], wanted: str | int | None, direction: Direction
) -> DeviceError:
    names = tuple(device.name for device in listed)
    if not listed:
        text = f"{problem}, and there is no other. Plug one in, or {_WAYS_OUT[direction]}."
        if wanted is None:
            text = f"{problem}. Plug one in, or {_WAYS_OUT[direction]}."
    else:
        lines = ", ".join(f"{device.index} {device.name!r} ({device.host_api})" for device in listed)
        text = f"{problem}. Choose one of: {lines}. Or {_WAYS_OUT[direction]}."
    return DeviceError(text, device=wanted, alternatives=names)
