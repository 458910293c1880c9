"""Sources, sinks, codecs, resampling and recording of audio."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import AudioSink, AudioSource
    from .devices import AudioDevice, AudioDropped, DeviceChanged, list_devices
    from .devices_microphone import Microphone
    from .devices_speaker import Speaker
    from .echo import EchoCanceller, LivekitEchoCanceller, make_echo_canceller
    from .echo_duplex import DuplexProcessor
    from .g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
    from .levels import peak_dbfs, rms_dbfs
    from .live_sources import QueueSource, SequenceSource
    from .paced_sink import PacedSink
    from .push_to_talk import PushToTalk
    from .recording import StereoRecorder
    from .resample import Converter, Resampler, convert
    from .sinks import CallbackSink, NullSink, TeeSink, WavSink
    from .sources import SilenceSource, ToneSource, WavSource
    from .wav import WavAudio, read_wav
    from .wav_writer import WavWriter

__all__ = [
    "AudioDevice",
    "AudioDropped",
    "AudioSink",
    "AudioSource",
    "CallbackSink",
    "Converter",
    "DeviceChanged",
    "DuplexProcessor",
    "EchoCanceller",
    "LivekitEchoCanceller",
    "Microphone",
    "NullSink",
    "PacedSink",
    "PushToTalk",
    "QueueSource",
    "Resampler",
    "SequenceSource",
    "SilenceSource",
    "Speaker",
    "StereoRecorder",
    "TeeSink",
    "ToneSource",
    "WavAudio",
    "WavSink",
    "WavSource",
    "WavWriter",
    "convert",
    "decode_alaw",
    "decode_ulaw",
    "encode_alaw",
    "encode_ulaw",
    "list_devices",
    "make_echo_canceller",
    "peak_dbfs",
    "read_wav",
    "rms_dbfs",
]

_MODULES = {
    "base": ("AudioSink", "AudioSource"),
    "devices": ("AudioDevice", "AudioDropped", "DeviceChanged", "list_devices"),
    "devices_microphone": ("Microphone",),
    "devices_speaker": ("Speaker",),
    "echo": ("EchoCanceller", "LivekitEchoCanceller", "make_echo_canceller"),
    "echo_duplex": ("DuplexProcessor",),
    "g711": ("decode_alaw", "decode_ulaw", "encode_alaw", "encode_ulaw"),
    "levels": ("peak_dbfs", "rms_dbfs"),
    "live_sources": ("QueueSource", "SequenceSource"),
    "paced_sink": ("PacedSink",),
    "push_to_talk": ("PushToTalk",),
    "recording": ("StereoRecorder",),
    "resample": ("Converter", "Resampler", "convert"),
    "sinks": ("CallbackSink", "NullSink", "TeeSink", "WavSink"),
    "sources": ("SilenceSource", "ToneSource", "WavSource"),
    "wav": ("WavAudio", "read_wav"),
    "wav_writer": ("WavWriter",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:  # PEP 562: each name is imported when it is first used
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
