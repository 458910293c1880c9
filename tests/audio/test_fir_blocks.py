from __future__ import annotations

import sys
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.audio import resample
from voxwire.audio.fir import Fir
from voxwire.audio.fir_blocks import BlockFir
from voxwire.audio.resample import Resampler

RATES = [(8_000, 24_000), (24_000, 8_000), (24_000, 16_000), (16_000, 24_000), (8_000, 16_000)]


def samples(pcm: bytes) -> array[int]:
    return array("h", pcm)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
@given(data=st.data())
def test_the_same_as_in_plain_python_however_it_is_cut(
    rate_in: int, rate_out: int, data: st.DataObject
) -> None:
    noise = data.draw(st.binary(min_size=400, max_size=1600).map(lambda raw: raw[: len(raw) & ~1]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(noise) // 2), max_size=6)))
    stream, got = BlockFir(rate_in, rate_out), b""
    for start, end in zip([0, *cuts], [*cuts, len(noise) // 2], strict=True):
        got += stream.feed(noise[2 * start : 2 * end])
    wanted = Fir(rate_in, rate_out).feed(noise)
    # Rows of eight rounds: less than one of them may be held back besides.
    assert 0 <= len(wanted) - len(got) < 2 * 8 * (rate_out // 8_000)
    plain = Fir(rate_in, rate_out)
    whole, got = plain.feed(noise) + plain.finish(), got + stream.finish()
    assert len(whole) == len(got)
    assert all(abs(a - b) <= 1 for a, b in zip(samples(got), samples(whole), strict=True))


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_four_milliseconds_at_most_are_held_back(rate_in: int, rate_out: int) -> None:
    frame = bytes(rate_in // 50 * 2)
    stream = BlockFir(rate_in, rate_out)
    sizes = [len(stream.feed(frame)) for _ in range(5)]
    whole = rate_out // 50 * 2
    assert 0 < whole - sizes[0] <= rate_out * 4 // 1000 * 2
    assert sizes[1:] == [whole] * 4


def test_what_is_too_loud_is_clipped() -> None:
    loud = array("h", [32_767 if n // 20 % 2 else -32_768 for n in range(800)]).tobytes()
    got = samples(BlockFir(8_000, 24_000).feed(loud))
    assert (min(got), max(got)) == (-32_768, 32_767)
    assert all((got[at * 3 + 1] > 0) == (at // 20 % 2 == 1) for at in range(5, 700) if 5 < at % 20 < 15)


def test_prompt_takes_it_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    def kind(rate_in: int, rate_out: int) -> str:
        return type(Resampler(rate_in, rate_out, backend="prompt")._stream).__name__

    assert [kind(*rates) for rates in RATES] == ["BlockFir"] * len(RATES)
    assert kind(48_000, 8_000) == "BlockFir"
    assert kind(44_100, 24_000) == "_Soxr"
    assert kind(24_000, 24_000) == "_Same"
    monkeypatch.setattr(resample, "find_spec", lambda _name: None)
    monkeypatch.setitem(sys.modules, "soxr", None)
    assert kind(8_000, 24_000) == "Fir"


def test_a_new_stream_after_the_last_piece() -> None:
    resampler = Resampler(8_000, 24_000, backend="prompt")
    tone = array("h", [9000 if n // 4 % 2 else -9000 for n in range(801)]).tobytes()
    first = resampler.feed(tone[:801]) + resampler.feed(tone[801:], last=True)
    assert len(first) == 3 * len(tone)
    assert resampler.feed(tone, last=True) == first
