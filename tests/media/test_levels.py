from __future__ import annotations

import math
import struct

import pytest

from voxwire.media.levels import SILENCE_DBFS, dbfs, peak_dbfs, rms_dbfs


def sine(amplitude: float, count: int = 4800) -> bytes:
    return struct.pack(
        f"<{count}h", *(round(amplitude * math.sin(2 * math.pi * n / 48)) for n in range(count))
    )


def test_full_scale_sine():
    assert rms_dbfs(sine(32767)) == pytest.approx(-3.01, abs=0.01)
    assert peak_dbfs(sine(32767)) == pytest.approx(0, abs=0.01)


def test_half_amplitude_is_six_db_down():
    assert rms_dbfs(sine(32767)) - rms_dbfs(sine(16383.5)) == pytest.approx(6.02, abs=0.01)
    assert peak_dbfs(struct.pack("<2h", 0, -16384)) == pytest.approx(-6.02, abs=0.01)


def test_most_negative_sample_is_full_scale():
    assert peak_dbfs(struct.pack("<h", -32768)) == 0
    assert rms_dbfs(struct.pack("<2h", -32768, -32768)) == 0


@pytest.mark.parametrize("pcm", [b"", b"\x01", bytes(320)])
def test_silence_and_nothing(pcm):
    assert rms_dbfs(pcm) == SILENCE_DBFS
    assert peak_dbfs(pcm) == SILENCE_DBFS


def test_dbfs_has_a_floor():
    assert dbfs(0) == SILENCE_DBFS
    assert dbfs(1e-9) == SILENCE_DBFS
    assert dbfs(1.0) == 0
