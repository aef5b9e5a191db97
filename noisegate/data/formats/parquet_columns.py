"""Which columns of a Parquet file hold the images and their labels. Never guessed between two."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from noisegate.data.members import refuse
from noisegate.errors import InvalidArchive

# Where `datasets` keeps what its columns are.
_METADATA = b"huggingface"
_LABEL_NAMES = {"label", "labels", "class", "class_name", "target", "category", "fine_label", "coarse_label"}
# CIFAR-100's, the one pair of which one is known to be the classes, and the other groups of them.
_FINE_AND_COARSE = {"fine_label", "coarse_label"}
_FINE = "fine_label"
_MOST_LISTED = 20


@dataclass(frozen=True)
class Columns:
    """The two that are read.

    Attributes:
        image: of binary values, or of structs with the field `bytes`.
        has_path: whether these structs have the field `path`.
        label: of whole numbers or texts.
        class_names: what the numbers stand for, if the file says it.
        part: of texts that name each row's part, if there is one.
    """

    image: str
    in_struct: bool
    has_path: bool
    label: str
    is_text: bool
    class_names: tuple[str, ...] | None
    has_coarse: bool
    part: str | None = None

    @property
    def leaves(self) -> list[str]:
        """The paths of Parquet's own columns, of which structs have one for each field."""
        others = [self.label, *([self.part] if self.part else [])]
        if not self.in_struct:
            return [self.image, *others]
        return [f"{self.image}.bytes", *([f"{self.image}.path"] if self.has_path else []), *others]


def columns_of(name: str, schema: "pa.Schema") -> Columns | None:
    """The columns of the file called `name`; None if it has no column of images.

    Raises:
        InvalidArchive: no labels, several columns that could be the one or the other, or labels of no use.
    """
    if len(set(schema.names)) < len(schema.names):
        raise refuse(name, "has two columns of one name", "Rename one of them.")
    features = _features(name, schema)
    image = _image_column(name, schema, features)
    if image is None:
        return None
    label, has_coarse = _label_column(name, schema, features)
    value_type = schema.field(label).type
    if pa.types.is_dictionary(value_type):
        value_type = value_type.value_type
    is_text = is_text_type(value_type)
    if not is_text and not pa.types.is_integer(value_type):
        what = f"has the labels {label!r} of type {value_type}: labels are whole numbers or texts, one an image"
        raise refuse(name, what, f"Cast {label!r} to int64 or string; for several labels an image, choose one.")
    image_type = schema.field(image).type
    in_struct = pa.types.is_struct(image_type)
    has_path = in_struct and image_type.get_field_index("path") >= 0
    class_names = None if is_text else _class_names(name, label, features)
    return Columns(image, in_struct, has_path, label, is_text, class_names, has_coarse)


def listed(columns: Sequence[str]) -> str:
    """Column names for a sentence, the first twenty."""
    shown = ", ".join(repr(column) for column in columns[:_MOST_LISTED])
    return f"{shown} and {len(columns) - _MOST_LISTED} more" if len(columns) > _MOST_LISTED else shown


def _image_column(name: str, schema: "pa.Schema", features: Mapping[str, Any]) -> str | None:
    said = [column for column in schema.names if _kind(features, column) == "Image"]
    found = [column for column in said or schema.names if _holds_bytes(schema.field(column).type)]
    if len(found) > 1:
        what = f"has several columns that could be the images: {listed(found)}"
        raise refuse(name, what, "Leave one of them: ds.remove_columns([…]) in datasets, columns=[…] in pandas.")
    if said and not found:
        what = f"has its images {said[0]!r} as {schema.field(said[0]).type}, not as image files"
        raise refuse(name, what, "Write it by ds.to_parquet of datasets, or as a column of bytes.")
    return found[0] if found else None


def _label_column(name: str, schema: "pa.Schema", features: Mapping[str, Any]) -> tuple[str, bool]:
    """The column, and whether there is a coarse one beside it."""
    found = [
        column for column in schema.names if _kind(features, column) == "ClassLabel" or column.lower() in _LABEL_NAMES
    ]
    if set(found) == _FINE_AND_COARSE:
        return _FINE, True
    if not found:
        what = f"has no column that is called label; it has {listed(schema.names)}"
        raise refuse(name, what, "Rename the column of the classes to 'label'.")
    if len(found) > 1:
        what = f"has several columns that could be the labels: {listed(found)}"
        raise refuse(name, what, "Leave one of them: ds.remove_columns([…]) in datasets, columns=[…] in pandas.")
    return found[0], False


def _features(name: str, schema: "pa.Schema") -> Mapping[str, Any]:
    """What `datasets` says of the columns, by name; nothing if another writer wrote the file."""
    said = (schema.metadata or {}).get(_METADATA)
    if said is None:
        return {}
    try:
        features = json.loads(said)["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _bad_metadata(name) from error
    if not isinstance(features, dict):
        raise _bad_metadata(name)
    return features


def _kind(features: Mapping[str, Any], column: str) -> object:
    feature = features.get(column)
    return feature.get("_type") if isinstance(feature, dict) else None


def _class_names(name: str, label: str, features: Mapping[str, Any]) -> tuple[str, ...] | None:
    if _kind(features, label) != "ClassLabel":
        return None
    names = features[label].get("names")
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names) or len(set(names)) < len(names):
        raise _bad_metadata(name)
    return tuple(names)


def _bad_metadata(name: str) -> InvalidArchive:
    return refuse(
        name, "says nothing that can be understood in its metadata 'huggingface'", "Write it anew by datasets."
    )


def _holds_bytes(kind: "pa.DataType") -> bool:
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _is_binary(kind.field(index).type)
    return _is_binary(kind)


def _is_binary(kind: "pa.DataType") -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def is_list_type(kind: "pa.DataType") -> bool:
    """Whether each value is a list, of whichever length."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def is_text_type(kind: "pa.DataType") -> bool:
    """Whether values are texts, or numbers that stand for texts."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
