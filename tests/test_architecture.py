"""The house: imports go down the list of rooms, never up; one file knows Spark, one the driver."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "spade_spark"

# From the doors down to the ground. A room may import those below it, and its own files.
ROOMS = (
    ("cli",),
    ("sandbox", "inspector"),
    ("replay", "runs", "undo", "export"),
    ("outlook",),
    ("prepare",),
    ("again",),
    ("engine",),
    ("warehouse", "lake"),
    ("report",),
    ("suggest",),
    ("run",),
    ("output", "streams"),
    ("transform",),
    ("lookups",),
    ("edge",),
    ("blueprint",),
    ("store",),
    ("request", "plan", "window", "settings", "retry", "errors", "__init__", "__main__"),
)
LEVELS = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}

# What may be imported in one place alone, so that it can be changed there alone.
ALONE = {
    "pyspark": {"spark/driver.py"},
    "psycopg2": {"warehouse/connection.py"},
    "boto3": {"storage/s3.py", "warehouse/credentials.py", "streams/aws_client.py"},
    "geoip2": {"lookups/geoip.py"},
    "maxminddb": {"lookups/geoip.py"},
    "tenacity": {"retry.py"},
    # An extra: what imports these imports them where Parquet is asked for.
    "pyarrow": {
        "writers/arrow_types.py",
        "writers/arrow_rows.py",
        "writers/parquet.py",
        "lake/rewrite.py",
        "lake/publish.py",
    },
    "datadog": {"reporting/statsd.py"},
}

FILES = sorted(PACKAGE.rglob("*.py"))


def imports(path):
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(parts):
    return parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_never_up(path):
    mine = room(path.relative_to(PACKAGE).parts)
    assert mine in LEVELS, f"{mine} is no room of the house: add it to its list, or move it"
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "spade_spark" and len(parts) > 1 and parts[1] in LEVELS:
            theirs = parts[1]
            assert theirs == mine or LEVELS[theirs] >= LEVELS[mine], f"{path} imports {module}"


@pytest.mark.parametrize(("library", "places"), ALONE.items())
def test_a_library_is_known_in_one_place(library, places):
    knowing = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if room(path.relative_to(PACKAGE).parts) != "sandbox"
        and any(module.split(".")[0] == library for module in imports(path))
    }
    assert knowing <= places
