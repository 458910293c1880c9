"""Tokens, by modality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from .prices import Cost, ModelPrices

__all__ = ["Usage", "transcription_usage_from_wire", "usage_from_wire"]

MAX_SECONDS = 1e9
"""More is no length of audio; without a limit an absurd number would not fit into a float."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used, in tokens; `a + b` adds two up.

    Attributes:
        requests: responses counted in here.
        input_cached_tokens: the part of `input_tokens` that was read from the cache, of which
            `input_cached_text_tokens` and so on say the kind, where the service says it.
        transcription_tokens: of the models that write down what the user says; the three that begin like it
            are its parts, as far as the service says them.
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
    input_cached_text_tokens: int = 0
    input_cached_audio_tokens: int = 0
    input_cached_image_tokens: int = 0
    transcription_text_tokens: int = 0
    transcription_audio_tokens: int = 0
    transcription_output_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    def cost(self, prices: ModelPrices) -> Cost:
        """What this costs at the prices of one model, as a `Decimal`."""
        return prices.cost_of(self)

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in _FIELDS})


_FIELDS = tuple(Usage.__dataclass_fields__)


def _part(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _count(raw: Mapping[str, Any], key: str) -> int:
    value = raw.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def usage_from_wire(raw: object) -> Usage:
    """Read `response.usage`; what is missing or malformed counts as zero."""
    if not isinstance(raw, Mapping):
        return Usage(requests=1)
    usage = cast("Mapping[str, Any]", raw)
    given, made = _part(usage, "input_token_details"), _part(usage, "output_token_details")
    cached = _part(given, "cached_tokens_details")
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
        input_cached_text_tokens=_count(cached, "text_tokens"),
        input_cached_audio_tokens=_count(cached, "audio_tokens"),
        input_cached_image_tokens=_count(cached, "image_tokens"),
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
    given = _part(usage, "input_token_details")
    return Usage(
        transcription_tokens=_count(usage, "total_tokens"),
        transcription_text_tokens=_count(given, "text_tokens"),
        transcription_audio_tokens=_count(given, "audio_tokens"),
        transcription_output_tokens=_count(usage, "output_tokens"),
    )
