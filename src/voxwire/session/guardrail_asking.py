"""Asking several guardrails about one text, at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from ..errors import GuardrailTimeoutError
from ..guardrail import (
    GuardrailResult,
    GuardrailSettings,
    InputGuardrail,
    OutputGuardrail,
    run_guardrail,
)
from ..tools.context import RunContext

__all__ = ["Trip", "first_trip"]

GuardT = TypeVar("GuardT", OutputGuardrail, InputGuardrail)


class Trip(NamedTuple, Generic[GuardT]):
    """The guardrail that tripped, and what it found."""

    guardrail: GuardT
    result: GuardrailResult


async def first_trip(
    guardrails: Sequence[GuardT],
    text: str,
    context: RunContext[Any],
    settings: GuardrailSettings,
    report: Callable[[Exception], None],
) -> Trip[GuardT] | None:
    """The first that trips, which ends the others; None if all pass.

    Args:
        report: told of a guardrail that raises or takes too long.
    """
    if len(guardrails) == 1:
        return await _ask(guardrails[0], text, context, settings, report)
    tasks = {
        asyncio.ensure_future(_ask(guardrail, text, context, settings, report)) for guardrail in guardrails
    }
    waiting = tasks
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            # Of those that ended together, the one that was named first.
            trips = [trip for task in done if (trip := task.result()) is not None]
            if trips:
                return min(trips, key=lambda trip: guardrails.index(trip.guardrail))
        return None
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _ask(
    guardrail: GuardT,
    text: str,
    context: RunContext[Any],
    settings: GuardrailSettings,
    report: Callable[[Exception], None],
) -> Trip[GuardT] | None:
    limit = asyncio.timeout(settings.timeout)
    try:
        async with limit:
            result = await run_guardrail(guardrail, text, context)
    except Exception as raised:  # noqa: BLE001 - a broken guardrail must not end the call
        late = GuardrailTimeoutError(f"guardrail {guardrail.name!r} took longer than {settings.timeout:g} s")
        error = late if limit.expired() else raised
        report(error)
        if not settings.fail_closed:
            return None
        result = GuardrailResult(True, {"error": type(error).__name__})
    return Trip(guardrail, result) if result.tripped else None
