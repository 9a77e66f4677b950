"""Reads the project's Markdown pages: headings, anchors, links, fenced blocks, sections."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
README: Final = ROOT / "README.md"

_FENCE: Final = re.compile(r"^ *```([^\n`]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(r"^(#{1,6}) +(.+?) *$", re.MULTILINE)
_LINK: Final = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_INLINE: Final = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_MARKUP: Final = re.compile(r"[`*]|\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: The first word of its info string.
        flags: The other words of the info string.
        text: The text between the fences.
        span: Start and end of ``text`` in the page.
    """

    language: str
    flags: tuple[str, ...]
    text: str
    span: tuple[int, int]


def all_pages() -> list[Path]:
    """The README, the other top-level pages, and every page below ``docs/``."""
    return [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


def name_of(page: Path) -> str:
    """The page's path below the project's root."""
    return str(page.relative_to(ROOT))


def blocks(text: str) -> Iterator[Block]:
    """All fenced blocks of a page's text."""
    for match in _FENCE.finditer(text):
        language, *flags = match[1].split() or [""]
        yield Block(language, tuple(flags), match[2], match.span(2))


def prose(text: str) -> str:
    """A page's text without its fenced blocks."""
    return _FENCE.sub("", text)


def headings(text: str) -> list[tuple[int, str]]:
    """Level and title of each heading, in order."""
    return [(len(match[1]), match[2]) for match in _HEADING.finditer(prose(text))]


def anchors(text: str) -> list[str]:
    """The anchor of each heading, as GitHub generates it."""
    seen: Counter[str] = Counter()
    slugs = []
    for _, title in headings(text):
        plain = _MARKUP.sub(lambda match: match[1] or "", title).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        slugs.append(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return slugs


def links(text: str) -> list[str]:
    """The targets of all links in a page's prose."""
    return _LINK.findall(prose(text))


def inline_code(text: str) -> list[str]:
    """The inline code spans of a page's prose."""
    return _INLINE.findall(prose(text))


def section(page: str, title: str) -> str:
    """The text below a second-level heading of a page in ``docs/``, up to the next one."""
    text = (DOCS / page).read_text("utf-8")
    _, heading, rest = text.partition(f"\n## {title}\n")
    assert heading, f"docs/{page} has no section {title!r}"
    return rest.partition("\n## ")[0]


def examples(page: str, title: str, language: str) -> list[str]:
    """The blocks of one language in a section of a page in ``docs/``."""
    return [block.text for block in blocks(section(page, title)) if block.language == language]
