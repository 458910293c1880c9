from __future__ import annotations

from decimal import Decimal

import pytest

from voxwire import DEFAULT_PRICES, Cost, ModelPrices, PriceTable, Usage
from voxwire.protocol.usage import transcription_usage_from_wire, usage_from_wire

PRICES = ModelPrices(
    text_input="4", text_cached="0.40", text_output="24",
    audio_input="32", audio_cached="0.40", audio_output="64",
    image_input=5, image_cached=Decimal("0.5"), per_minute="0.6",
)  # fmt: skip

WIRE = {
    "total_tokens": 3_000_000,
    "input_tokens": 2_000_000,
    "output_tokens": 1_000_000,
    "input_token_details": {
        "text_tokens": 1_000_000,
        "audio_tokens": 900_000,
        "image_tokens": 100_000,
        "cached_tokens": 600_000,
        "cached_tokens_details": {"text_tokens": 500_000, "audio_tokens": 100_000, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 250_000, "audio_tokens": 750_000},
}


def test_every_kind_of_token_has_its_price() -> None:
    cost = usage_from_wire(WIRE).cost(PRICES)
    # text 500k fresh, 500k cached; audio 800k fresh, 100k cached; image 100k; out 250k text, 750k audio
    parts = ["2.00", "0.20", "25.60", "0.04", "0.50", "6.00", "48.00"]
    assert cost == Cost(sum(map(Decimal, parts)), sum(map(Decimal, parts)), "USD", "")
    assert isinstance(cost.amount, Decimal)


def test_an_exact_sum_of_small_parts() -> None:
    one = Usage(1, 1, 0, 1, 0).cost(ModelPrices(text_input="0.1"))
    assert one.amount == Decimal("0.0000001")


def test_cached_tokens_of_unknown_kind_are_shared_out() -> None:
    details = {**WIRE["input_token_details"]}  # type: ignore[dict-item]
    del details["cached_tokens_details"]
    cost = usage_from_wire({**WIRE, "input_token_details": details}).cost(PRICES)
    # 600k of 2M: 270k audio, 30k image, 300k text
    parts = ["2.80", "0.12", "20.16", "0.108", "0.35", "0.015", "6.00", "48.00"]
    assert cost.amount == sum(map(Decimal, parts))
    assert "600000 cached tokens of unknown kind" in cost.note


def test_without_a_price_for_cached_input_it_costs_what_other_input_does() -> None:
    usage = Usage(1, 1_000_000, 0, 1_000_000, 0, input_cached_tokens=10, input_cached_text_tokens=10)
    assert usage.cost(ModelPrices(text_input=4)).amount == Decimal(4)


@pytest.mark.parametrize(
    ("usage", "note"),
    [
        (Usage(1, 10, 0), "no price for input tokens of unknown kind"),
        (Usage(1, 0, 10), "no price for output tokens of unknown kind"),
        (Usage(1, 0, 10, output_text_tokens=10), "no price for text output"),
        (Usage(1, 10, 0, 0, 10), "no price for audio input"),
        (Usage(transcription_tokens=7), "no price for transcription tokens of unknown kind"),
        (Usage(transcription_seconds=1.5), "no price for minutes of transcription"),
    ],
)
def test_what_has_no_price_makes_the_amount_unknown(usage: Usage, note: str) -> None:
    cost = (usage + Usage(0, 1_000_000, 0, 1_000_000)).cost(ModelPrices(text_input=3))
    assert cost.amount is None
    assert cost.known == 3
    assert cost.note == note


def test_transcription_by_tokens_and_by_time() -> None:
    by_tokens = transcription_usage_from_wire(
        {
            "type": "tokens",
            "total_tokens": 1_300_000,
            "input_tokens": 1_100_000,
            "output_tokens": 200_000,
            "input_token_details": {"text_tokens": 100_000, "audio_tokens": 1_000_000},
        }
    )
    assert by_tokens.cost(PRICES).amount == Decimal("0.4") + 32 + Decimal("4.8")
    by_time = transcription_usage_from_wire({"type": "duration", "seconds": 90})
    assert by_time.cost(PRICES).amount == Decimal("0.9")


def test_a_table_knows_models_and_their_snapshots() -> None:
    assert DEFAULT_PRICES.of("gpt-realtime-2-2026-05-01") is DEFAULT_PRICES.of("gpt-realtime-2")
    assert DEFAULT_PRICES.of("gpt-realtime-2x") is None
    assert DEFAULT_PRICES.as_of
    unknown = DEFAULT_PRICES.cost(Usage(1, 5, 5), "my-model")
    assert unknown == Cost(None, Decimal(0), note="no prices for model 'my-model'")
    minute = DEFAULT_PRICES.cost(Usage(transcription_seconds=60.0), "gpt-realtime-whisper")
    assert minute.amount == Decimal("0.017")


def test_a_table_can_be_replaced() -> None:
    mine = DEFAULT_PRICES.replaced({"gpt-realtime-2": PRICES, "mine": PRICES}, as_of="today")
    assert mine.of("mine") is mine.of("gpt-realtime-2") is PRICES
    assert mine.of("gpt-realtime-2.1") is not None
    assert mine.as_of == "today"
    assert DEFAULT_PRICES.of("mine") is None
    given = {"a": PRICES}
    table = PriceTable(given)
    given.clear()
    assert table.of("a") is PRICES


def test_prices_are_exact_and_sensible() -> None:
    with pytest.raises(TypeError, match=r"text_input=0.1: write prices as strings"):
        ModelPrices(text_input=0.1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="audio_output must be a price"):
        ModelPrices(audio_output="-1")
    with pytest.raises(ValueError, match="price of 0 or more"):
        ModelPrices(per_minute="NaN")
