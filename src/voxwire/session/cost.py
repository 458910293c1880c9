"""`session.cost`: what was used, by model, in money."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, cast

from ..protocol.prices import Cost, PriceTable
from ..protocol.usage import Usage

__all__ = ["CostMeter", "setting"]

MAX_MODELS: Final = 32
"""Models that are kept apart; what more of them use is counted under one name, which has no price."""
OTHERS: Final = "others"
UNKNOWN: Final = "unknown"


def setting(config: object, *path: str) -> object:
    """A setting by the wire's names; None where there is none."""
    if not path:
        return config
    inner = cast("Mapping[str, Any]", config).get(path[0]) if isinstance(config, Mapping) else None
    return setting(inner, *path[1:])


class CostMeter:
    """Adds up usage by model: a session may change it, and another one writes down what the user says."""

    def __init__(self) -> None:
        self._model = self._transcriber = UNKNOWN
        self._used: dict[str, Usage] = {}

    def configured(self, session: Mapping[str, Any]) -> None:
        """The configuration in force, as on the wire."""
        model: object = session.get("model")
        if isinstance(model, str) and model:
            self._model = model
        transcriber = setting(session, "audio", "input", "transcription", "model")
        if isinstance(transcriber, str) and transcriber:
            self._transcriber = transcriber

    def used(self, usage: Usage) -> None:
        """One response, or one transcription."""
        name = self._model if usage.requests else self._transcriber
        if name not in self._used and len(self._used) >= MAX_MODELS:
            name = OTHERS
        self._used[name] = self._used.get(name, Usage()) + usage

    def by_model(self) -> Mapping[str, Usage]:
        """What each model has used so far."""
        return dict(self._used)

    def total(self, prices: PriceTable) -> Cost:
        """All of it; the amount is None if something has no price, and the note says what."""
        known, complete, notes, currencies = Decimal(0), True, list[str](), dict[str, None]()
        for model, usage in self._used.items():
            cost = prices.cost(usage, model)
            known += cost.known
            complete = complete and cost.amount is not None
            if cost.known:
                currencies[cost.currency] = None
            if cost.note:
                notes.append(cost.note if cost.note.startswith("no prices") else f"{model}: {cost.note}")
        if len(currencies) > 1:
            return Cost(None, Decimal(0), "", f"prices in {' and '.join(currencies)} cannot be added up")
        return Cost(known if complete else None, known, next(iter(currencies), "USD"), "; ".join(notes))
