"""One cell and what its executions came to, as a row of the table: all that does not depend on other cells."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from noisegate.details import Details
from noisegate.judgement import findings_in_cell
from noisegate.presets import catalogue
from noisegate.spec.labels import label
from noisegate.store.states import State
from service.results.schemas import ConcernedExecution, PresetRead, Provenance, Row
from service.results.statistics import Summary, summarise


def cell_row(
    cell: sa.Row[Any], counts: Mapping[State, int], found: Sequence[sa.Row[Any]], preset: PresetRead | None
) -> Row:
    """The row of a cell, without what it is beside others, and without its model.

    Args:
        cell: its position, point and spec.
        counts: its executions by state.
        found: those that have succeeded, as `store.executions.outcomes` reads them.
    """
    metrics = [one.metrics for one in found if one.metrics]
    details = [one.details for one in found if one.details]
    judgements = [one.details.judgement if one.details else None for one in found]
    return Row(
        cell=cell.position,
        point=cell.point,
        label=label(cell.point),
        seeds=[one.seed for one in found],
        has_noise_class=cell.spec.has_noise_class,
        executions=sum(counts.values()),
        n=len(found),
        failed=counts.get(State.FAILED, 0),
        judged=sum(judgement is not None for judgement in judgements),
        not_learnt=[
            ConcernedExecution(execution=one.position, findings=findings)
            for one, findings in zip(found, findings_in_cell(judgements), strict=True)
            if findings
        ],
        accuracy=summarise([m.accuracy for m in metrics]),
        confidence=_summarise_known([m.confidence for m in metrics]),
        spuriousness=_summarise_known([m.spuriousness for m in metrics]),
        true_class_probability=_summarise_known([m.true_class_probability for m in metrics]),
        noise_per_10000=summarise([m.noise_per_10000 for m in metrics]),
        holdout_accuracy=_summarise_known([one.holdout_accuracy for one in found]),
        false_reject=_summarise_known([m.false_reject for m in metrics]),
        train_seconds=_summarise_known([one.train_seconds for one in found]),
        difference=None,
        best_model=None,
        excluded=None,
        measures=_measures(details),
        subgroup=next((one.subgroup for one in details), None),
        regularisation=next((one.regularisation for one in details if one.regularisation), None),
        published=catalogue.published_for(preset.name, cell.spec) if preset else None,
        provenance=_provenance(found),
    )


def _measures(details: Sequence[Details]) -> dict[str, Summary]:
    names = dict.fromkeys(name for found in details for name in found.measures)
    summaries = {name: _summarise_known([found.measures.get(name) for found in details]) for name in names}
    return {name: summary for name, summary in summaries.items() if summary is not None}


def _provenance(executions: Sequence[sa.Row[Any]]) -> Provenance:
    written = dict.fromkeys(found.versions for found in executions if found.versions)
    versions = [document for document in map(json.loads, written) if document]
    return Provenance(
        precisions=sorted({found.precision for found in executions if found.precision}),
        devices=sorted({found.device for found in executions if found.device}),
        versions=[one for place, one in enumerate(versions) if one not in versions[:place]],
        images_per_second=_summarise_known([found.images_per_second for found in executions]),
    )


def _summarise_known(values: Sequence[float | None]) -> Summary | None:
    return summarise([value for value in values if value is not None])
