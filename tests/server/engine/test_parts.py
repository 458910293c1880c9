"""The small parts of the engine, each on its own."""

from __future__ import annotations

import pytest

from voxwire.protocol.formats import PCM16, PCMU
from voxwire.server.engine.buffer import InputBuffer
from voxwire.server.engine.errors import ClientError
from voxwire.server.engine.rates import RateLimits
from voxwire.server.engine.transcripts import Alignment, SpokenWord, spread
from voxwire.server.engine.usage import audio_tokens, text_tokens


def test_buffer_positions_survive_dropping() -> None:
    buffer = InputBuffer(PCM16, 1000)
    buffer.append(bytes(48 * 500))
    buffer.drop_before(200)
    assert (buffer.start_ms, buffer.end_ms, buffer.duration_ms) == (200, 500, 300)
    assert len(buffer.slice(100, 300)) == 100 * 48
    buffer.clear()
    assert buffer.start_ms == buffer.end_ms == 500
    buffer.append(bytes(48 * 100))
    assert buffer.slice(0, 1000) == bytes(48 * 100)


def test_buffer_refuses_too_much_whole() -> None:
    buffer = InputBuffer(PCM16, 100)
    with pytest.raises(ClientError, match="full"):
        buffer.append(bytes(48 * 101))
    assert buffer.duration_ms == 0


def test_buffer_starts_anew_in_another_format() -> None:
    buffer = InputBuffer(PCM16, 1000)
    buffer.append(bytes(4800))
    buffer.change_format(PCM16)
    assert buffer.duration_ms == 100
    buffer.change_format(PCMU)
    assert buffer.duration_ms == 0
    buffer.append(bytes(80))
    assert buffer.end_ms == 110


def test_alignment_takes_only_what_goes_forward() -> None:
    alignment = Alignment()
    alignment.add([SpokenWord(3, 100), SpokenWord(2, 150), SpokenWord(7, 90), SpokenWord(7, 200)])
    assert alignment.words == [SpokenWord(3, 100), SpokenWord(7, 200)]
    assert [alignment.heard_length(ms) for ms in (0, 99.9, 100, 199, 200, 1000)] == [0, 0, 3, 3, 7, 7]


def test_spread_by_letters() -> None:
    assert spread(" one three", 10, 100, 1000) == [SpokenWord(14, 460), SpokenWord(20, 1000)]
    assert spread("  ", 0, 0, 100) == []


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2)])
def test_text_tokens(text: str, tokens: int) -> None:
    assert text_tokens(text) == tokens


def test_audio_tokens() -> None:
    assert audio_tokens(1000, assistant=True) == 20
    assert audio_tokens(1000, assistant=False) == 10
    assert audio_tokens(1, assistant=False) == 1


def test_rates_refill() -> None:
    rates = RateLimits(60, 600, 0.0)
    for _ in range(60):
        assert rates.request(0.0) is None
    assert rates.request(0.0) == "requests"
    assert rates.request(1.5) is None
    rates.spend(1000, 1.5)
    assert rates.request(3.0) == "tokens"
    assert rates.to_wire(3.0)[1]["remaining"] == 0
