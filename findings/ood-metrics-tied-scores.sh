#!/usr/bin/env bash
# ood-metrics 1.1.2: with tied scores a detector that knows nothing has an AUPR of 0.75, and an FPR that no threshold reaches.
#
# Expected: a score that is the same for all images tells nothing. Its area under precision and recall is the share of positives
# (0.5 of two equal halves, 0.05 where one in twenty is known), as average_precision_score of scikit-learn says. Its false
# positive rate "when TPR is at minimum 95%" (the function's own words) is 1: the only threshold that accepts 95 % accepts all.
# Seen: aupr_in and aupr_out 0.75 for equal halves, and 0.525 instead of 0.05 where one in twenty is known. The area is drawn by
# straight lines between the few points there are, from precision 1 at recall 0, which scikit-learn's documentation warns of.
# fpr_at_95_tpr is interpolated as well: 0.95 instead of 1. With four of five scores tied and the others worth nothing either it
# is 0.43 against 0.05; without ties the two ways agree closely.
# For who measures rejection: the maximum softmax probability in float32 is exactly 1 for a large part of the images of a
# well trained network, so ties are the rule there. Such a network gains AUPR by being overconfident, and numbers of
# papers that used this way cannot be put beside those made with average precision.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile ood-metrics==1.1.2 numpy==1.26.4 scikit-learn==1.7.2
"$work/venv/bin/python" - <<'PY'
import numpy as np
from ood_metrics import calc_metrics
from sklearn.metrics import average_precision_score


def measured(known: np.ndarray, unknown: np.ndarray) -> dict[str, float]:
    """Higher scores mean known; known images are the positives."""
    scores = np.concatenate([known, unknown])
    labels = np.concatenate([np.ones(len(known), int), np.zeros(len(unknown), int)])
    theirs = calc_metrics(scores, labels)
    accepting = [t for t in np.unique(scores) if np.mean(known >= t) >= 0.95]
    return {
        "auroc": round(float(theirs["auroc"]), 4),
        "aupr_in": round(float(theirs["aupr_in"]), 4),
        "average precision": round(float(average_precision_score(labels, scores)), 4),
        "fpr_at_95_tpr": round(float(theirs["fpr_at_95_tpr"]), 4),
        "smallest FPR of any threshold": round(float(min(np.mean(unknown >= t) for t in accepting)), 4),
    }


rng = np.random.default_rng(0)
spread = rng.uniform(0.3, 1, 1000)
saturated = np.where(np.arange(1000) < 800, 1.0, spread)
seen = {
    "equal halves, all scores 1": measured(np.ones(500), np.ones(500)),
    "one in twenty known, all scores 1": measured(np.ones(50), np.ones(950)),
    "one in twenty known, four of five of all scores 1": measured(saturated[::20], saturated[1:951]),
    "one in twenty known, no ties": measured(spread[::20], rng.uniform(0.3, 1, 950)),
}
for what, values in seen.items():
    print(f"{what}: {values}")
assert {what: (v["aupr_in"], v["average precision"]) for what, v in seen.items()} == {
    "equal halves, all scores 1": (0.75, 0.5),
    "one in twenty known, all scores 1": (0.525, 0.05),
    "one in twenty known, four of five of all scores 1": (0.4291, 0.0483),
    "one in twenty known, no ties": (0.0515, 0.0535),
}, "this behaviour has changed"
assert seen["equal halves, all scores 1"]["fpr_at_95_tpr"] == 0.95, "this behaviour has changed"
PY
