"""`client.models` and `client.aliases`."""

import builtins
import json
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import Literal

from noisegate.api.answers import DeletedAnswer
from noisegate.api.decisions import MinimalAnswer, MinimalLineAnswer
from noisegate.api.model_answers import AliasAnswer, CoverageAnswer, ModelAnswer, RuleAnswer
from noisegate.client.answers import Batch, BatchLine, Card, Decision, Line
from noisegate.client.errors import ProblemError
from noisegate.client.flows import Flow, Listing, Query, Request, get, path_of
from noisegate.client.fronts import Mode, Resource, listing, operation
from noisegate.client.images import Image, Sendable, sendable

FileName = Literal["model.safetensors", "model.json", "model.onnx", "reference.safetensors"]

# What one request holds: enough for the service to fill its batches, and little enough that the first answers come soon.
BATCH_IMAGES = 64
BATCH_BYTES = 16 * 2**20

# Too many, or too much, for one request: halves may pass.
_TOO_LARGE = (400, 413)


class Models(Resource[Mode]):
    """What was trained, and what it makes of images. A model is named by its id or by an alias."""

    @listing
    def list(self, *, experiment: str | None = None) -> Listing[ModelAnswer]:
        """All models, newest first; or those of one experiment."""
        return Listing("/models", ModelAnswer, {"experiment": experiment})

    @operation
    def get(self, model: str) -> Flow[ModelAnswer]:
        """One model."""
        return self._front.read(get("models", model), ModelAnswer)

    @operation
    def classify(
        self,
        image: Image,
        *,
        model: str = "default",
        max_false_reject: float | None = None,
        top_k: int | None = None,
        rule: str | None = None,
    ) -> Flow[Decision]:
        """Classify one image, or reject it.

        Args:
            image: the path of a file (PNG, JPEG, WEBP, GIF, BMP, TIFF, AVIF, JPEG 2000), the bytes of one, a Pillow image, or an
                array of bytes: height × width, or height × width × 3 or 4.
            max_false_reject: largest share of known images to be rejected wrongly.
            top_k: how many of the most probable classes to name; all without it.
            rule: scores that decide in place of what is set on the model: one, or two as 'knn,reject_score'; or 'default'.

        Raises:
            UnusableFile: the file cannot be read.
        """
        query = _query(model, max_false_reject, rule, top_k=top_k)
        return self._front.read(_one_image(image, query), Decision)

    @operation
    def classify_minimal(
        self, image: Image, *, model: str = "default", max_false_reject: float | None = None, rule: str | None = None
    ) -> Flow[MinimalAnswer]:
        """The label of one image, its probability, and whether and why it is rejected: less work for the service."""
        query = _query(model, max_false_reject, rule, fields="minimal")
        return self._front.read(_one_image(image, query), MinimalAnswer)

    @operation
    def classify_many(
        self,
        images: Iterable[Image],
        *,
        model: str = "default",
        max_false_reject: float | None = None,
        top_k: int | None = None,
        rule: str | None = None,
    ) -> Flow[Batch[BatchLine]]:
        """Classify any number of images, up to 64 in a request: a line each, in their order.

        An image that the service cannot read has a `problem` in place of a `classification`, and does not end the rest. While the
        service says that it has no room it is asked again, for `patience_seconds`.

        Raises:
            UnusableFile: a file cannot be read.
            TypeError: `images` is a single one, or a folder.
        """
        return self._all_answered(images, _query(model, max_false_reject, rule, top_k=top_k), BatchLine)

    @operation
    def classify_many_minimal(
        self,
        images: Iterable[Image],
        *,
        model: str = "default",
        max_false_reject: float | None = None,
        rule: str | None = None,
    ) -> Flow[Batch[MinimalLineAnswer]]:
        """As `classify_many`, with what `classify_minimal` says of each image."""
        query = _query(model, max_false_reject, rule, fields="minimal")
        return self._all_answered(images, query, MinimalLineAnswer)

    @operation
    def file(self, model: str, name: FileName) -> Flow[bytes]:
        """A file of a model."""
        return (yield from self._front.send(get("models", model, "files", name))).content

    @operation
    def card(self, model: str = "default") -> Flow[Card]:
        """What a model can do, and what it makes of images that it should not know."""
        return self._front.read(get("models", model, "card"), Card)

    @operation
    def decision(self, model: str = "default") -> Flow[RuleAnswer]:
        """Which scores decide over its images, and what each budget costs."""
        return self._front.read(get("models", model, "decision"), RuleAnswer)

    @operation
    def coverage(self, model: str = "default", *, rule: str | None = None) -> Flow[CoverageAnswer]:
        """How many held-out images each budget accepts, and how many of those are wrong; by the model's rule, or by another."""
        return self._front.read(get("models", model, "decision", "coverage", rule=rule), CoverageAnswer)

    @operation
    def set_decision(self, model: str, *scores: str) -> Flow[RuleAnswer]:
        """Have these scores decide, one or two: `set_decision("default", "knn", "reject_score")`."""
        body = {"scores": [{"score": score} for score in scores]}
        return self._front.read(Request(method="PUT", path=path_of("models", model, "decision"), json=body), RuleAnswer)

    @operation
    def reset_decision(self, model: str, *, dry_run: bool = False) -> Flow[None]:
        """Have the reject score alone decide again; or only see whether that can be done."""
        path = path_of("models", model, "decision")
        yield from self._front.send(Request(method="DELETE", path=path, params={"dry_run": dry_run}))

    @operation
    def delete(self, model: str, *, dry_run: bool = False) -> Flow[DeletedAnswer]:
        """Delete a model that no alias points at; or only say what would go."""
        path = path_of("models", model)
        request = Request(method="DELETE", path=path, params={"dry_run": dry_run}, repeatable=dry_run)
        return self._front.read(request, DeletedAnswer)

    def _all_answered(self, images: Iterable[Image], query: Query, line: type[Line]) -> Flow[Batch[Line]]:
        """One request after another, and the lines of all of them numbered through."""
        if isinstance(images, str | PathLike | bytes):
            raise TypeError("these are several images, such as Path('new').glob('*.jpg'); for one there is classify")
        found: Batch[Line] = Batch()
        for batch in _batches(sendable(image) for image in images):
            lines = yield from self._answered(batch, query, line)
            found += [one.model_copy(update={"index": index}) for index, one in enumerate(lines, start=len(found))]
        return found

    def _answered(self, batch: Sequence[Sendable], query: Query, line: type[Line]) -> Flow[builtins.list[Line]]:
        """By one request; by two for the halves, if the service cannot take it as a whole."""
        files = [("images", (image.name, image.content)) for image in batch]
        request = Request(method="POST", path="/classify/batch", params=query, files=files, waits_for_room=True)
        try:
            response = yield from self._front.send(request)
        except ProblemError as error:
            if error.status not in _TOO_LARGE or len(batch) == 1:
                raise
            half = len(batch) // 2
            first = yield from self._answered(batch[:half], query, line)
            return first + (yield from self._answered(batch[half:], query, line))
        # Not splitlines, which takes other characters for the ends of lines too.
        lines = (sent for sent in response.content.split(b"\n") if sent)
        return [self._front.validated(json.loads(sent), line) for sent in lines]


