"""Calls that are recorded, expected and made to fail: the ledger of a scripted transport."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

__all__ = [
    "CallScript",
    "IncompleteScenarioError",
    "RecordedCall",
    "UnexpectedCallError",
    "UnmatchedCallError",
    "snapshot",
]

CallMatcher = Callable[["RecordedCall"], object]


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One call, as it was made.

    Attributes:
        index: 0 for the first.
        arguments: by name, copied when the call was made; a key is only told as
            `api_key_provided`.
    """

    index: int
    method: str
    arguments: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]


class UnexpectedCallError(AssertionError):
    """Another call came than the scenario expected."""

    def __init__(self, call: RecordedCall, expected: str) -> None:
        super().__init__(f"call {call.index} is {call.method}({_brief(call)}), expected {expected}")
        self.call_index = call.index
        self.expected_method = expected
        self.actual_method = call.method


class UnmatchedCallError(AssertionError):
    """The expected call came with other arguments."""

    def __init__(self, call: RecordedCall) -> None:
        super().__init__(f"call {call.index}, {call.method}({_brief(call)}), is not as expected")
        self.call = call


class IncompleteScenarioError(AssertionError):
    """Something was expected or prepared and did not happen, or happened and was not expected.

    Attributes:
        unconsumed_calls: made, but expected by nobody.
        pending_expectations: `(order, method)` of calls that never came.
        pending_failures: methods that were to fail and were not called.
    """

    def __init__(
        self,
        unconsumed_calls: tuple[RecordedCall, ...],
        pending_expectations: tuple[tuple[int, str], ...],
        pending_failures: tuple[str, ...],
    ) -> None:
        calls = ", ".join(f"{call.index}: {call.method}({_brief(call)})" for call in unconsumed_calls)
        waits = ", ".join(f"{order}: {method}" for order, method in pending_expectations)
        super().__init__(
            f"calls nobody expected: [{calls}]; calls that never came: [{waits}]; "
            f"failures never used: [{', '.join(pending_failures)}]"
        )
        self.unconsumed_calls = unconsumed_calls
        self.pending_expectations = pending_expectations
        self.pending_failures = pending_failures


@dataclass(slots=True)
class _Expectation:
    order: int
    method: str
    matcher: CallMatcher | None
    future: asyncio.Future[RecordedCall]


class CallScript:
    """The calls so far, and what is expected next."""

    def __init__(self) -> None:
        self._calls: list[RecordedCall] = []
        self._unconsumed: deque[RecordedCall] = deque()
        self._expected: deque[_Expectation] = deque()
        self._failures: dict[str, deque[BaseException]] = {}
        self._orders = 0
        self.changed = asyncio.Event()

    @property
    def calls(self) -> tuple[RecordedCall, ...]:
        """All calls, as copies: changing one changes nothing here."""
        return tuple(RecordedCall(call.index, call.method, snapshot(call.arguments)) for call in self._calls)

    @property
    def pending(self) -> bool:
        """Whether somebody waits for a call."""
        return any(not expectation.future.done() for expectation in self._expected)

    def expect(self, method: str, matcher: CallMatcher | None = None) -> asyncio.Future[RecordedCall]:
        """Expect the next call: one that was made and not consumed yet, or one to come."""
        future: asyncio.Future[RecordedCall] = asyncio.get_running_loop().create_future()
        expectation = _Expectation(self._orders, method, matcher, future)
        self._orders += 1
        if self._unconsumed:
            self._settle(expectation, self._unconsumed.popleft())
        else:
            self._expected.append(expectation)
            self.changed.set()
        return future

    def fail_next(self, method: str, error: BaseException) -> None:
        """Let the next call of this method raise; several queue up."""
        self._failures.setdefault(method, deque()).append(error)

    def record(self, method: str, arguments: Mapping[str, Any]) -> None:
        """A call was made.

        Raises:
            UnexpectedCallError, UnmatchedCallError: as the expectation says.
            BaseException: what `fail_next` has in store, or what a matcher raised.
        """
        call = RecordedCall(len(self._calls), method, snapshot(arguments))
        self._calls.append(call)
        # Taken before the matcher runs: a call made by the matcher must not use it up.
        failures = self._failures.get(method)
        failure = failures.popleft() if failures else None
        problem: BaseException | None = None
        while self._expected and self._expected[0].future.done():
            self._expected.popleft()  # given up by whoever waited
        if self._expected:
            problem = self._settle(self._expected.popleft(), call)
        else:
            self._unconsumed.append(call)
        if problem is not None:
            raise problem
        if failure is not None:
            raise failure

    def assert_complete(self) -> None:
        """Raise `IncompleteScenarioError` unless all calls were expected and all expectations met."""
        waiting = tuple((e.order, e.method) for e in self._expected if not e.future.done())
        failures = tuple(method for method, queue in self._failures.items() for _ in queue)
        if self._unconsumed or waiting or failures:
            raise IncompleteScenarioError(tuple(self._unconsumed), waiting, failures)

    def _settle(self, expectation: _Expectation, call: RecordedCall) -> BaseException | None:
        problem: BaseException | None = None
        if call.method != expectation.method:
            problem = UnexpectedCallError(call, expectation.method)
        elif expectation.matcher is not None:
            try:
                if not expectation.matcher(call):
                    problem = UnmatchedCallError(call)
            except Exception as error:  # noqa: BLE001 - the scenario's own error, passed on as it is
                problem = error
        if expectation.future.done():
            return problem
        if problem is None:
            expectation.future.set_result(call)
        else:
            expectation.future.set_exception(problem)
        return problem


def snapshot(value: Any) -> Any:
    """A copy of dicts, lists, sets and buffers, as deep as they go; anything else is kept as it is.

    One object that appears twice, or contains itself, does so in the copy.
    """
    return _Copier().copy(value)


class _Copier:
    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}

    def copy(self, value: Any) -> Any:
        if id(value) in self._seen:
            return self._seen[id(value)]
        kind = type(cast("object", value))
        if kind is list:
            items: list[Any] = []
            self._seen[id(value)] = items
            items.extend(self.copy(item) for item in value)
            return items
        if isinstance(value, Mapping):
            return self._copy_fields(cast("Mapping[Any, Any]", value))  # type: ignore[redundant-cast]
        if kind is tuple:
            return tuple(self.copy(item) for item in value)
        if kind is set:
            return set(value)
        return bytes(value) if kind in (bytearray, memoryview) else value

    def _copy_fields(self, value: Mapping[Any, Any]) -> dict[Any, Any]:
        fields: dict[Any, Any] = {}
        self._seen[id(value)] = fields
        for key, item in value.items():
            fields[key] = self.copy(item)
        return fields


def _brief(call: RecordedCall) -> str:
    text = ", ".join(f"{name}={value!r}" for name, value in call.arguments.items())
    return text if len(text) <= 160 else text[:160] + "..."
