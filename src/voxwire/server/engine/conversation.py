"""The default conversation: items in order, bounded in number and in kept audio."""

from __future__ import annotations

from collections.abc import Iterator

from .errors import ClientError
from .items import ItemAudio, ServerItem

__all__ = ["ROOT", "Conversation"]

ROOT = "root"
"""As `previous_item_id`: before everything else."""


class Conversation:
    """An ordered set of items.

    Args:
        max_items: items beyond which `insert` refuses.
        retained_audio_ms: audio kept with the items; the oldest is forgotten first.
    """

    def __init__(self, conversation_id: str, max_items: int, retained_audio_ms: float) -> None:
        self.id = conversation_id
        self._max_items = max_items
        self._retained_ms = retained_audio_ms
        self._items: list[ServerItem] = []
        self._by_id: dict[str, ServerItem] = {}
        self._sounds: list[ItemAudio] = []
        self._sound_ms = 0.0

    def __iter__(self) -> Iterator[ServerItem]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def last_id(self) -> str | None:
        """The id of the newest item."""
        return self._items[-1].id if self._items else None

    def get(self, item_id: str) -> ServerItem | None:
        """The item of this id."""
        return self._by_id.get(item_id)

    def find(self, item_id: str, doing: str, verb: str) -> ServerItem:
        """The item of this id.

        Raises:
            ClientError: there is none; `doing` and `verb` name what was to be done (deleting, delete).
        """
        item = self._by_id.get(item_id)
        if item is None:
            raise ClientError(
                f"Error {doing} item: the item with id '{item_id}' does not exist.",
                code=f"item_{verb}_invalid_item_id",
                param="item_id",
            )
        return item

    def insert(self, item: ServerItem, previous_item_id: str | None = None) -> str | None:
        """Add an item, at the end unless told where; return the id before it.

        Raises:
            ClientError: the id is taken, the place is unknown, or the conversation is full.
        """
        self.check_free(item.id)
        self.check_room()
        index = self._place(previous_item_id)
        self._items.insert(index, item)
        self._by_id[item.id] = item
        for sound in item.audio.values():
            self.keep(sound, sound.duration_ms)
        return self._items[index - 1].id if index else None

    def check_free(self, item_id: str, promised: str | None = None) -> None:
        """Raise `ClientError` if this id is taken.

        Args:
            promised: an id that clients know already, of an item to come.
        """
        if item_id in self._by_id or item_id == promised:
            raise ClientError(
                f"Error adding item: an item with id '{item_id}' already exists.",
                code="item_create_duplicate_id",
                param="item.id",
            )

    def check_room(self) -> None:
        """Raise `ClientError` if no other item fits."""
        if len(self._items) >= self._max_items:
            raise ClientError(
                f"The conversation holds its maximum of {self._max_items} items. Delete some before "
                "adding others.",
                code="conversation_full",
            )

    def _place(self, previous_item_id: str | None) -> int:
        if previous_item_id is None:
            return len(self._items)
        if previous_item_id == ROOT:
            return 0
        previous = self._by_id.get(previous_item_id)
        if previous is None:
            raise ClientError(
                f"Error adding item: the previous item with id '{previous_item_id}' does not exist.",
                code="item_create_invalid_previous_item_id",
                param="previous_item_id",
            )
        return self._items.index(previous) + 1

    def previous_of(self, item_id: str) -> str | None:
        """The id before this item; None for the first and for one that is gone."""
        item = self._by_id.get(item_id)
        index = self._items.index(item) if item is not None else 0
        return self._items[index - 1].id if index else None

    def delete(self, item_id: str) -> None:
        """Remove an item.

        Raises:
            ClientError: there is none of this id.
        """
        item = self.find(item_id, "deleting", "delete")
        self._items.remove(item)
        del self._by_id[item_id]
        for sound in item.audio.values():
            self._forget(sound)

    def keep(self, sound: ItemAudio, added_ms: float) -> None:
        """Count audio that was just added to an item; forget the oldest if that is too much."""
        if not any(known is sound for known in reversed(self._sounds)):
            self._sounds.append(sound)
        self._sound_ms += added_ms
        while self._sound_ms > self._retained_ms and self._sounds:
            self._forget(self._sounds[0])

    def _forget(self, sound: ItemAudio) -> None:
        for index, known in enumerate(self._sounds):
            if known is sound:
                del self._sounds[index]
                self._sound_ms -= sound.forget()
                return

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> None:
        """Cut the audio of an assistant's message, and its transcript at the last word heard.

        Raises:
            ClientError: no such item or audio, or it is shorter than that.
        """
        item = self.find(item_id, "truncating", "truncate")
        if item.wire["type"] != "message" or item.wire.get("role") != "assistant":
            raise ClientError("Only model output audio messages can be truncated", param="item_id")
        sound = item.audio.get(content_index)
        if sound is None:
            raise ClientError(
                f"Only model output audio messages can be truncated: content {content_index} of item "
                f"'{item_id}' has no audio.",
                param="content_index",
            )
        if audio_end_ms > sound.duration_ms:
            raise ClientError(
                f"Audio content of {int(sound.duration_ms)}ms is already shorter than {audio_end_ms}ms",
                param="audio_end_ms",
            )
        self._cut(item, content_index, audio_end_ms)

    def _cut(self, item: ServerItem, content_index: int, audio_end_ms: int) -> None:
        sound, alignment = item.audio[content_index], item.alignment[content_index]
        kept = min(sound.format.size_of(audio_end_ms), len(sound.data))
        self._sound_ms -= sound.format.duration_ms(len(sound.data) - kept)
        del sound.data[kept:]
        sound.duration_ms = float(audio_end_ms)
        part = item.content[content_index]
        part["transcript"] = part.get("transcript", "")[: alignment.heard_length(audio_end_ms)]
        alignment.cut(audio_end_ms)
        item.cut.add(content_index)
