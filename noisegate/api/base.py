"""What answers have in common on the client's side."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import ValidationError

Word = TypeVar("Word")


class Answer(BaseModel):
    """An answer of the service, or a part of one: `answer.name`, or `answer["name"]` as in its JSON.

    What a newer service adds is kept, and read in the same two ways; what an older one does not give is its default, or None.
    """

    # Built when first used: a program reads few of them.
    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=(), defer_build=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        for field in cls.model_fields.values():
            if field.is_required():
                field.default = None

    def __getitem__(self, name: str) -> Any:
        if name in type(self).model_fields or name in (self.model_extra or {}):
            return getattr(self, name)
        raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        """The field of this name; `default` where there is none."""
        return self[name] if name in type(self).model_fields or name in (self.model_extra or {}) else default

    def document(self) -> dict[str, Any]:
        """The JSON object that was answered."""
        return self.model_dump(mode="json", exclude_unset=True)


def _or_as_it_is(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(value)
    except ValidationError:
        return value


# Annotates a set of words that a newer service may add to: what is not among them is kept as it came.
Open = Annotated[Word, WrapValidator(_or_as_it_is)]
