"""Unwraps webhooks with the `openai` package: `python openai_webhooks.py FILE`, where FILE has signed ones as JSON."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path

import openai
from openai import AsyncOpenAI, OpenAI
from openai.types.webhooks import RealtimeCallIncomingWebhookEvent

CLIENT = OpenAI(api_key="sk-unused")

for webhook in json.loads(Path(sys.argv[1]).read_text()):
    line = {"kind": "webhook"}
    try:
        event = CLIENT.webhooks.unwrap(webhook["body"], webhook["headers"], secret=webhook["secret"])
    except openai.InvalidWebhookSignatureError as error:
        line["refused"] = str(error)
    else:
        line["type"] = event.type
        if isinstance(event, RealtimeCallIncomingWebhookEvent):
            line["call_id"] = event.data.call_id
            line["headers"] = [[header.name, header.value] for header in event.data.sip_headers]
    sys.stdout.write(json.dumps(line) + "\n")

accept = inspect.signature(AsyncOpenAI(api_key="sk-unused").realtime.calls.accept)
sys.stdout.write(json.dumps({"kind": "accept", "parameters": list(accept.parameters)}) + "\n")
