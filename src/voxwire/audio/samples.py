"""16 bit little-endian PCM and `array("h")`, as `voxwire.media.samples` has it."""

from __future__ import annotations

from ..media.samples import from_pcm, mix_down, to_pcm

__all__ = ["from_pcm", "mix_down", "to_pcm"]
