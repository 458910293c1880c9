"""`voxwire serve --sip`: options to a phone line that rings."""

from __future__ import annotations

import asyncio
import re
import signal
import sys

import pytest

from voxwire.cli.serve import ServeOptions, make_options, parse_sip_user
from voxwire.errors import ConfigError
from voxwire.server.sip.phone import SipPhone


def test_options() -> None:
    made = make_options(
        ServeOptions(
            sip="127.0.0.1:5070",
            sip_users=("ann:se:cret",),
            sip_digest=("SHA-256",),
            webhook="http://127.0.0.1:1/",
            webhook_secret="whsec_c2VjcmV0",
        )
    )
    assert (made.sip, made.sip_users, made.sip_digest) == ("127.0.0.1:5070", {"ann": "se:cret"}, ("SHA-256",))
    assert (made.webhook, made.webhook_secret) == ("http://127.0.0.1:1/", "whsec_c2VjcmV0")


@pytest.mark.parametrize("text", ["ann", "ann:", ":secret"])
def test_users_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sip_user(text)
    assert "secret" not in str(caught.value)


async def test_it_rings() -> None:
    command = [sys.executable, "-m", "voxwire", "serve", "--port", "0", "--sip", "0.0.0.0:0"]
    speech = ["--transcriber", "none", "--synthesizer", "tone", "--vad", "energy"]
    process = await asyncio.create_subprocess_exec(*command, *speech, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(30):
            while not lines or "Try it" not in lines[-1]:
                lines.append((await process.stdout.readline()).decode())
            text = "".join(lines)
            found = re.search(r"Phone +sip:voxwire@0\.0\.0\.0:(\d+)", text)
            assert found is not None
            assert "no --sip-user is set" in text
            async with SipPhone() as phone:
                call = await phone.call(f"sip:agent@127.0.0.1:{found[1]}")
                process.send_signal(signal.SIGTERM)
                await call.wait_ended()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
