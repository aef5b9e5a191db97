"""WebDataset's samples: files with the same path up to the first dot of their name, `7.jpg` and `7.cls`, or `7.json`.

A `.cls` holds a class or its number, a `.json` has it as `label`. `classes.txt` (one a line) or `dataset_info.json` says what the
numbers are called; else they stand for themselves. Folders and shards called `train` or `val` are parts.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from noisegate.data.layouts.agreement import Labelled, class_folders_beside
from noisegate.data.layouts.contents import Assigned, Contents, Recognised
from noisegate.data.layouts.label_columns import may_name_classes
from noisegate.data.layouts.numbered import class_of, distinct, listed_in
from noisegate.data.layouts.parts import part_of_path
from noisegate.data.layouts.references import References
from noisegate.data.layouts.suffixes import is_picture
from noisegate.data.layouts.text import Unreadable, as_label, decoded, parsed, single_label
from noisegate.data.layouts.words import listed
from noisegate.data.members import refuse
from noisegate.image_kinds import IMAGE_KINDS

# As the library has it; it takes capitals in suffixes for small letters.
_SAMPLE = re.compile(r"((?:.*/)?[^./]+)\.([^/]+)")
_MOST_LOOKED_AT = 1000
# Folders that were shards, such as `train-000001.tar/`, are no classes.
_SHARD = re.compile(r"(\.tar|\.tgz|\.tar\.gz|shard[^/]*|\d{3})/", re.IGNORECASE)


def webdataset(contents: Contents) -> Recognised | None:
    """Every image with the class that its sample says; None if no image has a `.cls`, or a `.json` with a label.

    Raises:
        InvalidArchive: an image without a label or with two, two images in a sample, a number that is no class, or class
            folders that contradict.
    """
    if not any(name.lower().endswith((".cls", ".json")) for name in contents.attachments):
        return None
    keys = [_key(path) for path in contents.images]
    labels = _labels(contents.attachments, {key for key in keys if key})
    if labels is None:
        return None
    _check_one_image_each(contents.images, keys)
    lists = _lists_of_classes(contents.attachments)
    references = References(contents.images)
    images, said = [], []
    for index, (path, key) in enumerate(zip(contents.images, keys, strict=True)):
        file, label = _only_label(path, labels.get(key or "", {}))
        for classes in lists.values():
            label = class_of(file, label, classes, repr(path))
        images.append(Assigned(index, label, part_of_path(path), references.own_path(index)))
        said.append((index, Labelled(label, repr(file))))
    _check_no_class_lost(contents, {label.label for _, label in said}, lists)
    used = {name for of_sample in labels.values() for name in of_sample} | lists.keys()
    notes = [f"the numbers of classes are explained by {listed(lists)}, from 0"] if lists else []
    for name, classes in lists.items():
        if without := set(classes) - {label.label for _, label in said}:
            notes.append(f"no image is here of {listed(without)}, which {name!r} names")
    if others := _other_classes(contents.attachments, labels):
        notes.append(f"{listed(others)} in the samples' .json may name classes too: 'label' was taken")
    if lonely := _without_image(contents, set(labels)):
        notes.append(f"no image is here for {listed(lonely)}, which say a class")
    if not any(_SHARD.search(path) for path in contents.images) and (folders := class_folders_beside(contents, said)):
        return replace(folders, notes=[*folders.notes, "the samples' labels agree with the class folders"], used=used)
    rename = f"Write another name for it in {listed(lists, 'or') if lists else 'the .cls or .json of its samples'}."
    return Recognised("WebDataset's samples", images, notes=notes, used=used, rename=rename)


def _key(path: str) -> str | None:
    sample = _SAMPLE.fullmatch(path)
    return sample[1] if sample else None


def _labels(attachments: Mapping[str, bytes], keys: Collection[str]) -> dict[str, dict[str, str | None]] | None:
    """What each file of a sample says of its class, by the sample's key; None if none says any and there is no `.cls`."""
    found: dict[str, dict[str, str | None]] = defaultdict(dict)
    faults = []
    is_webdataset = False
    for name in sorted(attachments):
        sample = _SAMPLE.fullmatch(name)
        if not sample or sample[1] not in keys or sample[2].lower() not in ("cls", "json"):
            continue
        try:
            label = found[sample[1]][name] = _label(name, attachments[name])
            is_webdataset |= label is not None or _is_cls(name)
        except Unreadable as fault:
            faults.append(fault)
            is_webdataset |= _is_cls(name)
    if is_webdataset and faults:
        raise faults[0]
    return found if is_webdataset else None


def _is_cls(name: str) -> bool:
    return name.lower().endswith(".cls")


