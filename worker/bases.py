"""The scored training set of a base execution: made when the base ends, or from its kept model when first asked for."""

from noisegate.details import Details, ScoredCounts
from noisegate.evaluation.scored_images import score_with_weights, scores_from_bytes, scores_to_bytes
from noisegate.learning.cells import CellData
from noisegate.learning.subgroups import ScoredImages
from noisegate.store import executions, files, models
from noisegate.store.tables import Execution
from worker.resources import Resources


def counts_of(scored: ScoredImages) -> ScoredCounts:
    """How many of the training images the base classifies correctly, and how many not."""
    correct = int(scored.correct.sum())
    return ScoredCounts(correct=correct, wrong=len(scored.labels) - correct)


def scores_of_base(resources: Resources, base_id: str, data: CellData) -> ScoredImages:
    """The scores of the execution that others depend on.

    Raises:
        FileNotFoundError: its files are gone.
    """
    with resources.sessions.reading() as session:
        base = session.get_one(Execution, base_id)
        model = models.of_execution(session, base_id)
    if base.scores_digest is not None:
        return scores_from_bytes(resources.artefacts.read(base.scores_digest))
    if model is None:
        raise FileNotFoundError("the base execution has left neither its scores nor its model")
    weights = resources.artefacts.read(model.weights_digest)
    scored = score_with_weights(weights, model.manifest, data.train_inputs, data.train_labels)
    _keep(resources, base, scored)
    return scored


def _keep(resources: Resources, base: Execution, scored: ScoredImages) -> None:
    """Have the next one who asks find them. The bytes follow from the model, so it does not matter who comes first."""
    details = (base.details or Details()).model_copy(update={"scored": counts_of(scored)})
    digest = None
    try:
        with resources.sessions.begin() as session:
            files.lock(session)
            digest = resources.artefacts.put_bytes(scores_to_bytes(scored))
            executions.note_scores(session, base.id, digest, details)
    finally:
        files.discard(resources.sessions, resources.artefacts, [digest] if digest else [])
