"""POST /classify/batch: many images in one form, a line of NDJSON for each, in their order."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from noisegate.errors import InvalidInput
from noisegate.rejection.decision import DecisionOptions
from service.accepting import preferred
from service.access import caller_of
from service.bodies import JSON, MULTIPART, content_type_of, unsupported
from service.classify.decoding import groups_of
from service.classify.images import empty
from service.classify.models import Classified, Classifiers, Loaded
from service.classify.schemas import BatchRead, ClassifyQuery, encode, encode_line, encode_lines
from service.deps import ResourcesDep
from service.errors import problem_of, problems
from service.parameters import MOST_FIELDS, check_only_files

NDJSON = "application/x-ndjson"
_VARY = {"Vary": "Accept"}
# Groups of small images or single large ones: enough to decode some while others run.
_GROUPS_AT_ONCE = 8

_FILES: dict[str, Any] = {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
_FORM: dict[str, Any] = {"type": "object", "required": ["images"], "properties": {"images": _FILES}}
_REQUEST_BODY: dict[str, Any] = {"required": True, "content": {MULTIPART: {"schema": _FORM}}}

log = structlog.get_logger(__name__)
router = APIRouter(tags=["classify"])


class Lines(StreamingResponse):
    """Lines as they come. `ended` is called in the end, also where the caller has gone and not one line was made."""

    def __init__(self, lines: AsyncIterator[bytes], ended: Callable[[], None]) -> None:
        super().__init__((line + b"\n" async for line in lines), headers=_VARY, media_type=NDJSON)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


@dataclass(frozen=True)
class _File:
    name: str | None
    content: bytes


@router.post(
    "/classify/batch",
    response_class=Response,
    responses={
        200: {
            "model": BatchRead,
            "description": "A line for each image as soon as it is there; or all of them as one JSON document.",
            "content": {NDJSON: {"itemSchema": {"$ref": "#/components/schemas/BatchLine"}}},
        },
        **problems(400, 404, 413, 415, 422, 429),
    },
    openapi_extra={"requestBody": _REQUEST_BODY, "parameters": ClassifyQuery.parameters()},
)
async def classify_batch(request: Request, resources: ResourcesDep) -> Response:
    """Classify every file of a form. What is wrong with one image stands in its line and nowhere else.

    A stream of lines (NDJSON) in the order of the files, or one document if `Accept` names application/json.
    """
    query = ClassifyQuery.of(request)
    classifiers = resources.classifiers
    with ExitStack() as inside:
        classifiers.batches.enter()
        inside.callback(classifiers.batches.leave)
        files = await _files(request, resources.settings.max_batch_images)
        loaded = await classifiers.find(query.model, caller_of(request.scope))
        options = query.options(loaded)
        loaded.classifier.budget(options)
        lines = _Batch(classifiers, loaded, query, options).lines(files)
        if _wants_document(request):
            return Response(encode_lines([line async for line in lines]), headers=_VARY, media_type=JSON)
        return Lines(lines, inside.pop_all().close)


def _wants_document(request: Request) -> bool:
    return preferred(request, [NDJSON, JSON]) == JSON


async def _files(request: Request, most: int) -> deque[_File]:
    if (content_type := content_type_of(request)) != MULTIPART:
        raise unsupported(content_type, [MULTIPART])
    async with request.form(max_files=most, max_fields=MOST_FIELDS) as form:
        check_only_files(form, "images", ClassifyQuery.model_fields)
        sent = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        files = deque([_File(file.filename, await file.read()) for file in sent])
    if not files:
        raise InvalidInput("the form has no files", field="images", remedy="Send files in the field `images`.")
    return files


@dataclass(frozen=True)
class _Batch:
    """What all files of a form have in common: the model, what was asked, and how to decide."""

    classifiers: Classifiers
    loaded: Loaded
    query: ClassifyQuery
    options: DecisionOptions

    async def lines(self, files: deque[_File]) -> AsyncIterator[bytes]:
        """Lines in the order of the files, of which a limited number is under way at once."""
        waiting: deque[asyncio.Task[list[bytes]]] = deque()
        try:
            for group in groups_of([len(file.content) for file in files]):
                if len(waiting) == _GROUPS_AT_ONCE:
                    for line in await waiting.popleft():
                        yield line
                # Gone from the list when its turn has come: a slow reader keeps no file in memory that is answered.
                some = {index: files.popleft() for index in group}
                waiting.append(asyncio.create_task(self._lines(some)))
            while waiting:
                for line in await waiting.popleft():
                    yield line
        finally:
            for task in waiting:
                task.cancel()

    async def _lines(self, files: Mapping[int, _File]) -> list[bytes]:
        """A line for each file, by its place in the form."""
        images = [file.content for file in files.values() if file.content]
        found: Iterable[Classified | Exception]
        try:
            found = await self.classifiers.classify_all(self.loaded, images, self.options)
        except Exception as error:  # the lines after these have nothing to do with it
            found = [error] * len(images)
        each = iter(found)
        return [
            self._line(index, file.name, next(each) if file.content else empty("image"))
            for index, file in files.items()
        ]

    def _line(self, index: int, name: str | None, found: Classified | Exception) -> bytes:
        if not isinstance(found, Exception):
            return encode_line(index, name, encode(found, self.loaded, self.query), None)
        problem = problem_of(found)
        if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("line_failed", index=index, exc_info=found)
        return encode_line(index, name, None, problem)
