"""Which network is trained: one of ours by its name, or a backbone that somebody else has trained; and what each allows."""

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter
from pydantic_core import PydanticCustomError

from noisegate.documents import ParsedBy, Strict, known_name
from noisegate.networks import NETWORKS, linear, tail
from noisegate.networks.backbones import CUT_FAMILIES, Backbone, backbone_of, full_names
from noisegate.networks.network import Network
from noisegate.spec.derived import LayersField, PrecisionField
from noisegate.spec.recipe import TrainingSpec
from noisegate.spec.recipes import PaperRecipe


def _known_network(name: str) -> str:
    return known_name(name, NETWORKS)


def _known_backbone(name: str) -> str:
    return known_name(name, full_names())


NetworkName = Annotated[str, AfterValidator(_known_network)]


def _weights(name: str) -> str:
    if name == "default" or _WEIGHTS_FILE.fullmatch(name):
        return name
    remedy = 'Give "default", or the name of a .safetensors file in the folder NOISEGATE_WEIGHTS_DIR of the workers.'
    context = {"name": repr(name[:100]), "remedy": remedy}
    raise PydanticCustomError("unknown_name", "{name} names no weights", context)


_WEIGHTS_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,180}\.safetensors")


class BackboneNetwork(Strict):
    """A network that somebody else has trained, by timm's name, with a layer of our own on top."""

    backbone: Annotated[str, AfterValidator(_known_backbone)] = Field(
        description="timm's name, with the tag of its weights or without (then timm's default)."
    )
    weights: Annotated[str, AfterValidator(_weights)] = Field(
        "default",
        description="The published weights, or the name of a file in the folder NOISEGATE_WEIGHTS_DIR of the workers.",
    )
    precision: PrecisionField = "float32"
    layers: LayersField = "last"

    def named_members(self) -> Iterator[tuple[str, str]]:
        """What it has that is not the default, as pairs of a field and what it says."""
        if self.precision != "float32":
            yield "precision", self.precision
        if self.layers != "last":
            yield "layers", self.layers

    @property
    def facts(self) -> Backbone:
        """What is known of the backbone."""
        return backbone_of(self.backbone)

    @property
    def file(self) -> str | None:
        """The name of the file that holds the weights; None for the published ones."""
        return None if self.weights == "default" else self.weights


_NAME: TypeAdapter[str] = TypeAdapter(NetworkName)
_EITHER: TypeAdapter[str | BackboneNetwork] = TypeAdapter(NetworkName | BackboneNetwork)


def _name_or_backbone(value: Any) -> str | BackboneNetwork:
    if isinstance(value, BackboneNetwork):
        return value
    return BackboneNetwork.model_validate(value) if isinstance(value, dict) else _NAME.validate_python(value)


NetworkChoice = Annotated[str | BackboneNetwork, ParsedBy(_name_or_backbone, _EITHER)]

_USUAL_STD = PaperRecipe().first_layer_std
# Backbones halve the sides five times.
_LEAST_BACKBONE_SIZE = 32


def trained_network(network: str | BackboneNetwork, training: TrainingSpec) -> Network:
    """What is trained: the network; or of a backbone its later layers, or the layer on top of it."""
    if isinstance(network, str):
        return NETWORKS[network]
    return tail.network_on(network.facts.name) if training.tunes_backbone else linear.NETWORK


def named(network: str | BackboneNetwork) -> str:
    """As people are told."""
    return network if isinstance(network, str) else network.facts.name


def unfit(network: str | BackboneNetwork, training: TrainingSpec, image_size: int) -> Iterator[tuple[str, str, str]]:
    """What a network, a recipe and images of a size do not allow of each other: path, message and remedy."""
    asked = trained_network(network, training)
    if isinstance(network, BackboneNetwork):
        yield from _unfit_for_backbone(network.facts, image_size)
    elif image_size < asked.least_image_size:
        message = f"is {image_size}; the network {network} takes images from {asked.least_image_size} pixels a side"
        yield "image_size", message, "Use larger images, or the network paper."
    if training.batch_size < asked.least_batch_size:
        message = (
            f"is {training.batch_size}; the network {network} takes at least {asked.least_batch_size} images a step"
        )
        yield "training.batch_size", message, "Use larger batches, or the network paper."
    yield from _unfit_recipe(network, asked, training)
    yield from ((f"training.{field}", message, remedy) for field, message, remedy in training.unfit(image_size))


def _unfit_for_backbone(backbone: Backbone, image_size: int) -> Iterator[tuple[str, str, str]]:
    if backbone.fixed_size and image_size != backbone.image_size:
        message = (
            f"is {image_size}; the backbone {backbone.name} takes {backbone.image_size} pixels a side and no other"
        )
        yield "image_size", message, f"Leave it out, or give {backbone.image_size}."
    elif image_size < _LEAST_BACKBONE_SIZE:
        message = f"is {image_size}; a backbone sees little in images below {_LEAST_BACKBONE_SIZE} pixels a side"
        yield "image_size", message, f"Leave it out, which is {backbone.image_size}."


def _unfit_recipe(
    network: str | BackboneNetwork, asked: Network, training: TrainingSpec
) -> Iterator[tuple[str, str, str]]:
    if training.needs_backbone and isinstance(network, str):
        message = f"is {training.recipe}, which trains a layer on top of a backbone, and the network is {network}"
        yield "training.recipe", message, 'Give network: {"backbone": "tf_efficientnet_lite0"}, or another recipe.'
    elif asked.recipes is not None and training.recipe not in asked.recipes:
        message = f"is {training.recipe}, which cannot train {_subject(network)}"
        yield "training.recipe", message, f"It takes: {', '.join(asked.recipes)}."
    if isinstance(network, BackboneNetwork):
        yield from _unfit_parts(network, training)
    if not asked.takes_first_layer_std and training.initial_std not in (None, _USUAL_STD):
        message = f"means nothing to the network {named(network)}, which initialises itself"
        yield "training.first_layer_std", message, "Leave it out."


def _unfit_parts(network: BackboneNetwork, training: TrainingSpec) -> Iterator[tuple[str, str, str]]:
    """What needs to know the backbone's stages, or to leave them as they are."""
    of_families = f"a backbone of these families: {', '.join(CUT_FAMILIES)} (fine_tune in GET /backbones)."
    if network.facts.cut is None and training.tunes_backbone:
        message = f"is {training.recipe}, which trains later layers, and it is not known which those of {network.facts.name} are"
        yield "training.recipe", message, f"Use the recipe linear, or {of_families}"
    if network.facts.cut is None and network.layers == "several":
        message = f"is several, and it is not known which the stages of {network.facts.name} are"
        yield "network.layers", message, f"Leave it out, or use {of_families}"
    if training.tunes_backbone and network.precision == "int8":
        message = f"is int8, and the recipe {training.recipe} trains layers of the backbone in float32"
        yield "network.precision", message, "Leave it out, or use the recipe linear."
    if training.tunes_backbone and network.layers == "several":
        message = f"is several, and the recipe {training.recipe} trains the layers after the first of them"
        yield "network.layers", message, "Leave it out, or use the recipe linear."


def _subject(network: str | BackboneNetwork) -> str:
    return f"the network {network}" if isinstance(network, str) else f"the backbone {network.facts.name}"
