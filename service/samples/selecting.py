"""Which training images a cell leaves out, by what it asks for and what is known of them when it is posted."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy.orm import Session

from noisegate.errors import FieldError, InvalidSpec, NotFound
from noisegate.seeds import derive_seed
from noisegate.selection import Selection, digest_of
from noisegate.spec import ClassifierExperiment, ExperimentSpec
from noisegate.spec.exclusion import Control, Exclusion, SampleSubgroup
from noisegate.store.artefacts import Artefacts
from noisegate.store.packed import open_packed
from noisegate.store.tables import Dataset
from service.samples.tables import SampleTable, find_table

Places = npt.NDArray[np.int64]

# The column that a subgroup is chosen by, and in which order.
_MEASURES = {
    "ambiguous": ("spread_epochs", "descending"),
    "easy": ("probability", "descending"),
    "hard": ("probability", "ascending"),
}


@dataclass(frozen=True)
class Selecting:
    """Chooses the images of cells that are being planned; raises what `find_table` raises, and InvalidSpec."""

    session: Session
    artefacts: Artefacts

    def __call__(self, spec: ExperimentSpec, dataset: Dataset, position: int) -> Selection:
        """The images that the cell at a position leaves out."""
        assert isinstance(spec, ClassifierExperiment)
        asked = spec.exclude or spec.subgroup
        assert isinstance(asked, Exclusion | SampleSubgroup), "asked of cells that choose by samples"
        packed = open_packed(self.artefacts, dataset)
        labels = np.asarray(packed.labels[: packed.train_count])
        table, seed = self._table(asked, dataset), derive_seed(spec.seed, "exclude", position)
        if isinstance(asked, SampleSubgroup):
            assert table is not None, "a subgroup names its experiment"
            places = _beside_subgroup(asked, labels, table, seed)
        else:
            places = _controlled(asked.control, _chosen(asked, labels, table), np.arange(len(labels)), labels, seed)
        if isinstance(asked, Exclusion):
            _check_left(labels, places, packed.classes, spec.holdout)
        counts = np.bincount(labels[places], minlength=len(packed.classes)).tolist()
        return Selection(
            experiment=asked.samples,
            table=table.digest if table else None,
            control=asked.control,
            holdout_stays=isinstance(asked, SampleSubgroup),
            count=len(places),
            classes=dict(zip(packed.classes, counts, strict=True)),
            digest=digest_of(places.tolist()),
            places=places.tolist(),
        )

    def places(self, exclude: Exclusion, dataset: Dataset) -> Places:
        """Rising places of the training images that are meant, whatever is left."""
        packed = open_packed(self.artefacts, dataset)
        return _chosen(exclude, np.asarray(packed.labels[: packed.train_count]), self._table(exclude, dataset))

    def _table(self, exclude: Exclusion | SampleSubgroup, dataset: Dataset) -> SampleTable | None:
        at = "subgroup" if isinstance(exclude, SampleSubgroup) else "exclude"
        if exclude.samples is None:
            if isinstance(exclude, Exclusion) and exclude.ids:
                return None
            remedy = 'Name an experiment on this dataset that was posted with "record": "samples".'
            raise _refused("exclude.samples", "is not given, and nothing else says which images are meant", remedy)
        try:
            table = find_table(self.session, self.artefacts, exclude.samples, exclude.cell)
        except NotFound as error:
            field = f"{at}.cell" if error.field == "cell" else f"{at}.samples"
            raise _refused(field, error.detail, error.remedy) from error
        if table.facts.content_hash != dataset.content_hash:
            message = f"experiment {exclude.samples} was trained on another dataset than {dataset.name!r}"
            raise _refused(f"{at}.samples", message, "Name an experiment on the same dataset, and its images.")
        return table


def _chosen(exclude: Exclusion, labels: Places, table: SampleTable | None) -> Places:
    """Rising places of the images that are meant."""
    if exclude.ids:
        return _by_id(exclude.ids, len(labels))
    assert table is not None, "what is not chosen by id is chosen by a table"
    if exclude.reasons:
        parts = [table.narrowed(reason, None)["image"].to_numpy() for reason in exclude.reasons]
        if not (found := np.unique(np.concatenate(parts)).astype(np.int64)).size:
            known = ", ".join(table.counts()) or "none"
            message = f"no image has {' or '.join(exclude.reasons)}"
            raise _refused("exclude.reasons", message, f"Reasons that images have: {known}.")
        return found
    assert exclude.by_value is not None
    count = round(exclude.by_value * len(labels))
    known_rows = table.rows.filter(table.rows["value"].is_valid())
    if not 0 < count <= len(known_rows):
        message = f"is {count} of {len(labels)} images, and a value is known of {len(known_rows)}"
        raise _refused("exclude.budget", message, "Give a share that is at least one image, and at most those.")
    return np.sort(known_rows["image"].to_numpy()[:count]).astype(np.int64)


def _by_id(ids: list[int], count: int) -> Places:
    places = np.unique(np.array(ids, np.int64))
    if len(places) < len(ids):
        raise _refused("exclude.ids", "names an image twice", "Name each once.")
    if places[-1] >= count:
        message = f"{places[-1]} is no training image of the dataset, which has {count}, counted from 0"
        raise _refused("exclude.ids", message, "Give ids as GET /experiments/{id}/samples has them: `image`.")
    return places


def _beside_subgroup(asked: SampleSubgroup, labels: Places, table: SampleTable, seed: int) -> Places:
    """All images but those of the subgroup, or but its control."""
    column, direction = _MEASURES[asked.keep]
    known = table.rows.filter(table.rows[column].is_valid()).sort_by([(column, direction), ("image", "ascending")])
    images = known["image"].to_numpy().astype(np.int64)
    chosen = np.sort(images[: round(asked.fraction * len(images))])
    kept = _controlled(asked.control, chosen, images, labels, seed)
    return np.setdiff1d(np.arange(len(labels)), kept)


def _controlled(control: Control | None, chosen: Places, among: Places, labels: Places, seed: int) -> Places:
    """The images themselves, or as many others at random `among` these."""
    if control is None:
        return chosen
    generator, pool = np.random.default_rng(seed), np.sort(among)
    if control == "random":
        return np.sort(generator.permutation(pool)[: len(chosen)])
    wanted = np.bincount(labels[chosen], minlength=int(labels.max()) + 1)
    parts = [generator.permutation(pool[labels[pool] == label])[:count] for label, count in enumerate(wanted)]
    return np.sort(np.concatenate(parts))


def _check_left(labels: Places, places: Places, classes: list[str], holdout: float) -> None:
    """Refuse what empties a class: of each the holdout takes its share, and one image at least is to be trained on."""
    before = np.bincount(labels, minlength=len(classes))
    left = before - np.bincount(labels[places], minlength=len(classes))
    least: Mapping[str, int] = {
        name: int(np.ceil(holdout * had)) + 1 for name, had in zip(classes, before, strict=True) if had
    }
    emptied = [name for name, has in zip(classes, left, strict=True) if name in least and has < least[name]]
    if emptied:
        name = emptied[0]
        beyond = f", and of {len(emptied) - 1} other classes too few" if len(emptied) > 1 else ""
        taken = "" if holdout == 0 else f", of which the holdout may take {least[name] - 1}"
        message = f"leaves {left[classes.index(name)]} images of class {name!r}{taken}{beyond}"
        raise _refused(
            "exclude", message, "Leave out fewer images, or look at that class first: its label may be in doubt."
        )


def _refused(field: str, message: str, remedy: str | None) -> InvalidSpec:
    return InvalidSpec([FieldError(field, message, remedy)])
