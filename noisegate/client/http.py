"""`Client`: the HTTP API as Python calls. Sync, on httpx2; answers are the JSON objects of `answers`."""

import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar
from urllib.parse import quote, unquote

import httpx2
from pydantic import BaseModel

from noisegate.api.answers import (
    AliasAnswer,
    DatasetAnswer,
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
from noisegate.api.decisions import BatchLineAnswer, DecisionAnswer, ModelCardAnswer
from noisegate.client.errors import ClientError, ProblemError, ServiceUnreachable, UnexpectedAnswer, UnusableFile
from noisegate.client.files import ArchiveFile, Uploadable, counted, file_chunks, file_size, open_file, why_not

DEFAULT_URL = "http://127.0.0.1:8000"
ENDED = frozenset({"succeeded", "failed", "cancelled"})
PAGE_SIZE = 100

# The service restarts, or its database is away: worth asking again.
_PASSING = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

Answer = TypeVar("Answer", DatasetAnswer, ExperimentAnswer)


class Client:
    """One service. Every call raises ProblemError, ServiceUnreachable or UnexpectedAnswer; see `errors`.

    Args:
        base_url: address of the service.
        api_key: shown with every request; by default NOISEGATE_API_KEY of the environment, if that is set.
        timeout: seconds that connecting, and each read or write, may take.
        patience_seconds: how long `wait` and `wait_for_dataset` bear a service that does not answer.
        sleep: waits between two polls; one that raises ends the waiting.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        timeout: float = 30.0,
        *,
        api_key: str | None = None,
        patience_seconds: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            url = httpx2.URL(base_url)
        except httpx2.InvalidURL as error:
            raise ClientError(f"{base_url!r} is no address of a service: {error}. Example: {DEFAULT_URL}") from error
        self.base_url = base_url.rstrip("/")
        self._patience_seconds = patience_seconds
        self._sleep = sleep
        # A proxy from the environment cannot reach this machine's own loopback address.
        key = os.environ.get("NOISEGATE_API_KEY", "") if api_key is None else api_key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.Client(base_url=url, timeout=timeout, headers=headers, trust_env=url.host not in _LOOPBACK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give all connections back."""
        self._http.close()

    def readiness(self) -> ReadinessAnswer:
        """What /readyz says, ready or not."""
        answer: ReadinessAnswer = self._json(self._exchange("GET", "/readyz"))
        return answer

    def datasets(self) -> Iterator[DatasetAnswer]:
        """All datasets, page by page."""
        return self._pages("/datasets")

    def dataset(self, reference: str) -> DatasetAnswer:
        """One dataset, by id or name."""
        answer: DatasetAnswer = self._json(self._send("GET", _path("datasets", reference)))
        return answer

    def upload(
        self,
        archive: str | Path | Uploadable,
        name: str | None = None,
        image_size: int = 32,
        on_bytes: Callable[[int, int], None] | None = None,
    ) -> DatasetAnswer:
        """Send an archive (zip, tar, tar.gz, tar.xz) as it is read; `on_bytes` hears bytes sent and bytes in all.

        Raises:
            UnusableFile: the archive, or a file that belongs in it, cannot be read.
        """
        sent = ArchiveFile(Path(archive)) if isinstance(archive, str | Path) else archive
        query = {"image_size": image_size} | ({} if name is None else {"name": name})
        headers = {"Content-Type": sent.content_type, "Content-Length": str(sent.total)}
        chunks = counted(sent.chunks(), sent.total, on_bytes)
        answer: DatasetAnswer = self._json(
            self._send("POST", "/datasets", params=query, headers=headers, content=chunks)
        )
        return answer

    def request_source(self, source: str, name: str | None = None, image_size: int | None = None) -> DatasetAnswer:
        """Have the service fetch a dataset that it knows by itself, such as `cifar10`."""
        asked = {"source": source, "name": name, "image_size": image_size}
        body = {key: value for key, value in asked.items() if value is not None}
        answer: DatasetAnswer = self._json(self._send("POST", "/datasets", json=body))
        return answer

    def delete_dataset(self, reference: str, *, dry_run: bool = False) -> None:
        """Delete a dataset that no experiment uses; or only see whether that can be done."""
        self._send("DELETE", _path("datasets", reference), params={"dry_run": dry_run})

    def wait_for_dataset(
        self, reference: str, on_progress: Callable[[DatasetAnswer], None] | None = None
    ) -> DatasetAnswer:
        """Wait until a dataset is `ready` or `failed`, and give it back."""
        return self._poll(_path("datasets", reference), lambda dataset: dataset["state"] != "ingesting", on_progress)

    def dataset_image(self, reference: str, split: str, index: int) -> tuple[bytes, str]:
        """One image of a dataset as PNG, and its class."""
        response = self._send("GET", _path("datasets", reference, "images", split, f"{index}.png"))
        # A header holds ASCII only, a class name anything.
        return response.content, unquote(response.headers["X-Label"])

    def presets(self) -> list[PresetAnswer]:
        """The paper's tables and figures, in the paper's order."""
        answer: list[PresetAnswer] = self._json(self._send("GET", "/presets"))["items"]
        return answer

    def preset(self, name: str) -> dict[str, Any]:
        """One preset, with `specs`: what posting it at each scale means."""
        answer: dict[str, Any] = self._json(self._send("GET", _path("presets", name)))
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
        answer: ExperimentAnswer = self._json(self._send("GET", _path("experiments", id)))
        return answer

    def wait(self, id: str, on_progress: Callable[[ExperimentAnswer], None] | None = None) -> ExperimentAnswer:
        """Wait until an experiment has ended, and give it back."""
        return self._poll(_path("experiments", id), lambda experiment: experiment["state"] in ENDED, on_progress)

    def cancel(self, id: str) -> ExperimentAnswer:
        """Ask for an end; running executions stop between two batches."""
        answer: ExperimentAnswer = self._json(self._send("POST", _path("experiments", id, "cancel")))
        return answer

    def delete_experiment(self, id: str, *, dry_run: bool = False) -> DeletedAnswer:
        """Delete an experiment that has ended, with its models; or only say what that would take along."""
        answer: DeletedAnswer = self._json(self._send("DELETE", _path("experiments", id), params={"dry_run": dry_run}))
        return answer

    def delete_model(self, id: str, *, dry_run: bool = False) -> DeletedAnswer:
        """Delete a model that no alias points at; or only say what would go."""
        answer: DeletedAnswer = self._json(self._send("DELETE", _path("models", id), params={"dry_run": dry_run}))
        return answer

    def workers(self) -> list[WorkerAnswer]:
        """The workers, and what each is doing."""
        answer: list[WorkerAnswer] = self._json(self._send("GET", "/workers"))["items"]
        return answer

    def executions(self, id: str) -> Iterator[ExecutionAnswer]:
        """All executions of an experiment, page by page."""
        return self._pages(_path("experiments", id, "executions"))

    def results(self, id: str) -> ResultsAnswer:
        """One row a cell, also while the experiment runs."""
        answer: ResultsAnswer = self._json(self._send("GET", _path("results", id)))
        return answer

    def results_csv(self, id: str) -> str:
        """The same rows as CSV."""
        return self._send("GET", _path("results", id), headers={"Accept": "text/csv"}).text

    def models(self, experiment: str | None = None) -> Iterator[ModelAnswer]:
        """All models, or those of one experiment, page by page."""
        return self._pages("/models", {} if experiment is None else {"experiment": experiment})

    def model(self, reference: str) -> ModelAnswer:
        """One model, by id or alias."""
        answer: ModelAnswer = self._json(self._send("GET", _path("models", reference)))
        return answer

    def model_file(self, reference: str, name: str) -> bytes:
        """A file of a model: model.safetensors, model.json, model.onnx or reference.safetensors."""
        return self._send("GET", _path("models", reference, "files", name)).content

    def card(self, reference: str = "default") -> ModelCardAnswer:
        """What a model can do, and what it makes of images that it should not know."""
        answer: ModelCardAnswer = self._json(self._send("GET", _path("models", reference, "card")))
        return answer

    def set_alias(self, name: str, model: str) -> AliasAnswer:
        """Have `name` stand for a model, given by its id or another alias."""
        answer: AliasAnswer = self._json(self._send("PUT", _path("aliases", name), json={"model": model}))
        return answer

    def classify(
        self,
        image: str | Path | bytes,
        model: str = "default",
        max_false_reject: float | None = None,
        top_k: int | None = None,
    ) -> DecisionAnswer:
        """Classify one image: a file (PNG, JPEG, WebP) or its bytes.

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
        query = _query(model, max_false_reject, top_k)
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
    ) -> list[BatchLineAnswer]:
        """Classify many files in one request, which reads them as it sends them; a bad image fails its own line alone.

        Waits for `patience_seconds` while the service says that it has no room.

        Raises:
            UnusableFile: a file cannot be read.
        """
        query = _query(model, max_false_reject, top_k)
        with ExitStack() as opened:
            files = [("images", _part(Path(image), opened)) for image in images]
            try:
                answer = self._when_there_is_room("POST", "/classify/batch", params=query, files=files)
            except OSError as error:
                raise UnusableFile(f"a file cannot be read: {why_not(error)}") from error
        # Not splitlines, which takes other characters for the ends of lines too.
        return [json.loads(line) for line in answer.content.split(b"\n") if line]

    def _when_there_is_room(self, method: str, path: str, **content: Any) -> httpx2.Response:
        gives_up_at = time.monotonic() + self._patience_seconds
        while True:
            response = self._exchange(method, path, **content)
            if response.status_code != HTTPStatus.TOO_MANY_REQUESTS or time.monotonic() >= gives_up_at:
                return self._checked(response)
            self._sleep(_retry_after_seconds(response))

    def _poll(self, path: str, done: Callable[[Answer], bool], on_progress: Callable[[Answer], None] | None) -> Answer:
        while True:
            response = self._persistently("GET", path, {}, at_first=True)
            answer: Answer = self._json(response)
            if on_progress:
                on_progress(answer)
            if done(answer):
                return answer
            self._sleep(_retry_after_seconds(response))

    def _persistently(self, method: str, path: str, content: Mapping[str, Any], *, at_first: bool) -> httpx2.Response:
        """Send, and again for `patience_seconds` as long as the service does not answer.

        Args:
            at_first: also if it could not even be reached the first time.
        """
        lost_at: float | None = None
        while True:
            try:
                return self._send(method, path, **content)
            except (ServiceUnreachable, ProblemError) as error:
                never_there = lost_at is None and isinstance(error.__cause__, httpx2.ConnectError)
                lost_at = time.monotonic() if lost_at is None else lost_at
                out_of_patience = time.monotonic() - lost_at >= self._patience_seconds
                if not _passes(error) or out_of_patience or (never_there and not at_first):
                    raise
                self._sleep(min(1.0, self._patience_seconds))

    def _pages(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[Any]:
        cursor: str | None = None
        while True:
            params: dict[str, str | int] = {**(query or {}), "limit": PAGE_SIZE}
            if cursor is not None:
                params["cursor"] = cursor
            page = self._json(self._send("GET", path, params=params))
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _send(self, method: str, path: str, **content: Any) -> httpx2.Response:
        return self._checked(self._exchange(method, path, **content))

    def _checked(self, response: httpx2.Response) -> httpx2.Response:
        if not response.is_success:
            raise self._problem(response)
        return response

    def _exchange(self, method: str, path: str, **content: Any) -> httpx2.Response:
        try:
            return self._http.request(method, path, **content)
        except httpx2.TransportError as error:
            raise ServiceUnreachable(self.base_url, _reason(error)) from error

    def _problem(self, response: httpx2.Response) -> ClientError:
        if "json" not in response.headers.get("Content-Type", ""):
            return ProblemError.from_document({"status": response.status_code, "detail": response.text[:200]})
        return ProblemError.from_document({"status": response.status_code, **self._json(response)})

    def _json(self, response: httpx2.Response) -> Any:
        try:
            return response.json()
        except ValueError as error:
            kind = response.headers.get("Content-Type", "no content type")
            raise UnexpectedAnswer(self.base_url, f"{kind} where JSON belongs") from error


def _path(*parts: str) -> str:
    # Quoted, so that a name with a slash in it cannot lead elsewhere.
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _part(path: Path, opened: ExitStack) -> tuple[str, BinaryIO]:
    # A name that is not UTF-8 on this machine's disk is none in a form.
    return path.name.encode(errors="replace").decode(), opened.enter_context(open_file(path))


def _query(model: str, max_false_reject: float | None, top_k: int | None) -> dict[str, str | float]:
    asked = {"max_false_reject": max_false_reject, "top_k": top_k}
    return {"model": model, **{name: value for name, value in asked.items() if value is not None}}


def _document(spec: BaseModel | Mapping[str, Any]) -> Mapping[str, Any]:
    return spec.model_dump(mode="json") if isinstance(spec, BaseModel) else spec


def _retry_after_seconds(response: httpx2.Response) -> float:
    asked = response.headers.get("Retry-After", "")
    return float(asked) if asked.isdigit() else 1.0


def _reason(error: httpx2.TransportError) -> str:
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__


def _passes(error: ServiceUnreachable | ProblemError) -> bool:
    # In flight: the request whose answer was lost is still being carried out.
    return isinstance(error, ServiceUnreachable) or error.status in _PASSING or error.code == "in-flight"
