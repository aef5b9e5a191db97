"""The commands of the pages: each block of `sh`, command by command, and why some of them are not run by a test."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.documentation.pages import Page

_HERE_DOCUMENT = re.compile(r"<<'?(\w+)'?")
_QUOTED = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"", re.S)


class Command(NamedTuple):
    """One command of a page, as it stands there."""

    page: str
    text: str


def commands_of(page: Page) -> list[Command]:
    """In the order of the page."""
    return [Command(page.name, text) for block in page.blocks("sh") for text in split(block)]


def split(block: str) -> Iterator[str]:
    """The commands of a block. One goes on over open quotes, `\\`, `&&` and `|`, and to the end of a document in it."""
    lines = iter(block.splitlines())
    for line in lines:
        command = line
        while _goes_on(command):
            command += "\n" + next(lines)
        if (start := _HERE_DOCUMENT.search(command)) is not None:
            while not command.endswith(f"\n{start[1]}"):
                command += "\n" + next(lines)
        if command.strip() and not command.lstrip().startswith("#"):
            yield command


def _goes_on(command: str) -> bool:
    if command.lstrip().startswith("#"):
        return False
    bare = re.sub(r"(^|\s)#.*", "", _QUOTED.sub("", command))
    return bare.count("'") % 2 == 1 or bare.count('"') % 2 == 1 or bare.rstrip().endswith(("\\", "&&", "|"))


# Of commands that begin so, or hold this: why no test of the documentation runs them, and what runs them instead.
NOT_RUN = {
    r"^make demo": "tests/end_to_end/test_demo.py runs what it runs",
    r"^make (test|docs)": "this is a test; tests/documentation/test_guide_pages.py builds the guide",
    r"^(\.venv/bin/)?noisegate up\b": "does not end: the pages are run beside one that is up",
    r"cifar10|--scale paper|\"quick\"|--executions 3 --watch": "takes CIFAR-10, and hours of a processor or a GPU",
    r"docker compose|^files$|backup/sha256|make-secrets|\.env\.example|DATA/|Bearer": "takes a container engine: "
    "`make lab` runs them, from tests/deployment",
    r"^python -m (service|worker)\.main": "does not end: tests/local and tests/faults run them",
    r"^(python -m migrations\.run|noisegate (backup|restore|gc|keys)|NOISEGATE_DATA_DIR=)": "would change the "
    "installation that other pages are run beside; tests/admin, tests/store and tests/local run them",
    r"kubectl|deploy/kubernetes": "takes a cluster: tests/deployment/test_kubernetes.py checks the manifests",
    r"\| jq ": "takes jq: tests/client/test_output.py reads what is piped into it",
    r"^noisegate (export|install-completion)": "takes a tracking server: tests/client/test_exports.py",
    r"pg_dump|pg_restore|createdb|sha256sum|cp --archive|mkdir -p": "tests/store/test_backups.py does so with PostgreSQL",
}


def reason_not_to_run(command: Command) -> str | None:
    """Why no test runs it as it stands; None for one that is run."""
    return next((reason for pattern, reason in NOT_RUN.items() if re.search(pattern, command.text)), None)
