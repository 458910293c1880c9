"""The recognitions of one session, as the engine asks for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from .engine import (
    CancelTranscription,
    EngineAction,
    FeedTranscription,
    FinishTranscription,
    ServerEngine,
    StartTranscription,
)
from .hearing import Recognition
from .speech.base import Transcriber

__all__ = ["Recognitions"]

logger = logging.getLogger("voxwire.server")


class Recognitions:
    """What is being recognised, by item.

    Args:
        timeout: seconds that the transcriber may take after the end of an utterance.
        perform: carries out what the engine makes of a result.
        spawn: runs a coroutine as a task of the session, under a name; `cancel` ends it.
    """

    def __init__(
        self,
        engine: ServerEngine,
        transcriber: Transcriber,
        timeout: float,
        *,
        perform: Callable[[Sequence[EngineAction]], None],
        spawn: Callable[[str, Coroutine[Any, Any, None]], None],
        cancel: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._transcriber = transcriber
        self._timeout = timeout
        self._perform = perform
        self._spawn = spawn
        self._cancel_task = cancel
        self._loop = asyncio.get_running_loop()
        self._running: dict[str, Recognition] = {}

    def handlers(self) -> dict[type[EngineAction], Callable[[Any], None]]:
        """What to do with the engine's actions."""
        return {
            StartTranscription: self._start,
            FeedTranscription: self._feed,
            FinishTranscription: self._finish,
            CancelTranscription: self._cancel,
        }

    def cancel_all(self) -> None:
        """The session is over."""
        for recognition in self._running.values():
            recognition.cancel()

    def _start(self, action: StartTranscription) -> None:
        def on_partial(text: str) -> None:
            self._perform(self._engine.partial(action.item_id, text, self._loop.time()))

        self._running[action.item_id] = Recognition(
            self._transcriber, action.format, action.session, on_partial
        )

    def _feed(self, action: FeedTranscription) -> None:
        recognition = self._running.get(action.item_id)
        if recognition is not None:
            recognition.feed(action.pcm)

    def _finish(self, action: FinishTranscription) -> None:
        self._spawn(action.item_id, self._recognise(action.item_id))

    def _cancel(self, action: CancelTranscription) -> None:
        self._cancel_task(action.item_id)
        recognition = self._running.pop(action.item_id, None)
        if recognition is not None:
            recognition.cancel()

    async def _recognise(self, item_id: str) -> None:
        recognition = self._running.get(item_id)
        if recognition is None:
            return
        try:
            transcript = await recognition.finish(self._timeout)
        except Exception as exc:  # noqa: BLE001 - a plug-in may raise anything
            logger.warning("input transcription failed: %s", exc)
            recognition.cancel()
            message = str(exc) or type(exc).__name__
            actions = self._engine.transcription_failed(item_id, message, self._loop.time())
        else:
            now = self._loop.time()
            actions = self._engine.transcribed(item_id, transcript.text, transcript.seconds, now)
        finally:
            self._running.pop(item_id, None)
        self._perform(actions)
