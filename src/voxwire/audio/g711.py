"""ITU-T G.711, as `voxwire.media.g711` has it."""

from __future__ import annotations

from ..media.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw

__all__ = ["decode_alaw", "decode_ulaw", "encode_alaw", "encode_ulaw"]
