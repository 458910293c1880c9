from __future__ import annotations

pytest_plugins = ["pytester"]

CODE = """
import asyncio
from websockets.asyncio.client import connect

async def test_server(realtime_server):
    async with connect(realtime_server.url, proxy=None) as socket:
        service = await realtime_server.accept()
        await socket.send('{"type": "hello"}')
        await service.expect("hello")

def test_transport(scripted_transport):
    assert scripted_transport.status == "disconnected"

def test_time(run_in_virtual_time):
    async def nap():
        await asyncio.sleep(3600)
        return "awake"
    assert run_in_virtual_time(nap()) == "awake"
"""


def test_the_fixtures_work_where_they_are_asked_for(pytester):
    pytester.makeconftest('pytest_plugins = ["voxwire.testing.pytest_plugin"]')
    pytester.makepyfile(CODE)
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=3)


def test_nobody_gets_them_unasked(pytester):
    pytester.makepyfile(CODE)
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(errors=3)
