"""What a deletion takes along, what it refuses, and which files may go."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from noisegate.errors import Conflict, NotFound
from noisegate.store import deletion, executions, experiments, files, models
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.tables import Base
from tests import factories


def _trained(sessions: Sessions, artefacts: Artefacts) -> tuple[str, str]:
    """An experiment of one execution, with a model whose files exist and which is `default`; answers both ids."""
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = factories.queued_experiment(session, factories.spec(sweep={}, executions=1))
        execution, lease = factories.claim_one(session)
        digests = [artefacts.put_bytes(f"{part} of {execution.id}".encode()) for part in ("weights", "json", "onnx")]
        models.register(
            session, execution.id, models.ModelDigests(*digests), factories.manifest(execution), keep="best"
        )
        scores = artefacts.put_bytes(b"scores")
        executions.record_success(session, lease, factories.outcome(), scores_digest=scores)
        return experiment.id, models.get(session, "default").id


def _rows(sessions: Sessions) -> dict[str, int]:
    with sessions.reading() as session:
        counts = {
            table.name: session.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for table in Base.metadata.sorted_tables
        }
    return {name: count for name, count in counts.items() if count}


@pytest.fixture
def artefacts(tmp_path: Path) -> Artefacts:
    return Artefacts(tmp_path / "artefacts")


def test_an_experiment_goes_with_all_that_is_its_own(sessions: Sessions, artefacts: Artefacts) -> None:
    experiment_id, model_id = _trained(sessions, artefacts)
    with pytest.raises(Conflict, match="default"), sessions.begin() as session:
        deletion.delete_experiment(session, experiment_id)
    with sessions.begin() as session:
        models.delete_alias(session, "default")
        deleted = deletion.delete_experiment(session, experiment_id)
    assert (deleted.cells, deleted.executions, deleted.models) == (1, 1, [model_id])
    assert sorted(files.discard(sessions, artefacts, deleted.digests)) == sorted(deleted.digests)
    assert [path for path in artefacts.root.rglob("*") if path.is_file()] == []
    assert _rows(sessions) == {"datasets": 1}
    with pytest.raises(NotFound), sessions.begin() as session:
        deletion.delete_experiment(session, experiment_id)


def test_files_that_another_names_too_stay(sessions: Sessions, artefacts: Artefacts) -> None:
    experiment_id, model_id = _trained(sessions, artefacts)
    with sessions.begin() as session:
        twin = factories.queued_experiment(session, factories.spec(sweep={}, executions=1))
        execution, lease = factories.claim_one(session)
        same = models.get(session, model_id)
        shared = models.ModelDigests(same.weights_digest, same.manifest_digest, same.onnx_digest)
        models.register(session, execution.id, shared, factories.manifest(execution), keep="best")
        executions.record_success(session, lease, factories.outcome())
        models.delete_alias(session, "default")
        deleted = deletion.delete_experiment(session, experiment_id)
    removed = files.discard(sessions, artefacts, deleted.digests)
    assert len(removed) == 1, "the scores; the model's three files are the twin's as well"
    with sessions.reading() as session:
        (model,) = models.best_by_cell(session, twin.id).values()
    assert artefacts.path(model.onnx_digest).exists()


def test_what_has_not_ended_or_is_built_upon_stays(sessions: Sessions, artefacts: Artefacts) -> None:
    base_id, model_id = _trained(sessions, artefacts)
    subgroups: dict[str, Any] = {
        "subgroup": {"correct": "hc", "wrong": "hs", "fraction": 0.5},
        "sweep": {},
        "executions": 1,
    }
    base = {"experiment": base_id, "cell": 0, "execution": 0}
    training: dict[str, Any] = {"training": {"epochs": 2, "batch_size": 5}, "base": base}
    with sessions.begin() as session:
        models.delete_alias(session, "default")
        dependent = factories.queued_experiment(session, factories.spec(**subgroups, **training))
    with pytest.raises(Conflict, match="queued"), sessions.begin() as session:
        deletion.delete_experiment(session, dependent.id)
    with pytest.raises(Conflict, match="builds on"), sessions.begin() as session:
        deletion.delete_experiment(session, base_id)
    with sessions.begin() as session:
        experiments.cancel(session, dependent.id)
        deletion.delete_experiment(session, dependent.id)
        assert deletion.delete_model(session, model_id).models == [model_id]
        deletion.delete_experiment(session, base_id)
    assert _rows(sessions) == {"datasets": 1}


def test_files_that_nobody_entered_are_swept_once_they_are_old(sessions: Sessions, artefacts: Artefacts) -> None:
    _trained(sessions, artefacts)
    named = {path for path in artefacts.root.rglob("*") if path.is_file()}
    orphan, young = artefacts.put_bytes(b"its process was killed"), artefacts.put_bytes(b"about to be entered")
    for path in [*named, artefacts.path(orphan)]:
        os.utime(path, (time.time() - 100, time.time() - 100))
    assert files.sweep(sessions, artefacts, older_than_seconds=50) == [orphan]
    assert {path for path in artefacts.root.rglob("*") if path.is_file()} == named | {artefacts.path(young)}
