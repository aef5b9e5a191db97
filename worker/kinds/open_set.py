"""Executions of kind `open_set`: classifiers are trained on some classes, then asked about all of them and about other datasets."""

from collections.abc import Iterator

import numpy as np

from noisegate.evaluation.analysis import Analysis
from noisegate.evaluation.open_set import UnknownImages, measure_open_set
from noisegate.learning.cells import CellData
from noisegate.spec import OpenSetExperiment, UnknownSet
from noisegate.spec.open_set import HELD_OUT
from worker.kinds.classifiers import classifier_runner
from worker.kinds.finished import Context, Finished


def _known(spec: OpenSetExperiment, data: CellData) -> CellData:
    return data.only(spec.known_in(data.classes))


def _measure(spec: OpenSetExperiment, finished: Finished) -> Analysis:
    context = finished.context
    whole, known = context.whole, set(context.data.classes)
    held_out = [name for name in whole.classes if name not in known]
    is_known = np.isin(whole.test_labels, [whole.classes.index(name) for name in context.data.classes])
    return measure_open_set(
        context.cell,
        finished.outcome,
        list(_unknown(spec, context, held_out)),
        held_out,
        len(whole.train_labels) + np.flatnonzero(is_known),
        finished.reference,
        finished.rule,
        context.device,
        context.check,
    )


def _unknown(spec: OpenSetExperiment, context: Context, held_out: list[str]) -> Iterator[UnknownImages]:
    if held_out:
        left_out = UnknownSet(dataset=HELD_OUT, distance="near", exclude=list(context.data.classes))
        yield from _images(left_out, context.whole)
    for number, one in enumerate(spec.unknown):
        yield from _images(one, context.others[f"unknown.{number}.dataset"])


def _images(asked: UnknownSet, data: CellData) -> Iterator[UnknownImages]:
    """Those of one set; none if there are none, as of held-out classes without test images."""
    taken = set(asked.taken_of(data.classes))
    wanted = np.array([name in taken for name in data.classes])
    test = np.flatnonzero(wanted[data.test_labels])
    inputs, labels, places = data.test_inputs[test], data.test_labels[test], len(data.train_labels) + test
    if asked.part == "all":
        train = np.flatnonzero(wanted[data.train_labels])
        inputs = np.concatenate([data.train_inputs[train], inputs])
        labels, places = np.concatenate([data.train_labels[train], labels]), np.concatenate([train, places])
    if len(labels):
        names = [data.classes[label] for label in labels]
        yield UnknownImages(asked.dataset, asked.distance, inputs, places, names)


RUNNER = classifier_runner(_measure, _known)
