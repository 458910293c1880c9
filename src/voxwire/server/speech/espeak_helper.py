"""The helper process around libespeak-ng: one text on stdin, audio with word times on stdout.

Run as `python -m voxwire.server.speech.espeak_helper`. It is the only place where the (GPL)
library is loaded, and it is a process of its own that talks over pipes.

Input: a JSON object with `text`, `voice` (espeak-ng's name) and `speed` (words per minute).
Output: frames (see `frames`) of kind `A`: 4 bytes length of a JSON list of words
`[start, end, start_ms, end_ms]`, that list, 16 bit PCM at 22050 Hz; or of kind `E`: what went wrong.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
from typing import Any, BinaryIO

from .alignment import sound_bounds
from .frames import write_frame
from .sentences import sentence_spans, word_spans
from .synth_base import spoken_text

__all__ = ["main"]

# Values from espeak-ng's speak_lib.h, version 1.52.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_CHARS_UTF8 = 1
_END_PAUSE = 0x1000
_POS_CHARACTER = 1
_PARAMETER_RATE = 1
_EVENT_LIST_TERMINATED = 0
_EVENT_WORD = 1


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class _Sentence:
    """Collects the audio and the word events of one sentence."""

    def __init__(self) -> None:
        self.pcm = bytearray()
        self.events: list[tuple[int, int]] = []

    def on_audio(self, wav: Any, count: int, events: Any) -> int:
        if wav and count > 0:
            self.pcm += ctypes.string_at(wav, count * 2)
        index = 0
        while events[index].type != _EVENT_LIST_TERMINATED:
            event = events[index]
            if event.type == _EVENT_WORD:
                self.events.append((event.text_position - 1, event.audio_position))
            index += 1
        return 0


def main() -> int:
    """Speak the text on stdin; the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever the library prints must not get between the frames
    try:
        order = json.load(sys.stdin.buffer)
        library, rate = _open_library()
        _select(library, order["voice"], order["speed"])
        _speak(library, rate, order["text"], output)
    except BrokenPipeError:
        return 0
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        write_frame(output, b"E", 0, f"{type(error).__name__}: {error}".encode())
    return 0


def _open_library() -> tuple[Any, int]:
    espeakng_loader: Any = importlib.import_module("espeakng_loader")
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    rate = library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data, 0)
    if rate <= 0:
        raise RuntimeError(f"espeak_Initialize returned {rate}.")
    return library, rate


def _select(library: Any, voice: str, speed: int) -> None:
    # Some languages of the data files have no voice of that very name; a voice that
    # cannot be selected would silently leave the one before.
    for name in (voice, voice.partition("+")[0], "en-us"):
        if library.espeak_SetVoiceByName(name.encode()) == 0:
            break
    else:
        raise RuntimeError(f"espeak-ng knows neither the voice {voice!r} nor en-us.")
    library.espeak_SetParameter(_PARAMETER_RATE, speed, 0)


def _speak(library: Any, rate: int, text: str, output: BinaryIO) -> None:
    offset = 0.0
    for start, end in sentence_spans(text):
        sentence = _Sentence()
        callback = _Callback(sentence.on_audio)
        library.espeak_SetSynthCallback(callback)
        data = spoken_text(text[start:end]).encode() + b"\0"
        result = library.espeak_Synth(
            data, ctypes.c_size_t(len(data)), 0, _POS_CHARACTER, 0, _CHARS_UTF8 | _END_PAUSE, None, None
        )
        if result != 0:
            raise RuntimeError(f"espeak_Synth returned {result}.")
        _, stop = sound_bounds(bytes(sentence.pcm), rate)
        words = _words(text, (start, end), sentence.events, offset, stop)
        listed = json.dumps(words).encode()
        write_frame(output, b"A", 0, len(listed).to_bytes(4, "big") + listed + bytes(sentence.pcm))
        offset += len(sentence.pcm) * 500 / rate


def _words(
    text: str, span: tuple[int, int], events: list[tuple[int, int]], offset: float, stop: float
) -> list[tuple[int, int, float, float]]:
    """One entry per word of the text; espeak-ng may report several or none for one of ours."""
    start, end = span
    spans = word_spans(text[start:end])
    begins: list[float | None] = [None] * len(spans)
    for position, ms in events:
        index = next((i for i, (_, b) in enumerate(spans) if position < b), None)
        if index is not None and begins[index] is None:
            begins[index] = float(ms)
    words: list[tuple[int, int, float, float]] = []
    following = stop
    for index in range(len(spans) - 1, -1, -1):
        begin = begins[index]
        begin = following if begin is None else min(begin, following)
        a, b = spans[index]
        words.append((start + a, start + b, offset + begin, offset + following))
        following = begin
    return words[::-1]


if __name__ == "__main__":
    sys.exit(main())
