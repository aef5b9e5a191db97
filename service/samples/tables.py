"""Reading tables of samples: asked for where they are missing, and kept in memory for the next page."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from noisegate.api.samples import FACTS, TableFacts
from noisegate.errors import NotReady
from noisegate.later import Later
from noisegate.spec.reasons import REASONS, Reason
from noisegate.store import derived, experiments, sample_tables
from noisegate.store.artefacts import Artefacts
from noisegate.store.derived import StoredFile
from noisegate.store.sessions import Sessions
from noisegate.store.wakeups import Wakeups

if TYPE_CHECKING:
    import pyarrow as pa
pc: Any = Later("pyarrow.compute")
pq: Any = Later("pyarrow.parquet")

# Of 50,000 images a table takes some 20 MB.
_KEPT = 4


@dataclass(frozen=True)
class SampleTable:
    """The table of an experiment: a row a training image, the lowest value first."""

    rows: pa.Table
    facts: TableFacts
    file: Path
    digest: str

    def narrowed(self, reason: Reason | None, label: str | None) -> pa.Table:
        """The rows that have the reason and the label."""
        rows = self.rows
        if label is not None:
            rows = rows.filter(pc.equal(rows["label"], label))
        if reason is not None:
            lists = rows["reasons"].combine_chunks()
            having = pc.list_parent_indices(lists).filter(pc.equal(pc.list_flatten(lists), reason))
            rows = rows.take(having)
        return rows

    def counts(self) -> dict[Reason, int]:
        """How many images have each reason; those that none has are left out."""
        found = pc.value_counts(pc.list_flatten(self.rows["reasons"].combine_chunks())).to_pylist()
        by_name = {one["values"]: one["counts"] for one in found}
        return {name: by_name[name] for name in REASONS if name in by_name}


class TableWanted(NotReady):
    """The table is not there: it is to be asked for in a transaction of its own, as this one ends without a change."""

    def __init__(self, experiment: str, cell: int | None) -> None:
        super().__init__("the table of samples is being made", retry_after_seconds=sample_tables.RETRY_SECONDS)
        self.experiment = experiment
        self.cell = cell


def find_table(session: Session, artefacts: Artefacts, experiment_id: str, cell: int | None) -> SampleTable:
    """The table of an experiment that has ended.

    Raises:
        NotFound: no such experiment or cell, or it has recorded nothing.
        TableWanted: it is not there; `ask_for` asks a worker for it.
        NotReady: it is being made, or the experiment has not ended.
        Conflict: it could not be made.
    """
    wanted = sample_tables.needed(session, experiment_id, cell)
    dataset = experiments.get(session, experiment_id).dataset
    assert dataset is not None, "what records samples is trained on a dataset"
    row = derived.find(session, dataset, wanted)
    if row is None or sample_tables.may_be_retried(row):
        raise TableWanted(experiment_id, cell)
    return _opened(artefacts, sample_tables.file_of(session, row))


def ask_for(sessions: Sessions, wakeups: Wakeups, wanted: TableWanted) -> None:
    """Have a worker make the table."""
    with sessions.begin() as session:
        row = sample_tables.ask(session, wanted.experiment, wanted.cell)
    wakeups.derive(row.id)


def _opened(artefacts: Artefacts, stored: StoredFile) -> SampleTable:
    return _read(artefacts.fetch(stored.digest), stored.digest)


@lru_cache(maxsize=_KEPT)
def _read(file: Path, digest: str) -> SampleTable:
    rows = pq.read_table(file)
    return SampleTable(rows, TableFacts.model_validate_json(rows.schema.metadata[FACTS]), file, digest)
