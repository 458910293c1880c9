"""agents_client.py, but `RealtimeRunner` talks through a transport of voxwire (which has to be on the PYTHONPATH).

python agents_on_voxwire.py SCENARIO.json
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from agents_client import main

from voxwire import OpenAIRealtimeWebSocket
from voxwire.integrations.openai_agents import as_realtime_model

if __name__ == "__main__":
    scenario = json.loads(Path(sys.argv[1]).read_text())
    sys.exit(asyncio.run(main(scenario, as_realtime_model(OpenAIRealtimeWebSocket()))))
