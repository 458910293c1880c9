"""Schemas and readers by pydantic; imported only where a tool is defined and pydantic is installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from ..errors import UserError
from .arguments import InvalidArgumentsError, read_json
from .signature import REQUIRED, Parameter, Signature

__all__ = ["ModelArguments", "TypeArguments"]


class _Schema(GenerateJsonSchema):
    """Without titles, which only repeat the names, and silent about defaults JSON cannot hold."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic's own

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        """No titles."""
        return False


class ModelArguments:
    """The parameters of a function as a pydantic model."""

    def __init__(self, signature: Signature, *, strict: bool) -> None:
        # Fields have made-up names, arguments are their aliases: an argument may then be
        # called `copy` or `_id`, which a model's own fields cannot.
        self._names = {f"p{i}": parameter.name for i, parameter in enumerate(signature.parameters)}
        fields: dict[str, Any] = {
            key: _field(parameter) for key, parameter in zip(self._names, signature.parameters, strict=True)
        }
        config = ConfigDict(extra="forbid" if strict else "ignore")
        try:
            self._model: type[BaseModel] = create_model("Arguments", __config__=config, **fields)
            schema = self._model.model_json_schema(schema_generator=_Schema)
        except PydanticUserError as error:
            raise UserError(f"tool {signature.name!r} has a parameter without a schema: {error}") from None
        schema.pop("title", None)
        self.schema: Mapping[str, Any] = schema

    def parse(self, text: str) -> dict[str, Any]:
        """Values by parameter name; those left out have their defaults."""
        read_json(text)  # says in plain words what pydantic would call a "json_invalid"
        try:
            model = self._model.model_validate_json(text if text.strip() else "{}")
        except ValidationError as error:
            raise InvalidArgumentsError(_words(error)) from None
        return {name: getattr(model, key) for key, name in self._names.items()}


class TypeArguments:
    """One type, read as a whole."""

    def __init__(self, annotation: Any) -> None:
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(annotation)
            schema = self._adapter.json_schema(schema_generator=_Schema)
        except PydanticUserError as error:
            raise UserError(f"{annotation!r} has no schema: {error}") from None
        if schema.get("type") != "object":
            raise UserError(f"{annotation!r} is no JSON object; wrap it in a model or a dataclass")
        schema.pop("title", None)
        self.schema: Mapping[str, Any] = schema

    def parse(self, text: str) -> Any:
        """The value."""
        read_json(text)
        try:
            return self._adapter.validate_json(text if text.strip() else "{}")
        except ValidationError as error:
            raise InvalidArgumentsError(_words(error)) from None


def _field(parameter: Parameter) -> tuple[Any, Any]:
    settings: dict[str, Any] = {"alias": parameter.name}
    if parameter.description:
        settings["description"] = parameter.description
    if parameter.default is not REQUIRED:
        settings["default"] = parameter.default
    return _without_words(parameter.annotation), Field(**settings)


def _without_words(annotation: Any) -> Any:
    """`Annotated[str, "words"]` without the words, which pydantic has no use for."""
    if get_origin(annotation) is not Annotated:
        return annotation
    inner, *extras = get_args(annotation)
    kept = [extra for extra in extras if not isinstance(extra, str)]
    return Annotated[(inner, *kept)] if kept else inner


def _words(error: ValidationError) -> str:
    """What is wrong, without the values: they may be somebody's words."""
    parts = [
        f"{'.'.join(str(step) for step in problem['loc']) or 'arguments'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False)
    ]
    return "; ".join(parts)
