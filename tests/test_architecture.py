"""The architecture: imports go down the list of packages, never up; names are unique."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "spade_spark"

# From top to bottom. A package may import those below it, and its own modules.
LAYERS = (
    ("cli",),
    ("sandbox",),
    ("workflows",),
    ("reporting",),
    ("spark",),
    ("warehouse", "lake"),
    ("schema_inference",),
    ("runs",),
    ("locking",),
    ("writers", "streams"),
    ("transform",),
    ("lookups",),
    ("sources",),
    ("blueprint",),
    ("storage",),
    # Immutable values that everything may use.
    ("request", "plan"),
    ("formatting", "interrupts", "progress", "retry", "settings", "window"),
    ("gocompat",),
    ("errors", "__init__"),
)
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names}

# Libraries that only these modules may import, so that they can be changed in one place.
ONLY_IN = {
    "pyspark": {"spark/driver.py"},
    "psycopg2": {"warehouse/connection.py"},
    "boto3": {
        "storage/s3.py",
        "streams/aws_client.py",
        "warehouse/credentials.py",
        "warehouse/logins.py",
    },
    "geoip2": {"lookups/geoip.py"},
    "maxminddb": {"lookups/geoip.py"},
    "tenacity": {"retry.py"},
    # Extras: these modules are only imported when the extra is needed.
    "pyarrow": {
        "writers/arrow_types.py",
        "writers/arrow_rows.py",
        "writers/parquet.py",
        "lake/rewrite.py",
        "lake/publish.py",
    },
    "datadog": {"reporting/statsd.py"},
}

# Every package may have its protocols in base.py. A command may share its name with its workflow,
# its report and the value that it shows.
SHARED_NAMES = {"__init__", "base"}

FILES = sorted(PACKAGE.rglob("*.py"))


def imports(path):
    """Yield the modules that a file imports, at any level of nesting."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_the_layers_never_up(path):
    own = layer(path)
    assert own in LEVELS, f"{own} is in no layer: add it to LAYERS, or move it"
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "spade_spark" and len(parts) > 1 and parts[1] in LEVELS:
            imported = parts[1]
            allowed = imported == own or LEVELS[imported] > LEVELS[own]
            assert allowed, f"{path} imports {module}"


@pytest.mark.parametrize(("library", "modules"), ONLY_IN.items())
def test_a_library_is_imported_in_one_place(library, modules):
    importing = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if layer(path) != "sandbox"
        and any(module.split(".")[0] == library for module in imports(path))
    }
    assert importing <= modules


def test_no_two_modules_share_a_name_except_a_command_its_workflow_and_its_report():
    paths = defaultdict(list)
    for path in FILES:
        if path.stem not in SHARED_NAMES:
            paths[path.stem].append(path)
    layers = {stem: [layer(path) for path in same] for stem, same in paths.items()}
    shared = {
        stem: names
        for stem, names in layers.items()
        if len(set(names) - {"cli", "workflows", "reporting"}) > 1
        or len(names) > len(set(names))
        or (
            {"workflows", "reporting"} & set(names)
            and set(names) - {"cli", "workflows", "reporting"}
        )
    }
    assert not shared
