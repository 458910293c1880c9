from __future__ import annotations

import random
from array import array

import pytest

from voxwire.audio import peaks
from voxwire.audio.peaks import Envelope


def test_nothing_is_flat():
    assert Envelope().outline(3) == [(0, 0)] * 3
    assert Envelope().outline(0) == []


def test_outline_shows_where_it_is_loud():
    envelope = Envelope()
    envelope.add(array("h", bytes(2 * 2560)))
    envelope.add(array("h", [16384, -32768] * 1280))
    outline = envelope.outline(4)
    assert outline == [(0, 0), (0, 0), (-1.0, 0.5), (-1.0, 0.5)]


def test_portions_do_not_matter():
    noise = random.Random(1)
    samples = array("h", [noise.randint(-32768, 32767) for _ in range(10_000)])
    whole, pieces = Envelope(), Envelope()
    whole.add(samples)
    for begin in range(0, len(samples), 77):
        pieces.add(samples[begin : begin + 77])
    assert whole.outline(33) == pieces.outline(33)
    (low, high) = whole.outline(1)[0]
    assert (low * 32768, high * 32768) == (min(samples), max(samples))


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(peaks, "_MAX_BUCKETS", 16)
    envelope = Envelope()
    for n in range(1000):
        envelope.add(array("h", [n] * 256))
    assert len(envelope._lows) < 16
    outline = envelope.outline(10)
    assert outline[-1][1] == 999 / 32768
    for index, (low, high) in enumerate(outline):
        assert low * 32768 == pytest.approx(100 * index, abs=65)
        assert high * 32768 == pytest.approx(100 * index + 99, abs=65)


def test_more_stretches_than_samples_repeat():
    envelope = Envelope()
    envelope.add(array("h", [100, -100]))
    assert envelope.outline(4) == [(-100 / 32768, 100 / 32768)] * 4
