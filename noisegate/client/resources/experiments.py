"""`client.experiments`."""

import builtins
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import BaseModel

from noisegate.api.answers import DeletedAnswer, EventAnswer, ExecutionAnswer, PlanAnswer
from noisegate.api.result_answers import (
    ConfusionsAnswer,
    FigureAnswer,
    ImageAnswer,
    LossAnswer,
    RecordedConfusionAnswer,
    SampleAnswer,
)
from noisegate.client.answers import Curves, Experiment, Results
from noisegate.client.flows import Flow, Listing, Request, get, once, path_of
from noisegate.client.fronts import Mode, Resource, listing, operation

# What one answer of the service holds at most.
_ANSWERS = 200

ENDED = frozenset({"succeeded", "failed", "cancelled"})

Spec = BaseModel | Mapping[str, Any]


class Experiments(Resource[Mode]):
    """What is trained, and what came of it."""

    @listing
    def list(self, *, state: str | None = None) -> Listing[Experiment]:
        """All experiments, newest first; or those in a state."""
        return Listing("/experiments", Experiment, {"state": state})

    @operation
    def create(
        self, /, spec: Spec | None = None, *, preset: str | None = None, time_limit: float | None = None, **fields: Any
    ) -> Flow[Experiment]:
        """Post an experiment; it starts as soon as a worker is free.

        If the answer is lost on its way it is asked for again, under the same key: nothing is created twice.

        Args:
            spec: as JSON, or a noisegate.spec.ExperimentSpec; without one and without a preset, `fields` are the spec.
            preset: the name of one in its place; `fields` such as `scale` and `dataset` stand beside it, and win.
            time_limit: seconds from the start of its first execution, after which it is cancelled if it has not ended.
        """
        request = _posted(spec, preset, fields, {"time_limit": time_limit}, headers=once(), patient=True)
        return self._front.read(request, Experiment)

    @operation
    def plan(self, /, spec: Spec | None = None, *, preset: str | None = None, **fields: Any) -> Flow[PlanAnswer]:
        """What an experiment would come to; nothing is created. Arguments as for `create`."""
        return self._front.read(_posted(spec, preset, fields, {"dry_run": True}), PlanAnswer)

    @operation
    def get(self, id: str) -> Flow[Experiment]:
        """One experiment as it stands."""
        return self._front.read(get("experiments", id), Experiment)

    @operation
    def wait(
        self, id: str, *, timeout: float | None = None, progress: Callable[[Experiment], object] | None = None
    ) -> Flow[Experiment]:
        """Wait until an experiment has ended, and give it back, whichever way it ended.

        Args:
            timeout: seconds; None waits for as long as it takes.
            progress: hears how it stands each time that it is asked for.

        Raises:
            WaitedTooLong: it went on after `timeout` seconds.
        """
        request = Request(method="GET", path=path_of("experiments", id), patient=True, even_at_first=True)
        return self._front.poll(request, Experiment, lambda found: found.state in ENDED, progress, timeout)

    @operation
    def cancel(self, id: str) -> Flow[Experiment]:
        """Ask for an end; running executions stop between two batches. Asking twice changes nothing."""
        return self._front.read(Request(method="POST", path=path_of("experiments", id, "cancel")), Experiment)

    @operation
    def delete(self, id: str, *, dry_run: bool = False) -> Flow[DeletedAnswer]:
        """Delete an experiment that has ended, with its results and models; or only say what would go."""
        path = path_of("experiments", id)
        request = Request(method="DELETE", path=path, params={"dry_run": dry_run}, repeatable=dry_run)
        return self._front.read(request, DeletedAnswer)

    @listing
    def executions(self, id: str, *, state: str | None = None) -> Listing[ExecutionAnswer]:
        """All executions of an experiment, newest first; or those in a state."""
        return Listing(path_of("experiments", id, "executions"), ExecutionAnswer, {"state": state})

    @operation
    def events(self, id: str, *, after: int = 0) -> Flow[builtins.list[EventAnswer]]:
        """Everything that happened to an experiment after the event with this number, oldest first."""
        found: builtins.list[EventAnswer] = []
        while True:
            path, headers = path_of("experiments", id, "events"), {"Accept": "application/json"}
            request = Request(method="GET", path=path, params={"after": after}, headers=headers)
            page = self._front.json((yield from self._front.send(request)))
            if not page["items"]:
                return found
            found += [self._front.validated(item, EventAnswer) for item in page["items"]]
            after = page["last"]

    @operation
    def results(self, id: str) -> Flow[Results]:
        """One row a cell, with means and errors over executions; also while the experiment runs."""
        return self._front.read(get("results", id), Results)

    @operation
    def results_csv(self, id: str) -> Flow[str]:
        """The same rows as CSV."""
        request = Request(method="GET", path=path_of("results", id), headers={"Accept": "text/csv"})
        return (yield from self._front.send(request)).text

    @operation
    def curves(self, id: str) -> Flow[Curves]:
        """The loss of each execution after each epoch, of all executions in one answer."""
        return self._front.read(get("results", id, "curves"), Curves)

    @operation
    def losses(self, id: str) -> Flow[builtins.list[LossAnswer]]:
        """The loss of each cell by epoch: mean, standard error and n over its executions."""
        return self._front.read_items(get("results", id, "losses"), LossAnswer)

    @listing
    def samples(
        self, id: str, *, cell: int | None = None, reason: str | None = None, label: str | None = None
    ) -> Listing[SampleAnswer]:
        """What the executions say of each training image, the lowest value first; of experiments with `record: samples`.

        A worker makes the table first, which is waited for.

        Args:
            cell: by the executions of this cell alone.
            reason: images that have this reason alone.
            label: images of this class alone.
        """
        query = {"cell": cell, "reason": reason, "label": label}
        return Listing(path_of("experiments", id, "samples"), SampleAnswer, query, patient=True)

    @operation
    def samples_csv(self, id: str, *, cell: int | None = None, reason: str | None = None) -> Flow[str]:
        """All of it as CSV; with other labels, it can be sent back as a version of the dataset."""
        query = {"cell": cell, "reason": reason, "format": "csv"}
        request = Request(method="GET", path=path_of("experiments", id, "samples"), params=query, patient=True)
        return (yield from self._front.send(request)).text

    @operation
    def sample_confusion(self, id: str, *, cell: int | None = None) -> Flow[RecordedConfusionAnswer]:
        """The confusion matrix of the test images, by the executions of an experiment that recorded samples."""
        return self._front.read(get("experiments", id, "samples", "confusion", cell=cell), RecordedConfusionAnswer)

    @operation
    def sample_picture(
        self,
        /,
        id: str,
        name: Literal["sheet", "confusion", "data-map"],
        format: Literal["svg", "png"] = "png",
        **chosen: str | int | None,
    ) -> Flow[bytes]:
        """Training images as photographs, test images that are taken for a class, or the data map.

        Args:
            chosen: what it shows, as its route takes it: `reason`, `label`, `subgroup`, `called`, `count`, `offset`, `cell`.
        """
        request = get("experiments", id, "samples", f"{name}.{format}", **chosen)
        return (yield from self._front.send(request)).content

    @operation
    def confusion(self, id: str, *, cell: int = 0, execution: int = 0) -> Flow[ConfusionsAnswer]:
        """How often test images of each class were given each class, by one execution whose model was kept."""
        return self._front.read(get("results", id, "confusion", cell=cell, execution=execution), ConfusionsAnswer)

    @operation
    def answers(
        self, id: str, *, cell: int = 0, execution: int = 0, set: str = "known", right: bool | None = None
    ) -> Flow[builtins.list[ImageAnswer]]:
        """What one execution said of each test image, the surest first.

        Args:
            set: `known`, `held_out`, or the name of a dataset of unknown images.
            right: those alone that were given their own class, or another.
        """
        query: dict[str, str | int | bool | None] = {"cell": cell, "execution": execution, "set": set, "right": right}
        found: builtins.list[ImageAnswer] = []
        while True:
            request = get("results", id, "answers", **query, first=len(found), limit=_ANSWERS)
            page = self._front.json((yield from self._front.send(request)))
            found += [self._front.validated(item, ImageAnswer) for item in page["items"]]
            if len(found) >= page["total"] or not page["items"]:
                return found

    @operation
    def open_set(self, id: str) -> Flow[dict[str, Any]]:
        """How well each score tells known from unknown images; of kind open_set alone."""
        response = yield from self._front.send(get("results", id, "open_set"))
        return dict(self._front.json(response))

    @operation
    def open_set_samples(self, id: str, *, cell: int | None = None, execution: int | None = None) -> Flow[bytes]:
        """The scores of each test image by each execution, as a Parquet file; of kind open_set alone."""
        request = get("results", id, "samples.parquet", cell=cell, execution=execution)
        return (yield from self._front.send(request)).content

    @operation
    def figures(self, id: str) -> Flow[builtins.list[FigureAnswer]]:
        """The figures of an experiment; that of its preset comes first."""
        return self._front.read_items(get("results", id, "figures"), FigureAnswer)

    @operation
    def figure(self, id: str, name: str, format: Literal["svg", "png"] = "svg") -> Flow[bytes]:
        """One figure, as far as the experiment has got."""
        return (yield from self._front.send(get("results", id, "figures", f"{name}.{format}"))).content


def _posted(
    spec: Spec | None, preset: str | None, fields: Mapping[str, Any], params: Mapping[str, Any], **how: Any
) -> Request:
    if spec is not None and preset is not None:
        raise TypeError("give either a spec or the name of a preset")
    if spec is None and preset is None and not fields:
        raise TypeError("give a spec, its fields, or the name of a preset")
    named = {} if preset is None else {"preset": preset}
    document = spec.model_dump(mode="json") if isinstance(spec, BaseModel) else dict(spec or named)
    return Request(method="POST", path="/experiments", params=params, json={**document, **fields}, **how)
