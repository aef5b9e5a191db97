"""All pages that people read, as a Markdown parser sees them: one of another make than the one that builds the guide."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
_PATTERNS = ("README.md", "docs/**/*.md", "docs/**/*.ipynb", "deploy/**/*.md", "benchmarks/**/*.md", "findings/**/*.md")


@dataclass(frozen=True)
class Page:
    """A Markdown file or a notebook of the repository.

    Attributes:
        text: what is in it, if it is not to be read from there.
    """

    path: Path
    text: str | None = None

    @property
    def name(self) -> str:
        """Its path in the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def tokens(self) -> list[Token]:
        """Its blocks."""
        text = self.path.read_text() if self.text is None else self.text
        if self.path.suffix == ".ipynb":
            cells = [cell["source"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
            text = "\n\n".join(cell if isinstance(cell, str) else "".join(cell) for cell in cells)
        return MarkdownIt("commonmark").enable("table").parse(text)

    @property
    def links(self) -> list[str]:
        """Where its links and images lead."""
        pieces = [piece for token in self.tokens for piece in token.children or ()]
        found = [piece.attrs.get("href", piece.attrs.get("src")) for piece in pieces]
        return [str(target) for target in found if target is not None]

    @cached_property
    def anchors(self) -> frozenset[str]:
        """The anchors of its headings, as forges make them."""
        heads = [
            after for before, after in zip(self.tokens, self.tokens[1:], strict=False) if before.type == "heading_open"
        ]
        texts = ["".join(piece.content for piece in head.children or ()) for head in heads]
        slugs = [re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts]
        seen: Counter[str] = Counter()
        found = set()
        for slug in slugs:
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
        return frozenset(found)

    def blocks(self, language: str) -> list[str]:
        """Its fenced blocks of code in this language."""
        return [token.content for token in self.tokens if token.type == "fence" and token.info == language]


def all_pages() -> list[Page]:
    """Every page, in order of its path."""
    return [Page(path) for pattern in _PATTERNS for path in sorted(ROOT.glob(pattern))]
