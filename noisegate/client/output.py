"""What a command prints: text for people, or JSON for programs."""

import json as json_module
import sys
from collections.abc import Iterable
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from noisegate.api.base import Answer
from noisegate.client.show import console_for

Json = Annotated[
    bool,
    Parameter(
        name="--json", negative=(), help="Print what the service answers: a JSON object, of a list an object a line."
    ),
]


def print_json(answers: Answer | Iterable[Answer]) -> None:
    """An object a line, as each was answered."""
    for answer in [answers] if isinstance(answers, Answer) else answers:
        print_object(answer.document())


def print_object(document: object) -> None:
    """One JSON object on one line. What the console's encoding lacks is written as JSON's own escape."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    text = json_module.dumps(document, ensure_ascii=encoding.lower().replace("-", "") != "utf8")
    print(text, flush=True)


def console_beside(json: bool) -> Console:
    """Where people read what goes on: not where programs read JSON."""
    return console_for(sys.stderr) if json else console_for()
