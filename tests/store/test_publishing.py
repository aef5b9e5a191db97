"""What becomes of `default` when an experiment succeeds, and which models are passed over because they have not learnt."""

from typing import Any, Final

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.api.publication import Publication
from noisegate.errors import InvalidSpec, NotFound
from noisegate.judgement import Judgement
from noisegate.manifest import Calibration
from noisegate.spec import TrainingExperiment, parse_spec
from noisegate.spec.sweeps import cells_of
from noisegate.store import events, executions, models, publishing
from noisegate.store.sessions import Sessions
from noisegate.store.tables import NOBODY, Alias, Execution, Experiment, Model
from tests import factories
from tests.factories import judgement

GUESSES: Final = "no_better_than_guessing"


def queued(session: Session, count: int, **changes: Any) -> Experiment:
    """One cell of so many executions, on the dataset `pets`."""
    return factories.queued_experiment(session, factories.spec(executions=count, sweep={}, **changes))


def end_one(
    session: Session,
    number: int,
    accuracy: float | None,
    judged: Judgement | None = None,
    *,
    keep: str = "best",
    **described: Any,
) -> Execution:
    """The next execution succeeds with this model and judgement; `described` are fields of its manifest."""
    execution, lease = factories.claim_one(session)
    manifest = factories.manifest(execution, accuracy, judged).model_copy(update=described)
    models.register(session, execution.id, factories.model_files(number), manifest, keep=keep)
    executions.record_success(session, lease, factories.outcome(holdout_accuracy=accuracy, judged=judged))
    return execution


def told(session: Session, experiment: Experiment, kind: str) -> list[dict[str, Any]]:
    """The data of its events of this type."""
    return [one.data for one in events.after(session, experiment.id, 0, limit=99) if one.type == kind]


def test_one_that_has_learnt_is_kept_before_one_that_has_not(sessions: Sessions) -> None:
    """Whoever comes first, and however high the accuracy of the other; a cell without one that has keeps its best."""
    for first, second in ((0, 1), (1, 0)):
        with sessions.begin() as session:
            if first == 0:
                factories.ready_dataset(session)
            experiment = queued(session, 2)
            ends = [(0.95, judgement(0.95, "called_noise")), (0.6, judgement(0.6))]
            for number, (accuracy, judged) in enumerate((ends[first], ends[second]), start=1 + 2 * first):
                end_one(session, number, accuracy, judged)
            (best,) = models.best_by_cell(session, experiment.id).values()
            assert best.holdout_accuracy == 0.6
            kept = models.page(session, experiment_id=experiment.id, cursor=None, limit=9).items
            assert [model.id for model in kept] == [best.id]
    with sessions.begin() as session:
        neither = queued(session, 2)
        end_one(session, 8, 0.5, judgement(0.5, GUESSES))
        end_one(session, 9, 0.55, judgement(0.55, GUESSES))
        (best,) = models.best_by_cell(session, neither.id).values()
        assert best.holdout_accuracy == 0.55


