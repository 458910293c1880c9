"""The conversation as the client knows it.

Deltas are appended to lists and joined only when somebody looks, so a long conversation
costs no more per word than a short one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import overload

from .items import (
    ContentPart,
    FunctionCallItem,
    InputAudio,
    MessageItem,
    OutputAudio,
    OutputText,
    RealtimeItem,
    Role,
)

__all__ = ["History", "HistoryView"]

DEFAULT_MAX_ITEMS = 4096


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
    """

    def __init__(self, *, max_items: int = DEFAULT_MAX_ITEMS, store_audio: bool = False) -> None:
        self._max_items = max_items
        self._store_audio = store_audio
        self._entries: dict[str, _Entry] = {}
        self._order: list[str] = []
        self._cache: tuple[RealtimeItem, ...] | None = ()

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._entries

    def get(self, item_id: str) -> RealtimeItem | None:
        """One item, or None."""
        entry = self._entries.get(item_id)
        return entry.load() if entry else None

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
        entry = self._entries.get(item.item_id)
        if entry is None:
            self._entries[item.item_id] = _Entry(item, placed)
            self._insert(item.item_id, item.previous_item_id, first=first)
            self._forget_oldest()
            return True
        old = entry.load()
        entry.item = _merge(old, item)
        if placed and not entry.settled:
            self._order.remove(item.item_id)
            self._insert(item.item_id, item.previous_item_id, first=first)
        entry.settled = entry.settled or placed
        return False

    def add_words(self, item_id: str, content_index: int, words: str, *, role: Role, audio: bool) -> bool:
        """Append a piece of text or transcript. True if the item was not known before."""
        self._cache = None
        entry = self._entries.get(item_id)
        added = entry is None
        if entry is None:
            self.upsert(MessageItem(item_id, role, status="in_progress"))
            entry = self._entries[item_id]
        if not isinstance(entry.item, MessageItem):
            return added
        if len(entry.item.content) <= content_index:
            entry.item = _with_part(entry.item, content_index, _empty_part(role, audio=audio))
        entry.pieces.setdefault(content_index, []).append(words)
        return added

    def set_words(self, item_id: str, content_index: int, words: str, *, role: Role, audio: bool) -> bool:
        """Replace a text or transcript by its final version. True if the item was not known before."""
        added = self.add_words(item_id, content_index, "", role=role, audio=audio)
        entry = self._entries[item_id]
        entry.pieces.pop(content_index, None)
        item = entry.load()
        if isinstance(item, MessageItem):
            entry.item = _with_words(item, content_index, words, replace_all=True)
        return added

    def set_status(self, item_id: str, status: str) -> None:
        """Change the status of a message."""
        entry = self._entries.get(item_id)
        if entry is not None and isinstance(entry.item, MessageItem) and entry.item.status != status:
            self._cache = None
            entry.item = replace(entry.load(), status=status)  # type: ignore[arg-type]

    def truncate(self, item_id: str, content_index: int, heard_ms: int, received_ms: float) -> None:
        """Show only what was heard of a reply; the full text is kept beside it.

        Without word timings from the service the cut is estimated: words are taken to be
        spread evenly over the audio received, and a word not heard to its end is left out.
        """
        entry = self._entries.get(item_id)
        item = entry.load() if entry else None
        if entry is None or not isinstance(item, MessageItem) or content_index >= len(item.content):
            return
        part = item.content[content_index]
        if not isinstance(part, OutputAudio):
            return
        self._cache = None
        full = part.full_transcript if part.full_transcript is not None else part.transcript or ""
        share = heard_ms / received_ms if received_ms > 0 else 0.0
        cut = replace(part, transcript=_heard_words(full, share), full_transcript=full, heard_ms=heard_ms)
        entry.item = replace(_with_part(item, content_index, cut), status="incomplete")

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
                mine = _with_part(mine, index, replace(part, transcript=theirs.transcript))
        entry.item = mine

    def set_output(self, call_id: str, output: str) -> FunctionCallItem | None:
        """Put the output of a tool call beside the call; returns the item, if there is one."""
        for item_id in reversed(self._order):
            entry = self._entries[item_id]
            if isinstance(entry.item, FunctionCallItem) and entry.item.call_id == call_id:
                self._cache = None
                entry.item = replace(entry.item, output=output, status="completed")
                return entry.item
        return None

    def delete(self, item_id: str) -> bool:
        """Remove an item. False if it is not known."""
        if self._entries.pop(item_id, None) is None:
            return False
        self._order.remove(item_id)
        self._cache = None
        return True

    def _insert(self, item_id: str, previous_item_id: str | None, *, first: bool) -> None:
        if first:
            self._order.insert(0, item_id)
        elif previous_item_id is None or (self._order and self._order[-1] == previous_item_id):
            self._order.append(item_id)
        elif previous_item_id in self._entries and previous_item_id != item_id:
            self._order.insert(self._order.index(previous_item_id) + 1, item_id)
        else:
            self._order.append(item_id)

    def _forget_oldest(self) -> None:
        while len(self._order) > self._max_items:
            del self._entries[self._order.pop(0)]


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


def _with_part(item: MessageItem, index: int, part: ContentPart) -> MessageItem:
    parts = list(item.content)
    while len(parts) <= index:
        parts.append(part)
    parts[index] = part
    return replace(item, content=tuple(parts))


def _with_words(item: MessageItem, index: int, words: str, *, replace_all: bool = False) -> MessageItem:
    part = item.content[index]
    if isinstance(part, OutputText):
        return _with_part(item, index, OutputText(words if replace_all else part.text + words))
    if isinstance(part, OutputAudio):
        if part.heard_ms is not None:
            # Late words of an interrupted reply belong to the text that was not heard.
            full = words if replace_all else (part.full_transcript or "") + words
            return _with_part(item, index, replace(part, full_transcript=full))
        return _with_part(
            item, index, replace(part, transcript=words if replace_all else (part.transcript or "") + words)
        )
    if isinstance(part, InputAudio):
        return _with_part(
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
        known = replace(new, previous_item_id=previous)
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
    if share >= 1:
        return text
    end = max(0, int(len(text) * share))
    if end < len(text) and not text[end].isspace():
        end = max(text.rfind(" ", 0, end + 1), 0)
    return text[:end].rstrip()
