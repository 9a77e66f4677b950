"""``spade-spark parse``: transform edge log lines and print the rows as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from spade_spark.blueprint import fetch
from spade_spark.blueprint.schema import Table, read_tables
from spade_spark.errors import UsageError
from spade_spark.lookups.factory import open_lookups
from spade_spark.settings import Settings, load
from spade_spark.transform import codegen
from spade_spark.transform.reference import EventResult, ReferenceTransform
from spade_spark.transform.transformers.registry import is_transformer


@click.command("parse")
@click.option(
    "--conf",
    metavar="FILE",
    type=click.Path(path_type=Path),
    envvar="SPADE_CONF",
    help="Settings file (TOML), or set SPADE_CONF. Uses [blueprint], [lookups] and [s3].",
)
@click.option(
    "--show-code", metavar="TABLE", help="Print the generated transform code of TABLE and exit."
)
def command(conf: Path | None, show_code: str | None) -> None:
    """Transform edge log lines and print the rows as JSON.

    Reads lines from standard input. Prints a JSON array for each line, with one object per event:
    its table, version, row, record, uuid and outcome. The array of an invalid edge record is
    empty.
    """
    if show_code is not None:
        click.echo(codegen.generated_source(table_of(load(conf), show_code)))
        return
    transform = open_transform(load(conf))
    for line in sys.stdin.buffer:
        results = transform.line(line.removesuffix(b"\n"))
        click.echo(json.dumps([to_dict(result) for result in results or ()], ensure_ascii=False))


def table_of(settings: Settings, name: str) -> Table:
    """Return the table with this name.

    Raises:
        SpadeError: The table does not exist, or the schemas cannot be read.
    """
    source = settings.require("blueprint.schemas")
    schemas = fetch.fetch(source, settings.s3)
    tables = read_tables(schemas, is_transformer, fetch.redact_url(source)).tables
    if name not in tables:
        raise UsageError(f"{fetch.redact_url(source)} has no table {name!r}: check the name")
    return tables[name]


def open_transform(settings: Settings) -> ReferenceTransform:
    """Build the transform from ``settings`` and print skipped tables to standard error.

    Raises:
        SpadeError: The schemas or the lookups cannot be read.
    """
    source = settings.require("blueprint.schemas")
    schemas = fetch.fetch(source, settings.s3)
    catalog = read_tables(schemas, is_transformer, fetch.redact_url(source))
    for skipped in catalog.skipped:
        click.echo(f"skipped table {skipped.name}: {skipped.reason}", err=True)
    return ReferenceTransform(catalog.tables, open_lookups(settings.lookups, settings.s3))


def to_dict(result: EventResult) -> dict[str, Any]:
    """Return the JSON object of a result."""
    return {
        "table": result.table,
        "version": result.version,
        "row": result.row,
        "record": result.record,
        "uuid": result.uuid,
        "outcome": result.outcome.value,
    }
