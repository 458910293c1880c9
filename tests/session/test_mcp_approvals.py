"""Approvals of hosted MCP tools."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from voxwire import (
    McpApprovalRequest,
    McpApprovalRequested,
    McpApprovalRequestItem,
    ModelBehaviorError,
    RealtimeAgent,
    UserError,
)
from voxwire.session.mcp_approvals import McpApprovalBook

AGENT = RealtimeAgent("A")
ITEM = McpApprovalRequestItem("q1", "docs", "erase", '{"what": "all"}')


def asks(stage: Any, item_id: str = "q1", **changes: Any) -> None:
    stage.transport.emit(McpApprovalRequest(dataclasses.replace(ITEM, item_id=item_id, **changes)))


def responses(stage: Any) -> list[tuple[str, bool, str | None]]:
    return [
        (call["request"].item.item_id, call["approved"], call["reason"])
        for call in stage.sent("send_mcp_response")
    ]


async def connected(stage: Any, **options: Any) -> None:
    await stage.connect(AGENT, listen=("tool_approval_requested", "error"), **options)


async def test_behaviour_133_approve_and_reject(stage: Any) -> None:
    await connected(stage)
    asks(stage)
    asks(stage, "q2", arguments="broken")
    first, second = stage.seen
    assert isinstance(first, McpApprovalRequested)
    assert (first.kind, first.agent, first.server_label, first.tool_name) == ("mcp", AGENT, "docs", "erase")
    assert first.arguments == {"what": "all"}
    assert second.arguments is None
    assert stage.session.pending_mcp_approvals == (first.item, second.item)
    await stage.session.approve(first)
    # The reason is only the one that was given, be it empty.
    await stage.session.reject(second, message="")
    assert responses(stage) == [("q1", True, None), ("q2", False, "")]
    assert stage.session.pending_mcp_approvals == ()
    # Decided is decided.
    await stage.session.reject(first)
    assert len(responses(stage)) == 2


async def test_the_model_goes_on_after_a_rejection(stage: Any) -> None:
    await connected(stage)
    asks(stage)
    await stage.session.reject(stage.seen[0])
    await stage.until(lambda: stage.sent("request_response"))


async def test_it_does_not_where_that_is_not_wanted(stage: Any) -> None:
    await connected(stage, automatically_trigger_response_for_mcp_tool_calls=False)
    asks(stage)
    await stage.session.reject(stage.seen[0])
    await stage.settled()
    assert stage.sent("request_response") == []


async def test_behaviour_129_a_decision_inside_the_listener(stage: Any) -> None:
    await stage.connect(AGENT)

    async def decide(request: McpApprovalRequested) -> None:
        await stage.session.approve(request)

    stage.session.on("tool_approval_requested", decide)
    asks(stage)
    await stage.until(lambda: responses(stage))
    assert responses(stage) == [("q1", True, None)]


async def test_behaviour_133_a_decision_for_good(stage: Any) -> None:
    await connected(stage)
    asks(stage)
    await stage.session.reject(stage.seen[0], always=True, message="never")
    asks(stage, "q2")
    await stage.until(lambda: len(responses(stage)) == 2)
    assert responses(stage)[1] == ("q2", False, "never")
    assert len(stage.seen) == 1
    # Another tool, server or agent is another question.
    asks(stage, "q3", name="read")
    asks(stage, "q4", server_label="other")
    await stage.session.update_agent(RealtimeAgent("B"))
    asks(stage, "q5")
    assert len(stage.seen) == 4


async def test_behaviour_133_a_failed_send_can_be_repeated(stage: Any) -> None:
    await connected(stage)
    asks(stage)
    stage.transport.fail_next_call("send_mcp_response", OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        await stage.session.approve(stage.seen[0], always=True)
    await stage.session.reject(stage.seen[0])
    assert [entry[1] for entry in responses(stage)] == [True, False]
    # What was not sent was not decided for good either.
    asks(stage, "q2")
    assert len(stage.seen) == 2


async def test_a_standing_decision_that_cannot_be_sent_is_reported(stage: Any) -> None:
    await connected(stage)
    asks(stage)
    await stage.session.approve(stage.seen[0], always=True)
    stage.transport.fail_next_call("send_mcp_response", OSError("gone"))
    asks(stage, "q2")
    await stage.until(lambda: stage.names() == ["tool_approval_requested", "error"])


async def test_behaviour_133_a_second_decision_while_the_first_is_sent(stage: Any) -> None:
    await connected(stage)
    asks(stage)
    request = stage.seen[0]
    inner: list[Any] = []
    original = stage.transport.send_mcp_response

    async def slow(*args: Any) -> None:
        inner.append(asyncio.ensure_future(stage.session.reject(request)))
        await inner[0]
        await original(*args)

    stage.transport.send_mcp_response = slow
    await stage.session.approve(request)
    assert responses(stage) == [("q1", True, None)]


async def test_behaviour_133_repeated_and_changed_questions(stage: Any) -> None:
    await connected(stage)
    asks(stage)
    asks(stage, previous_item_id="x")
    assert len(stage.seen) == 1
    asks(stage, arguments="{}")
    assert isinstance(stage.seen[1].error, ModelBehaviorError)


async def test_behaviour_133_reconstructed_questions(stage: Any) -> None:
    await connected(stage)
    asks(stage)
    for changed in (
        dataclasses.replace(ITEM, arguments="{}"),
        McpApprovalRequest(dataclasses.replace(ITEM, name="read")),
        dataclasses.replace(stage.seen[0], item=dataclasses.replace(ITEM, server_label="x")),
    ):
        with pytest.raises(UserError, match="not as it was asked"):
            await stage.session.approve(changed)
    with pytest.raises(UserError, match="not asked on this connection"):
        await stage.session.approve(dataclasses.replace(ITEM, item_id="q9"))
    await stage.session.approve(dataclasses.replace(ITEM, previous_item_id="p", approved=None))
    assert responses(stage) == [("q1", True, None)]


async def test_behaviour_131_133_after_the_connection(stage: Any) -> None:
    await connected(stage)
    asks(stage)
    request = stage.seen[0]
    await stage.session.close()
    with pytest.raises(UserError, match="connection that has ended"):
        await stage.session.approve(request)
    await stage.session.connect()
    with pytest.raises(UserError, match="connection that has ended"):
        await stage.session.reject(request)
    asks(stage)  # the same id, on the new connection
    assert stage.seen[-1].connection != request.connection


async def test_a_question_nobody_hears_is_logged(stage: Any, caplog: Any) -> None:
    await stage.connect(AGENT)
    asks(stage)
    assert "nobody listens to 'tool_approval_requested'" in caplog.text


def test_the_book_is_bounded() -> None:
    book = McpApprovalBook(1)
    for number in range(1025):
        item = dataclasses.replace(ITEM, item_id=f"q{number}")
        assert book.asked(AGENT, item) == "new"
    assert len(book.pending()) == 1025  # what waits is not forgotten
    book.begin(dataclasses.replace(ITEM, item_id="q3"))
    book.finish(dataclasses.replace(ITEM, item_id="q3"), "sent")
    book.asked(AGENT, dataclasses.replace(ITEM, item_id="last"))
    with pytest.raises(UserError, match="q3"):
        book.begin(dataclasses.replace(ITEM, item_id="q3"))
