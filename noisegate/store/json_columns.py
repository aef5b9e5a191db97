"""JSON columns that give back the type they were given: a document is parsed where its row is read, and nowhere else."""

from typing import Any, NoReturn, TypeVar

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError

from noisegate.errors import NewerVersion

# PostgreSQL's json, not jsonb: jsonb would sort the keys, and a sweep is written in the order its author wants to read it.
Json = sa.JSON(none_as_null=True)


class Unreadable:
    """Stands in a row for a document that cannot be read here, as a newer version wrote it.

    The row can be listed, with `document` as it is. Whatever else asks the document for anything meets NewerVersion.
    """

    def __init__(self, document: Any, reason: str) -> None:
        self.document = document
        self.reason = reason

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)  # asked by Python and its libraries, to find out what this is
        raise self.error

    @property
    def error(self) -> NewerVersion:
        """Why it cannot be read."""
        detail = f"a document in the database cannot be read: {self.reason}"
        return NewerVersion(detail, remedy="A newer version wrote it: upgrade this one, or ask one that is newer.")


Stored = TypeVar("Stored")


def readable(document: Stored) -> Stored:
    """The same document, before it is handed to what knows nothing of rows.

    Raises:
        NewerVersion: it cannot be read here.
    """
    if isinstance(document, Unreadable):
        raise document.error
    return document


class Typed(sa.TypeDecorator[Any]):
    """A JSON column of one kind of document: a pydantic model, or a union of models.

    Its JSON is what `model_dump(mode="json")` gives. Fields that an older version did not know get their defaults; a document
    that cannot be parsed at all comes back as `Unreadable`, so that the rows beside it can still be read.
    """

    impl = sa.JSON
    cache_ok = True

    def __init__(self, of: Any) -> None:
        super().__init__(none_as_null=True)
        self.of = of
        self._adapter: TypeAdapter[Any] = TypeAdapter(of)

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:  # noqa: ARG002
        if value is None or isinstance(value, Unreadable):
            return value and value.document
        return self._adapter.dump_python(value, mode="json", warnings="error")

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:  # noqa: ARG002
        if value is None:
            return None
        try:
            return self._adapter.validate_python(value)
        except ValidationError as error:
            return Unreadable(value, _reason(error))


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
