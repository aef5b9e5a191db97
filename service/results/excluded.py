"""What cells leave out of training, and whether that helps more than leaving out any images does."""

import json
from collections.abc import Iterator, Mapping, Sequence

from noisegate.selection import SelectionSummary
from noisegate.store.states import State
from noisegate.store.tables import Cell, Execution
from service.results.schemas import AgainstControl, Excluded
from service.results.statistics import compare

Cells = Mapping[int, tuple[Cell, Sequence[Execution]]]


def excluded_of(cells: Cells, selections: Mapping[int, SelectionSummary]) -> dict[int, Excluded]:
    """By the cells' positions; each beside the cells that differ from it in the control alone."""
    alike: dict[str, list[int]] = {}
    for position in selections:
        alike.setdefault(_but_for_the_control(cells[position][0]), []).append(position)
    return {
        position: Excluded(
            **selection.model_dump(exclude={"places"}),
            against=[]
            if selection.control
            else list(_against(position, alike[_but_for_the_control(cells[position][0])], cells, selections)),
        )
        for position, selection in selections.items()
    }


def _against(
    position: int, alike: Sequence[int], cells: Cells, selections: Mapping[int, SelectionSummary]
) -> Iterator[AgainstControl]:
    own = _accuracies(cells[position][1])
    for other in alike:
        if (control := selections[other].control) is not None:
            yield AgainstControl(
                control=control, cell=other, difference=compare(own, _accuracies(cells[other][1]), "the control")
            )


def _accuracies(executions: Sequence[Execution]) -> list[float]:
    done = (one for one in executions if one.state is State.SUCCEEDED)
    return [one.metrics.accuracy for one in done if one.metrics]


def _but_for_the_control(cell: Cell) -> str:
    document = cell.spec.model_dump(mode="json")
    for field in ("exclude", "subgroup"):
        if document.get(field):
            document[field]["control"] = None
    return json.dumps(document, sort_keys=True)