class Aliases(Resource[Mode]):
    """Movable names for models; `default` is the one that is asked where none is named."""

    @operation
    def list(self) -> Flow[builtins.list[AliasAnswer]]:
        """All aliases by name."""
        return self._front.read_items(get("aliases"), AliasAnswer)

    @operation
    def set(self, name: str, model: str) -> Flow[AliasAnswer]:
        """Have `name` stand for a model, given by its id or another alias."""
        return self._front.read(
            Request(method="PUT", path=path_of("aliases", name), json={"model": model}), AliasAnswer
        )

    @operation
    def delete(self, name: str, *, dry_run: bool = False) -> Flow[None]:
        """Delete an alias; its model stays. Or only see whether that can be done."""
        path = path_of("aliases", name)
        yield from self._front.send(
            Request(method="DELETE", path=path, params={"dry_run": dry_run}, repeatable=dry_run)
        )


def _query(
    model: str, max_false_reject: float | None, rule: str | None, *, top_k: int | None = None, fields: str | None = None
) -> Query:
    return {"model": model, "max_false_reject": max_false_reject, "top_k": top_k, "rule": rule, "fields": fields}


def _one_image(image: Image, query: Query) -> Request:
    sent = sendable(image)
    # The service tells the kind of image by its first bytes, not by what a sender calls it.
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(sent.size)}
    return Request(method="POST", path="/classify", params=query, headers=headers, content=sent.chunks)


def _batches(images: Iterable[Sendable]) -> Iterator[list[Sendable]]:
    waiting: list[Sendable] = []
    held = 0
    for image in images:
        if waiting and (len(waiting) == BATCH_IMAGES or held + image.size > BATCH_BYTES):
            yield waiting
            waiting, held = [], 0
        waiting.append(image)
        held += image.size
    if waiting:
        yield waiting
