"""What `check_carrier` checks: the promises of `voxwire.carriers.base`, one function each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from ..carriers.base import Carrier, CarrierClosed
from ..errors import ConnectionLost
from .ends import CarrierPeer, MakeEnds
from .promise import promise
from .receiver import RecordingReceiver

__all__ = ["check_carrier"]

PATIENCE = 10.0
"""Seconds after which a promise counts as broken."""


@dataclass
class _Opened:
    carrier: Carrier
    peer: CarrierPeer
    receiver: RecordingReceiver
    close_codes: bool
    long_message: int  # characters


@contextlib.asynccontextmanager
async def _opened(make_ends: MakeEnds) -> AsyncGenerator[_Opened, None]:
    async with make_ends() as ends:
        receiver = RecordingReceiver()
        await ends.carrier.open(replace(ends.request, close_timeout=1.0), receiver)
        try:
            long_message = min(300_000, ends.max_message_bytes or 300_000)
            yield _Opened(ends.carrier, await ends.accept(), receiver, ends.close_codes, long_message)
        finally:
            await ends.carrier.close()


async def check_carrier(make_ends: MakeEnds) -> None:
    """Run every carrier check, each on a fresh pair.

        async def test_my_carrier():
            await check_carrier(lambda: websocket_ends(MyCarrier))

    Args:
        make_ends: gives a new carrier with its far end: `websocket_ends(MyCarrier)`,
            `memory_ends()` or your own `CarrierEnds`.

    Raises:
        AssertionError: naming the promise of `voxwire.carriers.base` that was not kept.
    """
    for check in CARRIER_CHECKS:
        try:
            async with asyncio.timeout(PATIENCE * 3):
                await check(make_ends)
        except TimeoutError as error:
            raise AssertionError(f"{check.__name__} did not come to an end") from error


async def carries_both_ways(make_ends: MakeEnds) -> None:
    """Messages arrive whole, in order, in both directions, whatever is in them."""
    texts = [f'{{"n": {n}}}' for n in range(200)] + ['{"t": "ümläut 🎙 \\u0000 \u2028"}', ""]
    async with _opened(make_ends) as link:
        texts.append("x" * link.long_message)
        for text in texts:
            link.carrier.send(text)
        for text in texts:
            await link.peer.send(text)
        for text in texts:
            got = await link.peer.receive()
            promise(got == text, f"the peer got {got[:60]!r} where {text[:60]!r} was sent")
        await link.receiver.until(lambda: len(link.receiver.messages) >= len(texts), PATIENCE)
        got_here = [str(m, "utf-8") if isinstance(m, bytes) else m for m in link.receiver.messages]
        promise(got_here == texts, "messages were lost, changed or reordered on the way in")


async def answers_from_the_callback(make_ends: MakeEnds) -> None:
    """`send` works inside `message`, and does not call back into it."""
    async with _opened(make_ends) as link:
        inside, nested = False, False

        def answer(_message: str | bytes) -> None:
            nonlocal inside, nested
            if inside:
                nested = True
                return
            inside = True
            link.carrier.send("answer")
            inside = False

        link.receiver.on_message = answer
        for _ in range(3):
            await link.peer.send("question")
        await link.receiver.until(lambda: len(link.receiver.messages) >= 3, PATIENCE)
        promise(not nested, "message() was called from inside message()")
        promise(not link.receiver.failures, f"send() inside message() raised {link.receiver.failures}")
        for _ in range(3):
            promise(await link.peer.receive() == "answer", "a message sent inside message() got lost")


async def tells_the_peers_goodbye(make_ends: MakeEnds) -> None:
    """A close by the peer comes last, once, with code and reason; then `send` and `drain` fail."""
    async with _opened(make_ends) as link:
        await link.peer.send("last words")
        await link.peer.close(4001, "session expired")
        await link.receiver.ended(PATIENCE)
        promise(link.receiver.log == ["message", "closed"], f"order of calls: {link.receiver.log}")
        how, told = link.receiver.how, CarrierClosed(4001, "session expired", clean=True)
        promise(how == told if link.close_codes else how is not None and how.clean, f"told: {how}")
        await _is_lost(link.carrier)
        await link.carrier.close()
        promise(link.receiver.log.count("closed") == 1, "closed() was called again by close()")


async def says_goodbye(make_ends: MakeEnds) -> None:
    """`close` passes code and reason, ends in one `closed`, and can be called again."""
    async with _opened(make_ends) as link:
        link.carrier.send("before")
        await asyncio.gather(link.carrier.close(4002, "enough"), link.carrier.close())
        promise(await link.peer.receive() == "before", "close() lost a message that was sent before")
        told = await link.peer.closed()
        promise(told == (4002, "enough") or not link.close_codes, "the peer was told another end")
        how = await link.receiver.ended(PATIENCE)
        promise(how.code == 4002 and how.clean, f"told: {how}")
        await link.carrier.close()
        promise(link.receiver.log.count("closed") == 1, "closed() was called more than once")
        await _is_lost(link.carrier)


async def notices_a_lost_peer(make_ends: MakeEnds) -> None:
    """A peer that vanishes is 1006 and not clean."""
    async with _opened(make_ends) as link:
        link.peer.drop()
        how = await link.receiver.ended(PATIENCE)
        promise(how.code == 1006 and not how.clean, f"told: {how}")
        await _is_lost(link.carrier)


async def pauses(make_ends: MakeEnds) -> None:
    """While paused nothing is delivered; afterwards everything is, in order."""
    async with _opened(make_ends) as link:
        link.receiver.on_message = lambda _: link.carrier.pause_reading()
        for n in range(50):
            await link.peer.send(str(n))
        await link.receiver.until(lambda: bool(link.receiver.messages), PATIENCE)
        link.carrier.pause_reading()
        await _a_moment()
        promise(link.receiver.messages == ["0"], f"delivered while paused: {link.receiver.messages[1:]}")
        link.receiver.on_message = None
        link.carrier.resume_reading()
        link.carrier.resume_reading()
        await link.receiver.until(lambda: len(link.receiver.messages) == 50, PATIENCE)
        promise(link.receiver.messages == [str(n) for n in range(50)], "order was lost over a pause")


async def closes_while_paused(make_ends: MakeEnds) -> None:
    """`close` ends also when nobody reads, and delivers nothing more."""
    async with _opened(make_ends) as link:
        link.carrier.pause_reading()
        await link.peer.send("unread")
        await _a_moment()
        await link.carrier.close()
        await link.receiver.ended(PATIENCE)
        promise(link.receiver.log == ["closed"], f"order of calls: {link.receiver.log}")


async def feels_backpressure(make_ends: MakeEnds) -> None:
    """`drain` waits for a peer that does not read; a cancelled one harms nobody."""
    async with _opened(make_ends) as link:
        link.peer.pause()
        sent = 0
        waiting: asyncio.Task[None] | None = None
        while waiting is None:
            link.carrier.send("y" * 50_000)
            sent += 1
            promise(sent < 1_000, "drain() never waited, though the peer reads nothing")
            task = asyncio.ensure_future(link.carrier.drain())
            await _a_moment(5)
            waiting = None if task.done() else task
        other = asyncio.ensure_future(link.carrier.drain())
        waiting.cancel()
        await asyncio.wait([waiting])
        promise(waiting.cancelled(), "a waiting drain() did not follow its cancellation")
        promise(not other.done(), "cancelling one drain() let another one pass")
        link.peer.resume()
        for _ in range(sent):
            await link.peer.receive()
        await asyncio.wait_for(other, PATIENCE)


async def lets_go_of_drain(make_ends: MakeEnds) -> None:
    """`drain` ends with ConnectionLost when the connection does."""
    async with _opened(make_ends) as link:
        link.peer.pause()
        for _ in range(2_000):
            link.carrier.send("z" * 20_000)
            if await _would_wait(link.carrier):
                break
        waiting = asyncio.ensure_future(link.carrier.drain())
        await _a_moment()
        link.peer.drop()
        await asyncio.wait([waiting], timeout=PATIENCE)
        promise(waiting.done(), "drain() still waits after the connection ended")
        promise(
            isinstance(waiting.exception(), ConnectionLost), "drain() returned though the connection ended"
        )


async def refuses_before_open(make_ends: MakeEnds) -> None:
    """A carrier that is not open raises ConnectionLost, and closes without complaint."""
    async with make_ends() as ends:
        await _is_lost(ends.carrier)
        ends.carrier.pause_reading()
        ends.carrier.resume_reading()
        await ends.carrier.close()


async def _is_lost(carrier: Carrier) -> None:
    try:
        carrier.send("too late")
    except ConnectionLost:
        pass
    else:
        raise AssertionError("send() on a connection that is not open did not raise ConnectionLost")
    try:
        await carrier.drain()
    except ConnectionLost:
        pass
    else:
        raise AssertionError("drain() on a connection that is not open did not raise ConnectionLost")


async def _would_wait(carrier: Carrier) -> bool:
    task = asyncio.ensure_future(carrier.drain())
    await _a_moment(3)
    if task.done():
        return False
    task.cancel()
    await asyncio.wait([task])
    return True


async def _a_moment(turns: int = 20) -> None:
    """Let whatever would come, come: to show that something does not happen there is only waiting."""
    for _ in range(turns):
        await asyncio.sleep(0.001)


CARRIER_CHECKS = (
    carries_both_ways,
    answers_from_the_callback,
    tells_the_peers_goodbye,
    says_goodbye,
    notices_a_lost_peer,
    pauses,
    closes_while_paused,
    feels_backpressure,
    lets_go_of_drain,
    refuses_before_open,
)
