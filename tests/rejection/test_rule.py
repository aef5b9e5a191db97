import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisegate.rejection.decision import Decider, DecisionOptions
from noisegate.rejection.rule import apply_rule, reject_scores
from noisegate.rejection.scores import softmax
from tests.rejection.manifests import manifest

# Few distinct values beside many: ties decide between noise and doubt, above and at the threshold.
LOGITS = st.one_of(st.floats(-30, 30), st.sampled_from([0.0, 1.0, 2.0]))


def test_reject_score_leaves_the_noise_probability_out() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])
    assert reject_scores(probabilities, 2) == pytest.approx([0.3, 0.8])
    assert reject_scores(probabilities, 3) == pytest.approx([0.3, 0.3])


def test_noise_as_the_top_class_is_rejected_whatever_the_threshold() -> None:
    probabilities = np.array([[0.3, 0.3, 0.4], [0.8, 0.1, 0.1], [0.4, 0.35, 0.25]])
    assert apply_rule(probabilities, 2, math.inf).rejected.tolist() == [True, False, False]
    verdicts = apply_rule(probabilities, 2, 0.5)
    assert verdicts.rejected.tolist() == [True, False, True]
    assert verdicts.reasons() == ["noise", None, "low_confidence"]


def test_a_score_at_the_threshold_is_accepted() -> None:
    probabilities = np.array([[0.75, 0.25], [0.625, 0.375]])
    assert apply_rule(probabilities, 2, 0.25).rejected.tolist() == [False, True]


def test_each_image_may_have_a_threshold_of_its_own() -> None:
    probabilities = np.array([[0.75, 0.25]] * 3)
    assert apply_rule(probabilities, 2, np.array([0.2, 0.25, math.inf])).rejected.tolist() == [True, False, False]


@given(
    rows=st.lists(st.lists(LOGITS, min_size=4, max_size=4), min_size=1, max_size=8),
    has_noise_class=st.booleans(),
    share=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
)
def test_what_is_served_is_what_a_plain_loop_decides(
    rows: list[list[float]], has_noise_class: bool, share: float
) -> None:
    """Bit for bit, image by image, in Python's own numbers."""
    classes = ["a", "b", "c"] if has_noise_class else ["a", "b", "c", "d"]
    model = manifest(classes, has_noise_class=has_noise_class, quantiles=[level / 20 for level in range(21)])
    assert model.calibration
    above = model.calibration.threshold(share)
    decisions = Decider(model).decide(np.array(rows), np.zeros((len(rows), 2)), [DecisionOptions(share)] * len(rows))
    for row, decision in zip(softmax(np.array(rows)).tolist(), decisions, strict=True):
        largest = max(row[: len(classes)])
        is_noise = has_noise_class and row[-1] > largest
        reason = "noise" if is_noise else "low_confidence" if 1 - largest > above else None
        assert (decision.reject_score, decision.threshold) == (1 - largest, above)
        assert (decision.rejected, decision.reason) == (reason is not None, reason)
        assert decision.label == ("noise" if is_noise else classes[row.index(largest)])
