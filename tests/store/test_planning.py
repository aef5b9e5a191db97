"""What an experiment of each kind would come to, and what is refused before anything is written."""

from typing import Any

import pytest
import sqlalchemy as sa

from noisegate.errors import InvalidSpec
from noisegate.spec import parse_spec
from noisegate.spec.caps import Caps
from noisegate.store import planning
from noisegate.store.sessions import Sessions
from noisegate.store.tables import Execution, Experiment
from tests import factories


@pytest.mark.parametrize(
    ("document", "executions", "epochs", "points"),
    [
        ({"kind": "curve_fitting", "samples": 100, "executions": 2}, 2, 1, 200),
        ({"kind": "decision_map", "clusters": 2, "points_per_cluster": 10, "epochs": 5, "executions": 1}, 1, 5, 100),
        ({"kind": "pretrained"}, 1, 1, 0),
    ],
)
def test_kinds_without_a_dataset_are_experiments_like_any_other(
    sessions: Sessions, document: dict[str, Any], executions: int, epochs: int, points: int
) -> None:
    with sessions.begin() as session:
        planned = planning.plan(session, parse_spec(document), Caps())
        assert (planned.executions, planned.total_training_images) == (executions, points)
        id = planning.create(session, planned).id
    with sessions.reading() as session:
        experiment = session.get_one(Experiment, id)
        assert experiment.dataset_id is None
        assert experiment.name == f"{document['kind'].replace('_', ' ')}: 1 cell"
        rows = session.scalars(sa.select(Execution)).all()
        assert [row.epochs for row in rows] == [epochs] * executions


@pytest.mark.parametrize(
    ("document", "field", "words"),
    [
        ({"kind": "curve_fitting", "samples": 1_000_000}, "samples", "allows 200,000|allows 200000"),
        (
            {"kind": "decision_map", "points_per_cluster": 10_000, "noise_quantity": 50},
            "points_per_cluster",
            "is 10000; this server allows 3703",
        ),
        ({"kind": "hybrids", "dataset": "pets", "hybrids": {"pairs": 50_000}}, "hybrids.pairs", "allows 10000"),
        (
            {"kind": "hybrids", "dataset": "pets", "hybrids": {"classes": ["cat", "cow"]}},
            "hybrids.classes",
            "no class 'cow'",
        ),
        ({"kind": "hybrids", "dataset": "pets", "hybrids": {"classes": ["cat", "cat"]}}, "hybrids.classes", "twice"),
        ({"dataset": "pets", "noise": [{"family": "solid", "quantity": 60}] * 2}, "noise.quantity", "is 120"),
    ],
)
def test_what_is_over_a_cap_or_not_there_is_refused(
    sessions: Sessions, document: dict[str, Any], field: str, words: str
) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
    with sessions.reading() as session, pytest.raises(InvalidSpec, match=words) as caught:
        planning.plan(session, parse_spec(document), Caps())
    assert [error.field for error in caught.value.errors] == [field]


def test_a_preset_and_its_scale_stay_with_the_experiment(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        planned = planning.plan(session, factories.spec(), Caps())
        experiment = planning.create(session, planned, preset="figure-9", scale="quick")
        assert (experiment.preset, experiment.scale, experiment.name) == ("figure-9", "quick", "figure-9: 2 cells")
