#!/usr/bin/env bash
# skl2onnx 1.20.0 with scikit-learn 1.9.1: the ONNX label of SGDClassifier(loss="modified_huber") is not what predict answers.
#
# Expected: the converter promises that the ONNX model computes what the estimator computes, within float32. Its two outputs,
# label and probabilities, are those of predict and predict_proba.
# Seen: the probabilities agree to the last bit, the label does not. predict takes the largest decision value. The
# converter takes the largest probability, and this loss clips probabilities to 0 and 1: where two classes reach 1, or none
# leaves 0, several are equal, and the label is the first of them. In the example 6 % of the labels differ (all of them ties),
# and accuracy falls from 96.6 % to 90.8 %; with features of different scales it was four labels in ten.
# That predict and predict_proba part ways for this loss in scikit-learn itself is an open report of 2016; that a conversion
# then changes the answers was reported for another converter, not for this one as far as could be found.
# For who serves with rejection: a converted head has to be compared by its labels, not only by its probabilities; a check
# on probabilities alone passes here with a difference of 0. And a threshold on the largest of clipped probabilities
# cannot tell one class at 1 from two.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile skl2onnx==1.20.0 scikit-learn==1.9.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.datasets import make_blobs
from sklearn.linear_model import SGDClassifier

images, labels = make_blobs(1500, n_features=8, centers=5, cluster_std=4.0, random_state=0)
images = images.astype(np.float32)
head = SGDClassifier(loss="modified_huber", random_state=0).fit(images[:1000], labels[:1000])
model = to_onnx(head, images[:1], options={"zipmap": False})
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
onnx_label, onnx_probabilities = session.run(None, {session.get_inputs()[0].name: images[1000:]})

probabilities = head.predict_proba(images[1000:])
answers = head.predict(images[1000:])
known = labels[1000:]
ties = np.sum(probabilities == probabilities.max(axis=1, keepdims=True), axis=1) > 1
seen = {
    "largest difference of probabilities": float(np.abs(onnx_probabilities - probabilities).max()),
    "labels that differ, of 500": int(np.sum(onnx_label != answers)),
    "of these with tied probabilities": int(np.sum((onnx_label != answers) & ties)),
    "accuracy of predict": float(np.mean(answers == known)),
    "accuracy of the ONNX label": float(np.mean(onnx_label == known)),
}
for what, value in seen.items():
    print(f"{what}: {value}")
assert seen["largest difference of probabilities"] <= 1e-6, "this behaviour has changed"
assert seen["labels that differ, of 500"] == seen["of these with tied probabilities"] >= 20, "this behaviour has changed"
assert seen["accuracy of the ONNX label"] < seen["accuracy of predict"] - 0.03, "this behaviour has changed"
PY
