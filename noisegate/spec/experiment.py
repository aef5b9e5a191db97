"""What every kind of experiment has, and what it is asked while it is planned."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, JsonValue

from noisegate.decision_rule import DecisionRule
from noisegate.documents import MOST, Strict
from noisegate.spec.caps import Caps, Requested
from noisegate.spec.derived import Needed
from noisegate.spec.facts import BaseFacts, DatasetFacts
from noisegate.spec.formats import format_of
from noisegate.spec.recipe import TrainingSpec

# PostgreSQL stores no NUL character.
Line = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class BaseReference(Strict):
    """An execution of an earlier experiment on the same dataset."""

    experiment: Line = Field(min_length=1)
    cell: int = Field(0, ge=0, le=MOST)
    execution: int = Field(0, ge=0, le=MOST)


class ExperimentBase(Strict):
    """One kind of experiment; `kind`, a literal in each, says which.

    The defaults here are those of a kind that makes its own data and trains nothing.
    """

    if TYPE_CHECKING:
        # Each kind declares it itself: a field declared here would come first in every spec that is written.
        kind: str

    # The experiment's identity, and what must be alike in all of its cells for them to be compared.
    not_swept: ClassVar[frozenset[str]] = frozenset({"kind", "name", "executions", "seed", "sweep"})

    name: Line = ""
    executions: int = Field(3, ge=1, le=MOST, description="Independent runs of each cell.")
    seed: int = Field(0, ge=0, lt=2**63)
    sweep: dict[str, list[JsonValue]] = Field(
        default_factory=dict,
        max_length=8,
        description="Any scalar or sub-object of the spec by its path, with the values it takes; cells are the product.",
    )

    @property
    def seeds(self) -> Mapping[str, int]:
        """The seeds that are asked for, by their fields."""
        return {"seed": self.seed}

    @property
    def epochs_per_execution(self) -> int | None:
        """None for kinds that have no epochs."""
        return None

    @property
    def recipe(self) -> TrainingSpec | None:
        """How its classifiers are trained; None for kinds that train none."""
        return None

    @property
    def asked_rule(self) -> DecisionRule | None:
        """Which scores are to decide; None where nothing is asked for, and for kinds whose models do not decide by one."""
        return None

    @property
    def pace(self) -> tuple[str, ...]:
        """What two experiments have in common that take alike long for each training image; the first is the kind."""
        return (self.kind,)

    @property
    def trained_network(self) -> str | None:
        """The name of the network that is trained; None for kinds that train none that could be served."""
        return None

    @property
    def named_dataset(self) -> str | None:
        """Id or name of the dataset; None for kinds that make their own data."""
        return None

    @property
    def named_base(self) -> BaseReference | None:
        """The base execution that the spec names; None if it names none."""
        return None

    @property
    def needs_base(self) -> bool:
        """Whether the scores of a base execution decide which images are trained on."""
        return False

    @property
    def selects_images(self) -> bool:
        """Whether what an earlier experiment has recorded decides which training images are left out."""
        return False

    @property
    def sees_all_classes(self) -> bool:
        """Whether its classifiers are trained on all classes of the dataset."""
        return True

    @property
    def has_noise_class(self) -> bool:
        """Whether its classifiers know a noise class."""
        return False

    @property
    def format(self) -> int:
        """The format of the spec: workers that understand it have a FORMAT of at least this (noisegate.spec.formats)."""
        return format_of(self.named_members())

    def named_members(self) -> Iterator[tuple[str, str]]:
        """The members of open unions that the spec names, each as (union, member)."""
        yield "kind", self.kind

    @property
    def implied_sweep(self) -> dict[str, list[JsonValue]]:
        """What becomes several cells without being swept, as paths and values; varies faster than the sweep."""
        return {}

    @property
    def other_datasets(self) -> dict[str, str]:
        """Datasets that it reads besides the one it is trained on: id or name, by the path of the field that names it."""
        return {}

    def count_cells(self) -> int:
        """The number of cells, without building them: a sweep can name astronomically many."""
        return math.prod(len(values) for values in (self.sweep | self.implied_sweep).values())

    def requested(self, caps: Caps) -> Iterator[Requested]:
        """What it asks for of all that a server limits. `sweep` is counted apart."""
        yield Requested("executions", self.executions, caps.executions)

    def check(self, dataset: DatasetFacts | None, caps: Caps, base: BaseFacts | None) -> None:
        """Refuse a cell that its dataset or its base cannot give.

        Args:
            dataset: the one that `named_dataset` names; None for kinds without.
            base: None if it is not known yet what the base says of the training images.

        Raises:
            InvalidSpec: naming the field.
        """

    def check_others(self, dataset: DatasetFacts, others: Mapping[str, DatasetFacts]) -> None:
        """Refuse a cell that the other datasets which it names cannot give. Asked after `check`.

        Args:
            dataset: the one that `named_dataset` names.
            others: those of `other_datasets`, by the same paths.

        Raises:
            InvalidSpec: naming the field.
        """

    def needed(self, dataset: DatasetFacts | None) -> Needed | None:  # noqa: ARG002
        """The derived artefact that its executions read instead of the dataset as it was packed; None if they need none.

        Asked after `check`, of a cell; of the dataset that it is trained on and of each other that it reads.
        """
        return None

    def training_images(self, dataset: DatasetFacts | None) -> int:  # noqa: ARG002
        """Training images, or points, that one execution processes, noise included, over all its epochs; rounded."""
        return 0

    def noise_images(self, dataset: DatasetFacts | None) -> int:  # noqa: ARG002
        """Noise images of one cell in each epoch."""
        return 0

    def base_spec(self) -> "ExperimentBase | None":
        """What a base execution of this experiment trains; None for kinds that never need one."""
        return None
