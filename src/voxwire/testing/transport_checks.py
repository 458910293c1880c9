"""What `check_transport` checks: the promises of `voxwire.transports.base`, one function each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

from ..errors import UserError
from ..protocol.transport_events import ConnectionChange
from ..transports.base import RealtimeTransportLayer
from .promise import promise

__all__ = ["MakeTransport", "check_transport"]

MakeTransport: TypeAlias = Callable[
    [], AbstractAsyncContextManager[tuple[RealtimeTransportLayer, Mapping[str, Any]]]
]
"""Gives a transport that is not connected, and the arguments for its `connect`. The service it
connects to has to let it in every time, as long as the context is entered."""

PATIENCE = 10.0


async def check_transport(make_transport: MakeTransport) -> None:
    """Run every transport check, each on a fresh transport.

    Raises:
        AssertionError: naming the promise that was not kept.
    """
    for check in TRANSPORT_CHECKS:
        try:
            async with asyncio.timeout(PATIENCE):
                await check(make_transport)
        except TimeoutError as error:
            raise AssertionError(f"{check.__name__} did not come to an end") from error


@contextlib.asynccontextmanager
async def _watched(
    make: MakeTransport,
) -> AsyncGenerator[tuple[RealtimeTransportLayer, Mapping[str, Any], list[str]], None]:
    async with make() as (transport, arguments):
        seen: list[str] = []

        def note(event: ConnectionChange) -> None:
            seen.append(event.status)

        transport.on("connection_change", note)
        try:
            yield transport, arguments, seen
        finally:
            await transport.close()


async def connects_and_closes(make: MakeTransport) -> None:
    """The status goes connecting, connected, disconnected, and listeners hear it."""
    async with _watched(make) as (transport, arguments, seen):
        promise(transport.status == "disconnected", f"a new transport is {transport.status}")
        await transport.connect(**arguments)
        promise(transport.status == "connected", f"after connect() it is {transport.status}")
        await transport.close()
        promise(transport.status == "disconnected", f"after close() it is {transport.status}")
        told = [status for status in seen if status != "disconnecting"]
        promise(told == ["connecting", "connected", "disconnected"], f"connection_change told {seen}")


async def closes_again_and_early(make: MakeTransport) -> None:
    """`close` without a connection, and twice, does nothing."""
    async with _watched(make) as (transport, arguments, seen):
        await transport.close()
        promise(not seen, f"close() before connect() told {seen}")
        await transport.connect(**arguments)
        await asyncio.gather(transport.close(), transport.close())
        await transport.close()
        promise(seen.count("disconnected") == 1, f"closing told {seen}")


async def connects_again(make: MakeTransport) -> None:
    """After `close` the same object connects again."""
    async with _watched(make) as (transport, arguments, _):
        for _attempt in range(2):
            await transport.connect(**arguments)
            await transport.close()


async def refuses_a_second_connect(make: MakeTransport) -> None:
    """`connect` while connected is the caller's mistake and leaves the connection alone."""
    async with _watched(make) as (transport, arguments, seen):
        await transport.connect(**arguments)
        try:
            await transport.connect(**arguments)
        except UserError:
            pass
        else:
            raise AssertionError("a second connect() did not raise UserError")
        promise(transport.status == "connected", f"a second connect() left it {transport.status}")
        promise(seen.count("connecting") == 1, f"connection_change told {seen}")


async def survives_cancellation(make: MakeTransport) -> None:
    """A cancelled `connect` leaves the transport disconnected and usable."""
    async with _watched(make) as (transport, arguments, _):
        attempt = asyncio.ensure_future(transport.connect(**arguments))
        await asyncio.sleep(0)
        attempt.cancel()
        await asyncio.wait([attempt])
        if not attempt.cancelled() and attempt.exception() is None:
            await transport.close()  # it was faster than the cancellation
        promise(transport.status == "disconnected", f"a cancelled connect() left it {transport.status}")
        await transport.connect(**arguments)
        promise(transport.status == "connected", "connect() after a cancelled one did not connect")


async def yields_to_close(make: MakeTransport) -> None:
    """`close` during `connect` ends it with an error, not with a connection."""
    async with _watched(make) as (transport, arguments, seen):
        begun = asyncio.Event()

        def begin(_event: ConnectionChange) -> None:
            begun.set()

        transport.once("connection_change", begin)
        attempt = asyncio.ensure_future(transport.connect(**arguments))
        await begun.wait()
        await transport.close()
        await asyncio.wait([attempt])
        promise(transport.status == "disconnected", f"close() during connect() left it {transport.status}")
        promise(
            attempt.cancelled() or attempt.exception() is not None or "connected" in seen,
            "connect() returned although it never connected",
        )


async def listeners_come_and_go(make: MakeTransport) -> None:
    """`on`, `once`, `off` and `events` do as they say."""
    async with _watched(make) as (transport, arguments, _):
        heard: list[str] = []

        def removed(event: ConnectionChange) -> None:
            heard.append(f"removed {event.status}")

        def first(event: ConnectionChange) -> None:
            heard.append(f"once {event.status}")

        promise(transport.on("connection_change", removed) is removed, "on() does not return the listener")
        transport.off("connection_change", removed)
        transport.once("connection_change", first)
        stream = transport.events("connection_change")
        await transport.connect(**arguments)
        await transport.close()
        promise(heard == ["once connecting"], f"listeners heard {heard}")
        streamed = [event.status async for event in stream]  # close() ends it
        promise(streamed[:2] == ["connecting", "connected"], f"the stream had {streamed}")


TRANSPORT_CHECKS = (
    connects_and_closes,
    closes_again_and_early,
    connects_again,
    refuses_a_second_connect,
    survives_cancellation,
    yields_to_close,
    listeners_come_and_go,
)
