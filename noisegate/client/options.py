"""Options that several commands have, and what their values mean."""

import copy
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from noisegate.api.reading import BadImages, NameEncoding, Validation
from noisegate.client.errors import ClientError
from noisegate.client.flows import DEFAULT_URL

Url = Annotated[str, Parameter(name="--url", env_var="NOISEGATE_URL", help="Address of the service.")]


@Parameter(name="*")
@dataclass(frozen=True)
class ReadingOptions:
    """How an upload is to be read and what it is added to, as `POST /datasets` takes it.

    Attributes:
        base: Id or name of a dataset. The new one holds its images and those sent; what it has already is left out.
        names: The encoding of names in a zip that does not say it, such as shift_jis.
        bad_images: skip leaves out what cannot be read, and counts it; refuse (the default) names it all.
        validation: What images of a validation part become; auto (the default): test images if there are no others, else training
            images.
    """

    base: str | None = None
    names: NameEncoding | None = None
    bad_images: BadImages | None = None
    validation: Validation | None = None

    def given(self) -> dict[str, Any]:
        """Those that were given."""
        return {name: value for name, value in asdict(self).items() if value is not None}


READ_AS_IT_IS = ReadingOptions()
_AS_QUERY = re.compile(r"\b(base|names|bad_images|image_size|validation)=([\w-]+)")


def in_options(text: str) -> str:
    """What the service says of its query parameters, in the words of the command: `--bad-images skip` for `bad_images=skip`."""
    return _AS_QUERY.sub(lambda found: f"--{found[1].replace('_', '-')} {found[2]}", text)


# The service merges these field by field with those of a preset; every other field it takes whole.
_MERGED = ("training",)


def url_option(url: str) -> str:
    """What to add to a command so that it asks the same service; nothing where it would anyway."""
    return "" if url == os.environ.get("NOISEGATE_URL", DEFAULT_URL) else f" --url {url}"


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """`training.epochs=3` by path: values are JSON, or text where they are no JSON.

    Raises:
        ClientError: one without a path or without `=`, or the same path twice.
    """
    parsed: dict[str, Any] = {}
    for setting in settings:
        path, equals, value = setting.partition("=")
        if not equals or not all(path.split(".")):
            raise ClientError(f"--set {setting}: give a path and a value, such as training.epochs=20.")
        if path in parsed:
            raise ClientError(f"--set {path} is given twice.")
        parsed[path] = _value(value)
    return parsed


def nested(settings: Mapping[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
    """The fields to post beside a preset's name: every path set, within what the preset has there.

    Args:
        preset: the preset's own spec, read and never changed.

    Raises:
        ClientError: a path leads into something that has no fields.
    """
    document: dict[str, Any] = {}
    for path, value in settings.items():
        # What is swept is named by its path as such.
        *parents, last = path.split(".", 1 if path.startswith("sweep.") else -1)
        place: Any = document
        of_preset = preset
        for depth, part in enumerate(parents):
            around = {} if depth == 0 and part in _MERGED else copy.deepcopy(of_preset.get(part))
            place = place.setdefault(part, around)
            inside = of_preset.get(part)
            of_preset = inside if isinstance(inside, Mapping) else {}
            if not isinstance(place, dict):
                whole = ".".join(parents[: depth + 1])
                raise ClientError(f"--set {path}: {whole} has no fields here. Set the whole of it: {whole}={{…}}.")
        place[last] = value
    return document


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
