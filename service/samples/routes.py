"""GET /experiments/{id}/samples: which training images help, which mislead, which are mislabelled."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from noisegate.errors import InvalidInput
from noisegate.later import Later
from noisegate.spec.reasons import Reason
from noisegate.store.pages import named_page
from service.accepting import chosen
from service.bodies import JSON
from service.deps import PagingDep, Resources, ResourcesDep
from service.errors import problems
from service.samples.schemas import SamplePage, SampleRead
from service.samples.tables import SampleTable, TableWanted, ask_for, find_table

if TYPE_CHECKING:
    import pyarrow as pa
pc: Any = Later("pyarrow.compute")
pa_csv: Any = Later("pyarrow.csv")
pq: Any = Later("pyarrow.parquet")

CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
_FORMATS = {"json": JSON, "csv": CSV, "parquet": PARQUET}
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}

router = APIRouter(prefix="/experiments", tags=["samples"])

CellQuery = Annotated[
    int | None, Query(ge=0, description="By the executions of this cell alone; without it, by all that have recorded.")
]
ReasonQuery = Annotated[Reason | None, Query(description="Images that have this reason alone.")]
LabelQuery = Annotated[str | None, Query(description="Images of this class alone.", max_length=1000)]


@router.get(
    "/{experiment_id}/samples",
    response_model=SamplePage,
    responses={200: {"content": {CSV: {"schema": {"type": "string"}}, PARQUET: _BINARY}}, **problems(404, 409, 422)},
)
def get_sample_table(
    experiment_id: str,
    resources: ResourcesDep,
    request: Request,
    response: Response,
    paging: PagingDep,
    cell: CellQuery = None,
    reason: ReasonQuery = None,
    label: LabelQuery = None,
    format: Annotated[
        Literal["json", "csv", "parquet"] | None, Query(description="Instead of what `Accept` says.")
    ] = None,
) -> SamplePage | Response:
    """The training images of an experiment that recorded them (`record: samples`), the lowest value first.

    Pages of JSON; or all of them as CSV or Parquet, if `format` or `Accept` says so. A worker makes the table when the experiment
    has ended; until then the answer is 409 with `Retry-After`.
    """
    table = open_table(resources, experiment_id, cell)
    check_label(table, label)
    rows = table.narrowed(reason, label)
    response.headers["Vary"] = "Accept"
    wanted = chosen(request, format, _FORMATS)
    if wanted == JSON:
        return page_of(
            table, rows, paging.cursor, paging.limit, {"reason": reason, "label": label, "table": table.digest}
        )
    name = f"{experiment_id}-samples.{'csv' if wanted == CSV else 'parquet'}"
    headers = {"Vary": "Accept", "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(_csv(rows) if wanted == CSV else _parquet(table, rows), headers=headers, media_type=wanted)


def open_table(resources: Resources, experiment_id: str, cell: int | None) -> SampleTable:
    """The table; a worker is asked for one that is missing. Raises as `find_table`."""
    try:
        with resources.sessions.reading() as session:
            return find_table(session, resources.artefacts, experiment_id, cell)
    except TableWanted as wanted:
        ask_for(resources.sessions, resources.wakeups, wanted)
        raise


def check_label(table: SampleTable, label: str | None) -> None:
    """Refuse a class that the dataset does not have."""
    if label is not None and label not in table.facts.classes:
        listed = ", ".join(table.facts.classes[:20])
        raise InvalidInput(f"the dataset has no class {label!r}", field="label", remedy=f"Its classes: {listed}.")


def page_of(
    table: SampleTable, rows: pa.Table, cursor: str | None, limit: int, filters: dict[str, str | None]
) -> SamplePage:
    ids = [str(one) for one in rows["image"].to_pylist()]
    page = named_page(ids, "samples", filters=filters, cursor=cursor, limit=limit)
    start = ids.index(page.items[0]) if page.items else 0
    path = f"/datasets/{table.facts.dataset}/images/train"
    shown = rows.slice(start, len(page.items)).to_pylist()
    return SamplePage(
        about=table.facts,
        reasons=table.counts(),
        total=len(rows),
        items=[SampleRead(**row, picture=f"{path}/{row['image']}.png") for row in shown],
        next_cursor=page.next_cursor,
    )


def _csv(rows: pa.Table) -> bytes:
    """Reasons in one cell, parted by semicolons."""
    place = rows.schema.get_field_index("reasons")
    flat = rows.set_column(place, "reasons", pc.binary_join(rows["reasons"].combine_chunks(), ";"))
    written = io.BytesIO()
    pa_csv.write_csv(flat, written)
    return written.getvalue()


def _parquet(table: SampleTable, rows: pa.Table) -> bytes:
    if rows is table.rows:
        return table.file.read_bytes()
    written = io.BytesIO()
    pq.write_table(rows, written, compression="zstd")
    return written.getvalue()
