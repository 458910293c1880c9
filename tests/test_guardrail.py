"""Guardrails as users write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from voxwire import (
    ConfigError,
    GuardrailResult,
    GuardrailSettings,
    GuardrailTripped,
    InputGuardrail,
    OutputGuardrail,
    RealtimeAgent,
    RunContext,
    UserError,
    guardrail_feedback,
)
from voxwire.guardrail import as_guardrails, run_guardrail

AGENT = RealtimeAgent("A")
CONTEXT: RunContext[Any] = RunContext({"key": 1}, None, AGENT)  # type: ignore[arg-type]


def no_dom(text: str, context: object) -> GuardrailResult:
    return GuardrailResult("Dom" in text, {"dom": True})


def trip(guardrail: Any = None, info: Any = None, kind: Any = "output") -> GuardrailTripped:
    guardrail = guardrail or OutputGuardrail("no Dom", no_dom)
    result = GuardrailResult(True, info)
    return GuardrailTripped(CONTEXT, AGENT, kind, guardrail, result, "Dom", "i1", "r1")


def test_behaviour_136_the_policy_hint_defaults_to_the_name() -> None:
    assert OutputGuardrail("no Dom", no_dom).hint == "no Dom"
    assert InputGuardrail("no Dom", no_dom, policy_hint="Never name him").hint == "Never name him"
    assert OutputGuardrail("no Dom", no_dom, policy_hint="").hint == ""


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: OutputGuardrail(" ", no_dom), "a name that is not blank, got ' '"),
        (lambda: InputGuardrail(None, no_dom), "got None"),  # type: ignore[arg-type]
        (lambda: OutputGuardrail("x", "no function"), "'x' needs a function"),  # type: ignore[arg-type]
        (
            lambda: as_guardrails("no_dom", OutputGuardrail, "output_guardrails"),
            "must be a list, got 'no_dom'",
        ),
        (lambda: as_guardrails(7, OutputGuardrail, "output_guardrails"), "must be a list, got 7"),
        (
            lambda: as_guardrails([7], OutputGuardrail, "gs"),
            "gs: expected OutputGuardrail or a function, got 7",
        ),
        (
            lambda: as_guardrails([InputGuardrail("i", no_dom)], OutputGuardrail, "gs"),
            "gs: expected OutputGuardrail",
        ),
        (lambda: as_guardrails([GuardrailResult], OutputGuardrail, "gs"), "gs: expected OutputGuardrail"),
        (lambda: RealtimeAgent("B", output_guardrails=[7]), "output_guardrails of agent 'B'"),
        (lambda: RealtimeAgent("B", input_guardrails=[7]), "input_guardrails of agent 'B'"),
        (lambda: RealtimeAgent("B", input_guardrails=no_dom), "input_guardrails of agent 'B' must be a list"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_guardrail(make: Callable[[], object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        make()


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": 0},
        {"max_corrections": -1},
        {"hold_back_ms": 0},
        {"hold_back_on_timeout": "wait"},
    ],
)
def test_settings_that_cannot_be_used(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        GuardrailSettings(**wrong)


async def test_functions_are_guardrails_as_they_are() -> None:
    async def polite(text: str, context: RunContext[Any]) -> bool:
        return context.context["key"] != 1

    class Strict:
        def __call__(self, text: str, context: object) -> bool:
            return True

    made = as_guardrails([no_dom, polite, Strict()], OutputGuardrail, "gs")
    assert [guardrail.name for guardrail in made] == ["no_dom", "polite", "Strict"]
    results = [await run_guardrail(guardrail, "Dom", CONTEXT) for guardrail in made]
    assert results == [GuardrailResult(True, {"dom": True}), GuardrailResult(False), GuardrailResult(True)]


@dataclass
class TheirOutput:
    """The shape of `agents.GuardrailFunctionOutput`."""

    output_info: Any
    tripwire_triggered: bool


@pytest.mark.parametrize("kind", [OutputGuardrail, InputGuardrail])
async def test_guardrails_of_openai_agents_by_shape(kind: Any) -> None:
    seen: list[Any] = []

    async def check(context: Any, agent: Any, text: str) -> TheirOutput:
        seen.append((context, agent, text))
        return TheirOutput({"why": 1}, True)

    def plain(context: Any, agent: Any, text: str) -> TheirOutput:
        return TheirOutput(None, False)

    named, unnamed = as_guardrails(
        [SimpleNamespace(guardrail_function=check, name="theirs"), SimpleNamespace(guardrail_function=plain)],
        kind,
        "gs",
    )
    assert (named.name, unnamed.name) == ("theirs", "plain")
    assert await run_guardrail(named, "Dom", CONTEXT) == GuardrailResult(True, {"why": 1})
    assert await run_guardrail(unnamed, "Dom", CONTEXT) == GuardrailResult(False)
    assert seen == [(CONTEXT, AGENT, "Dom")]


async def test_a_result_that_says_nothing_is_an_error() -> None:
    with pytest.raises(UserError, match="guardrail function <lambda> gave NoneType"):
        await run_guardrail(OutputGuardrail("x", lambda text, context: None), "", CONTEXT)  # type: ignore[arg-type, return-value]


def test_the_feedback_says_why_and_what_to_do() -> None:
    words = guardrail_feedback(trip(info={"found": "Dom", "at": {1}}))
    assert "Your last reply was stopped" in words
    assert "Failed Guardrail Reason: no Dom." in words
    assert 'Failure Details: {"found": "Dom", "at": "{1}"}.' in words
    words = guardrail_feedback(trip(InputGuardrail("i", no_dom, "Be kind"), kind="input"))
    assert "The user's last message was stopped" in words
    assert "Failed Guardrail Reason: Be kind.\nFailure Details: {}." in words
