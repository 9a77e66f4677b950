"""The values that COPY rejected: file, line, column, raw value and reason."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from spade_spark.errors import SpadeError, WarehouseError
from spade_spark.settings import S3Settings
from spade_spark.storage.base import Store, open_store, split_url
from spade_spark.warehouse.connection import Session, StatementError
from spade_spark.warehouse.information_schema import WarehouseColumn
from spade_spark.warehouse.redshift_copy_format import CopyValueError, records, split_values
from spade_spark.warehouse.source_files import decompressed
from spade_spark.warehouse.sql import Literal, Sql

MAX_SHOWN = 10
_MAX_VALUE_LENGTH = 200  # characters

# SYS_LOAD_ERROR_DETAIL has no raw value: the file is read for it. STL_LOAD_ERRORS does not exist
# on serverless workgroups. In the failed session, the newest query with errors is the failed one.
# https://docs.aws.amazon.com/redshift/latest/dg/SYS_LOAD_ERROR_DETAIL.html
# https://docs.aws.amazon.com/redshift/latest/dg/r_STL_LOAD_ERRORS.html
_SYS = Sql(
    'SELECT TRIM("file_name"), "line_number", TRIM("column_name"), TRIM("error_message") '
    'FROM "sys_load_error_detail" WHERE "session_id" = pg_backend_pid() AND "query_id" = '
    '(SELECT MAX("query_id") FROM "sys_load_error_detail" WHERE "session_id" = pg_backend_pid()) '
    'ORDER BY "file_name", "line_number" LIMIT ',
    Literal(MAX_SHOWN),
)
_STL = Sql(
    'SELECT TRIM("filename"), "line_number", TRIM("colname"), TRIM("err_reason"), '
    'TRIM("raw_field_value") '
    'FROM "stl_load_errors" WHERE "session" = pg_backend_pid() AND "query" = '
    '(SELECT MAX("query") FROM "stl_load_errors" WHERE "session" = pg_backend_pid()) '
    'ORDER BY "filename", "line_number" LIMIT ',
    Literal(MAX_SHOWN),
)


@dataclass(frozen=True)
class LoadError:
    """One value or line that COPY rejected.

    Attributes:
        file: The file's URL.
        line: The line number, from 1.
        column: The column's name; empty if the whole line was rejected.
        value: The raw value; empty if it is unknown.
        reason: The warehouse's message.
    """

    file: str
    line: int
    column: str
    value: str
    reason: str

    def __str__(self) -> str:
        value = (
            self.value
            if len(self.value) <= _MAX_VALUE_LENGTH
            else self.value[:_MAX_VALUE_LENGTH] + "…"
        )
        where = f', column "{self.column}"' if self.column else ""
        return f"{self.file}, line {self.line}{where}, raw value {value!r}: {self.reason}"


def has_load_errors(error: StatementError) -> bool:
    """Whether the message refers to the table of load errors."""
    return "load_error" in str(error)


def copy_error_message(table: str, errors: Sequence[LoadError]) -> str:
    """Return the message of a CopyError."""
    limited = f" (the first {MAX_SHOWN})" if len(errors) == MAX_SHOWN else ""
    lines = "\n".join(f"  {error}" for error in errors)
    return (
        f"{table} was not modified: COPY rejected values{limited}:\n{lines}\n"
        "Fix the column's transformer in Blueprint or its type in the warehouse, then run again."
    )


def read(session: Session, s3: S3Settings, columns: Sequence[WarehouseColumn]) -> list[LoadError]:
    """Return the errors of the COPY that just failed in this session, after its rollback."""
    names = [column.name for column in columns]
    try:
        rows = session.rows(_SYS)
    except WarehouseError:
        return [
            LoadError(file, int(line), column, value, reason)
            for file, line, column, reason, value in session.rows(_STL)
        ]
    stores = {prefix: open_store(prefix, s3) for prefix in {split_url(row[0])[0] for row in rows}}
    errors = []
    for file, line, column, reason in rows:
        prefix, key = split_url(file)
        index = names.index(column) if column in names else None
        value = _raw_value(stores[prefix], key, int(line), index)
        errors.append(LoadError(file, int(line), column, value, reason))
    return errors


def _raw_value(store: Store, key: str, line: int, index: int | None) -> str:
    """Read the value, or the line, from the file; empty if the file can no longer be read."""
    with (
        suppress(SpadeError, OSError, EOFError),
        store.open(key) as raw,
        decompressed(raw) as lines,
    ):
        for row in islice(records(lines), line - 1, line):
            values = _values(row)
            value = row if index is None or index >= len(values) else values[index]
            return (value or b"").decode("utf-8", "replace")
    return ""


def _values(row: bytes) -> list[bytes | None]:
    try:
        return list(split_values(row))
    except CopyValueError:
        return []
