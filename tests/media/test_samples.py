from __future__ import annotations

import struct
from array import array

import pytest

from voxwire.media import samples


@pytest.mark.parametrize("foreign", [False, True])
def test_little_endian_on_either_machine(monkeypatch, foreign):
    pcm = struct.pack("<3h", 1, -2, 32767)
    if foreign:  # what a machine of the other byte order would see and swap
        monkeypatch.setattr(samples, "_SWAP", not samples._SWAP)
        swapped = struct.pack(">3h", 1, -2, 32767)
        assert samples.from_pcm(swapped) == array("h", [1, -2, 32767])
        assert samples.to_pcm(array("h", [1, -2, 32767])) == swapped
    else:
        assert samples.from_pcm(pcm) == array("h", [1, -2, 32767])
        assert samples.to_pcm(array("h", [1, -2, 32767])) == pcm


def test_an_odd_byte_is_ignored():
    assert samples.from_pcm(b"\x01\x00\x02") == array("h", [1])


def test_mix_down():
    assert samples.mix_down(array("h", [1, 2, 3]), 1) == array("h", [1, 2, 3])
    assert samples.mix_down(array("h", [100, 300, -32768, -32768, 7]), 2) == array("h", [200, -32768])
