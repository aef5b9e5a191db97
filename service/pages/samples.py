"""Sample value: the training images that an experiment has recorded, the most doubtful first, and the way to train without some."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from noisegate.spec.reasons import MEANINGS, REASONS, Reason
from noisegate.store import experiments
from noisegate.store.tables import Experiment
from service.deps import PagingDep
from service.pages.frame import FrameDep
from service.samples.routes import check_label, open_table, page_of

_IN_GALLERY = 48

router = APIRouter(prefix="/ui/experiments", include_in_schema=False)

ReasonFilter = Annotated[Reason | None, Query()]
LabelFilter = Annotated[str | None, Query(max_length=1000)]


@router.get("/{experiment_id}/samples")
def samples_page(
    experiment_id: str, frame: FrameDep, paging: PagingDep, reason: ReasonFilter = None, label: LabelFilter = None
) -> Response:
    """The page; of an experiment that recorded nothing it says how to record."""
    with frame.sessions.reading() as session:
        experiment = experiments.get(session, experiment_id)
    if not records_samples(experiment):
        return frame.page("samples.html", experiment=experiment, page=None)
    table = open_table(frame.resources, experiment_id, None)
    check_label(table, label)
    filters = {"reason": reason, "label": label, "table": table.digest}
    page = page_of(table, table.narrowed(reason, label), paging.cursor, _IN_GALLERY, filters)
    return frame.page(
        "samples.html",
        experiment=experiment,
        page=page,
        reasons=[(name, MEANINGS[name], page.reasons.get(name, 0)) for name in REASONS],
        reason=reason,
        label=label,
    )


def records_samples(experiment: Experiment) -> bool:
    """Whether its executions keep what they say of each training image."""
    return getattr(experiment.spec, "record", "none") == "samples"
