"""`Client`: the HTTP API as Python calls. Sync, on httpx2; answers are the JSON objects of `answers`."""

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from pydantic import BaseModel

from noisegate.api.answers import (
    AliasAnswer,
    DeletedAnswer,
    ExecutionAnswer,
    ExperimentAnswer,
    ModelAnswer,
    PlanAnswer,
    PresetAnswer,
    ReadinessAnswer,
    ResultsAnswer,
    WorkerAnswer,
)
from noisegate.api.dataset_answers import DatasetAnswer, ReportAnswer
from noisegate.api.decisions import BatchLineAnswer, DecisionAnswer, ModelCardAnswer
from noisegate.client.errors import UnusableFile
from noisegate.client.files import ArchiveFile, Uploadable, counted, file_chunks, file_size, open_file, why_not
from noisegate.client.transport import Transport, path_of

# Seconds in which a service has read whatever it takes.
_WHILE_IT_READS = 3600.0
ENDED = frozenset({"succeeded", "failed", "cancelled"})


class Client(Transport):
    """Every call of the API; see `Transport` for what each may raise and for the arguments."""

    def readiness(self) -> ReadinessAnswer:
        """What /readyz says, ready or not."""
        answer: ReadinessAnswer = self._json(self._exchange("GET", "/readyz"))
        return answer

    def datasets(self) -> Iterator[DatasetAnswer]:
        """All datasets, page by page."""
        return self._pages("/datasets")

    def dataset(self, reference: str) -> DatasetAnswer:
        """One dataset, by id or name."""
        answer: DatasetAnswer = self._json(self._send("GET", path_of("datasets", reference)))
        return answer

    def upload(
        self,
        archive: str | Path | Uploadable,
        name: str | None = None,
        image_size: int | None = None,
        on_bytes: Callable[[int, int], None] | None = None,
        base: str | None = None,
        **reading: str,
    ) -> DatasetAnswer:
        """Send an archive, or a file that holds many images, as it is read; `on_bytes` hears bytes sent and bytes in all.

        Args:
            image_size: pixels a side; None for the base's, without a base 32.
            base: id or name of a dataset: the new one holds its images and those sent.
            reading: how it is to be read, where that leaves a choice: `names`, `bad_images`, `validation`.

        Raises:
            UnusableFile: the archive, or a file that belongs in it, cannot be read.
        """
        asked = {"name": name, "base": base, "image_size": image_size}
        answer: DatasetAnswer = self._sent(archive, asked | reading, on_bytes)
        return answer

    def inspect_upload(
        self,
        archive: str | Path | Uploadable,
        image_size: int | None = None,
        on_bytes: Callable[[int, int], None] | None = None,
        base: str | None = None,
        **reading: str,
    ) -> ReportAnswer:
        """What the service finds in an upload, of which it keeps nothing; as `upload` otherwise. It answers once all is read."""
        asked = {"base": base, "image_size": image_size, "dry_run": "true"}
        answer: ReportAnswer = self._sent(archive, asked | reading, on_bytes)
        return answer

    def dataset_report(self, reference: str) -> ReportAnswer:
        """How a dataset's upload was read."""
        answer: ReportAnswer = self._json(self._send("GET", path_of("datasets", reference, "report")))
        return answer

    def request_source(self, source: str, name: str | None = None, image_size: int | None = None) -> DatasetAnswer:
        """Have the service fetch a dataset that it knows by itself, such as `cifar10`."""
        asked = {"source": source, "name": name, "image_size": image_size}
        body = {key: value for key, value in asked.items() if value is not None}
        answer: DatasetAnswer = self._json(self._send("POST", "/datasets", json=body))
        return answer

    def delete_dataset(self, reference: str, *, dry_run: bool = False) -> None:
        """Delete a dataset that no experiment uses; or only see whether that can be done."""
        self._send("DELETE", path_of("datasets", reference), params={"dry_run": dry_run})

    def wait_for_dataset(
        self, reference: str, on_progress: Callable[[DatasetAnswer], None] | None = None
    ) -> DatasetAnswer:
        """Wait until a dataset is `ready` or `failed`, and give it back."""
        return self._poll(path_of("datasets", reference), lambda dataset: dataset["state"] != "ingesting", on_progress)

    def dataset_image(self, reference: str, split: str, index: int) -> tuple[bytes, str]:
        """One image of a dataset as PNG, and its class."""
        response = self._send("GET", path_of("datasets", reference, "images", split, f"{index}.png"))
        # A header holds ASCII only, a class name anything.
        return response.content, unquote(response.headers["X-Label"])

    def presets(self) -> list[PresetAnswer]:
        """The paper's tables and figures, in the paper's order."""
        answer: list[PresetAnswer] = self._json(self._send("GET", "/presets"))["items"]
        return answer

    def preset(self, name: str) -> dict[str, Any]:
        """One preset, with `specs`: what posting it at each scale means."""
        answer: dict[str, Any] = self._json(self._send("GET", path_of("presets", name)))
        return answer

    def create_experiment(
        self, spec: BaseModel | Mapping[str, Any], *, time_limit: float | None = None
    ) -> ExperimentAnswer:
        """Post an experiment; it starts as soon as a worker is free.

        If the answer is lost on its way it is asked for again, under the same key: nothing is created twice.

        Args:
            time_limit: seconds from the start of its first execution, after which it is cancelled if it has not ended.
        """
        params = {} if time_limit is None else {"time_limit": time_limit}
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        content = {"params": params, "headers": headers, "json": _document(spec)}
        answer: ExperimentAnswer = self._json(self._persistently("POST", "/experiments", content, at_first=False))
        return answer

    def plan_experiment(self, spec: BaseModel | Mapping[str, Any]) -> PlanAnswer:
        """What an experiment would come to; nothing is created."""
        answer: PlanAnswer = self._json(
            self._send("POST", "/experiments", params={"dry_run": True}, json=_document(spec))
        )
        return answer

    def experiments(self) -> Iterator[ExperimentAnswer]:
        """All experiments, page by page."""
        return self._pages("/experiments")

    def experiment(self, id: str) -> ExperimentAnswer:
        """One experiment as it stands."""
        answer: ExperimentAnswer = self._json(self._send("GET", path_of("experiments", id)))
        return answer

    def wait(self, id: str, on_progress: Callable[[ExperimentAnswer], None] | None = None) -> ExperimentAnswer:
        """Wait until an experiment has ended, and give it back."""
        return self._poll(path_of("experiments", id), lambda experiment: experiment["state"] in ENDED, on_progress)

    def cancel(self, id: str) -> ExperimentAnswer:
        """Ask for an end; running executions stop between two batches."""
        answer: ExperimentAnswer = self._json(self._send("POST", path_of("experiments", id, "cancel")))
        return answer

    def delete_experiment(self, id: str, *, dry_run: bool = False) -> DeletedAnswer:
        """Delete an experiment that has ended, with its models; or only say what that would take along."""
        answer: DeletedAnswer = self._json(
            self._send("DELETE", path_of("experiments", id), params={"dry_run": dry_run})
        )
        return answer

    def delete_model(self, id: str, *, dry_run: bool = False) -> DeletedAnswer:
        """Delete a model that no alias points at; or only say what would go."""
        answer: DeletedAnswer = self._json(self._send("DELETE", path_of("models", id), params={"dry_run": dry_run}))
        return answer

    def workers(self) -> list[WorkerAnswer]:
        """The workers, and what each is doing."""
        answer: list[WorkerAnswer] = self._json(self._send("GET", "/workers"))["items"]
        return answer

    def executions(self, id: str) -> Iterator[ExecutionAnswer]:
        """All executions of an experiment, page by page."""
        return self._pages(path_of("experiments", id, "executions"))

    def results(self, id: str) -> ResultsAnswer:
        """One row a cell, also while the experiment runs."""
        answer: ResultsAnswer = self._json(self._send("GET", path_of("results", id)))
        return answer

    def results_csv(self, id: str) -> str:
        """The same rows as CSV."""
        return self._send("GET", path_of("results", id), headers={"Accept": "text/csv"}).text

    def models(self, experiment: str | None = None) -> Iterator[ModelAnswer]:
        """All models, or those of one experiment, page by page."""
        return self._pages("/models", {} if experiment is None else {"experiment": experiment})

    def model(self, reference: str) -> ModelAnswer:
        """One model, by id or alias."""
        answer: ModelAnswer = self._json(self._send("GET", path_of("models", reference)))
        return answer

    def model_file(self, reference: str, name: str) -> bytes:
        """A file of a model: model.safetensors, model.json, model.onnx or reference.safetensors."""
        return self._send("GET", path_of("models", reference, "files", name)).content

    def card(self, reference: str = "default") -> ModelCardAnswer:
        """What a model can do, and what it makes of images that it should not know."""
        answer: ModelCardAnswer = self._json(self._send("GET", path_of("models", reference, "card")))
        return answer

    def set_alias(self, name: str, model: str) -> AliasAnswer:
        """Have `name` stand for a model, given by its id or another alias."""
        answer: AliasAnswer = self._json(self._send("PUT", path_of("aliases", name), json={"model": model}))
        return answer

    def classify(
        self,
        image: str | Path | bytes,
        model: str = "default",
        max_false_reject: float | None = None,
        top_k: int | None = None,
        rule: str | None = None,
    ) -> DecisionAnswer:
        """Classify one image: a file (PNG, JPEG, WEBP, GIF, BMP, TIFF, AVIF, JPEG 2000) or its bytes.

        Raises:
            UnusableFile: the file cannot be read.
        """
        content: bytes | Iterator[bytes]
        if isinstance(image, bytes):
            content, size = image, len(image)
        else:
            size = file_size(Path(image))
            content = file_chunks(Path(image), size)
        # The service tells the kind of image by its first bytes, not by what a sender calls it.
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        query = _query(model, max_false_reject, top_k, rule)
        answer: DecisionAnswer = self._json(
            self._send("POST", "/classify", params=query, headers=headers, content=content)
        )
        return answer

    def classify_many(
        self,
        images: Iterable[str | Path],
        model: str = "default",
        max_false_reject: float | None = None,
        top_k: int | None = None,
        rule: str | None = None,
    ) -> list[BatchLineAnswer]:
        """Classify many files in one request, which reads them as it sends them; a bad image fails its own line alone.

        Waits for `patience_seconds` while the service says that it has no room.

        Raises:
            UnusableFile: a file cannot be read.
        """
        query = _query(model, max_false_reject, top_k, rule)
        with ExitStack() as opened:
            files = [("images", _part(Path(image), opened)) for image in images]
            try:
                answer = self._when_there_is_room("POST", "/classify/batch", params=query, files=files)
            except OSError as error:
                raise UnusableFile(f"a file cannot be read: {why_not(error)}") from error
        # Not splitlines, which takes other characters for the ends of lines too.
        return [json.loads(line) for line in answer.content.split(b"\n") if line]

    def _sent(
        self,
        archive: str | Path | Uploadable,
        query: Mapping[str, str | int | None],
        on_bytes: Callable[[int, int], None] | None,
    ) -> Any:
        sent = ArchiveFile(Path(archive)) if isinstance(archive, str | Path) else archive
        headers = {"Content-Type": sent.content_type, "Content-Length": str(sent.total)}
        content = {
            "params": {name: value for name, value in query.items() if value is not None},
            "headers": headers,
            "content": counted(sent.chunks(), sent.total, on_bytes),
        }
        if "dry_run" in query:
            content["timeout"] = _WHILE_IT_READS
        return self._json(self._send("POST", "/datasets", **content))


def _part(path: Path, opened: ExitStack) -> tuple[str, BinaryIO]:
    # A name that is not UTF-8 on this machine's disk is none in a form.
    return path.name.encode(errors="replace").decode(), opened.enter_context(open_file(path))


def _query(model: str, max_false_reject: float | None, top_k: int | None, rule: str | None) -> dict[str, str | float]:
    asked = {"max_false_reject": max_false_reject, "top_k": top_k, "rule": rule}
    return {"model": model, **{name: value for name, value in asked.items() if value is not None}}


def _document(spec: BaseModel | Mapping[str, Any]) -> Mapping[str, Any]:
    return spec.model_dump(mode="json") if isinstance(spec, BaseModel) else spec
