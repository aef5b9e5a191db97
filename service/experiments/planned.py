"""What a dry run says besides counting: what is likely to go wrong, and how long it will take."""

from collections.abc import Iterator

from pydantic import BaseModel, Field

from noisegate.judgement import BACKBONE_HINT, few_updates
from noisegate.spec.labels import label
from noisegate.store.estimates import Estimate
from noisegate.store.missing import DiskNeed
from noisegate.store.planning import Plan


class PlanWarning(BaseModel):
    """Something that would be done as asked, and probably is not what was meant."""

    field: str = Field(description="Of the spec, by its path; or the parameter `time_limit`.")
    detail: str
    remedy: str


class EstimateRead(BaseModel):
    """How long it will take once it is its turn, from what this installation has done before."""

    minutes: float | None = Field(description="Null if nothing like it has been done here.")
    detail: str = Field(description="In one sentence, with what it is learnt from.")

    @classmethod
    def of(cls, found: Estimate) -> "EstimateRead":
        if found.seconds is None:
            missing = " and ".join(found.unknown)
            return cls(
                minutes=None, detail=f"How long it takes cannot be said: of {missing} nothing was done here before."
            )
        minutes, preparing = _minutes(found.seconds), _minutes(found.preparing_seconds)
        first = f", of which {preparing:g} for what is made of the images first" if preparing else ""
        alike = f"{found.experiments} like experiment{'s' if found.experiments != 1 else ''}"
        return cls(minutes=minutes, detail=f"About {minutes:g} minutes{first}, as {alike} took here.")


class DiskRead(BaseModel):
    """The disk that is taken by what is made of the images first: views and features that are not there yet. About."""

    kept_bytes: int = Field(description="Of what stays as long as it is used.")
    most_bytes: int = Field(description="Taken on the way: what is made lies there twice for a moment.")
    detail: str = Field(description="In one sentence, with what is made.")

    @classmethod
    def of(cls, need: DiskNeed) -> "DiskRead | None":
        if not need.made:
            return None
        what = " and ".join(need.made)
        detail = f"To be made first: {what}. About {_size(need.kept_bytes)} of the disk, {_size(need.most_bytes)} on the way."
        return cls(kept_bytes=need.kept_bytes, most_bytes=need.most_bytes, detail=detail)


def warnings_of(plan: Plan, estimate: Estimate, time_limit: float | None) -> Iterator[PlanWarning]:
    """What to think over before posting it: weight updates that are probably too few to learn, a time limit that is short.

    Args:
        time_limit: seconds from the start of its first execution; None without one.
    """
    yield from _too_few_updates(plan)
    training = None if estimate.seconds is None else estimate.seconds - estimate.preparing_seconds
    if time_limit is not None and training is not None and training > time_limit:
        detail = f"It is cancelled after {time_limit:g} seconds, and training takes about {training:.0f}."
        yield PlanWarning(field="time_limit", detail=detail, remedy="Give it more time, or fewer executions or epochs.")


def _too_few_updates(plan: Plan) -> Iterator[PlanWarning]:
    few = []
    for point in plan.cells:
        recipe = point.spec.recipe
        if recipe is not None:
            images = plan.training_images(point.spec) // recipe.epochs
            made = recipe.epochs * recipe.updates_per_epoch(images)
            if made < few_updates(recipe):
                few.append((made, point, recipe))
    if not few:
        return
    made, point, recipe = min(few, key=lambda found: found[0])
    others = f", and {len(few) - 1} other cells make few" if len(few) > 1 else ""
    detail = (
        f"Cell {label(point.point)} makes {made:,} weight updates{others}: below some {few_updates(recipe):,} a network "
        "seldom learns."
    )
    instead = "" if recipe.needs_backbone else f" Or, {BACKBONE_HINT}."
    remedy = f"More training.epochs, or smaller batches (training.batch_size).{instead}"
    yield PlanWarning(field="training.epochs", detail=detail, remedy=remedy)


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _minutes(seconds: float) -> float:
    """To a tenth; never nothing for something."""
    return max(0.1, round(seconds / 60, 1)) if seconds else 0.0
