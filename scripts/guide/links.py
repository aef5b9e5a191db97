"""Links of Markdown files: relative ones lead to files of the repository, on a forge as in the guide."""

import posixpath
import re
from collections.abc import Callable
from pathlib import PurePosixPath

# Fenced blocks and `code` are no prose. Longest fence first: a block of four backticks may hold one of three.
_CODE = re.compile(
    r"^(?P<fence>`{3,}|~{3,})[^\n]*\n.*?^(?P=fence)[ \t]*$|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)", re.M | re.S
)
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|/|<")


def change_links(markdown: str, change: Callable[[bool, str, str], str]) -> str:
    """The text with each relative link as `change(is_image, text, target)` says; code is left alone."""

    def one(match: re.Match[str]) -> str:
        if _ELSEWHERE.match(match["target"]):
            return match[0]
        return change(bool(match["image"]), match["text"], match["target"])

    pieces, end = [], 0
    for code in _CODE.finditer(markdown):
        # A link's text may be code: such a piece of code stands inside the prose, and is left there.
        if code["ticks"] and _inside_a_link(markdown, code):
            continue
        pieces += [_LINK.sub(one, markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*pieces, _LINK.sub(one, markdown[end:])])


def relative_links(markdown: str) -> list[str]:
    """The targets of all relative links, with their anchors."""
    found: list[str] = []

    def note(_image: bool, _text: str, target: str) -> str:
        found.append(target)
        return ""

    change_links(markdown, note)
    return found


def resolve(page: PurePosixPath, target: str) -> tuple[PurePosixPath, str]:
    """The path in the repository that a link of a page leads to, and its anchor without #, empty for none.

    Raises:
        ValueError: it leads out of the repository.
    """
    path, _, anchor = target.partition("#")
    if not path:
        return page, anchor
    file = posixpath.normpath(page.parent / path)
    if file.startswith(".."):
        raise ValueError(f"{page}: {target} leads out of the repository")
    return PurePosixPath(file), anchor


def _inside_a_link(markdown: str, code: re.Match[str]) -> bool:
    return markdown[: code.start()].endswith("[") or bool(re.match(r"[^\[\]\n]*\]\(", markdown[code.end() :]))
