"""16 bit little-endian PCM and `array("h")`, on machines of either byte order."""

from __future__ import annotations

import sys
from array import array

__all__ = ["from_pcm", "mix_down", "to_pcm"]

_SWAP = sys.byteorder == "big"


def from_pcm(pcm: bytes | bytearray | memoryview) -> array[int]:
    """The samples of mono s16le `pcm`; an odd last byte is ignored."""
    samples = array("h", bytes(memoryview(pcm)[: len(pcm) & ~1]))
    if _SWAP:
        samples.byteswap()
    return samples


def to_pcm(samples: array[int]) -> bytes:
    """The samples as s16le bytes."""
    if _SWAP:
        samples = array("h", samples)
        samples.byteswap()
    return samples.tobytes()


def mix_down(samples: array[int], channels: int) -> array[int]:
    """Interleaved channels averaged into one; an incomplete last frame is ignored."""
    if channels == 1:
        return samples
    usable = len(samples) - len(samples) % channels
    lanes = [samples[lane:usable:channels] for lane in range(channels)]
    return array("h", [sum(frame) // channels for frame in zip(*lanes, strict=True)])
