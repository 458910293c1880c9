"""Hosted MCP in the server engine."""

from __future__ import annotations

from typing import Any

import pytest

from voxwire.server.engine import CallMcpTool, CancelMcp, ListMcpTools
from voxwire.server.limits import Limits

DOCS = {
    "type": "mcp",
    "server_label": "docs",
    "server_url": "https://example.com/mcp",
    "require_approval": "never",
}
LOOK_UP = {
    "name": "look_up",
    "description": "Look up a word.",
    "input_schema": {"type": "object", "properties": {"word": {"type": "string"}}},
    "annotations": {"readOnlyHint": True},
}
ERASE = {"name": "erase", "description": "Erase everything.", "input_schema": {"type": "object"}}
FUNCTION = {"type": "function", "name": "look_up_twice"}


def listed(bench: Any, *tools: dict[str, Any], **server: Any) -> list[dict[str, Any]]:
    bench.update(tools=[{**DOCS, **server}, FUNCTION])
    action = bench.of(ListMcpTools)[-1]
    return bench.take(bench.engine.mcp_listed(action.item_id, tools or (LOOK_UP, ERASE)))


def respond(bench: Any, **response: Any) -> None:
    bench.send("response.create", response={"output_modalities": ["text"], **response})


def call(bench: Any, name: str = "look_up", arguments: str = '{"word": "x"}') -> list[dict[str, Any]]:
    return bench.take(bench.engine.called(bench.plan.response_id, name, arguments, bench.now))


def test_listing(bench: Any) -> None:
    events = bench.update(tools=[DOCS])
    assert bench.types(events) == ["session.updated", "conversation.item.added", "mcp_list_tools.in_progress"]
    item = events[1]["item"]
    assert item == {
        "id": events[2]["item_id"],
        "object": "realtime.item",
        "type": "mcp_list_tools",
        "server_label": "docs",
        "tools": [],
    }
    action = bench.of(ListMcpTools)[0]
    assert (action.item_id, action.server) == (item["id"], DOCS)
    assert "example.com" not in repr(action)
    # It can be looked at meanwhile, as the client of behaviour 26 does.
    assert bench.types(bench.send("conversation.item.retrieve", item_id=item["id"])) == [
        "conversation.item.retrieved"
    ]
    events = bench.take(bench.engine.mcp_listed(item["id"], [LOOK_UP]))
    assert bench.types(events) == ["conversation.item.done", "mcp_list_tools.completed"]
    assert events[0]["item"]["tools"] == [LOOK_UP]
    assert bench.take(bench.engine.mcp_listed(item["id"], [LOOK_UP])) == []
    # The same again is not listed again; another configuration is.
    assert bench.types(bench.update(tools=[DOCS])) == ["session.updated"]
    assert "mcp_list_tools.in_progress" in bench.types(bench.update(tools=[{**DOCS, "headers": {"a": "b"}}]))


def test_a_listing_that_fails(bench: Any) -> None:
    bench.update(tools=[DOCS])
    item_id = bench.of(ListMcpTools)[0].item_id
    events = bench.take(bench.engine.mcp_listing_failed(item_id, "It is away."))
    assert bench.types(events) == ["mcp_list_tools.failed", "conversation.item.deleted", "error"]
    assert bench.error(events) == {
        "type": "server_error",
        "code": "mcp_list_tools_failed",
        "message": "The tools of MCP server 'docs' could not be listed: It is away.",
        "param": "session.tools",
        "event_id": None,
    }
    assert bench.take(bench.engine.mcp_listing_failed(item_id, "again")) == []
    respond(bench)
    assert bench.plan.request.tools == ()


def test_a_server_that_is_named_no_more(bench: Any) -> None:
    bench.update(tools=[DOCS])
    item_id = bench.of(ListMcpTools)[0].item_id
    bench.update(tools=[])
    assert bench.of(CancelMcp) == [CancelMcp(item_id)]
    assert bench.take(bench.engine.mcp_listed(item_id, [LOOK_UP])) == []
    bench.send("conversation.item.delete", item_id=item_id)
    bench.update(tools=[DOCS])
    failed = bench.of(ListMcpTools)[-1].item_id
    bench.send("conversation.item.delete", item_id=failed)
    assert bench.types(bench.take(bench.engine.mcp_listing_failed(failed, "x"))) == [
        "mcp_list_tools.failed",
        "error",
    ]


def test_limits(make_bench: Any) -> None:
    bench = make_bench(limits=Limits(mcp_servers=1, mcp_tools=1, mcp_calls=1, items=2))
    two = [DOCS, {**DOCS, "server_label": "more"}]
    assert bench.error(bench.update(tools=two))["code"] == "too_many_mcp_servers"
    assert bench.engine.session["tools"] == []
    assert "2 tools, more than the 1" in bench.error(listed(bench))["message"]
    bench.update(tools=[])
    listed(bench, LOOK_UP)
    respond(bench)
    call(bench)
    error = bench.take(bench.engine.finished(bench.plan.response_id, bench.now))
    assert error == []
    bench.update(tools=[])
    assert bench.error(bench.update(tools=[DOCS]))["code"] == "conversation_full"


