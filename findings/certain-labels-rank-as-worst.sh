#!/usr/bin/env bash
# cleanlab 2.9.0 (get_label_quality_scores, "confidence_weighted_entropy"): a label that the model is certain of scores 0, the worst.
#
# Expected: by the documentation 1 stands for a clean label, 0 for a dirty one. The surer the model is of the given label, the
# higher the score: of three classes, with probability 0.987 it is 0.965, with 0.9999 it is 0.9995. At 1 it should be 1.
# Seen: it is 0. The score is log(1 + x) / x of an entropy x that goes to 0 there, and the divisor alone is kept from becoming
# 0 by a lower bound. From about 1 - 1e-7 on, the score falls from 1 to 0. Labels that are certainly wrong score higher than
# labels that are certainly right.
# The other two methods are right. A division by zero at this place was mended in 2022; the limit was not, and no report was found.
# For who trains with rejection: float32 softmax gives exactly 1 as soon as the logits lie some 18 apart, which well trained networks
# reach for most training images. Ranked by this score, the best images of a data set come out first as label errors,
# and whoever drops the lowest tenth, or asks people to look at it, spends the effort on the cleanest part.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile cleanlab==2.9.0 numpy==2.4.6 scikit-learn==1.9.1
"$work/venv/bin/python" - <<'PY'
import numpy as np
from cleanlab.rank import get_label_quality_scores, order_label_issues


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


GAPS = [0, 2, 5, 10, 15, 20, 30]
logits = np.array([[gap, 0.0, 0.0] for gap in GAPS], dtype=np.float32)
right = np.zeros(len(GAPS), int)
scores = get_label_quality_scores(right, softmax(logits), method="confidence_weighted_entropy")
confidence = get_label_quality_scores(right, softmax(logits), method="self_confidence")
for gap, score, probability in zip(GAPS, scores, confidence, strict=True):
    print(f"logit of the given label ahead by {gap:2}: probability {probability:.9f}, quality {score:.4f}")
assert np.all(np.diff(scores[:5]) > 0), "this behaviour has changed"
assert scores[4] > 0.99, "this behaviour has changed"
assert scores[6] < 0.0001, "this behaviour has changed"

images = np.array([[30, 0, 0], [30, 0, 0], [30, 0, 0], [6, 0, 0], [0, 6, 0]], dtype=np.float32)
given = np.zeros(5, int)  # the last one is wrong: the model says class 1
quality = get_label_quality_scores(given, softmax(images), method="confidence_weighted_entropy")
order = order_label_issues(np.ones(5, bool), given, softmax(images), rank_by="confidence_weighted_entropy")
print("quality of three certain labels, a good one and a wrong one:", np.round(quality, 4).tolist())
print("worst first:", order.tolist())
assert quality[:3].max() < quality[4] < quality[3], "this behaviour has changed"
assert set(order[:3].tolist()) == {0, 1, 2}, "this behaviour has changed"
PY
