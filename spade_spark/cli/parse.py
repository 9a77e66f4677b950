"""``spade-spark parse``: shows what becomes of edge lines."""

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
    type=click.Path(path_type=Path),
    envvar="SPADE_CONF",
    help="The settings; [blueprint] and [lookups] are used.",
)
@click.option("--show-code", metavar="TABLE", help="Print the code that makes its rows, instead.")
def command(conf: Path | None, show_code: str | None) -> None:
    """Shows what becomes of edge lines.

    Reads lines of edge logs from standard input and prints a JSON array for each: an object for
    each event with its table, version, row, record, uuid and outcome. A line that is no edge
    record gives [].
    """
    if show_code is not None:
        click.echo(codegen.source(table_of(load(conf), show_code)))
        return
    transform = open_transform(load(conf))
    for line in sys.stdin.buffer:
        results = transform.line(line.removesuffix(b"\n"))
        click.echo(json.dumps([shown(result) for result in results or ()], ensure_ascii=False))


def table_of(settings: Settings, name: str) -> Table:
    """The table of this name.

    Raises:
        SpadeError: There is none, or the schemas cannot be read.
    """
    source = settings.blueprint.schemas
    schemas = fetch.fetch(source, settings.s3)
    tables = read_tables(schemas, is_transformer, fetch.redact_url(source)).tables
    if name not in tables:
        raise UsageError(f"{fetch.redact_url(source)} has no table {name!r}; check the spelling")
    return tables[name]


def open_transform(settings: Settings) -> ReferenceTransform:
    """The transform that ``settings`` describe; tables that are left out are named on stderr.

    Raises:
        SpadeError: The schemas or the lookups cannot be read.
    """
    source = settings.blueprint.schemas
    schemas = fetch.fetch(source, settings.s3)
    reading = read_tables(schemas, is_transformer, fetch.redact_url(source))
    for left_out in reading.skipped:
        click.echo(f"left out: {left_out.name}: {left_out.reason}", err=True)
    return ReferenceTransform(reading.tables, open_lookups(settings.lookups, settings.s3))


def shown(result: EventResult) -> dict[str, Any]:
    """A result as it is printed."""
    return {
        "table": result.table,
        "version": result.version,
        "row": result.row,
        "record": result.record,
        "uuid": result.uuid,
        "outcome": result.outcome.value,
    }
