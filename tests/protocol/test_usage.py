from __future__ import annotations

import pytest

from voxwire.protocol.usage import Usage, transcription_usage_from_wire, usage_from_wire

WIRE = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {"text_tokens": 119, "audio_tokens": 13, "image_tokens": 2, "cached_tokens": 64},
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}


def test_behaviour_23_usage_is_split_by_modality_and_totals_are_computed() -> None:
    usage = usage_from_wire(WIRE)
    assert usage == Usage(1, 132, 121, 119, 13, 2, 64, 30, 91)
    assert usage.total_tokens == 253
    assert (usage + usage).requests == 2
    assert (usage + usage).total_tokens == 506


@pytest.mark.parametrize(
    "raw", [None, 3, "x", [], {}, {"input_tokens": "7", "output_tokens": -1, "input_token_details": 4}]
)
def test_a_response_without_usable_numbers_still_counts(raw: object) -> None:
    assert usage_from_wire(raw) == Usage(requests=1)


def test_true_is_not_one_token() -> None:
    assert usage_from_wire({"input_tokens": True}).input_tokens == 0


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"type": "tokens", "total_tokens": 12, "input_tokens": 10}, Usage(transcription_tokens=12)),
        ({"type": "duration", "seconds": 2.5}, Usage(transcription_seconds=2.5)),
        ({"type": "duration", "seconds": 10**400}, Usage()),
        ({"type": "duration", "seconds": -1}, Usage()),
        ({"type": "duration", "seconds": True}, Usage()),
        ({"type": "duration"}, Usage()),
        (None, Usage()),
    ],
)
def test_behaviour_41_both_kinds_of_transcription_usage(raw: object, expected: Usage) -> None:
    assert transcription_usage_from_wire(raw) == expected


def test_adding_covers_every_field() -> None:
    names = Usage.__dataclass_fields__
    one = Usage(**{name: index + 1 for index, name in enumerate(names)})  # type: ignore[arg-type]
    assert (one + one) == Usage(**{name: 2 * (index + 1) for index, name in enumerate(names)})  # type: ignore[arg-type]
