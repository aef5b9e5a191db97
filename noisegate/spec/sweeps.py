"""From a spec with a sweep to its cells: one spec each.

What nobody wrote has in each cell the default that suits the cell: a swept `noise.family` brings the other family's own
parameters, and a swept `network` the recipe and image size that go with it.
"""

import copy
import itertools
import json
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel, JsonValue

from noisegate.documents import Strict
from noisegate.errors import FieldError, InvalidSpec
from noisegate.noise import FAMILIES
from noisegate.spec import ExperimentSpec, parse_spec
from noisegate.spec.recipes import RECIPES

# Fields that say which member of an open union the others belong to.
_TAGS: dict[str, Mapping[str, type[BaseModel]]] = {"family": FAMILIES, "recipe": RECIPES}


class CellPoint(Strict):
    """One cell: the swept values that make it what it is, and the whole spec they give (with an empty sweep)."""

    point: dict[str, JsonValue]
    spec: ExperimentSpec


def cells_of(spec: ExperimentSpec) -> list[CellPoint]:
    """Every point of the sweep, in the order the sweep is written, the last path varying fastest.

    Raises:
        InvalidSpec: a path that does not exist, an empty list, or a value that its field refuses.
    """
    _check_paths(spec)
    swept = spec.sweep | spec.implied_sweep
    points = [dict(zip(swept, values, strict=True)) for values in itertools.product(*swept.values())]
    plain, members = _plain(spec), _tagged(spec)
    fields = set(type(spec).model_fields)
    cells = [
        CellPoint(point=point, spec=_resolve(plain, members, fields, point, index))
        for index, point in enumerate(points)
    ]
    if len({cell.spec.model_dump_json() for cell in cells}) < len(cells):
        raise InvalidSpec(
            [FieldError("sweep", "gives the same cell twice", "Give each value once: 1 and 1.0 are one.")]
        )
    return cells


def value_at(document: Any, path: str) -> JsonValue:
    """The value at a path such as `noise.quantity`; null where the spec holds nothing there."""
    found: JsonValue = document
    for key in path.split("."):
        found = _child(found, key)
    return found


def _check_paths(spec: ExperimentSpec) -> None:
    errors = []
    for path, values in spec.sweep.items():
        if path.split(".")[0] in spec.not_swept:
            errors.append(FieldError(f"sweep.{path}", "cannot be swept", "Post one experiment for each value instead."))
        if not values:
            errors.append(
                FieldError(f"sweep.{path}", "has no values", "Give at least one value, or leave the path out.")
            )
        if len({json.dumps(value) for value in values}) < len(values):
            errors.append(FieldError(f"sweep.{path}", "names a value twice", "Give each value once."))
    errors += [
        FieldError(f"sweep.{inner}", f"lies within {outer}, which is swept too", "Sweep one of the two.")
        for outer, inner in itertools.permutations(spec.sweep, 2)
        if inner.startswith(outer + ".")
    ]
    if errors:
        raise InvalidSpec(errors)


def _plain(spec: ExperimentSpec) -> dict[str, Any]:
    """What was written of the spec, and the whole of what the sweep reaches into."""
    whole = spec.model_dump(mode="json")
    for path in spec.sweep:
        _reveal(spec, whole, path)
    reached = {path.split(".")[0] for path in spec.sweep | spec.implied_sweep}
    return {name: value for name, value in whole.items() if name in spec.model_fields_set | reached} | {
        "kind": spec.kind,
        "sweep": {},
    }


def _reveal(spec: ExperimentSpec, whole: dict[str, Any], path: str) -> None:
    """Write the swept field down where its parent leaves it out of JSON at its default, as `exclude.reasons` is."""
    *parents, last = path.split(".")
    member: Any = spec
    place: Any = whole
    for key in parents:
        member = _entry(member, key) if isinstance(member, list) else getattr(member, key, None)
        place = _child(place, key)
    if parents and isinstance(member, BaseModel) and isinstance(place, dict) and last in type(member).model_fields:
        place.setdefault(last, getattr(member, last))


def _tagged(spec: ExperimentSpec) -> dict[str, dict[str, JsonValue]]:
    """What was written of each member of a union whose tag is swept, by the path of the tag."""
    found: dict[str, dict[str, JsonValue]] = {}
    for path in spec.sweep:
        *parents, last = path.split(".")
        member: Any = spec
        for key in parents:
            member = _entry(member, key) if isinstance(member, list) else getattr(member, key, None)
        if type(member) in _TAGS.get(last, {}).values():
            found[path] = member.model_dump(mode="json", include=member.model_fields_set)
    return found


def _resolve(
    plain: dict[str, Any],
    members: Mapping[str, Mapping[str, JsonValue]],
    fields: Collection[str],
    point: Mapping[str, JsonValue],
    index: int,
) -> ExperimentSpec:
    document = copy.deepcopy(plain)
    for path, written in members.items():
        stem, _, tag = path.rpartition(".")
        _put(document, stem, {**written, tag: point[path]})
    for path, value in point.items():
        stem, _, last = path.rpartition(".")
        if path in fields:
            document[path] = value  # a field of the spec itself, which is not written where it is the default
        elif any(other.rpartition(".")[0] == stem for other in members):
            value_at(document, stem)[last] = value  # type: ignore[index, call-overload]  # checked with the member it is for
        else:
            _put(document, path, value)
    try:
        return parse_spec(document)
    except InvalidSpec as error:
        described = ", ".join(f"{path}={value}" for path, value in point.items())
        raise InvalidSpec(
            [
                FieldError(f"sweep.{e.field}", f"{e.message} (cell {index}: {described})", _remedy(e, members))
                for e in error.errors
            ]
        ) from error


def _remedy(error: FieldError, members: Mapping[str, Mapping[str, JsonValue]]) -> str | None:
    """Of a field that was written for one member of a union whose tag is swept, what to do instead."""
    for path, written in members.items():
        stem, _, tag = path.rpartition(".")
        if error.field.startswith(f"{stem}.") and error.field.removeprefix(f"{stem}.").split(".")[0] in written:
            whole = f'"sweep": {{"{stem}": [{{"{tag}": …, …}}, {{"{tag}": …}}]}}'
            return f"Leave it out; or sweep {stem} itself, where each has fields of its own: {whole}."
    return error.remedy


def _put(document: dict[str, Any], path: str, value: JsonValue) -> None:
    *parents, last = path.split(".")
    place: Any = document
    for depth, key in enumerate(parents):
        place = _child(place, key)
        if not isinstance(place, dict | list):
            stem = ".".join(parents[: depth + 1])
            remedy = f"Set {stem} to an object in the spec, or sweep {stem} itself."
            raise InvalidSpec([FieldError(f"sweep.{path}", f"{stem} holds no fields in this spec", remedy)])
    if isinstance(place, list) and last.isdecimal() and int(last) < len(place):
        place[int(last)] = value
    elif isinstance(place, dict) and last in place:
        place[last] = value
    else:
        known = ", ".join(sorted(place) if isinstance(place, dict) else map(str, range(len(place))))
        raise InvalidSpec([FieldError(f"sweep.{path}", "names no field of the spec", f"Fields there: {known}.")])


def _child(place: Any, key: str) -> Any:
    if isinstance(place, list):
        return _entry(place, key)
    return place.get(key) if isinstance(place, dict) else None


def _entry(place: list[Any], key: str) -> Any:
    return place[int(key)] if key.isdecimal() and int(key) < len(place) else None
