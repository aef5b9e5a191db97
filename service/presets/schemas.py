"""What /presets answers."""

from pydantic import BaseModel, Field

from noisegate.presets.catalogue import SCALES, Preset, Scale
from noisegate.presets.choices import Option
from noisegate.presets.published import PublishedRow
from noisegate.spec import ExperimentSpec


class ScaleRead(BaseModel):
    """What posting a preset at a scale comes to."""

    dataset: str | None = Field(
        description="Unless the request names another; null for kinds that make their own data."
    )
    cells: int
    executions: int = Field(description="Of each cell.")
    epochs: int | None = Field(description="Of each execution; null for kinds that have none.")

    @classmethod
    def of(cls, spec: ExperimentSpec) -> "ScaleRead":
        return cls(
            dataset=spec.named_dataset,
            cells=spec.count_cells(),
            executions=spec.executions,
            epochs=spec.epochs_per_execution,
        )


class PresetSummary(BaseModel):
    """A table or figure of the paper that can be posted."""

    name: str
    title: str
    source: str = Field(description="Where it stands in the paper.")
    description: str = Field(description="What is varied, what to look for, and what to beware of.")
    scales: dict[Scale, ScaleRead]

    @classmethod
    def of(cls, preset: Preset) -> "PresetSummary":
        return cls(
            name=preset.name,
            title=preset.title,
            source=preset.source,
            description=preset.description,
            scales={scale: ScaleRead.of(preset.spec_at(scale)) for scale in SCALES},
        )


class ChoiceRead(BaseModel):
    """One of the things that a preset may choose."""

    name: str
    title: str
    when: str = Field(description="Of which datasets; the first that fits is taken.")
    noise_images: int | None = Field(
        description="noise.quantity is lowered for datasets on which it would be more noise images than this."
    )
    specs: dict[Scale, ExperimentSpec] = Field(description="At the scales at which it chooses.")

    @classmethod
    def of(cls, preset: Preset, option: Option) -> "ChoiceRead":
        return cls(
            name=option.name,
            title=option.title,
            when=option.conditions,
            noise_images=option.noise_images,
            specs={scale: preset.spec_of(option, scale) for scale in SCALES if option in preset.options_at(scale)},
        )


class PresetWhole(PresetSummary):
    """A preset with its specs, as POST /experiments would take them, and the published values."""

    specs: dict[Scale, ExperimentSpec] = Field(
        description="Before anything is chosen: what all choices share, at least."
    )
    choices: list[ChoiceRead] = Field(
        description="What it chooses from by what the dataset is. Fields of the request win over the chosen spec's; a network "
        "or a recipe that it names leaves only the choices that agree with it."
    )
    published: list[PublishedRow]
    published_note: str = Field(description="What separates the published values from what is measured here.")

    @classmethod
    def of(cls, preset: Preset) -> "PresetWhole":
        return cls(
            **dict(PresetSummary.of(preset)),
            specs={scale: preset.spec_at(scale) for scale in SCALES},
            choices=[ChoiceRead.of(preset, option) for option in preset.choices],
            published=preset.published,
            published_note=preset.published_note,
        )


class PresetList(BaseModel):
    """All presets, in the paper's order."""

    items: list[PresetSummary]
