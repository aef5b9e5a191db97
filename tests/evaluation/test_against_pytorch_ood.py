"""pytorch-ood, fed the same scores, agrees to 1e-6; docs/scores.md names each deviation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_ood.metrics import functional
from sklearn.metrics import auc, precision_recall_curve

from noisegate.evaluation.open_set_metrics import open_set_metrics

VALUES = st.one_of(st.integers(-3, 3).map(float), st.floats(-1, 1), st.sampled_from([-np.inf, np.inf]))
KNOWN = st.lists(st.tuples(VALUES, st.booleans()), min_size=1, max_size=30)
UNKNOWN = st.lists(VALUES, min_size=1, max_size=30)


def theirs(known: np.ndarray, unknown: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores, and labels that are below 0 for unknown images."""
    labels = np.repeat([0, -1], [len(known), len(unknown)])
    return torch.from_numpy(np.concatenate([known, unknown])), torch.from_numpy(labels)


@settings(deadline=None)
@given(known=KNOWN, unknown=UNKNOWN)
def test_metrics_agree(known: list[tuple[float, bool]], unknown: list[float]) -> None:
    scores, correct = np.array([score for score, _ in known]), np.array([right for _, right in known])
    found = open_set_metrics(scores, np.array(unknown), correct)
    ours, labels = theirs(scores, np.array(unknown))
    predictions = torch.from_numpy(np.concatenate([np.where(correct, 0, 1), np.zeros(len(unknown), dtype=np.int64)]))
    assert found.auroc == pytest.approx(float(functional.auroc(ours, labels)), abs=1e-6)
    fpr = float(functional.fpr_at_tpr(ours, labels))
    assert found.known_rejected_at_95_unknown_rejected == pytest.approx(fpr, abs=1e-6)
    assert found.oscr == pytest.approx(functional.oscr_score(ours, predictions, labels), abs=1e-6)
    assert found.accuracy == pytest.approx(float(functional.accuracy(predictions, labels)), abs=1e-6)
    # The other direction is theirs with known images as what is to be found.
    other = float(functional.fpr_at_tpr(-ours, -1 - labels))
    assert found.unknown_accepted_at_95_known_accepted == pytest.approx(other, abs=1e-6)


@settings(deadline=None)
@given(known=KNOWN)
def test_aurc_is_one_minus_aurra_without_ties(known: list[tuple[float, bool]]) -> None:
    correct = np.array([right for _, right in known])
    scores = np.random.default_rng(len(known)).permutation(len(known)).astype(float)
    found = open_set_metrics(scores, np.zeros(1), correct)
    theirs = functional.aurra(torch.from_numpy(-scores), torch.from_numpy(correct))
    assert found.aurc == pytest.approx(1 - theirs, abs=1e-6)


def test_their_area_under_precision_and_recall_is_interpolated() -> None:
    known, unknown = np.array([0.1, 0.2, 0.2, 0.9]), np.array([0.2, 0.95])
    found = open_set_metrics(known, unknown, np.ones(4, dtype=np.bool_))
    ours, labels = theirs(known, unknown)
    interpolated = float(functional.aupr(ours, labels))
    precision, recall, _ = precision_recall_curve(labels < 0, ours)
    assert interpolated == pytest.approx(auc(recall, precision), abs=1e-12)
    assert (found.aupr_unknown, interpolated) == pytest.approx((0.7, 0.725), abs=1e-9)


def test_their_aurra_takes_ties_as_they_come() -> None:
    confident, correct = np.zeros(4), np.array([True, True, False, False])
    found = open_set_metrics(-confident, np.zeros(1), correct)
    orders = {
        1 - functional.aurra(torch.from_numpy(confident), torch.from_numpy(order.copy()))
        for order in (correct, correct[::-1])
    }
    assert found.aurc == 0.5
    assert len(orders) == 2
