"""Figures of open-set experiments: the curves against scikit-learn and against counting, and that each can be drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from noisegate.spec import parse_spec
from service.results.figures.catalogue import draw, figures_of
from service.results.figures.files import write
from service.results.figures.open_set import oscr, risk, roc
from service.results.samples import SampleScores
from tests.service.fabricated_results import of_spec

SCORES = st.lists(st.integers(0, 8), min_size=1, max_size=30)


@given(SCORES, SCORES)
def test_the_area_under_the_drawn_roc_is_the_auroc(known: list[int], unknown: list[int]) -> None:
    known_scores, unknown_scores = (np.array(values, dtype=np.float64) for values in (known, unknown))
    x, y = roc(known_scores, unknown_scores, np.ones(len(known), dtype=np.bool_))
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    labels = [0] * len(known) + [1] * len(unknown)
    assert np.trapezoid(y, x) == pytest.approx(roc_auc_score(labels, [*known, *unknown]))


@given(SCORES, SCORES)
def test_correct_classification_ends_at_the_accuracy_and_risk_at_its_complement(
    known: list[int], unknown: list[int]
) -> None:
    correct = np.random.default_rng(len(known)).random(len(known)) < 0.7
    known_scores, unknown_scores = (np.array(values, dtype=np.float64) for values in (known, unknown))
    x, y = oscr(known_scores, unknown_scores, correct)
    assert (np.diff(x) >= 0).all()
    assert y[-1] == pytest.approx(correct.mean())
    coverage, wrong = risk(known_scores, unknown_scores, correct)
    assert (coverage[-1], wrong[-1]) == (1, pytest.approx(1 - correct.mean()))
    least = known_scores == known_scores.min()
    assert (coverage[0], wrong[0]) == (pytest.approx(least.mean()), pytest.approx((~correct)[least].mean()))


def samples(seed: int) -> dict[str, SampleScores]:
    generator = np.random.default_rng(seed)
    names = ["reject_score", "knn", "noise_probability"]

    def of(shift: float) -> dict[str, np.ndarray]:
        return {name: generator.normal(shift, 1, 60) for name in names}

    nothing = np.empty(0, dtype=np.bool_)
    return {
        "known": SampleScores(of(0), generator.random(60) < 0.8),
        "held_out": SampleScores(of(1), nothing),
        "digits": SampleScores(of(3), nothing),
    }


@pytest.mark.parametrize("name", ["roc", "oscr", "risk-coverage", "scores"])
@pytest.mark.parametrize("ended", [True, False])
def test_each_figure_is_drawn_with_a_panel_for_each_group_and_set(name: str, ended: bool) -> None:
    results = of_spec(
        parse_spec(
            {
                "kind": "open_set",
                "dataset": "digits",
                "known": {"count": 6, "splits": 2},
                "sweep": {"noise": [None, {"family": "uniform"}]},
            }
        )
    )
    data = {row.cell: [samples(row.cell), samples(row.cell + 9)] for row in results.rows} if ended else {}
    figure = draw(name, results, data)
    assert write(figure, "svg", title=figures_of(results)[name], description="").startswith(b"<?xml")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    groups = 2 if ended else 1
    expected = groups if name == "risk-coverage" or not ended else groups * 2
    assert len(shown) == expected
    if ended and name in ("roc", "oscr"):
        assert all(len(axes.lines) == 3 for axes in shown), "a line a score"
        assert {axes.get_title().split(";")[0] for axes in shown} == {"held out", "digits"}