def _label(name: str, content: bytes) -> str | None:
    text = decoded(name, content)
    if _is_cls(name):
        return as_label(text)
    document = parsed(name, text)
    return single_label(name, document.get("label"), "'label'") if isinstance(document, dict) else None


def _other_classes(attachments: Mapping[str, bytes], labels: Mapping[str, Mapping[str, str | None]]) -> list[str]:
    """Fields of the samples' JSON beside the label that may name classes, as far as the first samples show it."""
    names = [name for of_sample in labels.values() for name in of_sample if not _is_cls(name)]
    documents = [parsed(name, decoded(name, attachments[name])) for name in names[:_MOST_LOOKED_AT]]
    cells: dict[str, set[str | None]] = defaultdict(set)
    for document in documents:
        for field, value in document.items() if isinstance(document, dict) else ():
            cells[field].add(as_label(value))
    return [field for field in cells if field != "label" and may_name_classes(field, cells[field], len(documents))]


def _check_no_class_lost(contents: Contents, classes: Collection[str], lists: Mapping[str, Sequence[str]]) -> None:
    """Raises InvalidArchive for a class of which no image could be read."""
    pictures = {key: file for file in contents.left_out if is_picture(file.name) and (key := _key(file.name))}
    for key, said in (_labels(contents.attachments, pictures) or {}).items():
        for file, label in said.items():
            called = label
            for listed_classes in lists.values():
                called = called and class_of(file, called, listed_classes, repr(key))
            if called and called not in classes:
                what = f"{pictures[key].why}, and so is every image of the class {called!r}"
                raise refuse(pictures[key].name, what, f"Send them as {IMAGE_KINDS}, or leave their samples out.")


def _without_image(contents: Contents, keys: Collection[str]) -> list[str]:
    """Files `.cls` of samples of which no image came, none that was left out either."""
    pictures = {_key(file.name) for file in contents.left_out if is_picture(file.name)}
    return [
        name
        for name in contents.attachments
        if _is_cls(name) and (key := _key(name)) not in keys and key not in pictures
    ]


def _check_one_image_each(paths: Sequence[str], keys: Sequence[str | None]) -> None:
    first: dict[str, str] = {}
    for path, key in zip(paths, keys, strict=True):
        if key is None:
            raise refuse(path, "is no part of a sample: its name begins with a dot or has none", "Rename it.")
        if first.setdefault(key, path) != path:
            what = f"and {first[key]!r} are both of the sample {key!r}, which is named up to the first dot"
            raise refuse(path, what, "Leave dots out of the names of samples, and one image in each.")


def _only_label(path: str, said: Mapping[str, str | None]) -> tuple[str, str]:
    """The one label of an image, and the file that says it."""
    labels = {label: name for name, label in said.items() if label}
    if not labels:
        why = f": {next(iter(said))!r} says none" if said else ", where other images have one in a .cls or .json"
        raise refuse(path, f"has no label{why}", "Give every sample one, or leave it out.")
    if len(labels) > 1:
        both = " and ".join(f"{label!r} in {name!r}" for label, name in labels.items())
        raise refuse(path, f"has two labels: {both}", "Keep one of the two.")
    ((label, name),) = labels.items()
    return name, label


def _lists_of_classes(attachments: Mapping[str, bytes]) -> dict[str, Sequence[str]]:
    """Files that list the classes, all the same ones."""
    found: dict[str, Sequence[str]] = {}
    for name, content in sorted(attachments.items()):
        file = name.rpartition("/")[2].lower()
        if file == "classes.txt":
            found[name] = listed_in(name, content)
        elif file == "dataset_info.json" and (classes := _names_in_info(name, content)):
            found[name] = classes
    for name, classes in found.items():
        first = next(iter(found))
        if classes != found[first]:
            raise Unreadable(name, f"names other classes than {first!r}")
    return dict(list(found.items())[:1])


def _names_in_info(name: str, content: bytes) -> Sequence[str] | None:
    """`names` of the one feature that has them, as Hugging Face's `dataset_info.json` writes a ClassLabel."""
    document = parsed(name, decoded(name, content))
    features = document.get("features") if isinstance(document, dict) else None
    named = {
        feature: value["names"]
        for feature, value in (features.items() if isinstance(features, dict) else ())
        if isinstance(value, dict) and isinstance(value.get("names"), list)
    }
    if len(named) > 1 and "label" not in named:
        raise Unreadable(name, f"has several lists of classes: {', '.join(map(repr, named))}")
    names = named.get("label") or next(iter(named.values()), None)
    return distinct(name, names) if names else None
