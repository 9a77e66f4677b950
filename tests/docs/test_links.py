"""Links: every relative link and anchor resolves, and the index links every page."""

from __future__ import annotations

import pytest

from tests.docs.pages import (
    DOCS,
    README,
    all_pages,
    anchors,
    blocks,
    headings,
    links,
    name_of,
    prose,
    section,
)

PAGES = all_pages()
TOPICS = [page for page in PAGES if page.parent == DOCS]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_and_anchor_resolves(page):
    text = page.read_text("utf-8")
    broken = [link for link in links(text) if not resolves(page, link)]
    assert broken == []


def resolves(page, link):
    if link.startswith(("http://", "https://")):
        return True
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return False
    return not anchor or anchor in anchors(target.read_text("utf-8"))


@pytest.mark.parametrize(
    "text",
    [
        "[a](missing.md)",
        "[a](docs/missing.md#guarantees)",
        "[a](docs/guarantees.md#missing)",
        "[a](#missing)",
    ],
)
def test_a_broken_link_is_detected(text):
    (link,) = links(text)
    assert not resolves(README, link)


def test_links_in_code_are_not_links():
    assert links("`[a](b.md)`".replace("`", "\n```text\n", 1).replace("`", "\n```\n")) == []


def test_the_index_links_every_page():
    linked = set(links((DOCS / "README.md").read_text("utf-8")))
    assert {page.name for page in TOPICS} - {"README.md"} <= linked


@pytest.mark.parametrize("page", [page for page in TOPICS if page.name != "README.md"], ids=name_of)
def test_a_page_has_a_table_of_contents_that_names_its_sections_in_order(page):
    text = page.read_text("utf-8")
    start = text.index("\n## ")
    contents = [link.removeprefix("#") for link in links(text[:start]) if link.startswith("#")]
    sections = [
        anchor
        for anchor, (level, _) in zip(anchors(text), headings(text), strict=True)
        if level == 2
    ]
    assert contents == sections


def test_the_readme_is_short():
    assert len(README.read_text("utf-8").splitlines()) <= 200


def test_a_section_that_is_missing_is_an_error():
    with pytest.raises(AssertionError, match="no section 'None such'"):
        section("guarantees.md", "None such")


def test_blocks_have_a_language_flags_and_text():
    text = "a\n```json streams\n[]\n```\nb\n"
    (block,) = blocks(text)
    assert (block.language, block.flags, block.text) == ("json", ("streams",), "[]\n")
    assert prose(text) == "a\n\nb\n"
