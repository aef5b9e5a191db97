"""What tables say of images, put together: every image has one label and one part, or the upload is refused."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from noisegate.data.layouts.contents import Assigned, Contents, Recognised
from noisegate.data.layouts.references import References, spelled
from noisegate.data.layouts.suffixes import without_suffix
from noisegate.data.layouts.words import count, listed, were
from noisegate.data.members import LeftOut, NamedSplit, refuse
from noisegate.errors import InvalidArchive


@dataclass(frozen=True, slots=True)
class Statement:
    """One row: `written` names images, those with the indices `meant`. `label` is None where the row has none."""

    at: str
    written: str
    meant: Sequence[int]
    label: str | None
    part: NamedSplit | None = None


@dataclass(frozen=True)
class Said:
    """What one file says; `notes` on how it was understood, `wanted` the classes that must not be without an image."""

    file: str
    statements: Sequence[Statement]
    notes: Sequence[str] = field(default_factory=list)
    wanted: Collection[str] = ()

    @property
    def labels(self) -> set[str]:
        return {statement.label for statement in self.statements if statement.label is not None}


@dataclass(frozen=True, slots=True)
class _Known:
    label: str
    part: NamedSplit | None
    at: str


def recognise(contents: Contents, references: References, said: Sequence[Said], layout: str) -> Recognised:
    """All images that have a label; those without one are left out.

    Raises:
        InvalidArchive: a row may mean several images; an image has two labels, or two parts; a class of which all files were
            left out; no image has a label.
    """
    known: dict[int, _Known] = {}
    for each in said:
        for statement in each.statements:
            _take(known, statement, f"{statement.at} of {each.file!r}", references)
    files = [each.file for each in said]
    if not known:
        raise _nothing_named(said, references)
    _check_lost_classes(contents, said, {each.label for each in known.values()})
    images = [
        Assigned(index, known[index].label, _part(known[index], references, index), references.own_path(index))
        for index in sorted(known)
    ]
    without = [path for index, path in enumerate(contents.images) if index not in known]
    left_out = [LeftOut(path, f"has no label in {listed(files, 'or')}") for path in without]
    notes = [note for each in said for note in each.notes] + _notes_on_rows(said, references)
    _check_wanted_classes(said, {each.label for each in known.values()})
    lacking = {label for each in said for label in each.labels} - {each.label for each in known.values()}
    if lacking:
        notes.append(f"no image is here of {listed(lacking)}, of which {listed(files, 'or')} has rows")
    if without:
        number = count(len(without), "image")
        notes.append(f"{number} had no label in {listed(files, 'or')} and {were(len(without))} left out")
    rename = f"Write another name for it in {listed([each.file for each in said if each.labels], 'or')}."
    return Recognised(layout, images, left_out, notes, files, rename)


def several_meant(statement: Statement, at: str, references: References) -> InvalidArchive:
    """The error for a row that may mean several images."""
    one, other = (references.paths[index] for index in statement.meant[:2])
    what = f"in {at} may be {one!r} or {other!r}"
    return refuse(statement.written, what, "Write the paths of the images, as they are in the archive.")


def but_here(written: str, references: References) -> str:
    """What follows on a name that no image has, if one is called nearly so."""
    nearly = references.nearly(written)
    return f", where {nearly!r} is here: names count to the letter" if nearly else ""


def _take(known: dict[int, _Known], statement: Statement, at: str, references: References) -> None:
    if len(statement.meant) > 1:
        raise several_meant(statement, at, references)
    if not statement.meant or statement.label is None:
        return
    (index,) = statement.meant
    before = known.get(index)
    if before and before.label != statement.label:
        what = f"has two labels: {before.label!r} in {before.at}, and {statement.label!r} in {at}"
        raise refuse(references.paths[index], what, "Keep one of the two; a classifier here has one class an image.")
    if before and before.part != statement.part:
        what = f"is in two parts: {before.part or 'none'} by {before.at}, and {statement.part or 'none'} by {at}"
        raise refuse(references.paths[index], what, "Keep one of the two rows.")
    known[index] = before or _Known(statement.label, statement.part, at)


def _part(known: _Known, references: References, index: int) -> NamedSplit | None:
    by_folder = references.part(index)
    if known.part and by_folder and known.part != by_folder:
        what = f"is a {known.part} image by {known.at}, and lies in a folder of the {by_folder} part"
        raise refuse(references.paths[index], what, "Make the two agree.")
    return known.part or by_folder


def _check_lost_classes(contents: Contents, said: Sequence[Said], with_images: set[str]) -> None:
    """A class whose files are there, but were all left out, must not be lost in silence."""
    left_out = {PurePosixPath(file.name).name: file for file in contents.left_out}
    stems = {without_suffix(name): file for name, file in left_out.items()}
    for each in said:
        for statement in each.statements:
            if statement.meant or statement.label is None or statement.label in with_images:
                continue
            file = PurePosixPath(spelled(statement.written)).name
            lost = left_out.get(file) or stems.get(file)
            if lost:
                what = f"is a class of {each.file!r} of which no image can be read: {lost.name!r} {lost.why}"
                raise refuse(statement.label, what, "Convert its files, or take the class out of the table.")


def _check_wanted_classes(said: Sequence[Said], with_images: set[str]) -> None:
    for each in said:
        lost = sorted(set(each.wanted) - with_images)
        if lost:
            what = "is a class of" if len(lost) == 1 else f"and {count(len(lost) - 1, 'other')} are classes of"
            why = "of which no image is here whose annotation counts: their files are missing, or they were skipped"
            raise refuse(
                lost[0],
                f"{what} {each.file!r} {why}",
                "Add their images, annotate them, or leave their tasks out of the export.",
            )


def _notes_on_rows(said: Iterable[Said], references: References) -> list[str]:
    notes = []
    for each in said:
        missing = [statement for statement in each.statements if not statement.meant]
        if missing:
            of = f"{len(missing):,} of {count(len(each.statements), 'row')} of {each.file!r}"
            names = "names" if len(missing) == 1 else "name"
            one = next((one for one in missing if references.nearly(one.written)), missing[0])
            example = f"{one.written!r} in {one.at}, for one{but_here(one.written, references)}"
            notes.append(f"{of} {names} no image that is here: {example}")
        unlabelled = sum(statement.label is None for statement in each.statements)
        if unlabelled:
            notes.append(f"{count(unlabelled, 'row')} of {each.file!r} {'has' if unlabelled == 1 else 'have'} no label")
        times = Counter(index for statement in each.statements for index in statement.meant)
        repeated = sum(number > 1 for number in times.values())
        if repeated:
            notes.append(
                f"{count(repeated, 'image')} {were(repeated)} named by several rows of {each.file!r} that agree"
            )
    return notes


def _nothing_named(said: Sequence[Said], references: References) -> InvalidArchive:
    each = said[0]
    first = next((statement for statement in each.statements if not statement.meant), None)
    if first is None:
        detail = f"no row of {each.file!r} has a label"
        return InvalidArchive(detail, field="archive", remedy="Label the images, or leave the table out.")
    rows = count(len(each.statements), "row")
    detail = f"none of {rows} of {each.file!r} names an image of the archive: {first.written!r}, for one"
    detail += but_here(first.written, references)
    return InvalidArchive(
        detail, field="archive", remedy="Put the image files beside the table, under the names that it writes."
    )
