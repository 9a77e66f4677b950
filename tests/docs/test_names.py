"""Names: every path, module, class and function that the contributors' pages name exists."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.pages import DOCS, ROOT, inline_code, prose, section
from tests.test_architecture import LAYERS

PAGES = (ROOT / "CONTRIBUTING.md", DOCS / "architecture.md")
# Paths are written from the project's root, or from one of its packages.
BASES = (ROOT, ROOT / "spade_spark")
PATH = re.compile(r"[\w.-]+/|(?:[\w.-]+/)+[\w.-]*|[\w.-]+\.(?:py|md|toml)")
# A class or constant, a class's member, or a function of several words.
IDENTIFIER = re.compile(r"[A-Z]\w*[a-z]\w*(?:\.\w+)?|[A-Z]+(?:_[A-Z]+)+|[a-z]+(?:_[a-z]+)+")
PYTHON_NAMES = {"None"}


def passages(page):
    """Split a page into paragraphs, list items and table rows."""
    text = prose(page.read_text("utf-8"))
    return [part for part in re.split(r"\n\s*\n|\n(?=[-|] ?|\d+\. )", text) if "`" in part]


def paths(passage):
    return [code for code in inline_code(" ".join(passage.split())) if PATH.fullmatch(code)]


def resolve(path, folders):
    """Return the file or folder that a path names, or None.

    A bare file name is in a folder that the same passage names, or at the top of a package. Where
    the passage names no folder, it may be anywhere.
    """
    candidates = [base / path for base in (*folders, *BASES)]
    if not folders and "/" not in path:
        candidates += BASES[1].rglob(path)
    return next((file for file in candidates if file.exists()), None)


def folders(passage):
    """Return the folders that a passage names, or whose files it names."""
    named = [resolve(path, ()) for path in paths(passage) if "/" in path]
    return [file if file.is_dir() else file.parent for file in named if file]


def missing_paths(passage):
    return [path for path in paths(passage) if resolve(path, folders(passage)) is None]


def defined(file):
    """Return the names that a module defines or imports, members as ``Class.member``."""
    names = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        names |= set(names_of(node))
        if isinstance(node, ast.ClassDef):
            members = [name for member in node.body for name in names_of(member)]
            names |= {f"{node.name}.{member}" for member in members} | set(members)
    return names


def names_of(node):
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.ImportFrom):
        yield from (alias.name for alias in node.names)


def missing_names(passage, package):
    """Return the identifiers that no module named in the passage defines.

    Where the passage names no module, any module of ``package`` may define them.
    """
    files = [resolve(path, folders(passage)) for path in paths(passage) if path.endswith(".py")]
    known = set().union(*(defined(file) for file in files if file)) if files else package
    codes = inline_code(" ".join(passage.split()))
    names = [code.removesuffix("()") for code in codes]
    identifiers = [name for name in names if IDENTIFIER.fullmatch(name)]
    return sorted(set(identifiers) - known - PYTHON_NAMES)


@pytest.fixture(scope="module")
def package():
    files = [file for root in ("spade_spark", "tests") for file in (ROOT / root).rglob("*.py")]
    return set().union(*(defined(file) for file in files))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page):
    assert [path for passage in passages(page) for path in missing_paths(passage)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_class_and_function_is_defined_where_the_page_says(page, package):
    assert [name for passage in passages(page) for name in missing_names(passage, package)] == []


@pytest.mark.parametrize(
    "passage",
    ["`spade_spark/plans.py`", "`nothing/`", "`nothing.py`", "`writers/`: `planning.py`"],
)
def test_a_path_that_does_not_exist_is_detected(passage):
    assert missing_paths(passage)


@pytest.mark.parametrize(
    "passage",
    [
        "`Planned` in `plan.py`",
        "`assign_to_partitions` in `window.py`",
        "`Request.nothing` (`spade_spark/request.py`)",
        "`NoSuchClass`",
    ],
)
def test_a_name_that_is_not_defined_is_detected(passage, package):
    assert missing_names(passage, package)


def test_the_table_of_packages_has_all_layers_in_order():
    table = section("architecture.md", "Packages")
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    rows = [
        {name.removesuffix("/").removesuffix(".py") for name in inline_code(cell)} for cell in cells
    ]
    assert rows == [set(names) - {"__init__"} for names in LAYERS]
