"""Reading an answer as a type of the user's: its JSON schema for the model, validation by pydantic."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from ..errors import MissingExtraError, ModelBehaviorError, UserError

__all__ = ["AnswerReader"]

_FENCED: Final = re.compile(r"^```\w*\s*\n(.*?)\n?```\s*$", re.DOTALL)
MOST: Final = 500
"""Characters of an answer that an error shows."""


class AnswerReader:
    """Makes a value of a text.

    Args:
        output_type: a pydantic model, a dataclass, or any other type pydantic knows; None or `str` leave the text.

    Raises:
        UserError: if the type has no JSON schema.
    """

    def __init__(self, output_type: Any) -> None:
        self._adapter: Any = None
        self.instructions = ""
        if output_type is None or output_type is str:
            return
        try:
            from pydantic import TypeAdapter
            from pydantic.errors import PydanticUserError
        except ImportError as error:
            raise MissingExtraError("ask(output_type=...)", "all", "pydantic") from error
        try:
            self._adapter = TypeAdapter(output_type)
            schema = json.dumps(self._adapter.json_schema(), ensure_ascii=False)
        except PydanticUserError as error:
            raise UserError(f"output_type {output_type!r} has no JSON schema: {error}") from None
        self.instructions = (
            "Answer with one JSON value and nothing else, no explanation and no code block. "
            f"It must match this JSON schema:\n{schema}"
        )

    def read(self, text: str) -> tuple[Any, str | None]:
        """The value, or what is wrong with the text."""
        if self._adapter is None:
            return text, None
        fenced = _FENCED.match(text.strip())
        try:
            return self._adapter.validate_json(fenced[1] if fenced else text.strip()), None
        except ValueError as error:  # pydantic's ValidationError is one
            return None, str(error)

    def read_or_raise(self, text: str) -> Any:
        """The value.

        Raises:
            ModelBehaviorError: if there is none.
        """
        value, problem = self.read(text)
        if problem is not None:
            raise ModelBehaviorError(
                f"the model's answer does not match the output type, at the second attempt: {problem}\n"
                f"The answer: {text[:MOST]!r}"
            )
        return value

    def again(self, problem: str) -> str:
        """What to tell the model after a failed attempt."""
        return f"That does not match the schema: {problem}\nAnswer again, with the JSON value alone."
