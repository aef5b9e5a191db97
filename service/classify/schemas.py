"""What /classify reads and answers."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json
from starlette.datastructures import QueryParams

from noisegate.api.found import RejectionReason
from noisegate.decision_rule import DecisionRule
from noisegate.errors import InvalidInput
from noisegate.image_kinds import IMAGE_KINDS
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT
from noisegate.rejection.decision import DecisionOptions
from noisegate.rejection.documents import Decision
from noisegate.store.models import DEFAULT_ALIAS
from service.classify.models import Classified, Loaded
from service.errors import Problem
from service.parameters import check_query

ModelName = Annotated[str, Query(min_length=1, max_length=200, description="Id or alias of a model.")]
MaxFalseReject = Annotated[
    float | None,
    Query(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Largest share of known images rejected wrongly, noise on top included. Less than the model's images can "
        f"promise is refused. Without it: {DEFAULT_MAX_FALSE_REJECT:g}, or the smallest that can be promised, if that is larger.",
    ),
]
TopK = Annotated[
    int | None,
    Query(ge=1, le=100_000, description="Name only the most probable known classes, in falling order; all without it."),
]


Rule = Annotated[
    str | None,
    Query(
        pattern=r"^[a-z0-9_]{1,100}(,[a-z0-9_]{1,100})?$",
        description="Which scores decide, in place of what is set on the model: `default` (the reject score, with the reason "
        "low_confidence), a score's name, or two joined by a comma, `knn,reject_score`. Thresholds are chosen together.",
    ),
]


Fields = Annotated[
    Literal["minimal"] | None,
    Query(
        description="minimal: answer with label, probability, rejected and reason alone; without it, with everything."
    ),
]


class ClassifyQuery(BaseModel):
    """The query of /classify. Read here and not by FastAPI, which takes longer over it than decoding an image does."""

    model_config = ConfigDict(frozen=True)

    model: ModelName = DEFAULT_ALIAS
    max_false_reject: MaxFalseReject = None
    top_k: TopK = None
    rule: Rule = None
    fields: Fields = None

    @property
    def minimal(self) -> bool:
        """Whether label, probability, rejected and reason are all that is asked for."""
        return self.fields == "minimal"

    def options(self, loaded: Loaded) -> DecisionOptions:
        """How to decide on each image: by the rule that is asked for, or the one that is set on the model."""
        rule = loaded.rule if self.rule is None else named_rule(self.rule)
        return DecisionOptions(self.max_false_reject, self.top_k, rule, brief=self.minimal)

    @classmethod
    def of(cls, request: Request) -> "ClassifyQuery":
        """The query of a request.

        Raises:
            RequestValidationError: a parameter is wrong or unknown; answered as if FastAPI had read it.
            InvalidInput: two do not go together.
        """
        sent: bytes = request.scope["query_string"]
        return _kept_query(sent) if len(sent) <= _MOST_KEPT_BYTES else _query(sent)

    @classmethod
    def parameters(cls) -> list[dict[str, Any]]:
        """The OpenAPI entries of its parameters."""
        properties: dict[str, dict[str, Any]] = cls.model_json_schema()["properties"]
        return [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": schema.pop("description"),
                "schema": schema,
            }
            for name, schema in properties.items()
        ]


# Callers ask the same again and again.
_MOST_KEPT, _MOST_KEPT_BYTES = 256, 512
_NO_RULE = "default"


def _query(sent: bytes) -> ClassifyQuery:
    asked = QueryParams(sent)
    check_query(asked, ClassifyQuery.model_fields)
    try:
        query = ClassifyQuery.model_validate(dict(asked))
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    if query.minimal and query.top_k is not None:
        remedy = "Leave out top_k, or fields."
        raise InvalidInput("names classes, of which a minimal answer has none", field="top_k", remedy=remedy)
    return query


_kept_query = lru_cache(maxsize=_MOST_KEPT)(_query)


@lru_cache(maxsize=256)
def named_rule(text: str) -> DecisionRule | None:
    """The rule that a query names; None for the one of models on which none is set.

    Raises:
        InvalidInput: it names a score twice.
    """
    if text == _NO_RULE:
        return None
    names = text.split(",")
    if len(set(names)) < len(names):
        raise InvalidInput(f"names {names[0]} twice", field="rule", remedy="Name each score once.")
    return DecisionRule.of(*names)


_TIMING = b'"timing":{"batch_size":%d,"decode_ms":%.3f,"queue_ms":%.3f,"predict_ms":%.3f}'


class ImageDocument(BaseModel):
    """An image in a JSON body."""

    model_config = ConfigDict(extra="forbid")

    image: str = Field(description=f"A {IMAGE_KINDS} file in base64, without line breaks or a data: prefix.")


class ModelReference(BaseModel):
    """Which model decided."""

    model_config = ConfigDict(frozen=True)

    id: str
    alias: str | None = Field(description="The name it was asked for by; null if that was its id.")
    version: str = Field(description="SHA-256 of the model.onnx that answered.")

    @classmethod
    def found(cls, loaded: Loaded, asked_for: str) -> "ModelReference":
        """This model, which the caller named by its id or by an alias."""
        return cls.named(loaded.id, asked_for, loaded.version)

    @classmethod
    def named(cls, id: str, asked_for: str, version: str) -> "ModelReference":
        """The model with this id, which the caller named so."""
        return cls(id=id, alias=asked_for if asked_for != id else None, version=version)


class Timing(BaseModel):
    """Where the time went, in milliseconds."""

    batch_size: int = Field(description="Images that ran through the model together with this one, itself included.")
    decode_ms: float = Field(description="From the file to pixels.")
    queue_ms: float = Field(description="Waiting for the batch before to end.")
    predict_ms: float = Field(description="The whole batch through the model, and its decisions.")


class Classification(Decision):
    """What a model makes of one image."""

    model: ModelReference
    timing: Timing


class MinimalClassification(BaseModel):
    """What most callers act on, of what a model makes of one image: the answer to `fields=minimal`."""

    label: str = Field(description="The most probable class; `noise` if that is the noise class.")
    probability: float = Field(description="Of the label, noise and known classes together making 1.")
    rejected: bool
    reason: RejectionReason | None = Field(description="Why it was rejected, as in a whole answer; null if accepted.")


_MINIMAL: tuple[Literal["label", "probability", "rejected", "reason"], ...] = (
    "label",
    "probability",
    "rejected",
    "reason",
)


def encode(classified: Classified, loaded: Loaded, query: ClassifyQuery) -> bytes:
    """The JSON of the `Classification`, or `MinimalClassification`, that is asked for, joined from its parts: no object is made."""
    answered = classified.answered
    if query.minimal:
        return to_json({name: answered.brief[name] for name in _MINIMAL})
    timing = _TIMING % (
        answered.batch_size,
        1000 * classified.decode_seconds,
        1000 * answered.queue_seconds,
        1000 * answered.predict_seconds,
    )
    model = _encoded(loaded.id, query.model, loaded.version)
    return b'%b,"model":%b,%b}' % (to_json(answered.decision)[:-1], model, timing)


@lru_cache(maxsize=1024)
def _encoded(id: str, asked_for: str, version: str) -> bytes:
    return ModelReference.named(id, asked_for, version).model_dump_json().encode()


class BatchLine(BaseModel):
    """One line of the answer to /classify/batch: what came of one image. Either `classification` or `problem` is there."""

    index: int = Field(description="Its place among the files of the form, from 0.")
    name: str | None = Field(description="Its file name, as it was sent.")
    classification: Classification | MinimalClassification | None = None
    problem: Problem | None = Field(None, description="What is wrong with this image; the others are not concerned.")


class BatchRead(BaseModel):
    """The lines of a batch as one document."""

    items: list[BatchLine]


def encode_line(index: int, name: str | None, classification: bytes | None, problem: Problem | None) -> bytes:
    """The JSON of a `BatchLine`, of which one part has been encoded."""
    told = problem.model_dump_json().encode() if problem else b"null"
    return b'{"index":%d,"name":%b,"classification":%b,"problem":%b}' % (
        index,
        to_json(name),
        classification or b"null",
        told,
    )


def encode_lines(lines: Iterable[bytes]) -> bytes:
    """The JSON of a `BatchRead`."""
    return b'{"items":[%b]}' % b",".join(lines)
