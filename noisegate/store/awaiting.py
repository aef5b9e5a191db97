"""Which derived artefacts are waited for: by executions, and by what is to be made of them."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from noisegate.store.states import DerivedState
from noisegate.store.tables import Derived, Execution

_TO_COME = (DerivedState.WAITING, DerivedState.RUNNING)


def awaited_by(session: Session, experiment_ids: Sequence[str]) -> dict[str, list[Derived]]:
    """For each experiment what its executions wait for, and what that is made of if it is not there yet: in order of making."""
    found: dict[str, list[Derived]] = {id: [] for id in experiment_ids}
    child = aliased(Derived)
    waits = sa.select(Execution.experiment_id, Execution.waits_for).where(
        Execution.experiment_id.in_(experiment_ids), Execution.waits_for.is_not(None)
    )
    waiting = waits.distinct().subquery()
    parents = sa.exists().where(child.id == waiting.c.waits_for, child.parent_id == Derived.id)
    query = (
        sa.select(waiting.c.experiment_id, Derived)
        .join(waiting, sa.or_(Derived.id == waiting.c.waits_for, parents))
        .where(Derived.state.in_(_TO_COME))
        # What is made of another has that as its parent.
        .order_by(Derived.parent_id.is_not(None), Derived.id)
    )
    for id, row in session.execute(query) if experiment_ids else ():
        if row not in found[id]:  # two may be made of one view
            found[id].append(row)
    return found


def waiting_artefacts(session: Session, experiment_id: str) -> list[str]:
    """Those of them that no worker has begun yet: to be woken for."""
    awaited = awaited_by(session, [experiment_id])[experiment_id]
    return [row.id for row in awaited if row.state is DerivedState.WAITING]


def waiting_followers(session: Session, derived_id: str) -> list[str]:
    """What is to be made of this artefact, and waits."""
    query = sa.select(Derived.id).where(Derived.parent_id == derived_id, Derived.state == DerivedState.WAITING)
    return list(session.scalars(query.order_by(Derived.id)))
