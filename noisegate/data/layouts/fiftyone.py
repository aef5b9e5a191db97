"""FiftyOne's FiftyOneImageClassificationDataset: `data/<images>` and `labels.json`, in one folder or in one for each part.

labels.json is `{"classes": ["cat", "dog"], "labels": {"<file without suffix>": 0}}`; null is no label. Without `classes`, labels
are text. FiftyOne's other layout of classes, a folder for each, is read as folders are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from noisegate.data.layouts.contents import Contents, Recognised
from noisegate.data.layouts.numbered import class_of, distinct
from noisegate.data.layouts.parts import part_of_path
from noisegate.data.layouts.references import References
from noisegate.data.layouts.statements import Said, Statement, recognise
from noisegate.data.layouts.text import Unreadable, decoded, parsed, single_label
from noisegate.data.layouts.words import listed

_FILE = "labels.json"


def fiftyone(contents: Contents) -> Recognised | None:
    """What every labels.json says of the images in `data` beside it; None if there is none such.

    Raises:
        InvalidArchive: a number that is no class, several labels of an image, or images that cannot be told apart.
    """
    if not any(name.rpartition("/")[2] == _FILE for name in contents.attachments):
        return None
    references = References(contents.images)
    said = []
    for name, content in sorted(contents.attachments.items()):
        folder, _, file = name.rpartition("/")
        if file != _FILE or not any(path.startswith(f"{folder}/data/".lstrip("/")) for path in contents.images):
            continue
        document = parsed(name, decoded(name, content))
        if isinstance(document, dict) and isinstance(document.get("labels"), dict):
            said.append(_said(name, document, f"{folder}/data".lstrip("/"), references))
    return recognise(contents, references, said, "FiftyOne's data and labels.json") if said else None


def _said(name: str, document: Mapping[str, Any], folder: str, references: References) -> Said:
    classes = _classes(name, document.get("classes"))
    part = part_of_path(name)
    statements = [
        Statement(f"{key!r}", key, references.find_beside(f"{folder}/{key}"), _label(name, key, value, classes), part)
        for key, value in document["labels"].items()
    ]
    without = set(classes or ()) - {statement.label for statement in statements}
    return Said(name, statements, [f"no image is here of {listed(without)}, which {name!r} names"] if without else [])


def _classes(name: str, found: object) -> Sequence[str] | None:
    if found is None:
        return None
    if not isinstance(found, list):
        raise Unreadable(name, "has no list of classes in 'classes'")
    return distinct(name, found)


def _label(name: str, key: str, value: Any, classes: Sequence[str] | None) -> str | None:
    if isinstance(value, dict) and "label" in value:  # with a confidence beside it
        value = value["label"]
    label = single_label(name, value, f"{key!r}")
    return label if label is None or classes is None else class_of(name, label, classes, repr(key))
