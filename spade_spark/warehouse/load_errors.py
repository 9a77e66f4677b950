"""What COPY refused: file, line, column, raw value and reason."""

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

# https://docs.aws.amazon.com/redshift/latest/dg/SYS_LOAD_ERROR_DETAIL.html, which has no raw
# value; https://docs.aws.amazon.com/redshift/latest/dg/r_STL_LOAD_ERRORS.html, which
# serverless workgroups do not have. Asked in the session that failed, the newest query with
# errors is the one that failed.
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
    """One value, or line, that COPY refused.

    Attributes:
        file: The file's URL.
        line: The line in it, from 1.
        column: The column's name; empty where the whole line was refused.
        value: The raw value, as far as it is known.
        reason: The warehouse's words.
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


def has_load_errors(refusal: StatementError) -> bool:
    """Whether the refusal says that load errors were recorded."""
    return "load_error" in str(refusal)


def message(table: str, errors: Sequence[LoadError]) -> str:
    """The whole message of a CopyError."""
    most = f" (the first {MAX_SHOWN})" if len(errors) == MAX_SHOWN else ""
    lines = "\n".join(f"  {error}" for error in errors)
    return (
        f"{table} was left as it was: COPY refused values{most}:\n{lines}\n"
        "Mend the column's transformer in Blueprint or its type in the warehouse, then run again."
    )


def read(session: Session, s3: S3Settings, columns: Sequence[WarehouseColumn]) -> list[LoadError]:
    """The errors of the COPY that just failed in this session, after its rollback."""
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
        place = names.index(column) if column in names else None
        value = _raw_value(stores[prefix], key, int(line), place)
        errors.append(LoadError(file, int(line), column, value, reason))
    return errors


def _raw_value(store: Store, key: str, line: int, place: int | None) -> str:
    """The value as it stands in the file, or the line; empty where it cannot be read any more."""
    with (
        suppress(SpadeError, OSError, EOFError),
        store.open(key) as raw,
        decompressed(raw) as lines,
    ):
        for row in islice(records(lines), line - 1, line):
            found = _values(row)
            value = row if place is None or place >= len(found) else found[place]
            return (value or b"").decode("utf-8", "replace")
    return ""


def _values(row: bytes) -> list[bytes | None]:
    try:
        return list(split_values(row))
    except CopyValueError:
        return []
