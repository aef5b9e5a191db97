"""Tables beside the images that name each one's class: Kaggle's `train.csv`, Hugging Face's `metadata.csv`, anyone's `labels.csv`.

Which column is which is told by `noisegate.data.layouts.columns`. What a table says and what class folders say must be the same.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from noisegate.data.layouts.agreement import Labelled, check_agreement, class_folders_beside
from noisegate.data.layouts.columns import Unclear
from noisegate.data.layouts.contents import Contents, Recognised
from noisegate.data.layouts.folders import folder_reading
from noisegate.data.layouts.lists import read_list
from noisegate.data.layouts.parts import part_of_file, part_of_path
from noisegate.data.layouts.references import References
from noisegate.data.layouts.said_by_tables import read_said
from noisegate.data.layouts.statements import Said, recognise, several_meant
from noisegate.data.layouts.suffixes import suffix_of
from noisegate.data.layouts.tables import read_table
from noisegate.data.layouts.text import Unreadable
from noisegate.data.layouts.words import count, listed, were
from noisegate.data.members import refuse

# As Kaggle calls the answers that are to be given: their labels are made up.
_EXAMPLE = "submission"
_NUMBER = re.compile(r"[0-9]+")
_TABLES, _SHEETS = {"csv", "tsv", "json", "jsonl", "ndjson"}, {"xls", "xlsx", "ods"}
_REMEDY = "Keep one column with the image files and one called label; or arrange the images as <class>/<image>."


@dataclass
class _Found:
    """What the tables of an upload say. `named` have a column for labels by its name; `others` one that is the only one left.

    `faults` are tables that are malformed, `unclear` names of tables that may mean two things, each with the reason.
    """

    named: list[Said] = field(default_factory=list)
    others: list[Said] = field(default_factory=list)
    faults: list[Unreadable] = field(default_factory=list)
    unclear: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def labels(self) -> list[tuple[int, Labelled]]:
        """Every image that a row names, with its label."""
        return [each for said in self.named for each in _labels(said)]

    def passed_over(self, unused: Sequence[Said]) -> list[str]:
        """Sentences about tables that were not used."""
        why = [f"{name!r} was passed over: it {why}" for name, why in self.unclear]
        why += [f"{said.file!r} was passed over: no column of it is called label or class" for said in unused]
        return self.notes + why


def _labels(said: Said) -> list[tuple[int, Labelled]]:
    return [
        (statement.meant[0], Labelled(statement.label, f"{statement.at} of {said.file!r}"))
        for statement in said.statements
        if statement.label is not None and len(statement.meant) == 1
    ]


def label_tables(contents: Contents) -> Recognised | None:
    """What tables say; with class folders, what those say, once it is the same. None if there are no tables of labels.

    Raises:
        InvalidArchive: a table is malformed or may mean two things; tables, or a table and the class folders, contradict.
    """
    if not contents.attachments and not contents.left_out:
        return None
    references = References(contents.images)
    found = _find(contents, references)
    if not found.named:
        by_name = folder_reading(contents.images)
        if isinstance(by_name, Recognised):
            _check_pieces(contents, {image.class_name for image in by_name.images})
    if found == _Found():
        return None
    by_folder = class_folders_beside(contents, found.labels())
    if by_folder is not None:
        _check_others(contents, by_folder, found)
        _check_shared_names(by_folder, found, references)
        return _with_others(contents, by_folder, found, references)
    if found.faults:
        raise found.faults[0]
    if found.unclear and not found.named:
        raise refuse(*found.unclear[0], _REMEDY)
    said = found.named or found.others
    if said:
        recognised = recognise(contents, references, said, f"labels in {listed([each.file for each in said])}")
        unused = found.others if found.named else []
        return replace(recognised, notes=[*recognised.notes, *found.passed_over(unused)])
    return None


def _check_pieces(contents: Contents, folders: Collection[str]) -> None:
    """Raises InvalidArchive where folders could be pieces of a whole, as of a large download, and a table stands beside them.

    Digits by themselves are classes; words that a number alone tells apart may be either.
    """
    forms = {_NUMBER.sub("#", name) for name in folders}
    tables = [name for name in contents.attachments if suffix_of(name) in _TABLES and not _is_example(name)]
    tables += [file.name for file in contents.left_out if suffix_of(file.name) in _SHEETS]
    if len(folders) < 2 or len(forms) > 1 or forms == {"#"} or not tables:
        return
    what = f"stands beside {listed(sorted(folders))}, which a number alone tells apart, as the pieces of a data set are"
    remedy = "Call its columns file and label; or leave it out, if these folders are the classes."
    raise refuse(min(tables), what, remedy)


def _is_example(name: str) -> bool:
    return _EXAMPLE in PurePosixPath(name).name.lower()


def _check_others(contents: Contents, by_folder: Recognised, found: _Found) -> None:
    """Raises InvalidArchive where a column that may hold the classes groups the images in another way than the folders."""
    folder_of = {image.index: image.class_name for image in by_folder.images}
    for labels in map(_labels, found.others):
        inside = [(index, each) for index, each in labels if index in folder_of]
        # A column with as many values as rows names or describes images, and one with a single value tells nothing apart.
        if 2 <= len({each.label for _, each in inside}) <= len(inside) // 2:
            check_agreement(contents, folder_of, inside)


def _check_shared_names(by_folder: Recognised, found: _Found, references: References) -> None:
    """Raises InvalidArchive for a row that may mean images of several folders, of which none is called as its label."""
    folder_of = {image.index: image.class_name for image in by_folder.images}
    for said in found.named:
        for each in said.statements:
            folders = {folder_of[index] for index in each.meant if index in folder_of}
            if len(each.meant) > 1 and each.label is not None and folders and each.label not in folders:
                raise several_meant(each, f"{each.at} of {said.file!r}", references)


def _with_others(contents: Contents, by_folder: Recognised, found: _Found, references: References) -> Recognised:
    """Class folders, and the images outside them that tables label: those of `test/` beside `train/<class>/`, for one."""
    in_folders = {image.index for image in by_folder.images}
    outside = [_outside(said, in_folders) for said in found.named]
    outside = [said for said in outside if any(each.meant and each.label for each in said.statements)]
    notes = [_on_agreement(said, in_folders) for said in found.named]
    notes += [*found.passed_over(found.others), *(fault.detail for fault in found.faults)]
    used = [said.file for said in found.named]
    by_folder, of_parts = _with_parts(by_folder, found.named)
    notes += of_parts
    if not outside:
        return replace(by_folder, notes=[*by_folder.notes, *notes], used=used)
    others = recognise(contents, references, outside, "")
    labelled = {contents.images[image.index] for image in others.images}
    left_out = [file for file in by_folder.left_out if file.name not in labelled]
    number = f"{count(len(labelled), 'image')} outside the class folders got a label from {listed(others.used)}"
    return Recognised(
        f"{by_folder.layout}, and labels in {listed(others.used)}",
        [*by_folder.images, *others.images],
        left_out,
        [f"{number}; {count(len(left_out), 'other')} {were(len(left_out))} left out", *notes],
        used,
    )


def _with_parts(by_folder: Recognised, named: Sequence[Said]) -> tuple[Recognised, list[str]]:
    """The same images in the parts that tables name, where folders name none; and a sentence about that."""
    part_of = {
        statement.meant[0]: statement.part
        for said in named
        for statement in said.statements
        if statement.part is not None and len(statement.meant) == 1
    }
    if not part_of or any(image.split for image in by_folder.images):
        return by_folder, []
    files = listed([said.file for said in named])
    missing = sum(image.index not in part_of for image in by_folder.images)
    if missing:
        return by_folder, [
            f"the parts that {files} names were not used, as it names none for {count(missing, 'image')}"
        ]
    images = [image._replace(split=part_of[image.index]) for image in by_folder.images]
    return replace(by_folder, images=images), [f"the parts are those that {files} names"]


def _outside(said: Said, in_folders: Collection[int]) -> Said:
    return replace(
        said, statements=[each for each in said.statements if not any(index in in_folders for index in each.meant)]
    )


def _on_agreement(said: Said, in_folders: Collection[int]) -> str:
    meant = {index for statement in said.statements for index in statement.meant}
    if meant.isdisjoint(in_folders):
        return f"{said.file!r} names no image in the class folders"
    return f"{said.file!r} agrees with the class folders, which were taken"


def _find(contents: Contents, references: References) -> _Found:
    found = _Found()
    for name, content in sorted(contents.attachments.items()):
        if _is_example(name):
            found.notes.append(f"{name!r} was passed over, as an example of answers: its labels are made up")
            continue
        try:
            _sort_in(found, name, content, references)
        except Unreadable as fault:
            found.faults.append(fault)
    return found


def _sort_in(found: _Found, name: str, content: bytes, references: References) -> None:
    folder, _, file = name.rpartition("/")
    part = part_of_path(name) or part_of_file(file)
    if file.lower().endswith(".txt"):
        listed_images = read_list(name, content, references, folder, part)
        found.named += [listed_images] if listed_images else []
        return
    table = read_table(name, content)
    if table is None:
        return
    said, is_named = read_said(table, references, folder, part)
    if isinstance(said, Unclear):
        found.unclear.append((name, said.why))
    elif said:
        (found.named if is_named else found.others).append(said)
