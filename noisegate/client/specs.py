"""What `noisegate run` posts: a spec from a file, or a preset by its name."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from noisegate.client import Noisegate
from noisegate.client.errors import ClientError, UnusableFile
from noisegate.client.files import read_text

STANDARD_INPUT = "-"
_YAML = (".yaml", ".yml")


def document_for(client: Noisegate, spec: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The body to post for a file, `-` or a preset's name, with the fields that are not None set in it.

    Raises:
        UnusableFile: the file holds no spec, or a whole one that has no scales.
        ClientError: neither a file nor a preset; the message lists the presets.
    """
    document = _read(spec) if _is_file(spec) else _preset(client, spec)
    given = {field: value for field, value in fields.items() if value is not None}
    if "scale" in given and "preset" not in document:
        raise UnusableFile(f"{spec} is a spec of its own: only presets have scales")
    return document | given


def _is_file(spec: str) -> bool:
    path = Path(spec)
    if spec == STANDARD_INPUT or path.suffix in (".json", *_YAML):
        return True
    # A pipe is read, too; a folder that is called like a preset does not hide it.
    return path.exists() and not path.is_dir()


def _preset(client: Noisegate, name: str) -> dict[str, Any]:
    known = [preset.name for preset in client.presets.list()]
    if name not in known:
        raise ClientError(f"{name} is neither a file nor a preset. Presets: {', '.join(known)}.")
    return {"preset": name}


def _read(spec: str) -> dict[str, Any]:
    if spec == STANDARD_INPUT:
        return _object("standard input", "JSON", json.loads, sys.stdin.read())
    text = read_text(Path(spec))
    if Path(spec).suffix in _YAML:
        return _object(spec, "YAML", _parse_yaml, text)
    return _object(spec, "JSON", json.loads, text)


def _parse_yaml(text: str) -> Any:
    # By way of JSON, which has no dates: a name such as 2026-11-22 becomes text again.
    return json.loads(json.dumps(yaml.safe_load(text), default=str))


def _object(where: str, language: str, parse: Callable[[str], Any], text: str) -> dict[str, Any]:
    try:
        document = parse(text)
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise UnusableFile(f"{where} is not {language}: {error}") from error
    if not isinstance(document, dict):
        raise UnusableFile(f"{where} holds no experiment spec: a spec is a {language} object")
    return document
