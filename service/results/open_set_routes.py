"""GET /results/{id}/open_set and /results/{id}/samples.parquet: how well known and unknown images are told apart."""

import hashlib
from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import IO, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from noisegate.errors import NotFound
from noisegate.store import executions, experiments
from service.accepting import chosen
from service.bodies import JSON
from service.conditional import has_it_already
from service.deps import ArtefactsDep, SessionsDep
from service.errors import problems
from service.results.open_set import OpenSetResults, tabulate_open_set
from service.results.open_set_files import to_csv, to_parquet, write_samples

CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
_FORMATS = {"json": JSON, "csv": CSV, "parquet": PARQUET}
_CHUNK_BYTES = 2**18
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}

router = APIRouter(prefix="/results", tags=["results"])


@router.get(
    "/{experiment_id}/open_set",
    response_model=OpenSetResults,
    responses={200: {"content": {CSV: {"schema": {"type": "string"}}, PARQUET: _BINARY}}, **problems(404, 422)},
)
def get_open_set_results(
    experiment_id: str,
    sessions: SessionsDep,
    request: Request,
    response: Response,
    format: Annotated[
        Literal["json", "csv", "parquet"] | None, Query(description="Instead of what `Accept` says.")
    ] = None,
) -> OpenSetResults | Response:
    """AUROC, AUPR, FPR95, OSCR and more of each score on each set of unknown images, with errors; and risk and coverage.

    JSON, or CSV or Parquet if `format` or `Accept` says so. Of kind `open_set` alone.
    """
    with sessions.reading() as session:
        experiment = experiments.get(session, experiment_id, cell_specs=True)
        found = executions.of_experiment(session, experiment_id, losses=False)
        if all(cell.spec.sees_all_classes for cell in experiment.cells):
            raise _not_open_set(experiment_id)
        results = tabulate_open_set(experiment, found)
    vary = {"Vary": "Accept"}
    wanted = chosen(request, format, _FORMATS)
    if wanted == CSV:
        return Response(to_csv(results), headers=vary, media_type=CSV)
    if wanted == PARQUET:
        return Response(to_parquet(results), headers=vary, media_type=PARQUET)
    response.headers.update(vary)
    return results


@router.get(
    "/{experiment_id}/samples.parquet",
    response_class=StreamingResponse,
    responses={200: {"content": {PARQUET: _BINARY}}, **problems(404, 422)},
)
def get_samples(
    experiment_id: str,
    sessions: SessionsDep,
    artefacts: ArtefactsDep,
    request: Request,
    cell: Annotated[int | None, Query(ge=0, description="Of this cell alone.")] = None,
    execution: Annotated[int | None, Query(ge=0, description="Of executions with this number alone.")] = None,
) -> Response:
    """What each execution said of each test image, as Parquet: a row an image.

    Of kind `open_set` all executions; of other classifiers those whose model was kept, with the reject score alone.
    Columns: `cell`, `execution`, `set` (`known`, `held_out`, or a dataset's name), `image` (its place in its dataset, training
    images first), `label`, `called`, `correct`, `given` (`called` or `noise`), `probability` (of that), `rejected` (by the rule
    that decides); each score, turned so that higher means more unknown, and `SCORE_rejects`.
    """
    with sessions.reading() as session:
        experiments.get(session, experiment_id)
        kept = executions.samples_of(session, experiment_id, cell=cell, execution=execution)
    if not kept:
        raise _no_samples(experiment_id)
    etag = f'"{hashlib.sha256(repr(kept).encode()).hexdigest()}"'
    if has_it_already(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers={"ETag": etag})
    parts = [(number, position, artefacts.fetch(digest)) for number, position, digest in kept]
    file = TemporaryFile()  # noqa: SIM115 - closed, and so gone, when the answer has been sent or given up
    write_samples(file, parts)
    headers = {
        "Content-Disposition": f'attachment; filename="{experiment_id}-samples.parquet"',
        "Content-Length": str(file.tell()),
        "ETag": etag,
    }
    return StreamingResponse(_chunks(file), headers=headers, media_type=PARQUET)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _not_open_set(experiment_id: str) -> NotFound:
    remedy = "Post it with kind open_set, and known and unknown classes."
    return NotFound(
        f"experiment {experiment_id} does not measure unknown classes", field="experiment_id", remedy=remedy
    )


def _no_samples(experiment_id: str) -> NotFound:
    remedy = "Executions of kind open_set keep them once they have succeeded, others whose model is kept (keep_models)."
    return NotFound(
        f"experiment {experiment_id} has no scores of single images there", field="experiment_id", remedy=remedy
    )
