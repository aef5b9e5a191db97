"""After a derived artefact has ended: its executions go on or end, and workers are woken. The reaper's process imports this."""

import structlog

from noisegate.store import awaiting, derived, executions
from noisegate.store.states import DerivedState
from worker.resources import Resources

log = structlog.get_logger(__name__)

# More than a worker has processes; a message too many finds nothing to claim.
_WAKEUPS = 64


def settle(resources: Resources) -> None:
    """Let the executions go, or end, whose artefacts are there or will not come."""
    with resources.sessions.begin() as session:
        settled = derived.settle(session)
    if not settled:
        return
    log.info("derived_settled", experiments=settled)
    with resources.sessions.reading() as session:
        waiting = executions.count_waiting(session, most=_WAKEUPS)
        awaited = awaiting.awaited_by(session, settled)
    if waiting:
        resources.wakeups.train(settled[0], count=waiting)
    for id in {row.id for rows in awaited.values() for row in rows if row.state is DerivedState.WAITING}:
        resources.wakeups.derive(id)
