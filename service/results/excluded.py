"""What cells leave out of training, and whether that helps more than leaving out any images does."""

import json
from collections.abc import Iterator, Mapping, Sequence

from noisegate.selection import SelectionSummary
from noisegate.spec import ExperimentSpec
from service.results.schemas import AgainstControl, Excluded, Row
from service.results.statistics import compare


def excluded_of(
    selections: Mapping[int, SelectionSummary], specs: Mapping[int, ExperimentSpec], rows: Mapping[int, Row]
) -> dict[int, Excluded]:
    """By the cells' positions; each beside the cells that differ from it in the control alone."""
    alike: dict[str, list[int]] = {}
    of_cell = {position: _but_for_the_control(specs[position]) for position in selections}
    for position, spec in of_cell.items():
        alike.setdefault(spec, []).append(position)
    return {
        position: Excluded(
            **selection.model_dump(exclude={"places"}),
            against=[]
            if selection.control
            else list(_against(rows[position], alike[of_cell[position]], rows, selections)),
        )
        for position, selection in selections.items()
    }


def _against(
    own: Row, alike: Sequence[int], rows: Mapping[int, Row], selections: Mapping[int, SelectionSummary]
) -> Iterator[AgainstControl]:
    for other in alike:
        if (control := selections[other].control) is not None:
            difference = compare(own.accuracy, rows[other].accuracy, "the control")
            yield AgainstControl(control=control, cell=other, difference=difference)


def _but_for_the_control(spec: ExperimentSpec) -> str:
    document = spec.model_dump(mode="json")
    for field in ("exclude", "subgroup"):
        if document.get(field):
            document[field]["control"] = None
    return json.dumps(document, sort_keys=True)
