"""One response: its output items, their events in the service's order, its end.

Its states are the table `machines.RESPONSE`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...protocol.formats import AudioFormat
from .conversation import Conversation
from .errors import ClientError
from .items import ItemAudio, ServerItem, public
from .machines import RESPONSE
from .outbox import Outbox
from .transcripts import Alignment, SpokenWord
from .usage import TokenCount, audio_tokens, text_tokens, usage_to_wire

__all__ = ["FinalStatus", "Response", "ResponseSettings", "SpokenPiece"]

FinalStatus = Literal["completed", "cancelled", "incomplete", "failed"]
_CALLS = ("function_call", "mcp_call", "mcp_approval_request")


@dataclass(frozen=True, slots=True)
class SpokenPiece:
    """A piece of the spoken reply.

    Attributes:
        text: the words that begin in it.
        pcm: audio in the response's format.
        words: words that end in it, in characters and milliseconds of the whole message.
    """

    text: str = ""
    pcm: bytes = b""
    words: tuple[SpokenWord, ...] = ()


@dataclass(frozen=True, slots=True)
class ResponseSettings:
    """What holds for one response, whatever the session does meanwhile."""

    modality: Literal["audio", "text"]
    format: AudioFormat
    format_wire: Mapping[str, Any]
    voice: str | Mapping[str, Any]
    max_output_tokens: int | str = "inf"
    metadata: Mapping[str, str] | None = None
    parallel_tool_calls: bool = True


@dataclass(slots=True)
class _Open:
    """The message that is being written."""

    item: ServerItem
    output_index: int
    text: str = ""

    def address(self, response_id: str) -> dict[str, Any]:
        return {
            "response_id": response_id,
            "item_id": self.item.id,
            "output_index": self.output_index,
            "content_index": 0,
        }


class Response:
    """A response in the making.

    Args:
        conversation: where its items go; None for an out-of-band response.
        ending: called before it ends, to close the MCP calls that it waits for.
        play: takes the audio of a message on a media plane; without one it goes out as events.
    """

    def __init__(
        self,
        out: Outbox,
        settings: ResponseSettings,
        conversation: Conversation | None,
        ending: Callable[[Response], None] = lambda _response: None,
        play: Callable[[str, ServerItem, bytes], None] | None = None,
    ) -> None:
        self.id = out.new_id("resp_")
        self.settings = settings
        self.in_band = conversation is not None
        self.state = RESPONSE.initial
        self.given = TokenCount()
        self.output: list[ServerItem] = []
        self.spoke = False
        self._made = TokenCount()
        self._status_details: dict[str, Any] | None = None
        self._out = out
        self._conversation = conversation
        self._ending = ending
        self._play = play
        self._open: _Open | None = None
        self._mcp_calls: dict[str, int] = {}  # item id -> output index

    @property
    def running(self) -> bool:
        """Not over yet."""
        return self.state in ("waiting", "making")

    @property
    def status(self) -> str:
        """The state, as the wire has it."""
        return "in_progress" if self.running else self.state

    def launch(self, given: TokenCount) -> None:
        """It is being made from now on, from so many tokens."""
        self.state = RESPONSE.step(self.state, "understood")
        self.given = given

    @property
    def called_tools(self) -> bool:
        """Whether its calls, or questions about them, wait for somebody."""
        return any(item.wire["type"] in _CALLS for item in self.output)

    @property
    def awaits_mcp(self) -> bool:
        """Whether MCP calls that it has made are not answered yet."""
        return bool(self._mcp_calls)

    @property
    def tokens(self) -> int:
        """Input and output tokens so far."""
        return self.given.total + self._made.total

    def to_wire(self) -> dict[str, Any]:
        """The `response` object."""
        settings = self.settings
        sound = {"format": dict(settings.format_wire), "voice": settings.voice}
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": self.status,
            "status_details": self._status_details,
            "output": [public(item.wire) for item in self.output],
            "conversation_id": self._conversation.id if self._conversation is not None else None,
            "output_modalities": [settings.modality],
            "max_output_tokens": settings.max_output_tokens,
            "audio": {"output": sound},
            "usage": None if self.running else usage_to_wire(self.given, self._made),
            "metadata": None if settings.metadata is None else dict(settings.metadata),
        }

    def created(self) -> None:
        """Tell the client that it exists."""
        self._out.send("response.created", response=self.to_wire())

    # -- output ---------------------------------------------------------------------------

    def write(self, text: str) -> None:
        """More text of a text-only reply."""
        if not self.running or not text:
            return
        opened = self._message("output_text")
        most = self.settings.max_output_tokens
        if not isinstance(most, str):
            # The message may fill up what other items have left, four characters a token.
            others = self._made.total - text_tokens(opened.text)
            room = (most - others) * 4 - len(opened.text)
            if len(text) > room:
                self._append_text(opened, text[: max(room, 0)], "response.output_text.delta", "text")
                self.end("incomplete", "max_output_tokens")
                return
        self._append_text(opened, text, "response.output_text.delta", "text")

    def speak(self, piece: SpokenPiece) -> None:
        """More of a spoken reply."""
        if not self.running:
            return
        opened = self._message("output_audio")
        room = self._room()
        if room is not None and self._cost(opened, piece) > room:
            self.end("incomplete", "max_output_tokens")
            return
        if piece.text:
            self._append_text(opened, piece.text, "response.output_audio_transcript.delta", "transcript")
        if piece.pcm:
            self.spoke = True
            self._append_audio(opened, piece)
        if 0 not in opened.item.cut:
            opened.item.alignment[0].add(piece.words)

    def call(self, name: str, arguments: str) -> None:
        """A tool call, whole."""
        if not self._takes_call(name, arguments):
            return
        call_id = self._out.new_id("call_")
        item = self._new_item(
            {
                "type": "function_call",
                "status": "in_progress",
                "name": name,
                "call_id": call_id,
                "arguments": "",
            }
        )
        where = {
            "response_id": self.id,
            "item_id": item.id,
            "output_index": len(self.output) - 1,
            "call_id": call_id,
        }
        if arguments:
            self._out.send("response.function_call_arguments.delta", **where, delta=arguments)
        item.wire["arguments"] = arguments
        self._out.send("response.function_call_arguments.done", **where, name=name, arguments=arguments)
        self._item_done(item, len(self.output) - 1, "completed")

    def _takes_call(self, name: str, arguments: str) -> bool:
        """Close what is open and count a call, if there is room for it."""
        if not self.running or (self.called_tools and not self.settings.parallel_tool_calls):
            return False
        self._close_message("completed")
        cost = text_tokens(name) + text_tokens(arguments)
        room = self._room()
        if room is not None and cost > room:
            self.end("incomplete", "max_output_tokens")
            return False
        self._made.text += cost
        return True

    def ask_mcp(self, server_label: str, name: str, arguments: str) -> ServerItem | None:
        """The question whether a tool of an MCP server may be called; None if there is no room for it."""
        if not self._takes_call(name, arguments):
            return None
        wire = {"type": "mcp_approval_request", "server_label": server_label, "name": name}
        item = self._new_item({**wire, "arguments": arguments}, "mcpr_")
        self._item_done(item, len(self.output) - 1)
        return item

    def call_mcp(self, server_label: str, name: str, arguments: str) -> ServerItem | None:
        """A call of a tool of an MCP server, which stays open until `mcp_ended`."""
        if not self._takes_call(name, arguments):
            return None
        wire = {"type": "mcp_call", "server_label": server_label, "name": name}
        item = self._new_item({**wire, "arguments": ""}, "mcp_")
        index = self._mcp_calls[item.id] = len(self.output) - 1
        where = {"response_id": self.id, "item_id": item.id, "output_index": index}
        if arguments:
            self._out.send("response.mcp_call_arguments.delta", **where, delta=arguments)
        item.wire["arguments"] = arguments
        self._out.send("response.mcp_call_arguments.done", **where, arguments=arguments)
        self._out.send("response.mcp_call.in_progress", item_id=item.id, output_index=index)
        return item

    def mcp_ended(self, item: ServerItem, event: str) -> None:
        """The item has its output or its error."""
        index = self._mcp_calls.pop(item.id)
        self._out.send(event, item_id=item.id, output_index=index)
        self._item_done(item, index)

    def end(
        self,
        status: FinalStatus,
        reason: str | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        """It is over: close what is open and say so. The second end counts for nothing."""
        if not self.running:
            return
        self._close_message("completed" if status == "completed" else "incomplete")
        self._ending(self)
        self.state = RESPONSE.step(self.state, status)
        if status != "completed":
            self._status_details = {"type": status}
            if reason is not None:
                self._status_details["reason"] = reason
            if error is not None:
                self._status_details["error"] = dict(error)
        self._out.send("response.done", response=self.to_wire())

    # -- items ----------------------------------------------------------------------------

    def _room(self) -> int | None:
        most = self.settings.max_output_tokens
        return None if isinstance(most, str) else max(most - self._made.total, 0)

    def _cost(self, opened: _Open, piece: SpokenPiece) -> int:
        so_far = opened.item.audio[0].duration_ms
        after = so_far + self.settings.format.duration_ms(len(piece.pcm))
        audio = audio_tokens(after, assistant=True) - audio_tokens(so_far, assistant=True)
        return text_tokens(opened.text + piece.text) - text_tokens(opened.text) + audio

    def _append_text(self, opened: _Open, text: str, event: str, key: str) -> None:
        if not text:
            return
        before = text_tokens(opened.text)
        opened.text += text
        self._made.text += text_tokens(opened.text) - before
        if 0 not in opened.item.cut:
            opened.item.content[0][key] += text
        self._out.send(event, **opened.address(self.id), delta=text)

    def _append_audio(self, opened: _Open, piece: SpokenPiece) -> None:
        sound = opened.item.audio[0]
        self._made.audio += self._cost(opened, SpokenPiece(pcm=piece.pcm))
        if 0 not in opened.item.cut:
            kept = sound.add(piece.pcm)
            if self._conversation is not None and self._conversation.get(opened.item.id) is not None:
                self._conversation.keep(sound, kept)
        if self._play is not None:
            self._play(self.id, opened.item, piece.pcm)
            return
        delta = base64.b64encode(piece.pcm).decode("ascii")
        self._out.send("response.output_audio.delta", **opened.address(self.id), delta=delta)

    def _message(self, kind: Literal["output_text", "output_audio"]) -> _Open:
        if self._open is None:
            item = self._new_item(
                {"type": "message", "status": "in_progress", "role": "assistant", "content": []}
            )
            part = {"type": kind, "text" if kind == "output_text" else "transcript": ""}
            item.wire["content"].append(part)
            if kind == "output_audio":
                item.audio[0] = ItemAudio(self.settings.format, forgotten=not self.in_band)
                item.alignment[0] = Alignment()
            self._open = _Open(item, len(self.output) - 1)
            self._out.send("response.content_part.added", **self._open.address(self.id), part=_part(part))
        return self._open

    def _new_item(self, wire: Mapping[str, Any], prefix: str = "item_") -> ServerItem:
        item = ServerItem({"id": self._out.new_id(prefix), "object": "realtime.item", **wire})
        previous = None
        if self._conversation is not None:
            previous = self._conversation.insert(item)
        self.output.append(item)
        self._out.send(
            "response.output_item.added",
            response_id=self.id,
            output_index=len(self.output) - 1,
            item=public(item.wire),
        )
        if self._conversation is not None:
            self._out.send("conversation.item.added", previous_item_id=previous, item=public(item.wire))
        return item

    def _close_message(self, status: str) -> None:
        opened, self._open = self._open, None
        if opened is None:
            return
        where, part, text = opened.address(self.id), opened.item.content[0], opened.text
        if part["type"] == "output_audio":
            self._out.send("response.output_audio.done", **where)
            self._out.send("response.output_audio_transcript.done", **where, transcript=text)
        else:
            self._out.send("response.output_text.done", **where, text=text)
        self._out.send("response.content_part.done", **where, part=_part(part))
        self._item_done(opened.item, opened.output_index, status)

    def _item_done(self, item: ServerItem, output_index: int, status: str | None = None) -> None:
        if status is not None:  # items of MCP have none
            item.wire["status"] = status
        if self._conversation is not None and self._conversation.get(item.id) is item:
            previous = self._conversation.previous_of(item.id)
            self._out.send("conversation.item.done", previous_item_id=previous, item=public(item.wire))
        self._out.send(
            "response.output_item.done",
            response_id=self.id,
            output_index=output_index,
            item=public(item.wire),
        )

    def fail(self, error: ClientError) -> None:
        """End it because of an error of the server's own rules."""
        self.end("failed", error={"type": error.type, "code": error.code, "message": error.message})


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    """A content part as `response.content_part.*` names it: without the `output_`."""
    return {**part, "type": str(part["type"]).removeprefix("output_")}
