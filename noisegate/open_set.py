"""What an execution of kind `open_set` finds, as JSON: written by workers, read by results."""

from pydantic import Field

from noisegate.documents import Document


class ScoreFound(Document):
    """What one score makes of the known test images and of one set of unknown ones; shares and areas, 0 … 1."""

    auroc: float = Field(
        ge=0, le=1, description="Area under the ROC curve: the chance that an unknown image scores above."
    )
    aupr_unknown: float = Field(ge=0, le=1, description="Average precision, unknown images being the positive class.")
    aupr_known: float = Field(ge=0, le=1, description="Average precision, known images being the positive class.")
    known_rejected_at_95_unknown_rejected: float = Field(
        ge=0, le=1, description="Known images rejected where 95 % of the unknown ones are (FPR95 in OpenOOD)."
    )
    unknown_accepted_at_95_known_accepted: float = Field(
        ge=0, le=1, description="Unknown images accepted where 95 % of the known ones are (FPR95 in ODIN and ARPL)."
    )
    detection_error: float = Field(
        ge=0, le=1, description="The least mean of the two shares of errors, over thresholds."
    )
    oscr: float = Field(
        ge=0, le=1, description="Area under correct classification rate over false positive rate (Dhamija et al. 2018)."
    )
    rejected: float | None = Field(
        description="Unknown images that the score rejects at the default budget; null without a holdout."
    )


class SelectionFound(Document):
    """What one score is worth on the known test images alone: which of them are answered wrong."""

    aurc: float = Field(ge=0, le=1, description="Area under risk over coverage.")
    augrc: float = Field(ge=0, le=1, description="Area under generalised risk over coverage (Traub et al. 2024).")
    excess_aurc: float = Field(description="AURC above what the best order of the same answers has.")
    false_reject: float | None = Field(
        description="Known images that the score rejects at the default budget; null without a holdout."
    )
    risk: float | None = Field(
        description="Share of wrong answers among the known images that it accepts there; null without a holdout, or if none is."
    )


class UnknownFound(Document):
    """One set of unknown images, and what each score makes of it."""

    name: str = Field(description='The name of the dataset as the spec gives it; "held_out" for the classes left out.')
    distance: str = Field(description='"near" or "far", as the spec says; held-out classes are near.')
    images: int = Field(ge=1, description="Unknown images.")
    scores: dict[str, ScoreFound]


class OpenSetFound(Document):
    """What one execution was measured on, and how well each score tells known from unknown."""

    known: list[str] = Field(description="Classes that were trained on.")
    held_out: list[str] = Field(description="Classes of the dataset that were not.")
    known_images: int = Field(ge=1, description="Test images of the known classes.")
    selection: dict[str, SelectionFound]
    unknown: list[UnknownFound]
