from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.errors import ConfigError
from voxwire.protocol.formats import PCM16, PCMA, PCMU, AudioFormat, parse_format


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("pcm16", PCM16),
        ("audio/pcm", PCM16),
        ("g711_ulaw", PCMU),
        ("g711_alaw", PCMA),
        ({"type": "audio/pcmu"}, PCMU),
        ({"type": "audio/pcma", "rate": 8000}, PCMA),
        ({"type": "audio/pcm"}, PCM16),
        ({"type": "audio/pcm", "rate": 16000}, AudioFormat("audio/pcm", 16000)),
        ({"type": "audio/pcm", "rate": 8000.0}, AudioFormat("audio/pcm", 8000)),
        ({"type": "audio/opus", "rate": 48000}, AudioFormat("audio/opus", 48000)),
        (PCMA, PCMA),
        (None, PCM16),
    ],
)
def test_every_spelling_of_a_format_is_read(spelling: Any, expected: AudioFormat) -> None:
    assert parse_format(spelling) == expected


def test_the_default_is_the_caller_s() -> None:
    assert parse_format(None, PCMU) is PCMU


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("mp3", "'mp3' is unknown; use one of"),
        ({"type": "audio/pcm", "rate": 4000}, "4000 Hz is outside 8000 to 48000"),
        ({"type": "audio/pcm", "rate": float("nan")}, "nan Hz is outside"),
        ({"type": "audio/pcm", "rate": "16k"}, "'16k' is not a number of Hz"),
        ({"type": "audio/pcm", "rate": True}, "True is not a number of Hz"),
        ({"rate": 8000}, "neither a name nor an object with a 'type'"),
        (7, "7 is neither a name"),
    ],
)
def test_a_wrong_format_is_named(value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        parse_format(value)


def test_bytes_and_milliseconds() -> None:
    assert PCM16.bytes_per_ms == 48
    assert PCMU.bytes_per_ms == 8
    assert PCM16.duration_ms(960) == 20
    assert PCM16.size_of(20) == 960
    assert AudioFormat("audio/pcm", 11_025).size_of(1) == 22, "a whole sample, rounded down"


def test_silence_is_silent_in_each_format() -> None:
    assert (PCM16.silence, PCMU.silence, PCMA.silence) == (b"\x00\x00", b"\xff", b"\xd5")


def test_g711_has_no_rate_on_the_wire() -> None:
    assert PCMU.to_wire() == {"type": "audio/pcmu"}
    assert PCM16.to_wire() == {"type": "audio/pcm", "rate": 24000}


@given(st.integers(8000, 48000), st.sampled_from(["audio/pcm", "audio/pcmu", "audio/pcma"]))
def test_what_goes_to_the_wire_is_read_back(rate: int, kind: str) -> None:
    made = AudioFormat(kind, rate if kind == "audio/pcm" else 8000)
    assert parse_format(made.to_wire()) == made


@given(st.integers(8000, 48000), st.floats(0, 60_000))
def test_a_size_never_lasts_longer_than_asked(rate: int, ms: float) -> None:
    made = AudioFormat("audio/pcm", rate)
    assert made.duration_ms(made.size_of(ms)) <= ms + 1e-6
    assert made.size_of(ms) % made.sample_bytes == 0
