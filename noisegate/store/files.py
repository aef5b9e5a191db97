"""Which stored files rows name, and the one lock under which files come and go.

Putting a file and entering it, and looking whether a file is named and removing it, both happen within one
transaction that holds `lock`. Without it the clean-up of one could remove the file that another is about to name: the same
spec posted twice, or an execution that two workers ran, gives the same bytes.
"""

from collections.abc import Collection, Iterator, Sequence

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import InstrumentedAttribute, Session

from noisegate.errors import StorageUnavailable
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import OF_ALL_OWNERS, Sessions
from noisegate.store.states import DatasetState
from noisegate.store.tables import Dataset, DerivedFile, Execution, Model

log = structlog.get_logger(__name__)

# Others wait for the lock meanwhile, and each may be a call to a store elsewhere.
_REMOVED_AT_ONCE = 20

# Any number that no other advisory lock on this database has.
_LOCK = 6_075_311

_COLUMNS: tuple[InstrumentedAttribute[str] | InstrumentedAttribute[str | None], ...] = (
    Model.weights_digest,
    Model.manifest_digest,
    Model.onnx_digest,
    Model.reference_digest,
    Execution.scores_digest,
    Execution.checkpoint_digest,
    Execution.samples_digest,
    Execution.dynamics_digest,
    Dataset.images_digest,
    Dataset.labels_digest,
    Dataset.originals_digest,
    Dataset.originals_index_digest,
    DerivedFile.file_digest,
)


def lock(session: Session) -> None:
    """One transaction at a time decides over files, and over the models and aliases that name them.

    Taken after an experiment's lock, never before it. SQLite has one writer at a time anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def unreferenced(session: Session, digests: Sequence[str]) -> list[str]:
    """Those of `digests` that no row names. An archive is named by the datasets that wait to be ingested from it."""
    of_all = {OF_ALL_OWNERS: True}  # two owners may have the same file
    naming = (sa.select(column).where(column.in_(digests)) for column in _COLUMNS)
    used = {digest for query in naming for digest in session.scalars(query, execution_options=of_all)}
    waiting = sa.select(Dataset.upload_digest).where(
        Dataset.upload_digest.in_(digests), Dataset.state == DatasetState.INGESTING
    )
    used.update(session.scalars(waiting, execution_options=of_all))
    used.update(shared_originals(session))
    return [digest for digest in digests if digest not in used]


def named(session: Session) -> set[str]:
    """The digests of all files that rows name."""
    found = {digest for column in _COLUMNS for digest in session.scalars(sa.select(column).where(column.is_not(None)))}
    waiting = sa.select(Dataset.upload_digest).where(
        Dataset.upload_digest.is_not(None), Dataset.state == DatasetState.INGESTING
    )
    return {digest for digest in [*found, *session.scalars(waiting)] if digest} | shared_originals(session)


def shared_originals(session: Session) -> set[str]:
    """The digests of all originals that versions share with their bases, of all owners, whether or not the bases are there."""
    query = sa.select(Dataset.shared_originals).where(Dataset.shared_originals.is_not(None))
    return {digest for some in session.scalars(query, execution_options={OF_ALL_OWNERS: True}) for digest in some or ()}


def originals_of_others(session: Session, dataset_ids: Collection[str]) -> set[str]:
    """The digests of all originals that other datasets than these need, their own and shared ones."""
    query = sa.select(Dataset.id, Dataset.originals_digest, Dataset.shared_originals)
    rows = session.execute(query.where(Dataset.originals_digest.is_not(None)), execution_options={OF_ALL_OWNERS: True})
    return {digest for id, own, shared in rows if id not in dataset_ids for digest in (own, *(shared or ()))}


def discard(sessions: Sessions, artefacts: Artefacts, digests: Sequence[str]) -> list[str]:
    """Remove those of the files that no row names; answers their digests.

    When the store that machines share goes away meanwhile, or the database does, what is left stays for a sweep.
    """
    removed: list[str] = []
    try:
        for some in _batches(digests, _REMOVED_AT_ONCE):
            with sessions.begin() as session:
                lock(session)
                for digest in unreferenced(session, some):
                    # A transaction that waits too long for a slow store is ended, and its lock is another's then.
                    lock(session)
                    artefacts.delete(digest)
                    removed.append(digest)
    except (StorageUnavailable, sa.exc.DBAPIError) as error:
        log.warning("files_left_to_the_sweep", reason=type(error).__name__)
    return removed


def sweep(sessions: Sessions, artefacts: Artefacts, older_than_seconds: float) -> list[str]:
    """Remove files that were put but never entered, because their process was killed in between; answers their digests."""
    return discard(sessions, artefacts, orphans(sessions, artefacts, older_than_seconds))


def orphans(sessions: Sessions, artefacts: Artefacts, older_than_seconds: float) -> list[str]:
    """What `sweep` would remove."""
    old = artefacts.older_than(older_than_seconds)
    with sessions.reading() as session:
        return [digest for some in _batches(old) for digest in unreferenced(session, some)]


def _batches(digests: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    # The maximum number of parameters of one statement.
    return (digests[start : start + size] for start in range(0, len(digests), size))
