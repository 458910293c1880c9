"""What we sign, the `openai` package accepts; what it refuses, we refuse; and it takes our payload for a call."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from voxwire import OpenAIRealtimeSIP, RealtimeAgent, SessionConfig
from voxwire.calls import sign, verify
from voxwire.errors import SignatureError

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD = "whsec_" + "b2xk" * 8
HEADERS = [["From", '"Zoë" <sip:+14155550111@example.com>'], ["To", "sip:+15551230000@sip.example.com"]]
CALL = {
    "object": "event",
    "id": "evt_1",
    "type": "realtime.call.incoming",
    "created_at": 1750287018,
    "data": {"call_id": "rtc_1", "sip_headers": [{"name": name, "value": value} for name, value in HEADERS]},
}


def webhook(*, secret: str = SECRET, sent: float = 0, by: Any = SECRET, **change: str) -> dict[str, Any]:
    body = json.dumps(CALL, ensure_ascii=False)
    headers = sign(body, by, webhook_id="wh_1", now=time.time() + sent)
    changed = {name.replace("_", "-"): value for name, value in change.items()}
    return {"body": body, "headers": {**headers, **changed}, "secret": secret}


async def test_signatures_mean_the_same_to_both(
    interop_python: Path, run_program: Any, tmp_path: Path
) -> None:
    good = [webhook(), webhook(by=[OLD, SECRET]), webhook(by="plain", secret="plain"), webhook(sent=-290)]
    bad = [
        webhook(by=OLD),
        webhook(sent=-310),
        webhook(sent=310),
        webhook(webhook_id="wh_2"),
        webhook(webhook_timestamp="soon"),
        {**webhook(), "body": "{}"},
    ]
    path = tmp_path / "webhooks.json"
    path.write_text(json.dumps([*good, *bad]))
    report = await run_program(interop_python, Path(__file__).parent / "openai_webhooks.py", path)
    theirs = report.of("webhook")
    assert theirs[: len(good)] == [
        {"type": "realtime.call.incoming", "call_id": "rtc_1", "headers": HEADERS}
    ] * len(good)
    assert [list(line) for line in theirs[len(good) :]] == [["refused"]] * len(bad)

    for one in good:
        assert verify(one["body"], one["headers"], one["secret"], now=time.time()).id == "evt_1"
    for one in bad:
        with pytest.raises(SignatureError):
            verify(one["body"], one["headers"], one["secret"], now=time.time())

    agent = RealtimeAgent("Ava", instructions="You are Ava.")
    payload = await OpenAIRealtimeSIP.build_initial_config(agent, config=SessionConfig(max_output_tokens=100))
    assert set(payload) <= set(report.of("accept")[0]["parameters"])