def test_more_calls_at_once_fail(make_bench: Any) -> None:
    bench = make_bench(limits=Limits(mcp_calls=1))
    listed(bench)
    respond(bench)
    call(bench)
    events = call(bench, "erase", "{}")
    done = next(event["item"] for event in events if event["type"] == "conversation.item.done")
    assert done["error"]["message"] == "More than 1 MCP calls at once are not made here."
    assert len(bench.of(CallMcpTool)) == 1


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ([{"type": "mcp", "server_url": "https://x"}], "session.tools[0].server_label"),
        ([{"type": "mcp", "server_label": "s"}], "session.tools[0].server_url"),
        ([DOCS, DOCS], "session.tools[1].server_label"),
        ([{**DOCS, "require_approval": "maybe"}], "session.tools[0].require_approval"),
        (
            [{**DOCS, "require_approval": {"always": {"odd": 1}}}],
            "session.tools[0].require_approval.always.odd",
        ),
        ([{**DOCS, "allowed_tools": 3}], "session.tools[0].allowed_tools"),
        ([{**DOCS, "headers": {"a": 1}}], "session.tools[0].headers.a"),
        ([{**DOCS, "odd": 1}], "session.tools[0].odd"),
    ],
)
def test_what_clients_may_not_say(bench: Any, tools: Any, param: str) -> None:
    assert bench.error(bench.update(tools=tools))["param"] == param


def test_every_field_is_taken(bench: Any) -> None:
    tool = {
        **DOCS,
        "connector_id": "c",
        "authorization": "t",
        "server_description": "d",
        "headers": {"a": "b"},
        "allowed_tools": {"tool_names": ["a"], "read_only": True},
        "require_approval": {"always": {"tool_names": ["a"]}, "never": None},
    }
    assert bench.update(tools=[tool])[0]["session"]["tools"] == [tool]
    choice = {"type": "mcp", "server_label": "docs"}
    assert bench.update(tool_choice=choice)[0]["session"]["tool_choice"] == choice


def test_the_responder_is_offered_them_like_declared_ones(bench: Any) -> None:
    listed(bench, LOOK_UP, ERASE, {"name": "look_up_twice"}, allowed_tools=["look_up", "look_up_twice"])
    respond(bench)
    assert bench.plan.request.tools == (
        FUNCTION,
        {
            "type": "function",
            "name": "look_up",
            "description": "Look up a word.",
            "parameters": LOOK_UP["input_schema"],
            "server_label": "docs",
        },
    )
    # The declared one has the name, and is the client's to answer.
    assert "response.function_call_arguments.done" in bench.types(call(bench, "look_up_twice"))


def test_a_response_may_narrow_but_not_widen(bench: Any) -> None:
    listed(bench, LOOK_UP, ERASE, allowed_tools={"tool_names": ["look_up"]})
    respond(bench, tools=[{**DOCS, "allowed_tools": ["erase", "look_up"]}])
    assert [entry["name"] for entry in bench.plan.request.tools] == ["look_up"]
    bench.finish()
    respond(bench, tools=[{**DOCS, "server_label": "unknown"}])
    assert bench.plan.request.tools == ()


def test_a_call(bench: Any) -> None:
    listed(bench)
    respond(bench)
    events = call(bench)
    assert bench.types(events) == [
        "response.output_item.added",
        "conversation.item.added",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.in_progress",
    ]
    item = events[0]["item"]
    assert item == {
        "id": events[4]["item_id"],
        "object": "realtime.item",
        "type": "mcp_call",
        "server_label": "docs",
        "name": "look_up",
        "arguments": "",
    }
    action = bench.of(CallMcpTool)[0]
    assert (action.item_id, action.name, action.arguments) == (item["id"], "look_up", '{"word": "x"}')
    # The response is not over before its call is.
    assert bench.finish() == []
    events = bench.take(bench.engine.mcp_answered(item["id"], "a word", bench.now))
    assert bench.types(events) == [
        "response.mcp_call.completed",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]
    done = {**item, "arguments": '{"word": "x"}', "output": "a word"}
    assert events[1]["item"] == events[2]["item"] == done
    assert events[3]["response"]["status"] == "completed"
    assert events[3]["response"]["output"] == [done]
    assert bench.take(bench.engine.mcp_answered(item["id"], "again", bench.now)) == []


def test_calls_that_end_before_the_reply_and_a_failure(bench: Any) -> None:
    listed(bench)
    respond(bench)
    call(bench, arguments="")
    call(bench, "erase", "{}")
    first, second = (action.item_id for action in bench.of(CallMcpTool))
    error = {"type": "protocol_error", "code": -32602, "message": "no"}
    events = bench.take(bench.engine.mcp_failed(first, error, bench.now))
    assert events[0]["type"] == "response.mcp_call.failed"
    assert events[1]["item"]["error"] == error
    bench.take(bench.engine.mcp_answered(second, "gone", bench.now))
    assert bench.types(bench.finish()) == ["response.done", "rate_limits.updated"]
    # The next response is made from both.
    respond(bench)
    kinds = [item["type"] for item in bench.plan.request.items]
    assert kinds == ["mcp_list_tools", "mcp_call", "mcp_call"]


