#!/usr/bin/env bash
# skl2onnx 1.20.0: an output called "probabilities" holds margins, negative or above 1, for classifiers that have no probabilities.
#
# Expected: an output named "probabilities" lies between 0 and 1 and sums to 1, or is not there. SVC, LinearSVC, SGDClassifier with
# its default loss and RidgeClassifier have no predict_proba, so one expects label alone, or an output named "scores" as the
# outlier detectors get.
# Seen: all four get "probabilities" with the decision values in it, from -10 to 8 or in the thousands. With two classes
# three shapes occur: two columns that are each other's negatives, one column, and for RidgeClassifier one column where the model
# declares two (ONNX Runtime warns of that in its log; that [n, 2] is promised and [n, 1] comes is said nowhere else).
# An option called raw_scores exists and is off by default, which suggests that what comes out is not raw.
# For who serves with rejection: 1 - max(probabilities) is the plainest reject score there is, and it runs on these models
# without an error. With a threshold of 0.5 it accepts every image whose margin exceeds 0.5, whatever the doubt, and reject
# scores are negative. Check that the rows sum to 1 before an ONNX output of that name is used as probabilities.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile skl2onnx==1.20.0 scikit-learn==1.9.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.base import ClassifierMixin
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.svm import SVC, LinearSVC

onnxruntime.set_default_logger_severity(4)


def second_output(classifier: ClassifierMixin, classes: int) -> tuple[str, int, np.ndarray]:
    """Name, declared number of columns and values of the output beside the label, for 300 images."""
    images, labels = make_blobs(600, n_features=8, centers=classes, cluster_std=3.0, random_state=0)
    images = images.astype(np.float32)
    classifier.fit(images[:300], labels[:300])
    options = {} if isinstance(classifier, LinearSVC) else {"zipmap": False}
    model = to_onnx(classifier, images[:1], options=options)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    output = session.get_outputs()[1]
    values = session.run([output.name], {session.get_inputs()[0].name: images[300:]})[0]
    return output.name, output.shape[1], np.asarray(values)


seen = {}
for classes in (2, 3):
    for classifier in (LogisticRegression(), SVC(), LinearSVC(), SGDClassifier(random_state=0), RidgeClassifier()):
        name, declared, values = second_output(classifier, classes)
        proper = bool(np.all(values >= 0) and np.allclose(values.sum(axis=1), 1, atol=1e-5))
        kind = type(classifier).__name__
        seen[kind, classes] = (name, hasattr(classifier, "predict_proba"), proper, declared, values.shape[1])
        print(
            f"{kind}, {classes} classes: output {name!r}, declared {declared} and given {values.shape[1]} columns, "
            f"values {values.min():.2f} to {values.max():.2f}, rows sum to 1: {proper}"
        )
given = {"SVC": (2, 2), "LinearSVC": (1, 1), "SGDClassifier": (2, 2), "RidgeClassifier": (2, 1)}
assert seen == {
    **{("LogisticRegression", classes): ("probabilities", True, True, classes, classes) for classes in (2, 3)},
    **{(kind, 2): ("probabilities", False, False, *columns) for kind, columns in given.items()},
    **{(kind, 3): ("probabilities", False, False, 3, 3) for kind in given},
}, "this behaviour has changed"
PY
