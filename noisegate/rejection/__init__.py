"""Telling known from unknown images: scores, their thresholds, the decision rule, and what a model stores for them.

A score is a module with a `Scorer` and an entry here. Models stored before it are served without it.
"""

from noisegate.rejection.energy import Energy
from noisegate.rejection.entropy import Entropy
from noisegate.rejection.knn import NearestNeighbour
from noisegate.rejection.mahalanobis import Mahalanobis
from noisegate.rejection.max_logit import MaximumLogit
from noisegate.rejection.msp import MaximumSoftmaxProbability
from noisegate.rejection.scores import Scorer
from noisegate.rejection.vim import VirtualLogit

# In the order of answers and cards.
SCORES: dict[str, Scorer] = {
    "msp": MaximumSoftmaxProbability(),
    "max_logit": MaximumLogit(),
    "energy": Energy(),
    "entropy": Entropy(),
    "knn": NearestNeighbour(),
    "mahalanobis": Mahalanobis(),
    "vim": VirtualLogit(),
}


def describe_scores() -> str:
    """Each score's name, description and direction, for the documents of the API."""
    return "; ".join(
        f"`{name}`: {score.description} (higher = more {score.higher_means})" for name, score in SCORES.items()
    )
