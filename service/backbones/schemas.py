"""What /backbones answers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from noisegate.networks.backbones import EMBEDDED, Backbone
from noisegate.networks.backbones.files import SUFFIX, embedded_file
from service.backbones.licences import note_on


class BackboneRead(BaseModel):
    """A network that somebody else has trained, for `network: {"backbone": name}`."""

    name: str = Field(description="timm's, with the tag of its weights.")
    source: Literal["embedded", "folder", "hub"] = Field(
        description="Where its published weights come from: from a package that workers have, from the folder "
        "NOISEGATE_WEIGHTS_DIR as this service sees it, or from timm's hub, which workers must reach once."
    )
    size_bytes: int | None = Field(
        description="Of the file with its weights; null where this service has no such file."
    )
    image_size: int = Field(
        description="Pixels a side of what it was trained on; what a spec without image_size means."
    )
    macs: int | None = Field(
        description="Multiplications, each with an addition, that an image of `image_size` takes; they grow with its area. Null "
        "where they were not counted."
    )
    parameters: int | None = Field(description="Weights of the network; null where they were not counted.")
    fixed_size: bool = Field(description="Whether it takes no other size.")
    fine_tune: bool = Field(description="Whether the recipe fine_tune can train its later layers.")
    licence: str = Field(description="Of the weights, as their publishers name it; empty where they name none.")
    note: str | None = Field(description="What to beware of in the licence; null of a free one.")

    @classmethod
    def of(cls, backbone: Backbone, files: Mapping[str, Path]) -> "BackboneRead":
        """With where its weights are: `files` are those of the folder, by their names."""
        file = files.get(backbone.name + SUFFIX)
        source: Literal["embedded", "folder", "hub"] = "hub" if file is None else "folder"
        if backbone.name == EMBEDDED:
            source, file = "embedded", embedded_file()
        return cls(
            name=backbone.name,
            source=source,
            size_bytes=None if file is None else file.stat().st_size,
            image_size=backbone.image_size,
            macs=backbone.macs,
            parameters=backbone.parameters,
            fixed_size=backbone.fixed_size,
            fine_tune=backbone.cut is not None,
            licence=backbone.licence,
            note=note_on(backbone.licence),
        )


class BackboneList(BaseModel):
    """Backbones: what is at hand first, then by name."""

    items: list[BackboneRead]
    total: int = Field(description="On all pages.")
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last.")
