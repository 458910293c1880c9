from __future__ import annotations

import sys
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.audio.fir import Fir
from voxwire.audio.fir_blocks import BlockFir

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
    assert all(abs(a - b) <= 1 for a, b in zip(samples(got), samples(wanted), strict=False))


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


def test_it_needs_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ImportError):
        BlockFir(8_000, 24_000)
