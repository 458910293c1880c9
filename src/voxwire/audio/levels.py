"""How loud 16 bit PCM is, as `voxwire.media.levels` has it."""

from __future__ import annotations

from ..media.levels import SILENCE_DBFS, dbfs, peak_dbfs, rms_dbfs

__all__ = ["SILENCE_DBFS", "dbfs", "peak_dbfs", "rms_dbfs"]
