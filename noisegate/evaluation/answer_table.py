"""What an execution says of each test image, small enough to be kept with its model."""

import numpy as np
from jaxtyping import Bool, Int64

from noisegate.decision_rule import REJECT_SCORE
from noisegate.evaluation.open_set import KNOWN, judged
from noisegate.evaluation.samples import SampleTable
from noisegate.learning.cells import PreparedCell
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.rejection.rule import reject_scores
from noisegate.rejection.scores import softmax


def answer_table(
    cell: PreparedCell,
    outcome: ExecutionOutcome,
    rejected: Bool[np.ndarray, " test"],
    places: Int64[np.ndarray, " test"],
) -> bytes:
    """The table (`SampleTable`) of the test set, with the reject score alone: some twenty bytes an image.

    Args:
        rejected: what the rule that decides rejects.
        places: where the test images lie in their dataset.
    """
    answers, known = outcome.test_answers, len(cell.classes)
    unknownness = {REJECT_SCORE: reject_scores(softmax(answers.logits), known)}
    table = SampleTable(cell.classes)
    labels = [cell.classes[label] for label in cell.test_labels]
    table.add(KNOWN, places, labels, judged(answers, known, unknownness, {}, rejected))
    return table.to_parquet()
