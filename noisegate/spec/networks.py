"""Which network is trained, by its name, and what it allows."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator

from noisegate.documents import known_name
from noisegate.networks import NETWORKS
from noisegate.spec.recipes import PaperRecipe, TrainingSpec


def _known(name: str) -> str:
    return known_name(name, NETWORKS)


NetworkName = Annotated[str, AfterValidator(_known)]

_USUAL_STD = PaperRecipe().first_layer_std


def unfit(network: str, training: TrainingSpec, image_size: int) -> Iterator[tuple[str, str, str]]:
    """What a network, a recipe and images of a size do not allow of each other: path, message and remedy."""
    asked = NETWORKS[network]
    if image_size < asked.least_image_size:
        message = f"is {image_size}; the network {network} takes images from {asked.least_image_size} pixels a side"
        yield "image_size", message, "Use larger images, or the network paper."
    if training.batch_size < asked.least_batch_size:
        message = (
            f"is {training.batch_size}; the network {network} takes at least {asked.least_batch_size} images a step"
        )
        yield "training.batch_size", message, "Use larger batches, or the network paper."
    if asked.recipes is not None and training.recipe not in asked.recipes:
        message = f"is {training.recipe}, which cannot train the network {network}"
        yield "training.recipe", message, f"It takes: {', '.join(asked.recipes)}."
    if not asked.takes_first_layer_std and training.initial_std not in (None, _USUAL_STD):
        message = f"means nothing to the network {network}, which initialises itself"
        yield "training.first_layer_std", message, "Leave it out."
    yield from ((f"training.{field}", message, remedy) for field, message, remedy in training.unfit(image_size))
