"""Tokens, by modality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

__all__ = ["Usage", "transcription_usage_from_wire", "usage_from_wire"]

MAX_SECONDS = 1e9
"""More is no length of audio; without a limit an absurd number would not fit into a float."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used, in tokens; `a + b` adds two up.

    Attributes:
        requests: responses counted in here.
        input_cached_tokens: the part of `input_tokens` that was read from the cache.
        transcription_seconds: audio transcribed by models that bill by time, s.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    input_text_tokens: int = 0
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    input_cached_tokens: int = 0
    output_text_tokens: int = 0
    output_audio_tokens: int = 0
    transcription_tokens: int = 0
    transcription_seconds: float = 0.0

    @property
    def total_tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.input_text_tokens + other.input_text_tokens,
            self.input_audio_tokens + other.input_audio_tokens,
            self.input_image_tokens + other.input_image_tokens,
            self.input_cached_tokens + other.input_cached_tokens,
            self.output_text_tokens + other.output_text_tokens,
            self.output_audio_tokens + other.output_audio_tokens,
            self.transcription_tokens + other.transcription_tokens,
            self.transcription_seconds + other.transcription_seconds,
        )


def _count(raw: object, key: str) -> int:
    if not isinstance(raw, Mapping):
        return 0
    value = cast("Mapping[str, Any]", raw).get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def usage_from_wire(raw: object) -> Usage:
    """Read `response.usage`; what is missing or malformed counts as zero."""
    if not isinstance(raw, Mapping):
        return Usage(requests=1)
    usage = cast("Mapping[str, Any]", raw)
    given, made = usage.get("input_token_details"), usage.get("output_token_details")
    return Usage(
        requests=1,
        input_tokens=_count(usage, "input_tokens"),
        output_tokens=_count(usage, "output_tokens"),
        input_text_tokens=_count(given, "text_tokens"),
        input_audio_tokens=_count(given, "audio_tokens"),
        input_image_tokens=_count(given, "image_tokens"),
        input_cached_tokens=_count(given, "cached_tokens"),
        output_text_tokens=_count(made, "text_tokens"),
        output_audio_tokens=_count(made, "audio_tokens"),
    )


def transcription_usage_from_wire(raw: object) -> Usage:
    """Read the usage of a finished transcription: tokens, or seconds of audio."""
    if not isinstance(raw, Mapping):
        return Usage()
    usage = cast("Mapping[str, Any]", raw)
    if usage.get("type") == "duration":
        seconds = usage.get("seconds")
        if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 <= seconds < MAX_SECONDS:
            return Usage(transcription_seconds=float(seconds))
        return Usage()
    return Usage(transcription_tokens=_count(usage, "total_tokens"))
