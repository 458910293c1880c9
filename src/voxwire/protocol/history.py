"""The conversation as the client knows it.

Deltas are appended to lists and joined only when somebody looks, so a long conversation
costs no more per word than a short one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import overload

from .history_order import ItemOrder
from .items import (
    ContentPart,
    FunctionCallItem,
    InputAudio,
    ItemStatus,
    MessageItem,
    OutputAudio,
    OutputText,
    RealtimeItem,
    Role,
)

__all__ = ["History", "HistoryView"]

DEFAULT_MAX_ITEMS = 4096
MAX_PARTS = 256
"""Content parts per item; words for a later one are a mistake of the service and left out."""
MAX_WORD = 32
"""Characters searched for the end of a word; beyond that a text is taken to be written without spaces."""


@dataclass(slots=True)
class _Entry:
    """One item, and the pieces that were not merged into it yet."""

    item: RealtimeItem
    settled: bool
    """Whether its place is known, or it was put at the end for want of better."""
    pieces: dict[int, list[str]] = field(default_factory=dict[int, list[str]])

    def load(self) -> RealtimeItem:
        if self.pieces and isinstance(self.item, MessageItem):
            item = self.item
            for index, words in self.pieces.items():
                item = _with_words(item, index, "".join(words))
            self.item = item
            self.pieces = {}
        return self.item


class History:
    """Items in order.

    Args:
        max_items: when there are more, the oldest are forgotten here (not at the service).
        store_audio: keep base64 audio that the service sends with items.

    Raises:
        ValueError: if `max_items` is less than 1.
    """

    def __init__(self, *, max_items: int = DEFAULT_MAX_ITEMS, store_audio: bool = False) -> None:
        if max_items < 1:
            raise ValueError(f"a history needs room for at least one item, not max_items={max_items!r}")
        self._max_items = max_items
        self._store_audio = store_audio
        self._entries: dict[str, _Entry] = {}
        self._order = ItemOrder()
        self._call_items: dict[str, str] = {}
        self._output_items: dict[str, str] = {}
        self._cache: tuple[RealtimeItem, ...] | None = ()

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._entries

    def get(self, item_id: str) -> RealtimeItem | None:
        """One item, or None."""
        entry = self._entries.get(item_id)
        return entry.load() if entry else None

    def get_call(self, call_id: str) -> FunctionCallItem | None:
        """The tool call with this `call_id`, or None."""
        item = self.get(self._call_items.get(call_id, ""))
        return item if isinstance(item, FunctionCallItem) else None

    def snapshot(self) -> tuple[RealtimeItem, ...]:
        """All items, oldest first."""
        if self._cache is None:
            self._cache = tuple(self._entries[item_id].load() for item_id in self._order)
        return self._cache

    def upsert(self, item: RealtimeItem, *, placed: bool = False, first: bool = False) -> bool:
        """Add an item, or merge a newer version of it. True if it is new.

        Args:
            item: its `previous_item_id` says where it belongs, if it has one.
            placed: whether the service said where it belongs (`previous_item_id`, or none for the end).
            first: it belongs at the very beginning.
        """
        self._cache = None
        if not self._store_audio:
            item = _without_audio(item)
        if isinstance(item, FunctionCallItem) and item.call_id:
            self._call_items[item.call_id] = item.item_id
        # The output of a call is an item of its own at the service, and part of the call here.
        previous = self._output_items.get(item.previous_item_id or "", item.previous_item_id)
        entry = self._entries.get(item.item_id)
        if entry is None:
            self._entries[item.item_id] = _Entry(item, placed)
            self._order.add(item.item_id, previous, first=first)
            self._forget_oldest()
            return True
        old = entry.load()
        entry.item = _merge(old, item)
        moved = entry.item.previous_item_id != old.previous_item_id
        if placed and (moved or not entry.settled):
            self._order.place(item.item_id, previous, first=first)
        entry.settled = entry.settled or placed
        return False

    def add_words(self, item_id: str, content_index: int, words: str, *, role: Role, audio: bool) -> bool:
        """Append a piece of text or transcript. True if the item was not known before."""
        if not 0 <= content_index < MAX_PARTS:
            return False
        self._cache = None
        entry = self._entries.get(item_id)
        added = entry is None
        if entry is None:
            self.upsert(MessageItem(item_id, role, status="in_progress"))
            entry = self._entries[item_id]
        if not isinstance(entry.item, MessageItem):
            return added
        if len(entry.item.content) <= content_index:
            entry.item = _with_part(entry.item, content_index, role, audio=audio)
        entry.pieces.setdefault(content_index, []).append(words)
        return added

    def set_words(self, item_id: str, content_index: int, words: str, *, role: Role, audio: bool) -> bool:
        """Replace a text or transcript by its final version. True if the item was not known before."""
        added = self.add_words(item_id, content_index, "", role=role, audio=audio)
        entry = self._entries.get(item_id)
        if entry is None:
            return False
        entry.pieces.pop(content_index, None)
        item = entry.load()
        if isinstance(item, MessageItem) and content_index < len(item.content):
            entry.item = _with_words(item, content_index, words, replace_all=True)
        return added

    def set_status(self, item_id: str, status: ItemStatus) -> None:
        """Change the status of a message."""
        entry = self._entries.get(item_id)
        item = entry.load() if entry else None
        if entry is not None and isinstance(item, MessageItem) and item.status != status:
            self._cache = None
            entry.item = replace(item, status=status)

    def truncate(self, item_id: str, content_index: int, heard_ms: int, received_ms: float | None) -> bool:
        """Show only what was heard of a reply; the full text is kept beside it.

        Without word timings from the service the cut is estimated: words are taken to be
        spread evenly over the audio received, and a word not heard to its end is left out.

        Args:
            received_ms: None if not known; then the text stays until the service says what is left.

        Returns:
            True if the item was not known before: its words may still be on their way.
        """
        if not 0 <= content_index < MAX_PARTS:
            return False
        added = self.add_words(item_id, content_index, "", role="assistant", audio=True)
        entry = self._entries[item_id]
        item = entry.load()
        if not isinstance(item, MessageItem):
            return added
        part = item.content[content_index]
        if not isinstance(part, OutputAudio):
            return added
        full = part.full_transcript if part.full_transcript is not None else part.transcript or ""
        share = 1.0 if received_ms is None else heard_ms / received_ms if received_ms > 0 else 0.0
        cut = replace(part, transcript=_heard_words(full, share), full_transcript=full, heard_ms=heard_ms)
        entry.item = replace(_put_part(item, content_index, cut), status="incomplete")
        return added

    def was_cut(self, item_id: str, content_index: int) -> bool:
        """Whether this content part is known to be cut."""
        item = self.get(item_id)
        if not isinstance(item, MessageItem) or not 0 <= content_index < len(item.content):
            return False
        part = item.content[content_index]
        return isinstance(part, OutputAudio) and part.heard_ms is not None

    def confirm_heard(self, item: MessageItem) -> None:
        """The service sent an item again after cutting it: take its word for what was heard, where it has one."""
        entry = self._entries.get(item.item_id)
        mine = entry.load() if entry else None
        if entry is None or not isinstance(mine, MessageItem):
            return
        for index, theirs in enumerate(item.content):
            part = mine.content[index] if index < len(mine.content) else None
            if (
                isinstance(part, OutputAudio)
                and isinstance(theirs, OutputAudio)
                and part.heard_ms is not None
                and theirs.transcript
                and len(theirs.transcript) < len(part.full_transcript or "")
            ):
                self._cache = None
                mine = _put_part(mine, index, replace(part, transcript=theirs.transcript))
        entry.item = mine

    def set_output(
        self, call_id: str, output: str, *, output_item_id: str | None = None
    ) -> FunctionCallItem | None:
        """Put the output of a tool call beside the call; returns the item, if there is one.

        Args:
            output_item_id: the output's own item at the service.
        """
        call = self.get_call(call_id)
        if call is None:
            return None
        self._cache = None
        known = output_item_id or call.output_item_id
        call = replace(call, output=output, status="completed", output_item_id=known)
        self._entries[call.item_id].item = call
        if known:
            self._output_items[known] = call.item_id
        return call

    def delete(self, item_id: str) -> bool:
        """Remove an item. False if it is not known."""
        if item_id not in self._entries:
            return False
        self._order.remove(item_id)
        self._forget(item_id)
        return True

    def _forget(self, item_id: str) -> None:
        self._cache = None
        item = self._entries.pop(item_id).item
        if isinstance(item, FunctionCallItem):
            if self._call_items.get(item.call_id) == item_id:
                del self._call_items[item.call_id]
            self._output_items.pop(item.output_item_id or "", None)

    def _forget_oldest(self) -> None:
        while len(self._order) > self._max_items:
            self._forget(self._order.pop_oldest())


class HistoryView(Sequence[RealtimeItem]):
    """A snapshot that is taken when it is first looked at, and then stays as it is."""

    __slots__ = ("_history", "_items")

    def __init__(self, history: History) -> None:
        self._history: History | None = history
        self._items: tuple[RealtimeItem, ...] = ()

    def _load(self) -> tuple[RealtimeItem, ...]:
        if self._history is not None:
            self._items = self._history.snapshot()
            self._history = None
        return self._items

    @overload
    def __getitem__(self, index: int) -> RealtimeItem: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RealtimeItem]: ...
    def __getitem__(self, index: int | slice) -> RealtimeItem | Sequence[RealtimeItem]:
        return self._load()[index]

    def __len__(self) -> int:
        return len(self._load())

    def __iter__(self) -> Iterator[RealtimeItem]:
        return iter(self._load())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (HistoryView, tuple, list)):
            return self._load() == tuple(other)  # pyright: ignore[reportUnknownArgumentType]
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._load())

    def __repr__(self) -> str:
        return f"HistoryView({list(self._load())!r})"


def _empty_part(role: Role, *, audio: bool) -> ContentPart:
    if role == "user":
        return InputAudio()
    return OutputAudio() if audio else OutputText()


def _with_part(item: MessageItem, index: int, role: Role, *, audio: bool) -> MessageItem:
    """Empty parts up to and including this one."""
    missing = index + 1 - len(item.content)
    return replace(item, content=(*item.content, *(_empty_part(role, audio=audio) for _ in range(missing))))


def _put_part(item: MessageItem, index: int, part: ContentPart) -> MessageItem:
    return replace(item, content=(*item.content[:index], part, *item.content[index + 1 :]))


def _with_words(item: MessageItem, index: int, words: str, *, replace_all: bool = False) -> MessageItem:
    part = item.content[index]
    if isinstance(part, OutputText):
        return _put_part(item, index, OutputText(words if replace_all else part.text + words))
    if isinstance(part, OutputAudio):
        if part.heard_ms is not None:
            # Late words of an interrupted reply belong to the text that was not heard.
            full = words if replace_all else (part.full_transcript or "") + words
            return _put_part(item, index, replace(part, full_transcript=full))
        return _put_part(
            item, index, replace(part, transcript=words if replace_all else (part.transcript or "") + words)
        )
    if isinstance(part, InputAudio):
        return _put_part(
            item, index, replace(part, transcript=words if replace_all else (part.transcript or "") + words)
        )
    return item


def _without_audio(item: RealtimeItem) -> RealtimeItem:
    if not isinstance(item, MessageItem):
        return item
    if not any(isinstance(part, (InputAudio, OutputAudio)) and part.audio for part in item.content):
        return item
    parts = (replace(p, audio=None) if isinstance(p, (InputAudio, OutputAudio)) else p for p in item.content)
    return replace(item, content=tuple(parts))


def _merge(old: RealtimeItem, new: RealtimeItem) -> RealtimeItem:
    """A newer version of an item, without losing what only the older one knows."""
    previous = new.previous_item_id if new.previous_item_id is not None else old.previous_item_id
    if isinstance(old, MessageItem) and isinstance(new, MessageItem):
        parts = [_merge_part(o, n) for o, n in zip(old.content, new.content, strict=False)]
        rest = old.content[len(parts) :] if len(old.content) > len(parts) else new.content[len(parts) :]
        status = "incomplete" if _was_cut(old) else new.status
        return replace(new, content=(*parts, *rest), status=status, previous_item_id=previous)
    if isinstance(old, FunctionCallItem) and isinstance(new, FunctionCallItem):
        known = replace(
            new,
            previous_item_id=previous,
            arguments=new.arguments or old.arguments,
            output_item_id=new.output_item_id or old.output_item_id,
        )
        return replace(known, output=old.output, status=old.status) if old.output is not None else known
    return replace(new, previous_item_id=previous)


def _was_cut(item: MessageItem) -> bool:
    return any(isinstance(part, OutputAudio) and part.heard_ms is not None for part in item.content)


def _merge_part(old: ContentPart, new: ContentPart) -> ContentPart:
    if isinstance(old, OutputAudio) and isinstance(new, OutputAudio):
        if old.heard_ms is not None:
            return replace(old, audio=new.audio or old.audio)
        return replace(new, transcript=new.transcript or old.transcript, audio=new.audio or old.audio)
    if isinstance(old, InputAudio) and isinstance(new, InputAudio):
        return InputAudio(new.transcript or old.transcript, new.audio or old.audio)
    if isinstance(old, OutputText) and isinstance(new, OutputText) and not new.text:
        return old
    return new


def _heard_words(text: str, share: float) -> str:
    """The words that lie wholly within this share of the text's length."""
    end = max(0, int(len(text) * share))
    if end >= len(text):
        return text
    if text[end].isspace():
        return text[:end].rstrip()
    start = max(0, end - MAX_WORD)
    words = text[start:end]
    space = max(words.rfind(" "), words.rfind("\n"))
    if space < 0:
        # Inside the first word, or in a script without spaces: there every character counts.
        return text[:end] if start or not text[:end].isascii() else ""
    return text[: start + space].rstrip()