def test_what_the_test_set_says_chooses_nothing(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = queued(session, 2, holdout=0)
        first = end_one(session, 1, None, judgement(0.5, GUESSES, measured_on="test"))
        end_one(session, 2, None, judgement(0.9, measured_on="test"))
        (best,) = models.best_by_cell(session, experiment.id).values()
        assert best.execution_id == first.id
        found = publishing.published(session, [experiment.id])[experiment.id]
        assert (found.outcome, found.model) == ("none", None)
        assert "without a holdout" in found.sentence
        assert "PUT /aliases/default" in (found.remedy or "")


def test_the_best_that_has_learnt_becomes_default(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = queued(session, 3)
        end_one(session, 1, 0.9, judgement(0.9, "called_noise"), keep="all")
        end_one(session, 2, 0.6, judgement(0.6), keep="all")
        end_one(session, 3, 0.7, None, keep="all")  # by a worker from before judgements
        default = models.get(session, "default")
        assert default.holdout_accuracy == 0.7
        found = publishing.published(session, [experiment.id])[experiment.id]
        assert (found.outcome, found.model, found.remedy) == ("set", default.id, None)
        assert found.sentence == f"default is now {default.id} (holdout accuracy 70.00%); there was none"
        assert told(session, experiment, "finished") == [{"state": "succeeded", "default": found.model_dump()}]


def test_where_nothing_has_learnt_there_is_no_default_and_the_reason_is_told(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = queued(session, 2)
        end_one(session, 1, 0.4, judgement(0.4, GUESSES))
        end_one(session, 2, 0.5, judgement(0.5, "called_noise", GUESSES))
        with pytest.raises(NotFound, match="no default model"):
            models.get(session, "default")
        found = publishing.published(session, [experiment.id])[experiment.id]
        assert (found.outcome, found.model, found.remedy) == ("none", None, "against called_noise.")
        assert "no model of this experiment has learnt" in found.sentence
        assert "found: called_noise" in found.sentence


def test_one_that_collapsed_beside_its_siblings_is_not_published(sessions: Sessions) -> None:
    """Its siblings' models were not kept; by itself nothing speaks against it."""
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = queued(session, 3)
        end_one(session, 1, 0.96, judgement(0.96), keep="none")
        end_one(session, 2, 0.66, judgement(0.66), keep="all")
        end_one(session, 3, 0.96, judgement(0.96), keep="none")
        found = publishing.published(session, [experiment.id])[experiment.id]
        assert found.outcome == "none"
        assert "96.0% or more" in found.sentence
        assert told(session, experiment, "cell_finished") == [{"cell": 0, "not_learnt": 1}]


def test_events_tell_what_is_found(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = queued(session, 3)
        end_one(session, 1, 0.4, judgement(0.4, GUESSES))
        end_one(session, 2, 0.9, judgement(0.9))
        end_one(session, 3, 0.9)
        first, second, third = told(session, experiment, "execution_finished")
        finding = {"code": GUESSES, "detail": f"found: {GUESSES}", "remedy": f"against {GUESSES}."}
        assert (first["findings"], second["findings"]) == ([finding], [])
        assert "findings" not in third
        assert told(session, experiment, "cell_finished") == [{"cell": 0, "not_learnt": 1}]


def test_cells_that_were_never_judged_say_nothing(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = queued(session, 1)
        end_one(session, 1, 0.9)
        assert told(session, experiment, "cell_finished") == [{"cell": 0}]


def test_what_only_a_newer_version_can_read_was_not_judged(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = queued(session, 2)
        newer = end_one(session, 1, 0.9, judgement(0.9), keep="all")
        details = {"measures": {}, "judgement": judgement(0.9).model_dump() | {"aura": "violet"}}
        factories.write_json(session, "executions.details", newer.id, details)
        end_one(session, 2, 0.6, judgement(0.6), keep="all")
        assert models.get(session, "default").execution_id == newer.id
        assert told(session, experiment, "cell_finished") == [{"cell": 0, "not_learnt": 0}]


def test_an_experiment_that_kept_no_model_tells_nothing_of_default(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = queued(session, 1)
        end_one(session, 1, 0.9, judgement(0.9), keep="none")
        assert told(session, experiment, "finished") == [{"state": "succeeded"}]
        assert publishing.published(session, [experiment.id]) == {}


def test_a_default_that_is_there_stays(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        queued(session, 1)
        end_one(session, 1, 0.6, judgement(0.6))
        default = models.get(session, "default").id
        better = queued(session, 1)
        end_one(session, 2, 0.9, judgement(0.9))
        found = publishing.published(session, [better.id])[better.id]
        assert (found.outcome, found.model) == ("kept", default)
        assert models.get(session, "default").id == default


def test_another_owners_default_is_not_named(sessions: Sessions) -> None:
    """What ann's model is called, and how good it is, is not told to ben."""
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiments = [queued(session, 1), queued(session, 1)]
        for experiment, owner in zip(experiments, ("ann", "ben"), strict=True):
            session.execute(sa.update(Experiment).where(Experiment.id == experiment.id).values(owned_by=owner))
        end_one(session, 1, 0.6)
        end_one(session, 2, 0.9)
        ann, ben = (publishing.published(session, [one.id])[one.id] for one in experiments)
        assert (ann.outcome, models.get(session, "default").id) == ("set", ann.model)
        assert (ben.outcome, ben.model) == ("kept", None)
        assert ann.model is not None
        assert ann.model not in ben.sentence


# --- promote ---------------------------------------------------------------------------------------------------------------


def after(
    session: Session, old: float | None, new: float | None, *, promote: str = "if_better", **changes: Any
) -> tuple[str, Publication]:
    """The id of a default with one holdout accuracy, and what an experiment with the other did to it.

    `changes` are of the spec, and `old_…` and `new_…` of the manifests.
    """
    described = {
        which: {name[4:]: changes.pop(name) for name in list(changes) if name.startswith(f"{which}_")}
        for which in ("old", "new")
    }
    factories.ready_dataset(session)
    queued(session, 1)
    end_one(session, 1, old, **described["old"])
    (first,) = session.scalars(sa.select(Model.id))
    models.point_alias(session, "default", first)
    experiment = queued(session, 1, promote=promote, **changes)
    end_one(session, 2, new, **described["new"])
    return first, publishing.published(session, [experiment.id])[experiment.id]


def test_a_better_model_of_the_same_classes_takes_over_when_asked_to(sessions: Sessions) -> None:
    with sessions.begin() as session:
        first, found = after(session, 0.912, 0.934)
        default = models.get(session, "default")
        assert default.holdout_accuracy == 0.934
        assert (found.outcome, found.model) == ("moved", default.id)
        assert found.sentence == (f"default moved from {first} (91.20%) to {default.id} (holdout accuracy 93.40%)")
    with sessions.reading() as session:
        assert models.get(session, "default").holdout_accuracy == 0.934


@pytest.mark.parametrize(
    ("old", "new", "changes", "reason"),
    [
        (0.9, 0.9, {}, "no better"),
        (0.9, 0.8, {}, "its holdout accuracy is 90.00%, and mod_"),
        (0.9, 0.8, {"seed": 5}, "each was measured on a holdout of its own"),
        (0.8, 0.9, {"new_classes": ["cat", "cow"]}, "other classes"),
        (0.8, 0.9, {"new_dataset_hash": "f" * 64}, "another dataset"),
        (None, 0.9, {}, "no holdout accuracy to compare with"),
        (0.8, 0.9, {"new_judged": judgement(0.9, "called_noise")}, "no model of this experiment has learnt"),
        (0.8, None, {"holdout": 0}, "without a holdout"),
        (0.8, 0.9, {"promote": "never"}, "promote is never"),
        (0.8, 0.9, {"promote": "if_none"}, "promote is if_none"),
    ],
)
def test_default_stays_and_the_reason_is_told(
    sessions: Sessions, old: float | None, new: float | None, changes: dict[str, Any], reason: str
) -> None:
    with sessions.begin() as session:
        first, found = after(session, old, new, **changes)
        assert models.get(session, "default").id == first
        assert (found.outcome, found.model) == ("kept", first)
        assert reason in found.sentence


def test_the_order_of_classes_does_not_matter(sessions: Sessions) -> None:
    with sessions.begin() as session:
        assert after(session, 0.8, 0.9, new_classes=["dog", "cat"])[1].outcome == "moved"


@pytest.mark.parametrize(
    "changes", [{"seed": 5}, {"new_calibration": Calibration(samples=11, quantiles=[0.0, 1.0])}], ids=["seed", "size"]
)
def test_what_was_measured_on_other_holdout_images_says_so(sessions: Sessions, changes: dict[str, Any]) -> None:
    with sessions.begin() as session:
        assert "a holdout of its own" in after(session, 0.8, 0.9, **changes)[1].sentence


CROSS_VALIDATED = Calibration(samples=100, quantiles=[0.0, 1.0], called_noise=0, source="cross_validated")


def test_a_cross_validated_accuracy_is_called_so(sessions: Sessions) -> None:
    judged = judgement(0.9, measured_on="cross_validated")
    with sessions.begin() as session:
        _, found = after(session, 0.8, 0.9, new_calibration=CROSS_VALIDATED, new_judged=judged)
        assert "(cross-validated accuracy 90.00%)" in found.sentence
        assert found.sentence.endswith("; one was measured on a holdout, the other by cross-validation")


def test_cross_validated_accuracies_are_of_the_same_images_whatever_the_seed(sessions: Sessions) -> None:
    both: dict[str, Any] = {"old_calibration": CROSS_VALIDATED, "new_calibration": CROSS_VALIDATED}
    with sessions.begin() as session:
        _, found = after(session, 0.9, 0.8, seed=5, **both)
        assert "its cross-validated accuracy is 90.00%" in found.sentence
        assert found.sentence.endswith("which is no better")


def test_one_that_has_not_learnt_by_cross_validation_is_passed_over(sessions: Sessions) -> None:
    judged = judgement(0.9, GUESSES, measured_on="cross_validated")
    with sessions.begin() as session:
        assert "has learnt" in after(session, 0.8, 0.9, new_judged=judged)[1].sentence


def test_one_that_has_learnt_takes_over_from_one_that_has_not(sessions: Sessions) -> None:
    """A person pointed the alias at a model that calls most images noise, and so is no match for one that does not."""
    with sessions.begin() as session:
        assert after(session, 0.9, 0.8, old_judged=judgement(0.9, "called_noise"))[1].outcome == "moved"


def test_with_never_there_is_no_first_default_either(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = queued(session, 1, promote="never")
        end_one(session, 1, 0.9)
        found = publishing.published(session, [experiment.id])[experiment.id]
        assert (found.outcome, found.model) == ("none", None)
        assert "promote is never" in found.sentence
        assert models.aliases(session) == []


@pytest.mark.parametrize(
    ("alias_of", "experiment_of", "moves"),
    [
        ("ann", "ann", True),
        (NOBODY, NOBODY, True),
        ("ann", "ben", False),
        (NOBODY, "ben", False),
        ("ann", NOBODY, False),
    ],
)
def test_only_the_owner_of_default_has_it_moved(
    sessions: Sessions, alias_of: str, experiment_of: str, moves: bool
) -> None:
    """A worker sees all rows; what it does for an experiment is what its owner may do."""
    with sessions.begin() as session:
        factories.ready_dataset(session)
        first, second = queued(session, 1), queued(session, 1, promote="if_better")
        for experiment, owner in ((first, alias_of), (second, experiment_of)):
            session.execute(sa.update(Experiment).where(Experiment.id == experiment.id).values(owned_by=owner))
        end_one(session, 1, 0.6)
        before = models.get(session, "default").id
        end_one(session, 2, 0.9)
        found = publishing.published(session, [second.id])[second.id]
        alias = session.get_one(Alias, "default")
        assert (found.outcome, alias.owned_by) == ("moved" if moves else "kept", alias_of)
        assert (alias.model_id != before) == moves
        if alias_of not in (experiment_of, NOBODY):
            assert before not in found.sentence


def test_what_only_a_newer_version_can_read_stays_default(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        queued(session, 1)
        end_one(session, 1, 0.6)
        old = models.get(session, "default")
        factories.write_json(session, "models.manifest", old.id, {"format": "noisegate-model-9"})
        experiment = queued(session, 1, promote="if_better")
        end_one(session, 2, 0.9)
        found = publishing.published(session, [experiment.id])[experiment.id]
        assert (found.outcome, found.model) == ("kept", old.id)
        assert "newer version" in found.sentence


def test_the_spec_is_written_as_before_unless_promote_is_given() -> None:
    plain = TrainingExperiment(dataset="pets")
    assert "promote" not in plain.model_dump(mode="json")
    assert (plain.promote, plain.format) == ("if_none", 1)
    asked = parse_spec({"dataset": "pets", "promote": "if_better"})
    assert parse_spec(asked.model_dump(mode="json")) == asked
    assert asked.format == 2, "workers that would not know it leave it alone"
    for wrong in ({"promote": "always"}, {"sweep": {"promote": ["never", "if_better"]}}):
        with pytest.raises(InvalidSpec, match="promote"):
            cells_of(parse_spec({"dataset": "pets"} | wrong))
