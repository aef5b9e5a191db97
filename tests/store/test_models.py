"""The registry: which model a cell keeps, which becomes default, and what an alias protects."""

import pytest
from sqlalchemy.orm import Session

from noisegate.errors import NotFound
from noisegate.store import executions, files, models
from noisegate.store.sessions import Sessions
from noisegate.store.tables import Execution, Model
from tests import factories


def _register(session: Session, number: int, accuracy: float | None, keep: str = "best") -> tuple[Execution, list[str]]:
    """Claim the next execution, register its model, end it."""
    execution, lease = factories.claim_one(session)
    manifest = factories.manifest(execution, accuracy)
    dropped = models.register(session, execution.id, factories.model_files(number), manifest, keep=keep)
    executions.record_success(session, lease, factories.outcome(holdout_accuracy=accuracy))
    return execution, dropped


def _kept(session: Session) -> list[float]:
    return [
        model.holdout_accuracy or 0 for model in models.page(session, experiment_id=None, cursor=None, limit=99).items
    ]


def _one_cell(session: Session, count: int) -> str:
    factories.ready_dataset(session)
    return factories.queued_experiment(session, factories.spec(sweep={}, executions=count)).id


def test_a_cell_keeps_its_best_by_holdout_accuracy(sessions: Sessions) -> None:
    with sessions.begin() as session:
        _one_cell(session, 4)
        assert _register(session, 1, 0.6)[1] == []
        assert _register(session, 2, 0.8)[1] == list(vars(factories.model_files(1)).values())
        assert _register(session, 3, 0.7)[1] == []
        assert _register(session, 4, 0.8)[1] == []
        assert _kept(session) == [0.8]
        digests = list(vars(factories.model_files(1)).values()) + list(vars(factories.model_files(2)).values())
        assert files.unreferenced(session, digests) == list(vars(factories.model_files(1)).values())


def test_of_equals_the_lower_number_is_kept_whoever_came_first(sessions: Sessions) -> None:
    with sessions.begin() as session:
        _one_cell(session, 2)
        first, _ = factories.claim_one(session)
        second, _ = factories.claim_one(session)
        for execution, number in ((second, 2), (first, 1)):
            manifest = factories.manifest(execution, None)
            models.register(session, execution.id, factories.model_files(number), manifest, keep="best")
        (kept,) = models.page(session, experiment_id=None, cursor=None, limit=9).items
        assert kept.execution_id == first.id


@pytest.mark.parametrize(("keep", "expected"), [("all", [0.7, 0.6]), ("none", [])])
def test_a_cell_keeps_all_or_none_when_told(sessions: Sessions, keep: str, expected: list[float]) -> None:
    with sessions.begin() as session:
        _one_cell(session, 2)
        _register(session, 1, 0.6, keep)
        _register(session, 2, 0.7, keep)
        assert sorted(_kept(session)) == sorted(expected)


def test_an_alias_protects_its_model(sessions: Sessions) -> None:
    with sessions.begin() as session:
        _one_cell(session, 2)
        _register(session, 1, 0.6)
        (only,) = models.page(session, experiment_id=None, cursor=None, limit=9).items
        models.point_alias(session, "production", only.id)
        assert _register(session, 2, 0.8)[1] == []
        assert sorted(_kept(session)) == [0.6, 0.8]
        assert models.get(session, "production").id == only.id


def test_the_first_success_publishes_its_best_as_default(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        first = factories.queued_experiment(session, factories.spec(executions=1))
        _register(session, 1, 0.6)
        with pytest.raises(NotFound, match="no default model yet"):
            models.get(session, "default")
        _register(session, 2, 0.9)
        default = models.get(session, "default")
        assert (default.experiment_id, default.holdout_accuracy) == (first.id, 0.9)
        factories.queued_experiment(session, factories.spec(executions=1))
        _register(session, 3, 0.95)
        _register(session, 4, 0.95)
        assert models.get(session, "default").id == default.id


def test_without_a_holdout_nothing_becomes_default(sessions: Sessions) -> None:
    with sessions.begin() as session:
        _one_cell(session, 1)
        _register(session, 1, None)
        with pytest.raises(NotFound):
            models.get(session, "default")


def test_best_by_cell(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = factories.queued_experiment(session)
        for number, accuracy in enumerate([0.5, 0.6, 0.7, 0.4], start=1):
            _register(session, number, accuracy, "all")  # cells 0, 1, 0, 1
        best = models.best_by_cell(session, experiment.id)
        assert [best[cell.id].holdout_accuracy for cell in experiment.cells] == [0.7, 0.6]


def test_aliases_move(sessions: Sessions) -> None:
    with sessions.begin() as session:
        _one_cell(session, 2)
        _register(session, 1, 0.6, "all")
        _register(session, 2, 0.7, "all")
        new, old = models.page(session, experiment_id=None, cursor=None, limit=9).items
        models.point_alias(session, "a", old.id)
        models.point_alias(session, "a", new.id)
        models.point_alias(session, "b", "a")
        assert [(alias.name, alias.model_id) for alias in models.aliases(session)][:2] == [("a", new.id), ("b", new.id)]
        with pytest.raises(NotFound):
            models.point_alias(session, "c", "mod_unknown")
    with sessions.reading() as session:
        assert isinstance(models.get(session, "b"), Model)
