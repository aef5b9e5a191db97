"""docs/ and what belongs to it, in one folder for Sphinx. On a forge the files stay as they are; here links follow the pages."""

import posixpath
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from guide.links import change_links, resolve

START = PurePosixPath("docs/README.md")
DECISIONS = PurePosixPath("docs/decisions/README.md")
# Made from the OpenAPI document: see api_pages.
API = "api/index.md"


@dataclass(frozen=True)
class Section:
    """A heading of the navigation, and the pages under it: files, or all files of a pattern."""

    title: str
    pages: tuple[str, ...]


# What no section names comes under the last of them, so that a new page is never lost.
NAVIGATION = (
    Section("Start", ("docs/first-steps.md", "docs/concepts.md")),
    Section("Guides", ("docs/guides/engineer.md", "docs/guides/researcher.md", "docs/guides/data-owner.md")),
    Section(
        "Data and networks",
        ("docs/data.md", "docs/images.md", "docs/versions.md", "docs/duplicates.md", "docs/networks.md"),
    ),
    Section(
        "Decisions and evaluation",
        ("docs/scores.md", "docs/open-set.md", "docs/sample-value.md", "docs/paper.md", "docs/limits.md"),
    ),
    Section(
        "Clients",
        (
            "docs/command-line.md",
            "docs/python-client.md",
            "docs/clients.md",
            "docs/elsewhere.md",
            "docs/notebooks/README.md",
            "docs/notebooks/*.ipynb",
        ),
    ),
    Section(
        "Running it",
        ("deploy/README.md", "docs/kubernetes.md", "docs/operations.md", "deploy/*/README.md", "docs/threat-model.md"),
    ),
    Section(
        "Reference", ("docs/api.md", API, "docs/architecture.md", "docs/measurements.md", "docs/decisions/README.md")
    ),
    Section("More", ("docs/*.md", "docs/*/*.md")),
)


def gather(root: Path, to: Path) -> None:
    """Copy all pages, and the files that they link to, from the repository into the empty folder `to`."""
    sections = _sections(root)
    decisions = [page for page in _files(root, "docs/decisions/*.md") if page != DECISIONS]
    pages = {START, *decisions, *(page for _, pages in sections for page in pages)} - {PurePosixPath(API)}
    names = {page: _name(page) for page in pages} | {PurePosixPath("README.md"): PurePosixPath("index.md")}
    for page in pages:
        target = to / names[page]
        target.parent.mkdir(parents=True, exist_ok=True)
        if page.suffix == ".md":
            target.write_text(_moved(page, names, root, to))
        else:
            shutil.copy(root / page, target)
    for title, below in sections:
        _append(to / names[START], _toctree([_name(page) for page in below], f":hidden:\n:caption: {title}"))
    _append(to / names[DECISIONS], _toctree([PurePosixPath(page.name) for page in decisions], ":maxdepth: 1"))


def _sections(root: Path) -> list[tuple[str, list[PurePosixPath]]]:
    """Each section with its pages, in order; each page once, in the first section that has it."""
    seen = {START, *_files(root, "docs/decisions/0*.md")}
    sections = []
    for section in NAVIGATION:
        found: list[PurePosixPath] = []
        for pattern in section.pages:
            files = [PurePosixPath(API)] if pattern == API else _files(root, pattern)
            new = [file for file in files if file not in seen]
            seen.update(new)
            found += new
        if found:
            sections.append((section.title, found))
    return sections


def _files(root: Path, pattern: str) -> list[PurePosixPath]:
    return sorted(PurePosixPath(file.relative_to(root).as_posix()) for file in root.glob(pattern))


def _name(page: PurePosixPath) -> PurePosixPath:
    """Where a file of the repository stands in the guide."""
    if page.is_relative_to("docs"):
        below = page.relative_to("docs")
        return below.with_name("index.md") if page.name == "README.md" else below
    if page.name == "README.md":
        return PurePosixPath(f"{'-'.join(page.parent.parts)}.md")
    return page


def _append(page: Path, text: str) -> None:
    page.write_text(page.read_text() + text)


def _toctree(names: list[PurePosixPath], options: str) -> str:
    lines = "\n".join(str(name.with_suffix("")) for name in names)
    return f"\n```{{toctree}}\n{options}\n\n{lines}\n```\n"


def _moved(page: PurePosixPath, names: dict[PurePosixPath, PurePosixPath], root: Path, to: Path) -> str:
    """The text of a page with the links that it needs in its new place; files that are no pages go along."""
    here = names[page].parent

    def change(image: bool, text: str, target: str) -> str:
        file, anchor = resolve(page, target)
        if (root / file).is_dir():
            return text
        if not (root / file).exists():
            return f"{'!' * image}[{text}]({target})"  # of which Sphinx tells, with the page and the line
        place = names.get(file) or PurePosixPath("files") / file
        if file not in names:
            (to / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / file, to / place)
        return f"{'!' * image}[{text}]({posixpath.relpath(place, here)}{'#' * bool(anchor)}{anchor})"

    return change_links((root / page).read_text(), change)
