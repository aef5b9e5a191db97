"""The swept values of a cell in words: one way of saying them, in answers, figures and on the terminal."""

import json
from collections.abc import Mapping

from pydantic import JsonValue, TypeAdapter, ValidationError

from noisegate.noise import NoiseSpec, OneOrSeveralNoises
from noisegate.spec import SubgroupSpec
from noisegate.spec.exclusion import Exclusion, SampleSubgroup, subgroup_of

_NOISES: TypeAdapter[NoiseSpec | list[NoiseSpec]] = TypeAdapter(OneOrSeveralNoises)


def label(point: Mapping[str, JsonValue]) -> str:
    """The swept values in words, such as `uniform 5×, median 3`; `all` without a sweep.

    Values that this version does not know stay as they are (`path=value`): the point may come from another server.
    """
    return ", ".join(_swept(path, value) for path, value in point.items()) or "all"


def _swept(path: str, value: JsonValue) -> str:
    try:
        match path, value:
            case "noise", None:
                return "no noise"
            case "noise", _:
                return _noises(value)
            case "subgroup", None:
                return "all training images"
            case "subgroup", _:
                return _subgroup(subgroup_of(value))
            case "exclude", None:
                return "no image left out"
            case "exclude", _:
                return _exclusion(Exclusion.model_validate(value))
    except ValidationError:
        pass
    return f"{path}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"


def _noises(value: JsonValue) -> str:
    # Validation fills in what the point leaves to the defaults.
    found = _NOISES.validate_python(value)
    return " + ".join(noise.words() for noise in (found if isinstance(found, list) else [found]))


def _subgroup(subgroup: SubgroupSpec | SampleSubgroup | None) -> str:
    if subgroup is None:
        return "all training images"
    if isinstance(subgroup, SampleSubgroup):
        return f"{subgroup.keep} {share(subgroup.fraction)}{_control(subgroup.control)}"
    selection = " as published" if subgroup.selection == "as_published" else ""
    control = _control(subgroup.control)
    control = f",{control}" if selection and control else control
    return f"{subgroup.correct} ∪ {subgroup.wrong} {share(subgroup.fraction)}{selection}{control}"


def _exclusion(exclude: Exclusion) -> str:
    if exclude.by_value is not None:
        what = f"the worst {exclude.by_value:.3g}"
    else:
        what = " or ".join(exclude.reasons) if exclude.reasons else f"{len(exclude.ids)} images"
    return f"without {what}{_control(exclude.control)}"


def _control(control: str | None) -> str:
    return f" {control} control" if control else ""


def share(fraction: float) -> str:
    """A share of 0 … 1 as the paper prints it: .25, .50, .125, 1."""
    if fraction == 1:
        return "1"
    return (f"{fraction:.2f}" if round(fraction, 2) == fraction else f"{fraction:g}").removeprefix("0")
