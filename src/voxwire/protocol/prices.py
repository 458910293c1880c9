"""Tokens and minutes in money, from a table that the user can replace. Exact: `Decimal`, never float.

A price list grows old. `DEFAULT_PRICES.as_of` says when ours was looked up; for an invoice, use your own:

    prices = DEFAULT_PRICES.replaced({"my-model": ModelPrices(text_input="4", text_output="24")}, as_of="2026-11-01")
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from types import MappingProxyType
from typing import Final, TypeAlias

from .usage import Usage

__all__ = ["DEFAULT_PRICES", "Cost", "ModelPrices", "PriceTable"]

Price: TypeAlias = Decimal | int | str
MILLION: Final = Decimal(1_000_000)
DATED: Final = re.compile(r"-20\d\d-\d\d-\d\d$")
"""A snapshot of a model costs what the model costs, unless the table says otherwise."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What something cost.

    Attributes:
        amount: in `currency`; None if a part of it is not known, see `note`.
        known: the part that is known.
        note: what is not known, or was estimated; empty if nothing was.
    """

    amount: Decimal | None
    known: Decimal
    currency: str = "USD"
    note: str = ""


@dataclass(frozen=True, slots=True)
class ModelPrices:
    """The prices of one model; None for what it does not have. Write them as strings or ints.

    Attributes:
        text_input, text_cached, text_output, audio_input, audio_cached, audio_output, image_input, image_cached:
            per million tokens. Without a price for cached input, it costs what other input does.
        per_minute: of transcribed audio.
        currency: a name that is only passed on.

    Raises:
        TypeError: for a float, which cannot say 0.1.
        ValueError: for a negative price.
    """

    text_input: Price | None = None
    text_cached: Price | None = None
    text_output: Price | None = None
    audio_input: Price | None = None
    audio_cached: Price | None = None
    audio_output: Price | None = None
    image_input: Price | None = None
    image_cached: Price | None = None
    per_minute: Price | None = None
    currency: str = "USD"

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name == "currency" or value is None:
                continue
            if isinstance(value, float):
                raise TypeError(f"{entry.name}={value!r}: write prices as strings, a float is not exact")
            price = Decimal(value)
            if not price.is_finite() or price < 0:
                raise ValueError(f"{entry.name} must be a price of 0 or more, got {value!r}")
            object.__setattr__(self, entry.name, price)

    def cost_of(self, usage: Usage) -> Cost:
        """What this usage costs.

        Where the service says how much of the input was cached, but not of which kind, the cached tokens
        are shared out like the input itself, and the note says so.
        """
        bill = _Bill()
        cached = self._cached(usage, bill)
        given = {
            "text": usage.input_text_tokens,
            "audio": usage.input_audio_tokens,
            "image": usage.input_image_tokens,
        }
        for kind, tokens in given.items():
            of_them = min(tokens, cached[kind])
            fresh = self._price(f"{kind}_input")
            kept = self._price(f"{kind}_cached")
            bill.tokens(tokens - of_them, fresh, f"{kind} input")
            bill.tokens(of_them, fresh if kept is None else kept, f"cached {kind} input")
        bill.tokens(usage.output_text_tokens, self._price("text_output"), "text output")
        bill.tokens(usage.output_audio_tokens, self._price("audio_output"), "audio output")
        bill.unpriced(usage.input_tokens - sum(given.values()), "input tokens of unknown kind")
        made = usage.output_text_tokens + usage.output_audio_tokens
        bill.unpriced(usage.output_tokens - made, "output tokens of unknown kind")
        self._transcription(usage, bill)
        return bill.total(self.currency)

    def _cached(self, usage: Usage, bill: _Bill) -> Mapping[str, int]:
        said = {
            "text": usage.input_cached_text_tokens,
            "audio": usage.input_cached_audio_tokens,
            "image": usage.input_cached_image_tokens,
        }
        rest = usage.input_cached_tokens - sum(said.values())
        inputs = usage.input_text_tokens + usage.input_audio_tokens + usage.input_image_tokens
        if rest <= 0 or not inputs:
            return said
        bill.notes.append(f"{rest} cached tokens of unknown kind were shared out like the input")
        shares = {"audio": usage.input_audio_tokens, "image": usage.input_image_tokens}
        shared = {kind: rest * share // inputs for kind, share in shares.items()}
        shared["text"] = rest - sum(shared.values())
        return {kind: said[kind] + shared[kind] for kind in said}

    def _transcription(self, usage: Usage, bill: _Bill) -> None:
        heard = usage.transcription_text_tokens, usage.transcription_audio_tokens
        bill.tokens(heard[0], self._price("text_input"), "text input of the transcription")
        bill.tokens(heard[1], self._price("audio_input"), "audio input of the transcription")
        bill.tokens(usage.transcription_output_tokens, self._price("text_output"), "transcribed text")
        rest = usage.transcription_tokens - sum(heard) - usage.transcription_output_tokens
        bill.unpriced(rest, "transcription tokens of unknown kind")
        if usage.transcription_seconds:
            per_minute = self._price("per_minute")
            if per_minute is None:
                bill.unpriced(1, "minutes of transcription")
            else:
                bill.known += Decimal(repr(usage.transcription_seconds)) / 60 * per_minute

    def _price(self, name: str) -> Decimal | None:
        value = getattr(self, name)
        return value if isinstance(value, Decimal) else None


@dataclass(slots=True)
class _Bill:
    """What has been added up."""

    known: Decimal = Decimal(0)
    complete: bool = True
    notes: list[str] = field(default_factory=list[str])

    def tokens(self, count: int, price: Decimal | None, what: str) -> None:
        if price is not None:
            self.known += count * price / MILLION
        else:
            self.unpriced(count, what)

    def unpriced(self, count: int, what: str) -> None:
        if count > 0:
            self.complete = False
            self.notes.append(f"no price for {what}")

    def total(self, currency: str) -> Cost:
        return Cost(self.known if self.complete else None, self.known, currency, "; ".join(self.notes))


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by model name.

    Attributes:
        as_of: when they were looked up.
    """

    models: Mapping[str, ModelPrices]
    as_of: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "models", MappingProxyType(dict(self.models)))

    def of(self, model: str) -> ModelPrices | None:
        """The prices of a model, or of the one it is a dated snapshot of; None if it is not known."""
        return self.models.get(model) or self.models.get(DATED.sub("", model))

    def cost(self, usage: Usage, model: str) -> Cost:
        """What this usage of `model` costs; None, with a note, for a model that is not in the table."""
        prices = self.of(model)
        if prices is None:
            return Cost(None, Decimal(0), note=f"no prices for model {model!r}")
        return prices.cost_of(usage)

    def replaced(self, models: Mapping[str, ModelPrices], *, as_of: str) -> PriceTable:
        """A table with these instead of, or beside, its own."""
        return PriceTable({**self.models, **models}, as_of)


_REALTIME_2 = ModelPrices(
    text_input="4",
    text_cached="0.40",
    text_output="24",
    audio_input="32",
    audio_cached="0.40",
    audio_output="64",
    image_input="5",
    image_cached="0.50",
)

DEFAULT_PRICES: Final = PriceTable(
    {
        "gpt-realtime-2": _REALTIME_2,
        "gpt-realtime-2.1": _REALTIME_2,
        # Only its audio prices are known to us.
        "gpt-realtime-2.1-mini": ModelPrices(audio_input="10", audio_cached="0.30", audio_output="20"),
        "gpt-realtime-whisper": ModelPrices(per_minute="0.017"),
        "gpt-realtime-translate": ModelPrices(per_minute="0.034"),
    },
    as_of="2026-10",
)
"""What OpenAI asked in US dollars, per million tokens and per minute. Others' prices are for you to add."""