def test_a_cancelled_response_gives_its_calls_up(bench: Any) -> None:
    listed(bench)
    respond(bench)
    call(bench)
    item_id = bench.of(CallMcpTool)[0].item_id
    events = bench.send("response.cancel")
    assert bench.types(events) == [
        "response.mcp_call.failed",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]
    assert events[1]["item"]["error"]["message"] == "The call was cancelled."
    assert bench.of(CancelMcp) == [CancelMcp(item_id)]
    assert bench.take(bench.engine.mcp_answered(item_id, "late", bench.now)) == []


def test_a_response_that_runs_out_of_tokens_gives_its_calls_up_first(bench: Any) -> None:
    listed(bench)
    respond(bench, max_output_tokens=8)
    call(bench)
    events = call(bench, arguments='{"word": "a much longer one, for which there is no room"}')
    assert bench.types(events)[-2:] == ["response.done", "rate_limits.updated"]
    assert events[0]["type"] == "response.mcp_call.failed"
    assert events[-2]["response"]["status"] == "incomplete"


def test_one_call_at_a_time_where_that_is_wanted(bench: Any) -> None:
    bench.update(parallel_tool_calls=False)
    listed(bench)
    respond(bench)
    call(bench)
    assert call(bench) == []
    assert call(bench, "look_up_twice") == []


def test_approval(bench: Any) -> None:
    listed(bench, require_approval={"never": {"read_only": True}})
    respond(bench)
    events = call(bench, "erase", "{}")
    assert bench.types(events) == [
        "response.output_item.added",
        "conversation.item.added",
        "conversation.item.done",
        "response.output_item.done",
    ]
    request = events[0]["item"]
    assert request == {
        "id": request["id"],
        "object": "realtime.item",
        "type": "mcp_approval_request",
        "server_label": "docs",
        "name": "erase",
        "arguments": "{}",
    }
    assert bench.of(CallMcpTool) == []
    assert "response.done" in bench.types(bench.finish())
    events = answer(bench, request["id"], True)
    assert bench.types(events) == [
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.added",
        "response.mcp_call.in_progress",
    ]
    item = events[2]["item"]
    assert item["approval_request_id"] == request["id"]
    assert bench.of(CallMcpTool)[0].item_id == item["id"]
    events = bench.take(bench.engine.mcp_answered(item["id"], "erased", bench.now))
    assert bench.types(events) == ["response.mcp_call.completed", "conversation.item.done"]
    assert events[1]["item"]["output"] == "erased"
    assert "answered already" in bench.error(answer(bench, request["id"], False))["message"]
    # A tool that only reads is not asked about.
    respond(bench)
    assert "response.mcp_call.in_progress" in bench.types(call(bench))


def answer(bench: Any, request_id: str, approve: bool, **fields: Any) -> list[dict[str, Any]]:
    item = {"type": "mcp_approval_response", "approval_request_id": request_id, "approve": approve, **fields}
    return bench.send("conversation.item.create", item=item, previous_item_id=request_id)


def test_rejection_and_questions_that_are_gone(bench: Any) -> None:
    listed(bench, require_approval="always")
    respond(bench)
    first, second = (call(bench)[0]["item"]["id"] for _ in range(2))
    bench.finish()
    events = answer(bench, first, False, reason="Not now.")
    assert bench.types(events) == ["conversation.item.added", "conversation.item.done"]
    assert events[0]["item"]["reason"] == "Not now."
    assert bench.of(CallMcpTool) == []
    bench.send("conversation.item.delete", item_id=second)
    error = bench.error(answer(bench, second, True))
    assert (error["code"], error["param"]) == ("invalid_approval_request_id", "item.approval_request_id")
    assert "not found in conversation" in error["message"]


def test_an_answer_that_has_no_room(make_bench: Any) -> None:
    bench = make_bench(limits=Limits(items=3))
    listed(bench, require_approval="always")
    respond(bench)
    request_id = call(bench)[0]["item"]["id"]
    bench.finish()
    assert bench.error(answer(bench, request_id, True))["code"] == "conversation_full"


def test_a_question_there_is_no_room_for(bench: Any) -> None:
    listed(bench, require_approval="always")
    respond(bench, max_output_tokens=1)
    assert bench.types(call(bench))[0] == "response.done"


def test_a_deleted_call_is_not_shown_again(bench: Any) -> None:
    listed(bench, require_approval="always")
    respond(bench)
    request_id = call(bench)[0]["item"]["id"]
    bench.finish()
    answer(bench, request_id, True)
    item_id = bench.of(CallMcpTool)[0].item_id
    bench.send("conversation.item.delete", item_id=item_id)
    assert bench.types(bench.take(bench.engine.mcp_answered(item_id, "x", bench.now))) == [
        "response.mcp_call.completed"
    ]
