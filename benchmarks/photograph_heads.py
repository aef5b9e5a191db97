"""What is shared by benchmarks that compare features of photographs: files, features, and a layer on top, split by split."""

import statistics
import tarfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime
from sklearn.linear_model import LogisticRegression

_BATCH = 8
# On scaled features; of six values the best on flowers (benchmarks/linear_heads.py).
_C = 0.003
_LEAST_STD = 0.1

Floats = npt.NDArray[np.floating]
Places = npt.NDArray[np.int64]


class Files(NamedTuple):
    """Encoded photographs, and the class of each, 0 … classes − 1."""

    content: list[bytes]
    labels: Places


def first_files(archive: Path, a_class: int) -> Files:
    """The first files of each class of a tar of <class>/<file>."""
    content, names = [], []
    seen = Counter[str]()
    with tarfile.open(archive) as opened:
        for member in opened:
            name = PurePosixPath(member.name).parts[0]
            if member.isfile() and seen[name] < a_class and (file := opened.extractfile(member)):
                seen[name] += 1
                names.append(name)
                content.append(file.read())
    return Files(content, np.unique(names, return_inverse=True)[1].astype(np.int64))


def session_of(graph: bytes) -> onnxruntime.InferenceSession:
    """A graph ready to run, with one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def features_by(session: onnxruntime.InferenceSession, pixels: Sequence[npt.NDArray[np.uint8]]) -> Floats:
    """[n, width]."""
    starts = range(0, len(pixels), _BATCH)
    return np.concatenate([session.run(None, {"images": np.stack(pixels[at : at + _BATCH])})[0] for at in starts])


def split(labels: Places, classes: Sequence[int], a_class: int, seed: int) -> tuple[Places, Places]:
    """Where the images to train on lie, `a_class` of each of these classes, and all others of them, to test on."""
    generator = np.random.default_rng(seed)
    drawn = [generator.permutation(np.flatnonzero(labels == one)) for one in classes]
    return np.concatenate([one[:a_class] for one in drawn]), np.concatenate([one[a_class:] for one in drawn])


class Layer:
    """A linear layer on features scaled to mean 0 and deviation 1, as the recipe `linear` scales them."""

    def __init__(self, features: Floats, labels: Places) -> None:
        self._mean, std = features.mean(axis=0), features.std(axis=0)
        self._std = np.maximum(std, _LEAST_STD * std.mean())
        self._layer = LogisticRegression(C=_C, max_iter=300).fit(self._scaled(features), labels)

    def accuracy(self, features: Floats, labels: Places) -> float:
        """In percent."""
        return 100 * float(self._layer.score(self._scaled(features), labels))

    def reject_scores(self, features: Floats) -> Floats:
        """1 − the largest probability."""
        scores: Floats = 1 - self._layer.predict_proba(self._scaled(features)).max(axis=1)
        return scores

    def _scaled(self, features: Floats) -> Floats:
        scaled: Floats = (features - self._mean) / self._std
        return scaled


def summary(found: Mapping[str, Sequence[float]], base: str) -> dict[str, Any]:
    """Of each arm: mean and deviation over splits, and the mean difference from `base`, split by split, and its standard error."""
    rows = {}
    for arm, values in found.items():
        gained = [value - other for value, other in zip(values, found[base], strict=True)]
        rows[arm] = {
            "mean": round(statistics.fmean(values), 2),
            "deviation": round(statistics.stdev(values), 2),
            "gained": round(statistics.fmean(gained), 2),
            "gained_error": round(statistics.stdev(gained) / len(gained) ** 0.5, 2),
        }
    return rows
