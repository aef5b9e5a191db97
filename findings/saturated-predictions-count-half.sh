#!/usr/bin/env bash
# relplot 1.0.3 (smECE, smooth calibration error): predictions of exactly 1 or 0 count half.
#
# Expected: the smooth calibration error is continuous, which is what its paper and the package's description recommend it for:
# a prediction of 1 and one of 0.999 are almost the same, and so must be the error. It is at most the error by the
# values that occur, since smoothing can only let faults cancel.
# Seen: the kernel is reflected at the ends of the interval without the end point itself, so that of what lies at exactly 0 or 1
# half is smeared out of the interval and lost. In the example 85 % of the predictions say 1 and are all right, 15 % say 0.6 and
# are all wrong: the error is 0.15 · 0.6 = 0.09. With 0.999 in place of 1 the package says 0.089, with 1 it says
# 0.155, about as if half as many said 1. Where the certain ones are at fault it errs the other way and flatters:
# 85 % at 1 that are right in 80 %, the rest right on 0.5, are an error of 0.17, which comes out as 0.148.
# smECE_sigma at a fixed width does the same. Not reported as far as could be found; another library has been checked
# against this implementation to six digits and so has it too.
# For who measures classifiers with rejection: confidences are exactly 1 in float32 for many images of a trained network. Move
# probabilities into 0.001 … 0.999 before calling it, and do not compare networks of which one saturates.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile relplot==1.0.3 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np
import relplot


def errors(groups: list[tuple[int, float, float]]) -> tuple[float, float, float]:
    """By the values that occur, by smECE and at a width of 0.01; a group is (how many, said, share right)."""
    said = np.concatenate([np.full(count, value) for count, value, _ in groups])
    right = np.concatenate([np.arange(count) < round(count * share) for count, _, share in groups]).astype(float)
    exact = sum(count * abs(share - value) for count, value, share in groups) / len(said)
    return tuple(round(float(x), 3) for x in (exact, relplot.smECE(said, right), relplot.smECE_sigma(said, right, 0.01)))


seen = {}
for top in (1.0, 0.999, 0.99):
    seen["certain ones right", top] = errors([(1700, top, 1.0), (300, 0.6, 0.0)])
for top in (1.0, 0.999, 0.99):
    seen["certain ones at fault", top] = errors([(1700, top, 0.8), (300, 0.5, 0.5)])
for (what, top), (exact, smooth, fixed) in seen.items():
    print(f"{what}, at {top}: {exact} by values, smECE {smooth}, smECE_sigma(0.01) {fixed}")
assert seen == {
    ("certain ones right", 1.0): (0.09, 0.155, 0.152),
    ("certain ones right", 0.999): (0.091, 0.089, 0.088),
    ("certain ones right", 0.99): (0.099, 0.094, 0.097),
    ("certain ones at fault", 1.0): (0.17, 0.148, 0.149),
    ("certain ones at fault", 0.999): (0.169, 0.169, 0.17),
    ("certain ones at fault", 0.99): (0.161, 0.162, 0.162),
}, "this behaviour has changed"
PY
