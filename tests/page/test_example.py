"""The example, as it is, in Chromium: it hears the microphone, answers, calls its tool, and the page shows it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

pytestmark = [
    pytest.mark.needs_program("chromium"),
    pytest.mark.needs_module("playwright", "aiortc", "pocketsphinx", "espeakng_loader", "hatchling"),
]


async def test_a_question_is_heard_and_answered_in_the_page(
    site: str, spoken: Any, page_tools: Any, tmp_path: Path
) -> None:
    pictures = Path(os.environ.get("VOXWIRE_PICTURES", tmp_path))
    async with page_tools.serve() as server:
        given = urlencode({"url": server.http_url, "key": await page_tools.ephemeral_key(server)})
        address = f"{site}/example/index.html?pyodide=/pyodide/&wheel=/voxwire.whl#{given}"
        async with page_tools.browse(address, spoken("1-weather.wav", after_ms=4000)) as page:
            await page.get_by_role("button", name="Start").click(
                timeout=40_000
            )  # enabled once Python is there
            await page.wait_for_function("document.getElementById('state').textContent === 'Listening'")
            await page.wait_for_selector("#card h2", timeout=30_000)
            assert await page.locator("#card h2").inner_text() == "Tokyo"
            assert await page.locator("body").get_attribute("data-weather") == "sunny"
            await page.wait_for_selector("#talk p:nth-child(2)", timeout=30_000)
            lines = page.locator("#talk p")
            await page.wait_for_function(
                "document.querySelector('#talk p:last-child').textContent.includes('24 degrees')"
            )
            assert "weather in tokyo" in (await lines.first.inner_text()).lower()
            assert (await lines.last.inner_text()).startswith("Ava")
            await page.wait_for_timeout(1100)  # the sky takes a second to change; for the picture only
            await page.screenshot(path=pictures / "pyodide-example.png")
            assert len(server.service.calls) == 1
            await page.get_by_role("button", name="Stop").click()
            await page.wait_for_function("document.getElementById('state').textContent === 'Over'")
            async with asyncio.timeout(10):
                while len(server.service.calls):
                    await asyncio.sleep(0.02)
