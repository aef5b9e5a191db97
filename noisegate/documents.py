"""The pydantic base of everything that is written down as JSON: specs, manifests, cards, answers."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializationInfo,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

# Far beyond every cap, and small enough to be printed: the caps of the settings say what is really allowed.
MOST = 1_000_000
# Names in a message.
_MOST_LISTED = 20


class Document(BaseModel):
    """Unknown fields are errors, values never change, and NaN is no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Strict(Document):
    """For JSON that people write: neither true nor "5" is a number either."""

    model_config = ConfigDict(strict=True)


class Source(Document):
    """The file that somebody else's weights come from."""

    name: str = Field(description="Its URL where it was fetched from there, else its name.")
    sha256: str


@dataclass(frozen=True, eq=False)
class OneOf:
    """Annotates a field that holds any of `members`: which one, the value of its field `tag` says.

    A union that stays open: members are looked up at each validation, so an entry in the table is all that a new one takes.
    A document without the tag is of the member `default`, if there is one. Paths of errors name fields alone.
    """

    tag: str
    members: Mapping[str, type[BaseModel]]
    default: str | None = None

    def parse(self, value: Any) -> BaseModel:
        """The member that a document describes; one that has been parsed already stays.

        Raises:
            ValidationError: of the tag, or of the member's own fields.
        """
        if isinstance(value, BaseModel) and type(value) in self.members.values():
            return value
        if not isinstance(value, Mapping):
            raise PydanticCustomError("one_of_type", "Input should be an object")
        name = value.get(self.tag, self.default)
        if name is None:
            raise _at(self.tag, value, "missing")
        if not isinstance(name, str) or name not in self.members:
            raise _at(self.tag, value, _unknown(name, self.members))
        return self.members[name].model_validate(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # A member writes itself: within a union of pydantic's it would be checked against its types once more, as if strict.
        written = core_schema.plain_serializer_function_ser_schema(_write, info_arg=True)
        return core_schema.no_info_plain_validator_function(self.parse, serialization=written)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        choices = {name: _by_reference(member) for name, member in self.members.items()}
        union = handler(core_schema.tagged_union_schema(choices, self.tag))
        # Of several members that could be meant a document without the tag is the default one.
        for name, reference in union["discriminator"]["mapping"].items():
            member = handler.resolve_ref_schema({"$ref": reference})
            if name != self.default and self.tag not in (required := member.setdefault("required", [])):
                required.insert(0, self.tag)
        return union


@dataclass(frozen=True, eq=False)
class ParsedBy:
    """Annotates a field of several types that one function tells apart: a union of pydantic's names them in paths of errors.

    Attributes:
        parse: takes what was written, or what it has returned before.
        shown: the union, for JSON schemas alone.
    """

    parse: Callable[[Any], Any]
    shown: TypeAdapter[Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(self.shown.core_schema)


def _write(member: BaseModel, info: SerializationInfo) -> dict[str, Any]:
    # The types of what is in and out differ in their names alone.
    return member.model_dump(mode=info.mode, include=cast(Any, info.include), exclude=cast(Any, info.exclude))


def _by_reference(member: type[BaseModel]) -> CoreSchema:
    """The member's schema under the name that pydantic would give it: an OpenAPI document then states it once."""
    schema = dict(member.__pydantic_core_schema__)
    if schema["type"] != "definitions":
        schema["ref"] = f"{member.__module__}.{member.__qualname__}:{id(member)}"
    return cast(CoreSchema, schema)


def wrong_field(field: str, value: object, message: str, remedy: str) -> ValidationError:
    """What a validator of a whole document raises for one of its fields, which keeps its path."""
    return _at(field, value, PydanticCustomError("wrong_field", "{message}", {"message": message, "remedy": remedy}))


def known_name(name: str, members: Collection[str]) -> str:
    """`name`, if it is one of `members`; else a ValueError's kin that lists them, the near one first."""
    if name not in members:
        raise _unknown(name, members)
    return name


def _at(field: str, value: object, error: PydanticCustomError | str) -> ValidationError:
    entry = InitErrorDetails(type=error, loc=(field,), input=value)
    return ValidationError.from_exception_data("Document", [entry])


def _unknown(name: object, members: Collection[str]) -> PydanticCustomError:
    near = get_close_matches(str(name), members, n=1 if len(members) <= _MOST_LISTED else 5)
    remedy = f"Did you mean {' or '.join(near)}? " if near else ""
    listed = ", ".join(members) if len(members) <= _MOST_LISTED else f"{len(members):,}, too many to name"
    context = {"name": repr(name), "remedy": f"{remedy}There are: {listed}."}
    return PydanticCustomError("unknown_name", "there is no {name}", context)
